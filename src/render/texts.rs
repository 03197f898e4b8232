//! Sentences in the languages of the readers, from the Fluent files in `texts/`.

use std::time::Duration;

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource, FluentValue};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use unic_langid::LanguageIdentifier;

use crate::model::Timestamp;

const ENGLISH: &str = include_str!("texts/en.ftl");
const GERMAN: &str = include_str!("texts/de.ftl");

/// The sentences of one language.
pub(super) struct Language {
    /// BCP 47 tag of the texts.
    pub(super) tag: &'static str,
    bundle: FluentBundle<FluentResource>,
}

impl Language {
    fn new(tag: &'static str, texts: &str) -> Self {
        // The tags are ours and well-formed; the root language knows no plural forms.
        let id: LanguageIdentifier = tag.parse().unwrap_or_default();
        let mut bundle = FluentBundle::new_concurrent(vec![id]);
        // Marks around inserted texts would show up as boxes in subjects.
        bundle.set_use_isolating(false);
        // A damaged entry is left out; a test holds that none is.
        let resource = FluentResource::try_new(texts.to_owned()).unwrap_or_else(|(rest, _)| rest);
        let _ = bundle.add_resource(resource);
        Self { tag, bundle }
    }

    pub(super) fn english() -> Self {
        Self::new("en", ENGLISH)
    }

    pub(super) fn german() -> Self {
        Self::new("de", GERMAN)
    }

    /// A sentence; its name when there is none, so that a message goes out anyway.
    pub(super) fn say(&self, name: &str, arguments: &[(&str, FluentValue<'_>)]) -> String {
        let Some(pattern) = self.bundle.get_message(name).and_then(|message| message.value())
        else {
            return name.to_owned();
        };
        let arguments: FluentArgs<'_> =
            arguments.iter().map(|(name, value)| (*name, value.clone())).collect();
        let mut errors = Vec::new();
        self.bundle.format_pattern(pattern, Some(&arguments), &mut errors).into_owned()
    }

    fn count(&self, name: &str, count: u64) -> String {
        self.say(name, &[("count", number(count))])
    }

    /// The two largest units that matter: "2 hours 5 minutes".
    pub(super) fn duration(&self, length: Duration) -> String {
        let seconds = length.as_secs();
        let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
        let parts = [
            ("duration-days", days),
            ("duration-hours", hours),
            ("duration-minutes", minutes),
            ("duration-seconds", seconds % 60),
        ];
        let first = parts.iter().position(|(_, count)| *count > 0).unwrap_or(3);
        // Nobody asks for the seconds of something that lasts ten minutes.
        let second = parts
            .get(first + 1)
            .filter(|(name, count)| *count > 0 && (*name != "duration-seconds" || minutes < 5));
        let mut said = self.count(parts[first].0, parts[first].1);
        if let Some((name, count)) = second {
            said.push(' ');
            said.push_str(&self.count(name, *count));
        }
        said
    }

    /// An instant on the reader's calendar, with the offset of the zone.
    pub(super) fn instant(&self, at: Timestamp, zone: &TimeZone) -> String {
        let Ok(instant) = jiff::Timestamp::from_millisecond(at.millis()) else {
            return at.to_string();
        };
        let local = instant.to_zoned(zone.clone());
        let weekday = format!("weekday-{}", local.weekday().to_monday_one_offset());
        self.say(
            "instant",
            &[
                ("weekday", self.say(&weekday, &[]).into()),
                ("year", local.year().to_string().into()),
                ("month", format!("{:02}", local.month()).into()),
                ("day", format!("{:02}", local.day()).into()),
                ("time", format!("{:02}:{:02}", local.hour(), local.minute()).into()),
                ("offset", local.strftime("%:z").to_string().into()),
            ],
        )
    }

    /// The end of a stretch of time: without the date and offset that its start has told already.
    pub(super) fn until(&self, from: Timestamp, to: Timestamp, zone: &TimeZone) -> String {
        let local = |at: Timestamp| {
            jiff::Timestamp::from_millisecond(at.millis()).map(|at| at.to_zoned(zone.clone()))
        };
        match (local(from), local(to)) {
            (Ok(from), Ok(to)) if from.date() == to.date() && from.offset() == to.offset() => {
                let time = format!("{:02}:{:02}", to.hour(), to.minute());
                self.say("clock", &[("time", time.into())])
            }
            _ => self.instant(to, zone),
        }
    }

    /// A measured value: as many digits as a person wants, with the language's decimal mark.
    pub(super) fn value(&self, value: f64) -> String {
        let plain = if value == value.trunc() && value.abs() < 1e15 {
            format!("{value:.0}")
        } else {
            // Three digits behind the first one that is not zero are enough.
            let digits = (3.0 - value.abs().log10().floor()).clamp(0.0, 12.0);
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let text = format!("{value:.*}", digits as usize);
            match text.contains('.') {
                true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
                false => text,
            }
        };
        let plain = if plain == "-0" { "0".to_owned() } else { plain };
        if self.tag == "de" { plain.replace('.', ",") } else { plain }
    }
}

/// A number that decides between singular and plural.
pub(super) fn number(count: u64) -> FluentValue<'static> {
    count.into()
}

/// The zone of that name, UTC when there is none.
pub(super) fn zone(name: &str) -> TimeZone {
    TimeZoneDatabase::bundled().get(name).unwrap_or(TimeZone::UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(texts: &str) -> Vec<&str> {
        let mut names: Vec<&str> = texts
            .lines()
            .filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()))
            .filter_map(|line| line.split_once(" = ").map(|(name, _)| name))
            .collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn every_sentence_exists_in_each_language() {
        assert_eq!(names(ENGLISH), names(GERMAN));
        for (texts, language) in [(ENGLISH, Language::english()), (GERMAN, Language::german())] {
            assert!(FluentResource::try_new(texts.to_owned()).is_ok());
            for name in names(texts) {
                assert!(language.bundle.get_message(name).is_some(), "{name}");
            }
        }
    }

    #[test]
    fn lengths_of_time_are_short_to_read() {
        let (english, german) = (Language::english(), Language::german());
        let of = |seconds| Duration::from_secs(seconds);
        assert_eq!(english.duration(of(0)), "0 seconds");
        assert_eq!(english.duration(of(61)), "1 minute 1 second");
        assert_eq!(english.duration(of(605)), "10 minutes");
        assert_eq!(german.duration(of(3_660)), "1 Stunde 1 Minute");
        assert_eq!(german.duration(of(2 * 86_400 + 30)), "2 Tagen");
    }

    #[test]
    fn values_are_written_for_people() {
        let (english, german) = (Language::english(), Language::german());
        assert_eq!(english.value(0.0), "0");
        assert_eq!(english.value(-0.0), "0");
        assert_eq!(english.value(1234.0), "1234");
        assert_eq!(german.value(0.123_456_789), "0,1235");
        assert_eq!(english.value(1_234.567_89), "1235");
        assert_eq!(english.value(12.345_678), "12.35");
        assert_eq!(english.value(1e-9), "0.000000001");
    }

    #[test]
    fn instants_are_in_the_readers_zone() {
        let at = Timestamp::from_millis(1_763_805_600_000);
        let berlin = zone("Europe/Berlin");
        assert_eq!(Language::german().instant(at, &berlin), "Sa. 22.11.2025, 11:00 Uhr (+01:00)");
        assert_eq!(
            Language::english().instant(at, &zone("nonsense")),
            "Sat 2025-11-22, 10:00 (+00:00)"
        );
    }
}

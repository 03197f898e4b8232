//! Sentences in the languages of the readers, from the Fluent files in `texts/`.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource, FluentValue};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use unic_langid::LanguageIdentifier;

use crate::model::Timestamp;

const ENGLISH: &str = include_str!("texts/en.ftl");
const GERMAN: &str = include_str!("texts/de.ftl");

type Bundle = FluentBundle<FluentResource>;

/// The sentences of one language: the shipped ones, and those that somebody put in their place.
pub(super) struct Language {
    /// BCP 47 tag of the texts.
    tag: &'static str,
    shipped: Bundle,
    own: Option<Bundle>,
    /// What cannot be used of the own ones: line numbers of what cannot be read, and names that
    /// no sentence has.
    damaged: Vec<String>,
}

/// A bundle of what can be read in a text, and the numbers of the lines where something cannot.
fn bundle(tag: &str, texts: &str) -> (Bundle, Vec<String>) {
    // The tags are ours and well-formed; the root language knows no plural forms.
    let id: LanguageIdentifier = tag.parse().unwrap_or_default();
    let mut bundle = FluentBundle::new_concurrent(vec![id]);
    // Marks around inserted texts would show up as boxes in subjects.
    bundle.set_use_isolating(false);
    let (resource, errors) = match FluentResource::try_new(texts.to_owned()) {
        Ok(resource) => (resource, Vec::new()),
        Err((rest, errors)) => (rest, errors),
    };
    let line = |at: usize| {
        let before = texts.as_bytes().iter().take(at);
        format!("{tag}.ftl:{}", 1 + before.filter(|byte| **byte == b'\n').count())
    };
    let damaged = errors.iter().map(|error| line(error.pos.start)).collect();
    bundle.add_resource_overriding(resource);
    (bundle, damaged)
}

/// The names of the sentences in a Fluent file.
fn names(texts: &str) -> impl Iterator<Item = &str> {
    let entry = |line: &&str| line.starts_with(|c: char| c.is_ascii_alphabetic());
    texts.lines().filter(entry).filter_map(|line| Some(line.split_once('=')?.0.trim_end()))
}

impl Language {
    fn new(tag: &'static str, texts: &str, own: Option<&str>) -> Self {
        let (shipped, _) = bundle(tag, texts);
        let (bundle, damaged) = own.map(|own| bundle(tag, own)).unzip();
        let mut damaged: Vec<String> = damaged.unwrap_or_default();
        let unknown = names(own.unwrap_or_default()).filter(|name| !shipped.has_message(name));
        damaged.extend(unknown.map(|name| format!("{tag}.ftl: {name}")));
        Self { tag, shipped, own: bundle, damaged }
    }

    /// English, with somebody's own sentences where there are some.
    pub(super) fn english(own: Option<&str>) -> Self {
        Self::new("en", ENGLISH, own)
    }

    /// German, likewise.
    pub(super) fn german(own: Option<&str>) -> Self {
        Self::new("de", GERMAN, own)
    }

    /// What cannot be used of the own sentences.
    pub(super) fn damaged(&self) -> &[String] {
        &self.damaged
    }

    /// To write one message with.
    pub(super) fn voice(&self) -> Voice<'_> {
        Voice { language: self, broken: RefCell::new(self.damaged.iter().cloned().collect()) }
    }
}

/// A language while a message is written: it notices which own sentences failed.
pub(super) struct Voice<'a> {
    language: &'a Language,
    broken: RefCell<BTreeSet<String>>,
}

impl Voice<'_> {
    /// BCP 47 tag of the texts.
    pub(super) fn tag(&self) -> &'static str {
        self.language.tag
    }

    /// Own sentences that could not be used; the shipped ones stand in their place.
    pub(super) fn broken(&self) -> Vec<String> {
        self.broken.borrow().iter().cloned().collect()
    }

    /// A sentence; its name when there is none, so that a message goes out anyway.
    pub(super) fn say(&self, name: &str, arguments: &[(&str, FluentValue<'_>)]) -> String {
        let arguments: FluentArgs<'_> =
            arguments.iter().map(|(name, value)| (*name, value.clone())).collect();
        if let Some(own) = self.language.own.as_ref().filter(|own| own.has_message(name)) {
            match said(own, name, &arguments) {
                Ok(said) => return said,
                Err(_) => {
                    let file = self.language.tag;
                    self.broken.borrow_mut().insert(format!("{file}.ftl: {name}"));
                }
            }
        }
        said(&self.language.shipped, name, &arguments).unwrap_or_else(|said| said)
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
        if self.tag() == "de" { plain.replace('.', ",") } else { plain }
    }
}

/// The sentence, or what is left of it when something in it does not exist.
fn said(bundle: &Bundle, name: &str, arguments: &FluentArgs<'_>) -> Result<String, String> {
    let Some(pattern) = bundle.get_message(name).and_then(|message| message.value()) else {
        return Err(name.to_owned());
    };
    let mut errors = Vec::new();
    let said = bundle.format_pattern(pattern, Some(arguments), &mut errors).into_owned();
    if errors.is_empty() { Ok(said) } else { Err(said) }
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

    #[test]
    fn every_sentence_exists_in_each_language() {
        let sorted = |texts| names(texts).collect::<BTreeSet<&str>>();
        assert_eq!(sorted(ENGLISH), sorted(GERMAN));
        let languages = [(ENGLISH, Language::english(None)), (GERMAN, Language::german(None))];
        for (texts, language) in languages {
            assert!(FluentResource::try_new(texts.to_owned()).is_ok());
            for name in names(texts) {
                assert!(language.shipped.get_message(name).is_some(), "{name}");
            }
        }
    }

    #[test]
    fn lengths_of_time_are_short_to_read() {
        let (english, german) = (Language::english(None), Language::german(None));
        let (english, german) = (english.voice(), german.voice());
        let of = |seconds| Duration::from_secs(seconds);
        assert_eq!(english.duration(of(0)), "0 seconds");
        assert_eq!(english.duration(of(61)), "1 minute 1 second");
        assert_eq!(english.duration(of(605)), "10 minutes");
        assert_eq!(german.duration(of(3_660)), "1 Stunde 1 Minute");
        assert_eq!(german.duration(of(2 * 86_400 + 30)), "2 Tagen");
    }

    #[test]
    fn values_are_written_for_people() {
        let (english, german) = (Language::english(None), Language::german(None));
        let (english, german) = (english.voice(), german.voice());
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
        let (english, german) = (Language::english(None), Language::german(None));
        assert_eq!(german.voice().instant(at, &berlin), "Sa. 22.11.2025, 11:00 Uhr (+01:00)");
        assert_eq!(
            english.voice().instant(at, &zone("nonsense")),
            "Sat 2025-11-22, 10:00 (+00:00)"
        );
    }

    #[test]
    fn own_sentences_replace_shipped_ones_unless_they_are_broken() {
        let own = "class-1 = Alles steht!\nwhere = Ort: { $ort }\nbogus = x\n";
        let german = Language::german(Some(own));
        let voice = german.voice();
        assert_eq!(voice.say("class-1", &[]), "Alles steht!");
        assert_eq!(voice.broken(), ["de.ftl: bogus"]);
        assert_eq!(voice.say("where", &[("place", "S 71".into())]), "Wo: S 71");
        assert_eq!(voice.broken(), ["de.ftl: bogus", "de.ftl: where"]);
        assert_eq!(german.voice().broken(), ["de.ftl: bogus"]);
        let german = Language::german(Some("class-1 = gut\nclass-2 = {\nclass-3 = auch gut\n"));
        assert_eq!(german.damaged(), ["de.ftl:3"]);
        assert_eq!(german.voice().say("class-1", &[]), "gut");
        assert_eq!(german.voice().say("class-2", &[]), "Klasse 2: betriebsbehindernd.");
    }
}

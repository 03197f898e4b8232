//! What people want when they react to a message of ours, or answer it.

use std::time::Duration;

use serde_json::Value;

/// What somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// "I have seen it": no reminders any more.
    Acknowledge,
    /// "I take care of it."
    Claim,
    /// Nothing about this incident for so long.
    Mute(Duration),
    /// They want it silent, but it is not clear for how long. They must not believe that it is.
    Unclear,
}

/// The least and the longest time that an answer may silence something.
const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(7 * 86_400);

/// The event that somebody reacts to or answers, and what they want. `None` for talk.
pub(super) fn read(event: &Value) -> Option<(&str, What)> {
    let content = &event["content"];
    let relation = &content["m.relates_to"];
    match event["type"].as_str()? {
        "m.reaction" if relation["rel_type"] == "m.annotation" => {
            let what = match relation["key"].as_str()?.trim_end_matches('\u{fe0f}') {
                "✅" | "✔" | "☑" => What::Acknowledge,
                "👀" => What::Claim,
                _ => return None,
            };
            Some((relation["event_id"].as_str()?, what))
        }
        "m.room.message" if content["msgtype"] == "m.text" => {
            let about = match relation["rel_type"].as_str() {
                Some("m.thread") => &relation["event_id"],
                None => &relation["m.in_reply_to"]["event_id"],
                // An edit is not a second wish.
                Some(_) => return None,
            };
            Some((about.as_str()?, words(content["body"].as_str()?)?))
        }
        _ => None,
    }
}

/// `ack`, `claim`, `mute 2h`; old clients quote what they answer above it.
fn words(body: &str) -> Option<What> {
    let own = body.lines().filter(|line| !line.starts_with('>')).map(str::trim);
    let mut own = own.filter(|line| !line.is_empty());
    let line = own.next()?.to_lowercase();
    if own.next().is_some() || line.len() > 40 {
        return None;
    }
    let mut words = line.split_whitespace();
    let first = words.next()?.trim_start_matches('!').trim_end_matches('\u{fe0f}');
    let rest: Vec<&str> = words.collect();
    match first {
        "ack" | "✅" | "bekannt" if rest.is_empty() => Some(What::Acknowledge),
        "claim" | "👀" | "übernehme" if rest.is_empty() => Some(What::Claim),
        "mute" | "stumm" => Some(length(&rest.concat()).map_or(What::Unclear, What::Mute)),
        _ => None,
    }
}

/// `90m`, `2h`, `1d`, `1h30m`, `2 hours`, `2 Stunden`.
fn length(text: &str) -> Option<Duration> {
    let (mut rest, mut length) = (text, Duration::ZERO);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, behind) = rest.split_at(digits);
        let unit = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let seconds = match &behind[..unit] {
            "m" | "min" | "minute" | "minutes" | "minuten" => 60,
            "h" | "std" | "hour" | "hours" | "stunde" | "stunden" => 3_600,
            "d" | "day" | "days" | "tag" | "tage" => 86_400,
            _ => return None,
        };
        let part = Duration::from_secs(number.parse::<u64>().ok()?.checked_mul(seconds)?);
        length = length.checked_add(part)?;
        rest = &behind[unit..];
    }
    (SHORTEST..=LONGEST).contains(&length).then_some(length)
}

/// What is said to a wish that was fulfilled or not, in the language of the thread.
pub(super) fn confirmation(who: &str, what: What, refused: Option<&str>, german: bool) -> String {
    match (refused, what, german) {
        (Some(reason), _, false) => format!("That did not work: {reason}"),
        (Some(reason), _, true) => format!("Das hat nicht geklappt: {reason}"),
        (None, What::Unclear, false) => {
            "🔔 This is not silenced: say for how long, such as “mute 2h” (one minute to seven days)."
                .to_owned()
        }
        (None, What::Unclear, true) => {
            "🔔 Das ist nicht stumm: Sag für wie lange, etwa „stumm 2h“ (eine Minute bis sieben Tage)."
                .to_owned()
        }
        (None, What::Acknowledge, false) => format!("✅ {who} knows of this."),
        (None, What::Acknowledge, true) => format!("✅ {who} weiß Bescheid."),
        (None, What::Claim, false) => format!("👀 {who} takes care of this."),
        (None, What::Claim, true) => format!("👀 {who} kümmert sich darum."),
        (None, What::Mute(length), german) => {
            let minutes = length.as_secs() / 60;
            let (hours, minutes) = (minutes / 60, minutes % 60);
            match (hours, minutes, german) {
                (0, _, false) => format!("🔕 {who} has silenced this for {minutes} min."),
                (_, 0, false) => format!("🔕 {who} has silenced this for {hours} h."),
                (_, _, false) => {
                    format!("🔕 {who} has silenced this for {hours} h {minutes} min.")
                }
                (0, _, true) => format!("🔕 {who} hat das für {minutes} min stummgeschaltet."),
                (_, 0, true) => format!("🔕 {who} hat das für {hours} h stummgeschaltet."),
                (_, _, true) => {
                    format!("🔕 {who} hat das für {hours} h {minutes} min stummgeschaltet.")
                }
            }
        }
    }
}

/// What is said to somebody who may not.
pub(super) fn refusal(german: bool) -> &'static str {
    if german {
        "Das dürfen hier nur die Zuständigen und wer den Raum moderiert."
    } else {
        "Only those who are responsible, and moderators of the room, may do that here."
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn reply(body: &str) -> Value {
        let relation = json!({"rel_type": "m.thread", "event_id": "$root"});
        json!({"type": "m.room.message",
               "content": {"msgtype": "m.text", "body": body, "m.relates_to": relation}})
    }

    #[test]
    fn reactions_and_answers_are_understood() {
        let reaction = |key: &str| {
            json!({"type": "m.reaction", "content": {"m.relates_to":
                {"rel_type": "m.annotation", "event_id": "$e", "key": key}}})
        };
        assert_eq!(read(&reaction("✅")), Some(("$e", What::Acknowledge)));
        assert_eq!(read(&reaction("✔\u{fe0f}")), Some(("$e", What::Acknowledge)));
        assert_eq!(read(&reaction("👀")), Some(("$e", What::Claim)));
        assert_eq!(read(&reaction("🎉")), None);
        let hours = |hours: u64| What::Mute(Duration::from_secs(hours * 3_600));
        for (body, what) in [
            ("ack", Some(What::Acknowledge)),
            (" ACK \n", Some(What::Acknowledge)),
            ("> <@bot:x> down\n> y\n\nmute 2h", Some(hours(2))),
            ("!mute 1d", Some(hours(24))),
            ("claim", Some(What::Claim)),
            ("stumm 2h", Some(hours(2))),
            ("Stumm 2 Stunden", Some(hours(2))),
            ("mute 1h30m", Some(What::Mute(Duration::from_secs(5_400)))),
            ("bekannt", Some(What::Acknowledge)),
            ("Übernehme", Some(What::Claim)),
            ("mute", Some(What::Unclear)),
            ("mute 2", Some(What::Unclear)),
            ("mute -2h", Some(What::Unclear)),
            ("mute 0m", Some(What::Unclear)),
            ("mute 99999d", Some(What::Unclear)),
            ("mute 99999999999999999999h", Some(What::Unclear)),
            ("mute ü", Some(What::Unclear)),
            ("mute please", Some(What::Unclear)),
            ("the mute 2h button", None),
            ("ack, or rather not", None),
            ("acknowledge nothing", None),
            ("ack\nmute 2h", None),
            ("", None),
        ] {
            assert_eq!(read(&reply(body)), what.map(|what| ("$root", what)), "{body:?}");
        }
        let mut edit = reply("ack");
        edit["content"]["m.relates_to"]["rel_type"] = "m.replace".into();
        assert_eq!(read(&edit), None);
    }

    proptest! {
        #[test]
        fn no_words_cause_a_panic(body in ".{0,80}") {
            let _ = read(&reply(&body));
            let _ = length(&body);
        }
    }
}

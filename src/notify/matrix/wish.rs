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
    let what = match words.next()?.trim_start_matches('!') {
        "ack" | "✅" => What::Acknowledge,
        "claim" | "👀" => What::Claim,
        "mute" => What::Mute(length(words.next()?)?),
        _ => return None,
    };
    words.next().is_none().then_some(what)
}

/// `90m`, `2h`, `1d`.
fn length(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    let length = Duration::from_secs(number.parse::<u64>().ok()?.checked_mul(seconds)?);
    (SHORTEST..=LONGEST).contains(&length).then_some(length)
}

/// What is said to a wish that was fulfilled or not, in the language of the thread.
pub(super) fn confirmation(who: &str, what: What, refused: Option<&str>, german: bool) -> String {
    match (refused, what, german) {
        (Some(reason), _, false) => format!("That did not work: {reason}"),
        (Some(reason), _, true) => format!("Das hat nicht geklappt: {reason}"),
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
            ("mute", None),
            ("mute 2", None),
            ("mute 99999d", None),
            ("mute 99999999999999999999h", None),
            ("mute ü", None),
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

//! What people want when they react to a message of ours, or answer it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::ports::Doing;

/// Somebody who may do so wants something done about an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Which incident.
    pub incident: Arc<str>,
    /// Who: the part of the Matrix user's name that people know (`alice` of `@alice:example.org`).
    pub who: Arc<str>,
    /// What.
    pub what: What,
    /// The same for the same wish, also when it is read again after a crash; `[a-z0-9-]` only.
    pub key: String,
}

/// What somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// "I have seen it": no reminders any more.
    Acknowledge,
    /// "I take care of it."
    Claim,
    /// Nothing about this incident for so long.
    Mute(Duration),
}

/// Fulfils wishes.
pub trait Hear: Send + Sync {
    /// Does it durably, once for a key. `Err` holds a reason for whoever asked.
    fn hear(&self, wish: Wish) -> Doing<'_, Result<(), String>>;
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

/// What is said to a wish, in the language of the thread.
pub(super) fn confirmation(wish: &Wish, done: &Result<(), String>, german: bool) -> String {
    let who = &wish.who;
    match (done, wish.what, german) {
        (Err(reason), _, false) => format!("That did not work: {reason}"),
        (Err(reason), _, true) => format!("Das hat nicht geklappt: {reason}"),
        (Ok(()), What::Acknowledge, false) => format!("✅ {who} has acknowledged this."),
        (Ok(()), What::Acknowledge, true) => format!("✅ {who} weiß Bescheid."),
        (Ok(()), What::Claim, false) => format!("👀 {who} takes care of this."),
        (Ok(()), What::Claim, true) => format!("👀 {who} kümmert sich darum."),
        (Ok(()), What::Mute(length), _) => {
            let minutes = length.as_secs() / 60;
            let (hours, minutes) = (minutes / 60, minutes % 60);
            if german {
                format!("🔕 {who} hat das für {hours} h {minutes} min stummgeschaltet.")
            } else {
                format!("🔕 {who} has silenced this for {hours} h {minutes} min.")
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
        let hours = |hours| What::Mute(Duration::from_secs(hours * 3_600));
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

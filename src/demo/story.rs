use std::time::Duration;

use http::StatusCode;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::peers::{Mood, Received};
use super::stage::Stage;
use super::world::World;
use crate::app::View;

/// When the page begins to fail.
const OUTAGE: Duration = Duration::from_secs(10);
/// How long it goes on failing after its owner heard of it.
const REPAIR: Duration = Duration::from_secs(6);
/// The page comes back by then, whether anybody heard of it or not.
const GIVE_UP: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Mails that join the queue with every look.
const NEW_MAILS: usize = 40;

/// A message that has to come.
struct Expected {
    what: &'static str,
    to: &'static str,
    /// Words, one of which has to be in the subject or the text.
    about: &'static [&'static str],
    resolved: bool,
    came: Option<Duration>,
}

impl Expected {
    fn fits(&self, letter: &Received) -> bool {
        let over = letter.mail.header("X-Augenmass-State") == "resolved";
        let text = format!("{} {}", letter.mail.subject, letter.mail.text);
        letter.recipients.iter().any(|to| to == self.to)
            && over == self.resolved
            && self.about.iter().any(|word| text.contains(word))
    }
}

fn expectations() -> Vec<Expected> {
    let expected = |what, to, about, resolved| Expected { what, to, about, resolved, came: None };
    let (office, web) = ("office@demo.example", "web-team@demo.example");
    vec![
        expected(
            "the office manager hears of the toner, at once, in German",
            office,
            &["Toner"],
            false,
        ),
        expected("the web team hears that the shop's certificate ends", web, &["shop"], false),
        expected(
            "the web team hears that the page is down, after the confirming tries",
            web,
            &["homepage"],
            false,
        ),
        expected("the web team hears that it is over", web, &["homepage"], true),
    ]
}

/// Where the story is.
enum Act {
    Calm,
    Outage { heard: Option<Duration> },
    Repaired,
}

/// Plays the story until its length is over, or until told to stop. `true` when every expected
/// message came, or when there was no time to judge.
pub async fn play(
    world: &World,
    view: &View,
    stage: &Stage,
    mut letters: mpsc::Receiver<Received>,
    length: Option<Duration>,
    stop: &CancellationToken,
) -> bool {
    let mut expected = expectations();
    let mut act = Act::Calm;
    let mut stopped = false;
    loop {
        stage.look(view);
        act = next(act, world, stage, &expected);
        world.queue_grows(NEW_MAILS, stage.now());
        if length.is_some_and(|length| stage.elapsed() >= length) {
            break;
        }
        tokio::select! {
            () = stop.cancelled() => {
                stopped = true;
                break;
            }
            Some(letter) = letters.recv() => {
                stage.letter(&letter);
                let at = stage.elapsed();
                let fits = |one: &&mut Expected| one.came.is_none() && one.fits(&letter);
                if let Some(one) = expected.iter_mut().find(fits) {
                    one.came = Some(at);
                }
            }
            () = stage.pause(LOOK_AGAIN) => {}
        }
    }
    let all = expected.iter().all(|one| one.came.is_some());
    let lines: Vec<_> = expected.iter().map(|one| (one.what.to_owned(), one.came)).collect();
    stage.close(&lines, stopped);
    all || stopped
}

fn next(act: Act, world: &World, stage: &Stage, expected: &[Expected]) -> Act {
    let now = stage.elapsed();
    match act {
        Act::Calm if now >= OUTAGE => {
            stage.tell("the page begins to answer with errors");
            world.page.set("/", Mood::Failing(StatusCode::INTERNAL_SERVER_ERROR));
            Act::Outage { heard: None }
        }
        Act::Outage { heard } => {
            // The third expectation is the message about the page.
            let heard = heard.or(expected[2].came);
            let repaired = heard.is_some_and(|heard| now >= heard + REPAIR) || now >= GIVE_UP;
            if !repaired {
                return Act::Outage { heard };
            }
            stage.tell("somebody repaired the page");
            world.page.set("/", Mood::Fine);
            Act::Repaired
        }
        other => other,
    }
}

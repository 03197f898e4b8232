//! What there is to tell, in the reader's language, before it becomes text or HTML.

use jiff::tz::TimeZone;

use super::texts::{Voice, number};
use super::{Expressions, Links};
use crate::alerting::{Directory, Notice, Owner, Why};
use crate::model::{Alert, Phase, Timestamp, redacted, visible, visible_line};
use crate::ports::Plot;

/// So many alerts are told in full.
const IN_FULL: usize = 10;

/// A message before it is written.
pub(super) struct Story {
    pub(super) subject: String,
    /// Behind the subject on the first line: who knows of it, and since when the worst of it lasts.
    pub(super) lead: String,
    /// Counts, when it is about several alerts.
    pub(super) head: Option<String>,
    pub(super) items: Vec<Item>,
    /// By when somebody must react.
    pub(super) deadline: Option<String>,
    /// What the reader can do: sentence before the link, and the link.
    pub(super) actions: Vec<(String, String)>,
    /// What the picture of it shows, in words.
    pub(super) picture: Option<Plot>,
    /// Sentences below the alerts.
    pub(super) notes: Vec<String>,
    pub(super) footer: String,
    pub(super) resolved: bool,
}

/// One alert.
pub(super) struct Item {
    pub(super) firing: bool,
    /// What is wrong, in one line.
    pub(super) what: String,
    /// Since when, the value, how long.
    pub(super) lead: String,
    pub(super) description: Option<String>,
    pub(super) place: Option<String>,
    pub(super) class: Option<String>,
    /// Sentence before the link, and the link.
    pub(super) links: Vec<(String, String)>,
}

/// Whoever reads it.
pub(super) struct Reader<'a> {
    pub(super) language: &'a Voice<'a>,
    pub(super) zone: TimeZone,
    pub(super) owner: &'a Owner,
    pub(super) directory: &'a Directory,
    pub(super) links: &'a Links,
    pub(super) expressions: &'a Expressions,
}

impl Reader<'_> {
    pub(super) fn story(&self, notice: &Notice) -> Story {
        let service = self.service(notice);
        let mut told: Vec<&Alert> = notice.alerts.iter().collect();
        // The worst first; the Desk has put firing ones before those that are over.
        told.sort_by_key(|alert| (!alert.is_firing(), class_of(alert).unwrap_or(5)));
        let firing = told.iter().filter(|alert| alert.is_firing()).count();
        let items: Vec<Item> =
            told.iter().take(IN_FULL).map(|alert| self.item(alert, notice.at)).collect();
        let hidden = told.len().saturating_sub(IN_FULL) + notice.left_out;
        let mut notes = Vec::new();
        if hidden > 0 {
            notes.push(self.language.say("more-alerts", &[("count", count(hidden))]));
        }
        notes.extend(self.notes(notice));
        let (language, resolved) = (self.language, told.len() - firing);
        let head = match (firing, resolved) {
            (0 | 1, 0) | (0, 1) => None,
            (_, 0) => Some("head-firing"),
            (0, _) => Some("head-resolved"),
            _ => Some("head-mixed"),
        };
        let head = head.map(|name| {
            let arguments = [
                ("service", service.clone().into()),
                ("firing", count(firing)),
                ("resolved", count(resolved)),
            ];
            language.say(name, &arguments)
        });
        let footer = language.say(
            "footer",
            &[
                ("instance", self.links.instance.to_string().into()),
                ("receiver", self.owner.name.to_string().into()),
            ],
        );
        let subject = self.subject(notice, &service, &told, firing);
        let known = self.known(notice).filter(|_| notice.why == Why::Acknowledged);
        let since = items.first().map(|item| item.lead.clone());
        let lead = known.into_iter().chain(since).collect::<Vec<_>>().join(" ");
        let signer = self.links.acting.as_ref().filter(|_| firing > 0);
        let link = signer.map(|signer| signer.link(&notice.incident, &self.owner.name, notice.at));
        let words = || language.say("take-over", &[("link", "".into())]);
        let actions = link.into_iter().map(|link| (words(), link)).collect();
        let picture = match notice.why {
            // The picture has been seen; that one of several is over shows little.
            Why::NewResolved => None,
            _ => told.iter().find_map(|alert| self.picture(alert, notice.at)),
        };
        let resolved = firing == 0;
        let deadline = notice.react_by.filter(|_| !resolved).map(|by| {
            let name = if by < notice.at { "react-by-passed" } else { "react-by" };
            language.say(name, &[("instant", language.instant(by, &self.zone).into())])
        });
        Story { subject, lead, head, items, deadline, actions, picture, notes, footer, resolved }
    }

    /// What the alert's expression looked like, where the expression is known.
    fn picture(&self, alert: &Alert, now: Timestamp) -> Option<Plot> {
        let until = match alert.phase {
            Phase::Resolved { resolved, .. } => resolved,
            Phase::Pending { .. } | Phase::Firing { .. } => now,
        };
        Some(Plot {
            expression: self.expressions.of(alert)?.to_owned(),
            labels: alert.labels.clone(),
            since: alert.phase.since(),
            until,
            firing: alert.is_firing(),
            zone: self.owner.timezone.to_string(),
            alt: self.language.say("picture", &[("what", self.summary(alert).into())]),
        })
    }

    /// What the person calls the thing that is wrong.
    fn service(&self, notice: &Notice) -> String {
        let name = notice.group.get("service").or_else(|| shared(notice, "service"));
        let name = match name {
            Some(name) => self
                .directory
                .service(name)
                .and_then(|service| service.title.as_deref())
                .unwrap_or(name),
            None => notice.group.get("alertname").unwrap_or(&notice.receiver),
        };
        scrubbed(name)
    }

    fn subject(&self, notice: &Notice, service: &str, told: &[&Alert], firing: usize) -> String {
        let first = told.first().map_or_else(String::new, |alert| self.summary(alert));
        let named = first.to_lowercase().contains(&service.to_lowercase());
        let what = if named { first } else { format!("{service}: {first}") };
        let counted = if firing == 0 { told.len() } else { firing };
        let more = (counted + notice.left_out).saturating_sub(1);
        let kind = match (firing, notice.why) {
            (0, _) => "subject-resolved",
            (_, Why::Repeat) => "subject-repeat",
            (_, Why::Acknowledged) => "subject-acknowledged",
            _ => "subject-firing",
        };
        let name = if more > 0 { format!("{kind}-more") } else { kind.to_owned() };
        let said = self.language.say(&name, &[("what", what.into()), ("more", count(more))]);
        one_line(&said, 180)
    }

    fn notes(&self, notice: &Notice) -> Vec<String> {
        let say = |name: &str| self.language.say(name, &[]);
        let mut notes = Vec::new();
        match notice.why {
            Why::Repeat => notes.push(say("why-repeat")),
            Why::Fallback => notes.push(say("why-fallback")),
            Why::Digest => notes.push(say("why-digest")),
            _ => {}
        }
        // News that somebody knows begin with it.
        notes.extend(self.known(notice).filter(|_| notice.why != Why::Acknowledged));
        if notice.flapping {
            notes.push(say("comes-and-goes"));
        }
        let others: Vec<&str> = notice
            .also_told
            .iter()
            .map(|name| &**name)
            .filter(|n| *n != &*self.owner.name)
            .collect();
        notes.push(if others.is_empty() {
            say("nobody-else")
        } else {
            self.language.say("also-told", &[("names", others.join(", ").into())])
        });
        notes
    }

    /// Who knows of the incident.
    fn known(&self, notice: &Notice) -> Option<String> {
        let known = notice.acknowledged.as_ref()?;
        let name = format!("why-{}", known.kind.name());
        Some(self.language.say(&name, &[("name", one_line(&redacted(&known.by), 100).into())]))
    }

    /// What the class means.
    fn class(&self, alert: &Alert) -> Option<String> {
        let class = class_of(alert).filter(|_| alert.is_firing())?;
        Some(self.language.say(&format!("class-{class}"), &[]))
    }

    /// A page with more. An expression of ours as a link would fill the screen of a phone; our
    /// overview leads to it.
    fn details(&self, alert: &Alert) -> Option<String> {
        let pages = self.links.pages.as_deref();
        match pages.filter(|pages| alert.generator.starts_with(&format!("{pages}/graph?"))) {
            Some(pages) => page(&format!("{pages}/")),
            None => page(&alert.generator),
        }
    }

    fn item(&self, alert: &Alert, now: Timestamp) -> Item {
        let firing = alert.is_firing();
        let mut links = Vec::new();
        // What is over needs no explanation and no remedy any more.
        if let Some(link) = self.runbook(alert).filter(|_| firing) {
            links.push((self.language.say("what-to-do", &[("link", "".into())]), link));
        }
        if let Some(link) = self.details(alert) {
            links.push((self.language.say("details", &[("link", "".into())]), link));
        }
        Item {
            firing,
            what: self.summary(alert),
            lead: self.lead(alert, now),
            description: self
                .annotation(alert, "description")
                .filter(|_| firing)
                .map(|text| cut(&text, 2_000)),
            place: self.place(alert),
            class: self.class(alert),
            links,
        }
    }

    /// Since when, for how long, the value.
    fn lead(&self, alert: &Alert, now: Timestamp) -> String {
        let since = alert.phase.since();
        let mut said = vec![("since", self.language.instant(since, &self.zone).into())];
        let name = match alert.phase {
            // The clock was set back meanwhile: nobody knows how long it lasted.
            Phase::Resolved { resolved, .. } if resolved < since => {
                said.push(("until", self.language.instant(resolved, &self.zone).into()));
                "lead-over".to_owned()
            }
            Phase::Resolved { resolved, .. } => {
                let lasted = alert.phase.lasted().unwrap_or_default();
                said.push(("duration", self.language.duration(lasted).into()));
                said.push(("until", self.language.until(since, resolved, &self.zone).into()));
                "lead-resolved".to_owned()
            }
            Phase::Pending { .. } | Phase::Firing { .. } => {
                let lasts = now.since(since).unwrap_or_default();
                let name = if lasts.as_secs() < 60 { "lead-new" } else { "lead-firing" };
                said.push(("duration", self.language.duration(lasts).into()));
                // A flag says nothing, and a summary with a figure in it says it better.
                let summary = self.summary(alert);
                let said_already = summary.contains(|c: char| c.is_ascii_digit());
                let tells = |value: &f64| {
                    value.is_finite() && *value != 0.0 && *value != 1.0 && !said_already
                };
                match alert.value.filter(tells) {
                    Some(value) => {
                        said.push(("value", self.language.value(value).into()));
                        format!("{name}-value")
                    }
                    None => name.to_owned(),
                }
            }
        };
        self.language.say(&name, &said)
    }

    fn summary(&self, alert: &Alert) -> String {
        if let Some(text) = self.annotation(alert, "summary") {
            return one_line(&text, 160);
        }
        let target = alert.labels.get("target").or_else(|| alert.labels.get("instance"));
        let name = scrubbed(alert.name());
        one_line(
            &match target {
                Some(target) => self.language.say(
                    "fallback-summary-target",
                    &[("name", name.into()), ("target", scrubbed(target).into())],
                ),
                None => self.language.say("fallback-summary", &[("name", name.into())]),
            },
            160,
        )
    }

    /// The annotation in the reader's language, else the one without a language.
    fn annotation(&self, alert: &Alert, name: &str) -> Option<String> {
        let own = format!("{name}_{}", self.language.tag());
        let found = alert.annotations.get(&own).or_else(|| alert.annotations.get(name))?;
        Some(paragraphs(&redacted(found))).filter(|text| !text.is_empty())
    }

    fn runbook(&self, alert: &Alert) -> Option<String> {
        let found =
            alert.annotations.get("runbook").or_else(|| alert.annotations.get("runbook_url"))?;
        if let Some(link) = page(found) {
            return Some(link);
        }
        let base = self.links.runbooks.as_deref()?;
        let anchor: String = found.trim_start_matches('#').chars().take(100).collect();
        let fits = |c: char| c.is_alphanumeric() || "-_.".contains(c);
        anchor.chars().all(fits).then(|| format!("{base}#{anchor}"))
    }

    /// Target and probe, and what else tells this alert from others of its kind.
    fn place(&self, alert: &Alert) -> Option<String> {
        const SAID_ELSEWHERE: [&str; 10] = [
            "__name__",
            "alertname",
            "class",
            "instance",
            "job",
            "owner",
            "probe",
            "service",
            "severity",
            "target",
        ];
        let mut parts = Vec::new();
        let target = alert.labels.get("target").or_else(|| alert.labels.get("instance"));
        match (target, alert.labels.get("probe")) {
            (Some(target), Some(probe)) => {
                parts.push(format!("{} ({})", scrubbed(target), scrubbed(probe)));
            }
            (Some(target), None) => parts.push(scrubbed(target)),
            _ => {}
        }
        let others = alert.labels.iter().filter(|(name, _)| !SAID_ELSEWHERE.contains(name));
        parts.extend(
            others.take(8).map(|(name, value)| format!("{}: {}", scrubbed(name), scrubbed(value))),
        );
        (!parts.is_empty()).then(|| cut(&parts.join(", "), 500))
    }
}

fn count(of: usize) -> fluent_bundle::FluentValue<'static> {
    number(u64::try_from(of).unwrap_or(u64::MAX))
}

/// The value of a label that all alerts of the notice share.
fn shared<'a>(notice: &'a Notice, label: &str) -> Option<&'a str> {
    let first = notice.alerts.first()?.labels.get(label)?;
    notice.alerts.iter().all(|alert| alert.labels.get(label) == Some(first)).then_some(first)
}

/// Fault class 1 to 4, also from the severities that other people's rules carry.
pub(super) fn class_of(alert: &Alert) -> Option<u8> {
    if let Some(class) = alert.labels.get("class") {
        return class.parse().ok().filter(|class| (1..=4).contains(class));
    }
    match alert.labels.get("severity")? {
        "critical" | "page" | "emergency" => Some(1),
        "error" | "high" => Some(2),
        "warning" => Some(3),
        "info" | "none" | "low" => Some(4),
        _ => None,
    }
}

/// A link that a person can follow: not one to the machine on which it is read.
fn page(text: &str) -> Option<String> {
    let text = text.trim();
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
    let host = host.split(['/', '?', '#']).next()?.rsplit('@').next()?;
    let here = ["localhost", "127.0.0.", "[::1]", "0.0.0.0", "[::]"];
    let fine = !host.is_empty() && !here.iter().any(|here| host.starts_with(here));
    (fine && visible_line(text) == text && !text.contains(' ')).then(|| redacted(text))
}

/// A label value that may be a URL: without user, password and query, which may hold secrets.
pub(super) fn scrubbed(text: &str) -> String {
    let clean = visible_line(&redacted(text));
    if !clean.contains("://") {
        return clean;
    }
    let end = clean.find(['?', '#']).unwrap_or(clean.len());
    clean[..end].to_owned()
}

/// Several lines as they are meant to be read: no more than one empty line in a row, and none that
/// a mail program takes for the beginning of a signature.
fn paragraphs(text: &str) -> String {
    let text = visible(text);
    let mut lines: Vec<&str> = Vec::new();
    for line in text.trim().lines().map(str::trim_end) {
        if !(line.is_empty() && lines.last().is_some_and(|last| last.is_empty())) {
            lines.push(line);
        }
    }
    lines.join("\n")
}

/// On one line and not too long.
pub(super) fn one_line(text: &str, most: usize) -> String {
    cut(&visible_line(text), most)
}

/// At most so many characters, with an ellipsis where some are missing.
fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) => {
            let kept: String = text.chars().take(most.saturating_sub(1)).collect();
            format!("{}…", kept.trim_end())
        }
    }
}

//! Alerts as a Prometheus sends them, read straight into labels: what comes every minute for every
//! alert builds no tree of values. Whatever is not as usual is left to the careful reader in
//! `alerts.rs`, which finds the words for it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::alerts::{LONGEST_NAME, LONGEST_VALUE, MOST_LABELS, is_page, without_userinfo};
use super::body::{instant, is_zero};
use crate::model::{Alert, Labels, Phase, Timestamp};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reported<'a> {
    #[serde(deserialize_with = "pairs")]
    labels: Labels,
    #[serde(default, deserialize_with = "perhaps_pairs")]
    annotations: Labels,
    #[serde(default, borrow)]
    starts_at: Option<Text<'a>>,
    #[serde(default, borrow)]
    ends_at: Option<Text<'a>>,
    #[serde(default, borrow, rename = "generatorURL")]
    generator_url: Option<Text<'a>>,
}

/// All alerts of a body, or nothing when one of them is not as usual.
pub(super) fn alerts(body: &[u8], now: Timestamp, timeout: Duration) -> Option<Vec<Alert>> {
    let reported: Vec<Reported<'_>> = serde_json::from_slice(body).ok()?;
    // Alerts of one rule have one page.
    let mut pages: HashMap<Cow<'_, str>, Arc<str>> = HashMap::new();
    let mut alerts = Vec::with_capacity(reported.len());
    for item in reported {
        let Reported { labels, annotations, starts_at, ends_at, generator_url } = item;
        let (starts, ends) = (moment(starts_at)?, moment(ends_at)?);
        let fired = starts.or(ends).unwrap_or(now);
        let ends = ends.unwrap_or(now + timeout);
        if labels.is_empty() || ends < fired {
            return None;
        }
        let page = generator_url.map_or(Cow::Borrowed(""), |Text(page)| page);
        let generator = match pages.get(&page) {
            Some(known) => known.clone(),
            None if is_page(&page) => {
                let clean = without_userinfo(&page);
                pages.insert(page, clean.clone());
                clean
            }
            None => return None,
        };
        let phase = match ends <= now {
            true => Phase::Resolved { fired, resolved: ends },
            false => Phase::Firing { since: fired, fired },
        };
        alerts.push(Alert { labels, annotations, phase, value: None, ends: Some(ends), generator });
    }
    Some(alerts)
}

/// The inner `None` is an instant that was left out.
#[allow(clippy::option_option)]
fn moment(text: Option<Text<'_>>) -> Option<Option<Timestamp>> {
    match text {
        None => Some(None),
        Some(Text(text)) if is_zero(&text) => Some(None),
        Some(Text(text)) => instant(&text).map(Some),
    }
}

fn pairs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Labels, D::Error> {
    deserializer.deserialize_map(Pairs)
}

fn perhaps_pairs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Labels, D::Error> {
    struct Perhaps;
    impl<'de> Visitor<'de> for Perhaps {
        type Value = Labels;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("names with values, or null")
        }

        fn visit_unit<E>(self) -> Result<Labels, E> {
            Ok(Labels::empty())
        }

        fn visit_none<E>(self) -> Result<Labels, E> {
            Ok(Labels::empty())
        }

        fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Labels, D::Error> {
            pairs(deserializer)
        }
    }
    deserializer.deserialize_option(Perhaps)
}

struct Pairs;

impl<'de> Visitor<'de> for Pairs {
    type Value = Labels;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("names with values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels, A::Error> {
        let mut found: Vec<(Text<'de>, Text<'de>)> = Vec::with_capacity(8);
        while let Some(pair) = map.next_entry::<Text<'de>, Text<'de>>()? {
            let (Text(name), Text(value)) = &pair;
            if found.len() == MOST_LABELS
                || LONGEST_NAME < name.len()
                || LONGEST_VALUE < value.len()
            {
                return Err(serde::de::Error::custom("too large"));
            }
            found.push(pair);
        }
        let pairs = found.iter().map(|(Text(name), Text(value))| (&**name, &**value));
        Labels::from_pairs(pairs).map_err(serde::de::Error::custom)
    }
}

/// A text that is not copied unless something in it is escaped.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Seen;
        impl<'de> Visitor<'de> for Seen {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Seen)
    }
}

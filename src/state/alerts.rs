//! The alerts of an incident in one piece of bytes: for each its labels, annotations and page, each
//! behind its length, its two instants, and its value where it has one. Numbers are little-endian.

use crate::model::{Alert, Labels, Phase, Timestamp};

/// As bytes; what is over was told as firing. What is longer than 4 GiB is left out.
pub(super) fn write(alerts: &[Alert]) -> Vec<u8> {
    let size = |alert: &Alert| {
        let texts = alert.labels.as_bytes().len() + alert.annotations.as_bytes().len();
        texts + alert.generator.len() + 3 * 4 + 2 * 8 + 1 + 8
    };
    let mut bytes = Vec::with_capacity(alerts.iter().map(size).sum());
    for alert in alerts {
        let (since, fired) = match alert.phase {
            Phase::Firing { since, fired } => (since, fired),
            Phase::Pending { since } => (since, since),
            Phase::Resolved { fired, .. } => (fired, fired),
        };
        let texts =
            [alert.labels.as_bytes(), alert.annotations.as_bytes(), alert.generator.as_bytes()];
        if texts.iter().any(|text| u32::try_from(text.len()).is_err()) {
            continue;
        }
        for text in texts {
            #[allow(clippy::cast_possible_truncation)] // looked at above
            bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
            bytes.extend_from_slice(text);
        }
        bytes.extend_from_slice(&since.millis().to_le_bytes());
        bytes.extend_from_slice(&fired.millis().to_le_bytes());
        bytes.push(u8::from(alert.value.is_some()));
        bytes.extend_from_slice(&alert.value.unwrap_or_default().to_bits().to_le_bytes());
    }
    bytes
}

/// What [`write`] wrote, in the same order. `None` when it is damaged.
pub(super) fn read(mut bytes: &[u8]) -> Option<Vec<Alert>> {
    let mut alerts = Vec::new();
    while !bytes.is_empty() {
        let labels = Labels::from_bytes(text(&mut bytes)?)?;
        let annotations = Labels::from_bytes(text(&mut bytes)?)?;
        let generator = std::str::from_utf8(text(&mut bytes)?).ok()?.into();
        let since = Timestamp::from_millis(i64::from_le_bytes(number(&mut bytes)?));
        let fired = Timestamp::from_millis(i64::from_le_bytes(number(&mut bytes)?));
        let (&has_value, rest) = bytes.split_first()?;
        bytes = rest;
        let value = f64::from_bits(u64::from_le_bytes(number(&mut bytes)?));
        let value = (has_value != 0).then_some(value);
        let phase = Phase::Firing { since, fired };
        alerts.push(Alert { labels, annotations, phase, value, ends: None, generator });
    }
    Some(alerts)
}

fn text<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *bytes = rest;
    Some(text)
}

fn number(bytes: &mut &[u8]) -> Option<[u8; 8]> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    *bytes = rest;
    Some(*number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn foreign_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }

        #[test]
        fn what_is_cut_off_is_damaged(value in proptest::option::of(any::<f64>()), cut in 0usize..60) {
            let alert = Alert {
                labels: Labels::from_pairs([("alertname", "Down"), ("a", "b")]).unwrap(),
                annotations: Labels::empty(),
                phase: Phase::Firing { since: Timestamp::from_millis(-1), fired: Timestamp::MAX },
                value: value.filter(|value| !value.is_nan()),
                ends: None,
                generator: "http://x".into(),
            };
            let bytes = write(&[alert.clone(), alert.clone()]);
            prop_assert_eq!(read(&bytes), Some(vec![alert.clone(), alert]));
            let (whole, half) = (bytes.len(), bytes.len() / 2);
            let left = whole - 1 - cut.min(half - 2);
            prop_assert_eq!(read(&bytes[..left]), None);
        }
    }
}

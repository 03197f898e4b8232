//! Instants on the command line.

/// Date, time and offset (RFC 3339), such as `2026-11-23T08:00:00+01:00`.
///
/// # Errors
/// For the person: what is missing.
pub fn instant(text: &str) -> Result<jiff::Timestamp, String> {
    text.trim().parse().map_err(|_| {
        "an instant is date, time and offset, such as 2026-11-23T08:00:00+01:00 (Z for UTC)"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_has_an_offset_and_whoever_forgets_it_is_told() {
        assert!(instant("2026-11-23T08:00:00+01:00").is_ok());
        assert!(instant(" 2026-11-23T07:00Z ").is_ok());
        for bad in ["tomorrow", "17:00", "2h", "2026-11-23T08:00", ""] {
            let said = instant(bad).unwrap_err();
            assert!(said.contains("date, time and offset, such as 2026-"), "{bad}: {said}");
        }
    }
}

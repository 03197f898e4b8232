//! Whether a printer prints: device status, error bits and alerts in one word.

/// A row of prtAlertTable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alert {
    /// prtAlertSeverityLevel: 3 critical, 4 and 5 warnings.
    pub severity: Option<i64>,
    /// prtAlertGroup: 11 marker supplies, …
    pub group: Option<i64>,
    /// prtAlertGroupIndex: the row of that group's table.
    pub row: Option<i64>,
    /// prtAlertCode.
    pub code: Option<i64>,
}

/// The group of marker supplies.
const SUPPLIES: i64 = 11;

impl Alert {
    /// Whether it is about the supply in this row.
    pub fn is_about_supply(&self, row: u32) -> bool {
        self.group == Some(SUPPLIES) && self.row == Some(i64::from(row))
    }

    /// Critical and about something. Power saving is no alarm, nor is the entry that says that
    /// another entry is gone (1801); rows of zeros are leftovers.
    fn stops(&self) -> bool {
        let about = self.group.unwrap_or(0) != 0 || self.code.unwrap_or(0) != 0;
        self.severity == Some(3) && about && !matches!(self.code, Some(23 | 24 | 503 | 507 | 1801))
    }
}

/// How a printer is. Out of reach is none of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Prints, or sleeps and would print.
    Ok,
    /// Prints, but wants something.
    Warning,
    /// Does not print until somebody goes there.
    Stopped,
}

impl Condition {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ok, Self::Warning, Self::Stopped];

    /// The label `state`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Stopped => "stopped",
        }
    }
}

/// hrPrinterDetectedErrorState by name; bit 0 is the most significant one of the first octet.
pub const ERROR_BITS: [&str; 15] = [
    "lowPaper",
    "noPaper",
    "lowToner",
    "noToner",
    "doorOpen",
    "jammed",
    "offline",
    "serviceRequested",
    "inputTrayMissing",
    "outputTrayMissing",
    "markerSupplyMissing",
    "outputNearFull",
    "outputFull",
    "inputTrayEmpty",
    "overduePreventMaint",
];

/// The names of the bits that are set; no, one or two octets occur, more are ignored.
pub fn errors_in(octets: &[u8]) -> impl Iterator<Item = &'static str> {
    let bits = u16::from_be_bytes([
        octets.first().copied().unwrap_or(0),
        octets.get(1).copied().unwrap_or(0),
    ]);
    let set = move |at: &usize| bits & (0x8000 >> at) != 0;
    (0..ERROR_BITS.len()).filter(set).map(|at| ERROR_BITS[at])
}

/// What can be believed of the error bits: healthy devices set "service requested", "off-line" and
/// the second octet for years.
fn is_telling(error: &str) -> bool {
    ERROR_BITS[..6].contains(&error)
}

/// The condition; `None` when the device tells nothing about it. hrPrinterStatus is not needed:
/// its "other" beside a running device is power saving.
pub fn condition(
    device_status: Option<i64>,
    errors: Option<&[u8]>,
    alerts: &[Alert],
) -> Option<Condition> {
    if device_status == Some(5) || alerts.iter().any(Alert::stops) {
        return Some(Condition::Stopped);
    }
    let wants = errors.is_some_and(|octets| errors_in(octets).any(is_telling));
    match device_status {
        Some(3) => Some(Condition::Warning),
        _ if wants => Some(Condition::Warning),
        Some(2 | 4) => Some(Condition::Ok),
        _ => errors.map(|_| Condition::Ok),
    }
}

/// Why it is not `Ok`, for a person; empty when the device does not say.
pub fn reason(errors: Option<&[u8]>, alerts: &[Alert]) -> &'static str {
    let mut told = alerts.iter().filter(|alert| alert.stops());
    if let Some(reason) = told.find_map(|alert| reason_of_code(alert.code?)) {
        return reason;
    }
    let bits = errors_in(errors.unwrap_or_default()).collect::<Vec<_>>();
    const WORDS: [(&str, &str); 6] = [
        ("jammed", "paper jam"),
        ("doorOpen", "door open"),
        ("noPaper", "no paper"),
        ("noToner", "no toner"),
        ("lowPaper", "little paper"),
        ("lowToner", "little toner"),
    ];
    WORDS.iter().find(|(bit, _)| bits.contains(bit)).map_or("", |(_, words)| words)
}

/// PrtAlertCodeTC.
fn reason_of_code(code: i64) -> Option<&'static str> {
    Some(match code {
        3 => "cover open",
        8 => "paper jam",
        9 => "something is missing",
        11 => "a part is worn out",
        13 => "something is empty",
        15 => "something is full",
        22 => "off-line",
        29 | 30 => "failure",
        501 => "door open",
        801 => "paper tray missing",
        808 => "no paper",
        809 => "another paper wanted",
        901 => "output tray missing",
        903 => "output tray full",
        1101 => "no toner",
        1102 => "no ink",
        1109 | 1110 => "waste container full",
        1112 => "drum worn out",
        1114 => "no developer",
        1115 => "toner cartridge missing",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn named(octets: &[u8]) -> Vec<&'static str> {
        errors_in(octets).collect()
    }

    #[test]
    fn error_bits_of_real_devices() {
        assert!(named(b"").is_empty() && named(&[0]).is_empty() && named(&[0, 0]).is_empty());
        assert_eq!(named(&[0x80, 0]), ["lowPaper"]);
        assert_eq!(named(&[0x20, 0]), ["lowToner"]);
        assert_eq!(named(&[0x01, 0]), ["serviceRequested"]);
        assert_eq!(named(&[0x00, 0x04]), ["inputTrayEmpty"]);
        assert_eq!(named(&[0x44]), ["noPaper", "jammed"]);
        assert_eq!(named(&[0, 0x02, 0xFF]), ["overduePreventMaint"]);
    }

    #[test]
    fn healthy_printers_are_ok() {
        // Power saving: running, "other" beside it; and the Konica that asks for service all its life.
        assert_eq!(condition(Some(2), Some(&[0]), &[]), Some(Condition::Ok));
        assert_eq!(condition(Some(2), Some(&[0x01, 0]), &[]), Some(Condition::Ok));
        assert_eq!(condition(None, Some(&[]), &[]), Some(Condition::Ok));
        assert_eq!(condition(None, None, &[]), None);
        assert_eq!(condition(Some(1), None, &[]), None);
        let sleep = Alert { severity: Some(3), group: Some(5), code: Some(23), row: None };
        let gone = Alert { code: Some(1801), ..sleep };
        let leftover = Alert { severity: Some(3), group: Some(0), code: Some(0), row: Some(0) };
        assert_eq!(condition(Some(2), None, &[sleep, gone, leftover]), Some(Condition::Ok));
    }

    #[test]
    fn warnings_print_and_stops_do_not() {
        assert_eq!(condition(Some(3), None, &[]), Some(Condition::Warning));
        assert_eq!(condition(Some(2), Some(&[0x20]), &[]), Some(Condition::Warning));
        assert_eq!(condition(Some(5), Some(&[0x04]), &[]), Some(Condition::Stopped));
        let jam = Alert { severity: Some(3), group: Some(13), code: Some(8), row: Some(1) };
        assert_eq!(condition(Some(3), None, &[jam]), Some(Condition::Stopped));
        assert_eq!(reason(None, &[jam]), "paper jam");
        assert_eq!(reason(Some(&[0x48]), &[]), "door open");
        assert_eq!(reason(None, &[]), "");
    }

    #[test]
    fn alerts_know_their_supply() {
        let low = Alert { severity: Some(4), group: Some(11), code: Some(1104), row: Some(13) };
        assert!(low.is_about_supply(13) && !low.is_about_supply(1));
        assert!(!Alert { group: Some(8), ..low }.is_about_supply(13));
    }

    proptest! {
        #[test]
        fn any_octets_are_bits(octets in proptest::collection::vec(any::<u8>(), 0..5), status in proptest::option::of(any::<i64>())) {
            prop_assert!(errors_in(&octets).count() <= 15);
            condition(status, Some(&octets), &[]);
            reason(Some(&octets), &[]);
        }
    }
}

use std::time::Duration;

/// The words of the pages in one language.
pub(super) struct Words {
    pub(super) tag: &'static str,
    pub(super) skip: &'static str,
    pub(super) language: &'static str,
    pub(super) as_of: &'static str,
    pub(super) refreshes: &'static str,
    pub(super) stop: &'static str,
    pub(super) not_ready: &'static str,
    pub(super) all_well: &'static str,
    pub(super) nothing_watched: &'static str,
    pub(super) alerts: &'static str,
    pub(super) no_alerts: &'static str,
    pub(super) services: &'static str,
    pub(super) no_services: &'static str,
    pub(super) service: &'static str,
    pub(super) owner: &'static str,
    pub(super) target: &'static str,
    pub(super) probe: &'static str,
    pub(super) state: &'static str,
    pub(super) since: &'static str,
    pub(super) what: &'static str,
    pub(super) last_value: &'static str,
    pub(super) last_try: &'static str,
    pub(super) took: &'static str,
    pub(super) values: &'static str,
    pub(super) no_values: &'static str,
    pub(super) metric: &'static str,
    pub(super) labels: &'static str,
    pub(super) value: &'static str,
    pub(super) meaning: &'static str,
    pub(super) back: &'static str,
    pub(super) up: &'static str,
    pub(super) attention: &'static str,
    pub(super) failing: &'static str,
    pub(super) down: &'static str,
    pub(super) not_measured: &'static str,
    pub(super) waiting: &'static str,
    pub(super) firing: &'static str,
    pub(super) pending: &'static str,
    days: &'static str,
    /// Behind "1 of 14" and behind "2 of 14".
    need: [&'static str; 2],
    /// Behind "1" and behind "2".
    alert: [&'static str; 2],
    pub(super) query: &'static str,
    pub(super) run: &'static str,
    pub(super) result: &'static str,
    pub(super) past: &'static str,
    pub(super) empty: &'static str,
    pub(super) cut: &'static str,
    clock: &'static str,
}

const ENGLISH: Words = Words {
    tag: "en",
    skip: "Skip to the content",
    language: "Language",
    as_of: "As of",
    refreshes: "refreshes every",
    stop: "stop",
    not_ready: "Not ready:",
    all_well: "All is well",
    nothing_watched: "Nothing is watched yet",
    alerts: "Alerts",
    no_alerts: "No alert is pending or firing.",
    services: "Services",
    no_services: "The configuration names no service.",
    service: "Service",
    owner: "Responsible",
    target: "Target",
    probe: "Probe",
    state: "State",
    since: "Since",
    what: "What",
    last_value: "Last value",
    last_try: "Last try",
    took: "It took",
    values: "Values of the last try",
    no_values: "There are no values yet.",
    metric: "Metric",
    labels: "Labels",
    value: "Value",
    meaning: "Meaning",
    back: "Back to all services",
    up: "up",
    attention: "needs attention",
    failing: "failing",
    down: "down",
    not_measured: "not measured",
    waiting: "not tried yet",
    firing: "firing",
    pending: "pending",
    days: "days",
    need: ["targets needs attention", "targets need attention"],
    alert: ["alert is firing", "alerts are firing"],
    query: "Expression",
    run: "Evaluate",
    result: "Result now",
    past: "The past hour",
    empty: "The expression gives no series now.",
    cut: "Only the first series are shown.",
    clock: "%-d %b %Y, %H:%M %Z",
};

const GERMAN: Words = Words {
    tag: "de",
    skip: "Zum Inhalt springen",
    language: "Sprache",
    as_of: "Stand",
    refreshes: "lädt neu alle",
    stop: "anhalten",
    not_ready: "Nicht bereit:",
    all_well: "Alles in Ordnung",
    nothing_watched: "Noch wird nichts beobachtet",
    alerts: "Meldungen",
    no_alerts: "Es liegt keine Meldung vor.",
    services: "Dienste",
    no_services: "Die Konfiguration nennt keinen Dienst.",
    service: "Dienst",
    owner: "Zuständig",
    target: "Ziel",
    probe: "Probe",
    state: "Zustand",
    since: "Seit",
    what: "Was",
    last_value: "Letzter Wert",
    last_try: "Letzter Versuch",
    took: "Dauer",
    values: "Werte des letzten Versuchs",
    no_values: "Es gibt noch keine Werte.",
    metric: "Metrik",
    labels: "Labels",
    value: "Wert",
    meaning: "Bedeutung",
    back: "Zurück zu allen Diensten",
    up: "in Ordnung",
    attention: "braucht Aufmerksamkeit",
    failing: "scheitert",
    down: "ausgefallen",
    not_measured: "nicht gemessen",
    waiting: "noch nicht versucht",
    firing: "gemeldet",
    pending: "in Beobachtung",
    days: "Tage",
    need: ["Zielen braucht Aufmerksamkeit", "Zielen brauchen Aufmerksamkeit"],
    alert: ["Meldung liegt vor", "Meldungen liegen vor"],
    query: "Ausdruck",
    run: "Auswerten",
    result: "Ergebnis jetzt",
    past: "Die letzte Stunde",
    empty: "Der Ausdruck ergibt jetzt keine Reihe.",
    cut: "Nur die ersten Reihen werden gezeigt.",
    clock: "%d.%m.%Y, %H:%M %Z",
};

impl Words {
    /// The language that was chosen (`?lang=`), else the best that the browser asks for, else
    /// the one of the configuration, else English.
    pub(super) fn choose(chosen: &str, accept: &str, configured: &str) -> &'static Self {
        Self::of(chosen)
            .or_else(|| Self::asked(accept))
            .or_else(|| Self::of(configured))
            .unwrap_or(&ENGLISH)
    }

    /// By the first part of a BCP 47 tag.
    fn of(tag: &str) -> Option<&'static Self> {
        let primary = tag.trim().split(['-', '_']).next().unwrap_or("");
        [&ENGLISH, &GERMAN].into_iter().find(|words| words.tag.eq_ignore_ascii_case(primary))
    }

    fn asked(accept: &str) -> Option<&'static Self> {
        let mut best: Option<(f64, &'static Self)> = None;
        for range in accept.split(',').take(32) {
            let mut parts = range.split(';');
            let Some(words) = Self::of(parts.next().unwrap_or("")) else { continue };
            let weight = parts
                .find_map(|part| part.trim().strip_prefix("q="))
                .map_or(1.0, |weight| weight.trim().parse().unwrap_or(0.0));
            if weight > 0.0 && best.is_none_or(|(other, _)| weight > other) {
                best = Some((weight, words));
            }
        }
        best.map(|(_, words)| words)
    }

    /// "2 of 14 targets need attention".
    pub(super) fn need_attention(&self, some: usize, all: usize) -> String {
        let of = if self.tag == "de" { "von" } else { "of" };
        format!("{some} {of} {all} {}", self.need[usize::from(some != 1)])
    }

    /// "1 alert is firing".
    pub(super) fn alerts_firing(&self, firing: usize) -> String {
        format!("{firing} {}", self.alert[usize::from(firing != 1)])
    }

    /// A length of time for people, in at most two units: "12 s", "5 min", "3 h 20 min", "9 days".
    pub(super) fn length(&self, length: Duration) -> String {
        let seconds = length.as_secs();
        let (minutes, hours) = (seconds / 60, seconds / 3600);
        match seconds {
            0..60 => format!("{seconds} s"),
            60..3600 => format!("{minutes} min"),
            3600..172_800 if minutes % 60 == 0 => format!("{hours} h"),
            3600..172_800 => format!("{hours} h {} min", minutes % 60),
            _ => format!("{} {}", hours / 24, self.days),
        }
    }

    /// The format of an instant, as `strftime` knows it.
    pub(super) fn clock_format(&self) -> &'static str {
        self.clock
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_that_is_wanted() {
        let check = |chosen: &str, accept: &str, configured: &str, tag: &str| {
            assert_eq!(Words::choose(chosen, accept, configured).tag, tag, "{chosen} {accept}");
        };
        check("", "de-DE,de;q=0.9,en;q=0.8", "en", "de");
        check("", "fr,en;q=0.3,de;q=0.5", "en", "de");
        check("", "fr", "de", "de");
        check("", "", "xx", "en");
        check("en", "de", "de", "en");
        check("<script>", "de;q=0", "en", "en");
    }

    #[test]
    fn lengths_for_people() {
        let check = |seconds, text: &str| {
            assert_eq!(ENGLISH.length(Duration::from_secs(seconds)), text);
        };
        check(12, "12 s");
        check(300, "5 min");
        check(7200, "2 h");
        check(12_000, "3 h 20 min");
        check(9 * 86_400, "9 days");
        assert_eq!(GERMAN.length(Duration::from_secs(9 * 86_400)), "9 Tage");
        assert_eq!(GERMAN.need_attention(1, 3), "1 von 3 Zielen braucht Aufmerksamkeit");
        assert_eq!(ENGLISH.need_attention(2, 14), "2 of 14 targets need attention");
    }
}

use crate::alerting::Verdict;

/// The words of the pages about incidents, in one language.
pub(super) struct Terms {
    pub(super) act: &'static str,
    pub(super) incidents: &'static str,
    pub(super) silences: &'static str,
    pub(super) explain: &'static str,
    pub(super) i_know: &'static str,
    pub(super) i_have_it: &'static str,
    pub(super) your_name: &'static str,
    pub(super) knows: &'static str,
    pub(super) has_it: &'static str,
    pub(super) noted: &'static str,
    pub(super) not_kept: &'static str,
    pub(super) over: &'static str,
    pub(super) forged: &'static str,
    pub(super) too_old: &'static str,
    /// Something has changed since the page was looked at.
    pub(super) stale: &'static str,
    /// The annotation that says in this language what is wrong.
    pub(super) summary: &'static str,
    pub(super) nothing: &'static str,
    pub(super) told: &'static str,
    pub(super) waits: &'static str,
    pub(super) who: &'static str,
    pub(super) when: &'static str,
    pub(super) ask: &'static str,
    pub(super) verdict: &'static str,
    pub(super) reason: &'static str,
    pub(super) decided: &'static str,
    pub(super) not_again: &'static str,
    pub(super) until: &'static str,
    pub(super) until_resolved: &'static str,
    pub(super) begins_later: &'static str,
    pub(super) end_it: &'static str,
    pub(super) what_happens: &'static str,
    verdicts: [&'static str; 6],
}

const ENGLISH: Terms = Terms {
    act: "Do you have it?",
    incidents: "Incidents",
    silences: "Silences",
    explain: "Why was I told, or not?",
    i_know: "I know",
    i_have_it: "I have it",
    your_name: "Your name, if you want the others to read it",
    knows: "knows of it.",
    has_it: "has it.",
    noted: "Noted.",
    not_kept: "Noted, but not on disk yet.",
    over: "This incident is over; nothing is left to do.",
    forged: "This link was not made here.",
    too_old: "This link is too old.",
    stale: "Something has changed meanwhile, or this was sent already. Please look, and press again.",
    summary: "summary_en",
    nothing: "There is nothing.",
    told: "told",
    waits: "waits",
    who: "Who",
    when: "When (empty: now)",
    ask: "Ask",
    verdict: "Decision",
    reason: "Why",
    decided: "Decided",
    not_again: "not again:",
    until: "Until",
    until_resolved: "or until its alerts are over",
    begins_later: "begins later",
    end_it: "End it",
    what_happens: "It is not repeated until it gets worse; the others who were told hear that you know.",
    verdicts: [
        "told",
        "told that it is over",
        "held back",
        "waits",
        "over before it was told",
        "not theirs",
    ],
};

const GERMAN: Terms = Terms {
    act: "Kümmerst du dich?",
    incidents: "Vorfälle",
    silences: "Stummschaltungen",
    explain: "Warum wurde ich benachrichtigt, oder nicht?",
    i_know: "Ich weiß Bescheid",
    i_have_it: "Ich kümmere mich",
    your_name: "Dein Name, wenn die anderen ihn lesen sollen",
    knows: "weiß Bescheid.",
    has_it: "kümmert sich darum.",
    noted: "Notiert.",
    not_kept: "Notiert, aber noch nicht auf der Platte.",
    over: "Dieser Vorfall ist vorbei; es ist nichts mehr zu tun.",
    forged: "Dieser Link ist nicht von hier.",
    too_old: "Dieser Link ist zu alt.",
    stale: "Inzwischen hat sich etwas geändert, oder das wurde schon abgeschickt. Bitte sieh nach und drücke noch einmal.",
    summary: "summary_de",
    nothing: "Es gibt nichts.",
    told: "benachrichtigt",
    waits: "wartet",
    who: "Wer",
    when: "Wann (leer: jetzt)",
    ask: "Fragen",
    verdict: "Entscheidung",
    reason: "Warum",
    decided: "Entschieden",
    not_again: "nicht noch einmal:",
    until: "Bis",
    until_resolved: "oder bis ihre Alarme vorbei sind",
    begins_later: "beginnt später",
    end_it: "Beenden",
    what_happens: "Es wird nicht wiederholt, bis es schlimmer wird; die anderen erfahren, dass du Bescheid weißt.",
    verdicts: [
        "benachrichtigt",
        "über das Ende benachrichtigt",
        "zurückgehalten",
        "wartet",
        "vorbei, bevor es gemeldet wurde",
        "jemand anderes",
    ],
};

impl Terms {
    /// The words of the language of a page.
    pub(super) fn of(tag: &str) -> &'static Self {
        if tag == "de" { &GERMAN } else { &ENGLISH }
    }

    pub(super) fn verdict(&self, verdict: Verdict) -> &'static str {
        let [told, over, held, waits, passed, other] = self.verdicts;
        match verdict {
            Verdict::Told => told,
            Verdict::ToldOver => over,
            Verdict::Held => held,
            Verdict::Waiting => waits,
            Verdict::Passed => passed,
            Verdict::NotTheirs => other,
        }
    }
}

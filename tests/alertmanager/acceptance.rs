use super::{corpus, json, judge, list, load, text};

/// The configurations that are judged differently, and why.
const KNOWN: &str = include_str!("differences.txt");

fn verdicts(folder: &str, known: &str) {
    let Some(folder) = corpus(folder) else { return };
    let verdicts = json(&folder.join("verdicts.json"));
    let mut differs = Vec::new();
    for case in list(&verdicts) {
        let name = text(case, "file");
        let written = std::fs::read_to_string(folder.join(name)).unwrap();
        let found = load(&written);
        let accepted = text(case, "verdict") == "accepted";
        if let Err(problems) = &found {
            let placed = problems.lines().all(|line| {
                let mut parts = line.split(':').skip(1);
                let mut number = || parts.next().is_some_and(|p| p.parse::<usize>().is_ok());
                number() && number()
            });
            assert!(placed, "{name}: without a place: {problems}");
        }
        if found.is_ok() != accepted {
            let why = found.err().unwrap_or_else(|| text(case, "output").to_owned());
            differs.push((name.to_owned(), why));
        }
    }
    judge(&folder.display().to_string(), list(&verdicts).len(), &differs, known);
}

#[test]
fn configurations_are_accepted_and_refused_as_by_amtool() {
    verdicts("acceptance/alertmanager", KNOWN);
}

#[test]
fn time_intervals_are_accepted_and_refused_as_by_amtool() {
    verdicts("acceptance/time-intervals", "");
}

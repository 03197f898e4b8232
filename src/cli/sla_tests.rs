use super::*;

#[test]
fn months_are_read() {
    assert_eq!(month("2026-10").unwrap().to_string(), "2026-10-01");
    for bad in ["2026", "2026-13", "26-10", "2026-1", "october", "2026-10-01"] {
        assert!(month(bad).is_err(), "{bad}");
    }
}

fn range(from: i64, to: i64) -> TimeRange {
    TimeRange::new(Timestamp::from_millis(from), Timestamp::from_millis(to)).unwrap()
}

#[test]
fn a_target_counts_from_its_first_look_to_its_last() {
    let up = |from: i64, to: i64| -> BTreeMap<i64, Verdict> {
        (from..to).step_by(30_000).map(|at| (at, Verdict::Up)).collect()
    };
    let interval = Some(Duration::from_secs(30));
    let seen = |looks: &BTreeMap<i64, Verdict>, configured| {
        watched("t".into(), looks, configured, range(0, 600_000)).map(|one| one.range)
    };
    assert_eq!(seen(&up(10_000, 600_000), interval), Some(range(0, 600_000)));
    assert_eq!(seen(&up(100_000, 300_000), interval), Some(range(100_000, 600_000)));
    assert_eq!(seen(&up(100_000, 300_000), None), Some(range(100_000, 310_000)));
    assert_eq!(seen(&BTreeMap::new(), interval), Some(range(0, 600_000)));
    assert_eq!(seen(&BTreeMap::new(), None), None);
}

#[test]
fn what_was_confirmed_belongs_to_its_look() {
    let series = |points: &[(f64, f64)]| {
        let text = |value: f64| super::super::query::answer::Cell::Number(value, value.to_string());
        let points = points.iter().map(|(at, value)| (*at, text(*value))).collect();
        Series { labels: Vec::new(), points }
    };
    let mut looks = BTreeMap::new();
    take(&series(&[(1.0, 1.0), (2.5, 0.0), (3.0, 0.0)]), "probe_success", &mut looks);
    take(&series(&[(1.0, 0.0), (3.0, 1.0), (9.0, 1.0)]), "probe_confirmed_down", &mut looks);
    let failed = |confirmed| Verdict::Failed { confirmed };
    let expected = [(1000, Verdict::Up), (2500, failed(false)), (3000, failed(true))];
    assert_eq!(looks, expected.into());
}

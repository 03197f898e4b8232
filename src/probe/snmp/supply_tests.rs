use super::super::text::{supply_name, text};
use super::*;
use proptest::prelude::*;

/// Class, type, unit, max, level and text of a row (−9 where the device leaves the column out).
type Told = (i64, i64, i64, i64, i64, &'static str);

fn row(told: Told) -> SupplyRow {
    let column = |number: i64| (number != -9).then_some(number);
    SupplyRow {
        class: column(told.0),
        kind: column(told.1),
        unit: column(told.2),
        max: column(told.3),
        level: column(told.4),
        text: told.5.to_owned(),
        ..SupplyRow::default()
    }
}

/// Rows of real devices, with what each must come to.
#[test]
fn rows_of_real_devices() {
    use SupplyState as S;
    const NO: i64 = -9;
    let rows: &[(Told, Option<f64>, S, &str, &str)] = &[
        ((3, 3, 19, 100, 36, "Yellow Cartridge HP CF402X"), Some(0.36), S::Ok, "toner", "yellow"),
        ((3, 32, 18, -2, -3, "Stapler 1 HP C8091A"), None, S::Some, "staples", ""),
        ((3, 21, 19, 100, 92, "Black Cartridge 827A"), Some(0.92), S::Ok, "toner", "black"),
        ((NO, 3, NO, -2, -3, "Black Toner Cartridge"), None, S::Some, "toner", "black"),
        ((NO, 9, NO, 12_000, 11_501, "Drum Unit"), Some(0.958), S::Ok, "drum", ""),
        ((NO, 3, NO, -2, 0, "Black Toner Cartridge"), None, S::Empty, "toner", "black"),
        ((NO, 8, NO, 6_700, 6_030, "CANON Waste Ink Tank"), Some(0.90), S::Ok, "waste_ink", ""),
        (
            (NO, 1, NO, 200_000, 166_000, "Maintenance Kit"),
            Some(0.83),
            S::Ok,
            "maintenance_kit",
            "",
        ),
        ((NO, 5, NO, 100, 1, "Black Ink Supply Unit"), Some(0.01), S::Empty, "ink", "black"),
        ((NO, 4, NO, -2, -3, "Waste Toner Container"), None, S::Some, "waste_toner", ""),
        ((NO, 4, NO, 100, 100, "Waste Toner"), Some(1.0), S::Ok, "waste_toner", ""),
        ((NO, 3, NO, 100, 80, "黑色碳粉"), Some(0.80), S::Ok, "toner", "black"),
        ((NO, 4, NO, -2, 100, "Waste Toner"), None, S::Some, "waste_toner", ""),
        ((NO, 15, NO, -2, -2, "Fusing Unit"), None, S::Unknown, "fuser", ""),
        ((NO, 9, NO, -2, 9, "Black Photoconductive Drum"), None, S::Some, "drum", "black"),
        ((NO, 3, NO, 20_000, 17_600, "Black Toner Cartridge"), Some(0.88), S::Ok, "toner", "black"),
        ((NO, 3, NO, 6_000, 5_340, "PK-3010S"), Some(0.89), S::Ok, "toner", "black"),
        ((NO, NO, NO, 100, 5, "Waste Toner Container"), Some(0.05), S::Low, "waste_toner", ""),
        ((NO, 9, NO, 30_000, 28_407, "Black Image Drum Unit"), Some(0.947), S::Ok, "drum", "black"),
        ((NO, 3, NO, 100, -100, "Yellow Toner"), Some(0.05), S::Low, "toner", "yellow"),
    ];
    for (told, ratio, state, kind, color) in rows {
        let row = row(*told);
        let (left, seen) = row.judge(Waste::Remaining);
        assert_eq!(seen, *state, "{told:?}");
        match (left, ratio) {
            (Some(left), Some(ratio)) => assert!((left - ratio).abs() < 0.001, "{told:?}: {left}"),
            (left, ratio) => assert_eq!(left, *ratio, "{told:?}"),
        }
        assert_eq!((row.kind().name, row.color().as_str()), (*kind, *color), "{told:?}");
    }
}

#[test]
fn one_toner_listed_twice_is_not_empty() {
    let (zero, some) =
        (row((3, 3, 15, -2, 0, "Black Toner")), row((3, 3, 15, -2, -3, "Black Toner")));
    let other = row((3, 3, 15, -2, 0, "Cyan Toner"));
    let mut rows: Vec<_> = [&zero, &some, &other]
        .map(|row| {
            let (ratio, state) = row.judge(Waste::Remaining);
            (row, ratio, state)
        })
        .into();
    quieten_twins(&mut rows);
    let states = rows.iter().map(|(.., state)| *state).collect::<Vec<_>>();
    assert_eq!(states, [SupplyState::Unknown, SupplyState::Some, SupplyState::Empty]);
}

#[test]
fn odd_capacities() {
    let judge = |told| row(told).judge(Waste::Remaining);
    assert_eq!(judge((3, 3, 19, 0, 0, "t")), (Some(0.0), SupplyState::Empty));
    assert_eq!(judge((3, 3, 19, 100, 150, "t")), (Some(1.0), SupplyState::Ok));
    assert_eq!(judge((3, 3, 19, -2, 40, "t")), (Some(0.4), SupplyState::Ok));
    assert_eq!(judge((3, 3, 7, 0, 0, "t")), (Some(0.0), SupplyState::Empty));
    assert_eq!(judge((3, 3, 19, -1, -1, "t")), (None, SupplyState::Unlimited));
    assert_eq!(judge((3, 3, 19, 100, -9, "t")), (None, SupplyState::Unknown));
    assert_eq!(judge((3, 3, 19, 100, i64::MIN, "t")), (None, SupplyState::Unknown));
    assert_eq!(judge((3, 3, 19, i64::MAX, i64::MAX, "t")).0, Some(1.0));
    // A drum at 8 % has months left, a toner has days.
    assert_eq!(judge((3, 9, 19, 100, 8, "t")).1, SupplyState::Ok);
    assert_eq!(judge((3, 3, 19, 100, 8, "t")).1, SupplyState::Low);
}

#[test]
fn waste_may_be_counted_either_way() {
    let full = row((4, 4, 19, 100, 90, "Waste Toner"));
    assert_eq!(full.judge(Waste::Remaining).1, SupplyState::Ok);
    let (left, state) = full.judge(Waste::Used);
    assert!((left.unwrap() - 0.1).abs() < 1e-9 && state == SupplyState::Low);
    // Used counts only for waste.
    assert_eq!(row((3, 3, 19, 100, 90, "Toner")).judge(Waste::Used).1, SupplyState::Ok);
    assert_eq!(row((3, -9, 19, 100, 1, "Resttonerbehälter")).kind(), WASTE_TONER);
    assert_eq!(row((4, 5, 19, 100, 1, "Tank")).kind(), WASTE_INK);
}

#[test]
fn alerts_say_more_than_levels() {
    let state = |alerts: &[i64]| {
        let row = SupplyRow { alerts: alerts.to_vec(), ..row((4, 4, 19, -2, -3, "Waste")) };
        row.judge(Waste::Remaining).1
    };
    assert_eq!(state(&[]), SupplyState::Some);
    assert_eq!(state(&[1107]), SupplyState::Low);
    assert_eq!(state(&[1109, 1107]), SupplyState::Empty);
    assert_eq!(state(&[1115, 13]), SupplyState::Missing);
    assert_eq!(state(&[23, 503]), SupplyState::Some);
}

#[test]
fn colors() {
    let of = |colorant: Option<&str>, text: &str| {
        let row = SupplyRow {
            kind: Some(3),
            colorant: colorant.map(str::to_owned),
            text: text.to_owned(),
            ..SupplyRow::default()
        };
        row.color()
    };
    assert_eq!(of(Some("black"), "Cartridge"), "black");
    assert_eq!(of(Some("Light Cyan "), "x"), "light cyan");
    assert_eq!(of(Some("Schwarz"), "x"), "black");
    assert_eq!(of(Some("orange"), "x"), "orange");
    assert_eq!(of(Some("other"), "Schwarze Tonerkassette"), "black");
    assert_eq!(of(None, "Magneta Cartridge"), "magenta");
    assert_eq!(of(None, "TK-895C"), "cyan");
    assert_eq!(of(None, "CK-7510"), "black");
    assert_eq!(of(None, "PK-3010YS"), "yellow");
    assert_eq!(of(None, "T9441"), "");
}

#[test]
fn a_label_never_carries_a_serial_number() {
    let told = text(b"Black Toner Cartridge S/N:CRUM-20010100001\0", None);
    assert_eq!(supply_name(&told), "Black Toner Cartridge");
}

proptest! {
    #[test]
    fn any_row_has_a_ratio_between_nothing_and_all(
        class in proptest::option::of(any::<i64>()), kind in proptest::option::of(0i64..40),
        unit in proptest::option::of(0i64..21), max in proptest::option::of(any::<i64>()),
        level in proptest::option::of(any::<i64>()), text in "\\PC{0,30}",
        alerts in proptest::collection::vec(0i64..1200, 0..4),
    ) {
        let row = SupplyRow { class, kind, unit, max, level, text, colorant: None, alerts };
        for waste in [Waste::Remaining, Waste::Used] {
            let (ratio, _) = row.judge(waste);
            prop_assert!(ratio.is_none_or(|ratio| (0.0..=1.0).contains(&ratio)));
        }
        row.color();
    }
}

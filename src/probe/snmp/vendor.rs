//! Levels that some vendors tell only in private places. Read where the standard table leaves a
//! gap, and there only: named objects, never a walk through a vendor's tree (on some printers reading
//! there is a command).

use std::collections::BTreeMap;

use super::session::Session;
use super::supply::SupplyRow;
use super::text::text;
use super::transport::SnmpError;
use super::value::{Oid, Value};

/// Enterprise numbers (IANA), as sysObjectID has them behind 1.3.6.1.4.1.
const BROTHER: u32 = 2435;
const RICOH: u32 = 367;

const BROTHER_MAINTENANCE: &[u32] = &[1, 3, 6, 1, 4, 1, 2435, 2, 3, 9, 4, 2, 1, 5, 5, 8, 0];
/// Columns 2 (name) and 5 (level).
const RICOH_TONERS: &[u32] = &[1, 3, 6, 1, 4, 1, 367, 3, 2, 1, 2, 24, 1, 1];

/// Rows of Ricoh's table that are read at most.
const ROWS: usize = 16;

/// The vendor's enterprise number out of sysObjectID.
pub(super) fn enterprise(object_id: Option<&Value>) -> Option<u32> {
    match object_id {
        Some(Value::Oid(oid)) => oid.index_in(&Oid::new(&[1, 3, 6, 1, 4, 1]))?.first().copied(),
        _ => None,
    }
}

/// Fills gaps in `rows` with what the vendor tells elsewhere.
pub(super) async fn fill(
    session: &Session<'_>,
    enterprise: Option<u32>,
    rows: &mut BTreeMap<(u32, u32), SupplyRow>,
) -> Result<(), SnmpError> {
    match enterprise {
        Some(BROTHER) if rows.values().any(says_nothing) => {
            let told = session.get(&[Oid::new(BROTHER_MAINTENANCE)]).await?;
            if let Some(Value::Bytes(record)) = told.into_iter().flatten().next() {
                fill_brother(&record, rows);
            }
        }
        Some(RICOH) if rows.values().any(|row| says_nothing(row) || row.level == Some(0)) => {
            let columns = [2, 5].map(|column| Oid::new(RICOH_TONERS).below(&[column]));
            let found = session.walk(&columns, ROWS).await?;
            for (index, name) in &found[0] {
                let level = found[1].get(index).and_then(Value::integer);
                if let (Some(name), Some(level)) = (name.bytes(), level) {
                    fill_ricoh(&text(name, None), level, rows);
                }
            }
        }
        _ => {}
    }
    Ok(())
}

fn says_nothing(row: &SupplyRow) -> bool {
    row.level.is_none_or(|level| level < 0)
}

/// Records of seven octets: what, 01 04, a number; FF ends them. The numbers are hundredths of
/// a percent that remain.
fn fill_brother(record: &[u8], rows: &mut BTreeMap<(u32, u32), SupplyRow>) {
    for part in record.chunks_exact(7).take_while(|part| part[0] != 0xFF) {
        let (kind, color) = match part[0] {
            0x41 => ("drum", None),
            0x6F => ("toner", Some("black")),
            0x70 => ("toner", Some("cyan")),
            0x71 => ("toner", Some("magenta")),
            0x72 => ("toner", Some("yellow")),
            _ => continue,
        };
        let left = i64::from(u32::from_be_bytes([part[3], part[4], part[5], part[6]]));
        if part[1..3] != [0x01, 0x04] || left > 10_000 {
            continue;
        }
        for row in rows.values_mut().filter(|row| says_nothing(row)) {
            if row.kind().name == kind && color.is_none_or(|color| row.color() == color) {
                (row.level, row.max) = (Some(left), Some(10_000));
            }
        }
    }
}

/// 0 to 100 percent, -100 nearly empty, -2 unknown, -3 some: the supply table's rules take it.
fn fill_ricoh(name: &str, level: i64, rows: &mut BTreeMap<(u32, u32), SupplyRow>) {
    let named = SupplyRow { text: name.to_owned(), ..SupplyRow::default() };
    let gap = |row: &&mut SupplyRow| says_nothing(row) || row.level == Some(0);
    for row in rows.values_mut().filter(gap) {
        if row.kind() == named.kind() && row.color() == named.color() && level <= 100 {
            (row.level, row.max) = (Some(level), Some(100));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::supply::SupplyState;
    use super::*;
    use crate::probe::Waste;
    use proptest::prelude::*;

    fn rows(told: &[(&str, i64, Option<i64>)]) -> BTreeMap<(u32, u32), SupplyRow> {
        let row = |(text, kind, level): &(&str, i64, Option<i64>)| SupplyRow {
            kind: Some(*kind),
            max: Some(-2),
            level: *level,
            text: (*text).to_owned(),
            ..SupplyRow::default()
        };
        (1..).zip(told).map(|(number, told)| ((1, number), row(told))).collect()
    }

    fn judged(rows: &BTreeMap<(u32, u32), SupplyRow>) -> Vec<(Option<f64>, SupplyState)> {
        rows.values().map(|row| row.judge(Waste::Remaining)).collect()
    }

    #[test]
    fn a_brother_tells_its_toner_in_hundredths_of_a_percent() {
        let mut rows = rows(&[
            ("Black Toner Cartridge", 3, Some(-3)),
            ("Cyan Toner Cartridge", 3, Some(-3)),
            ("Drum Unit", 9, Some(5)),
        ]);
        let record = [
            [0x31, 1, 4, 0, 0, 0, 1],
            [0x6F, 1, 4, 0, 0, 0x26, 0xAC],
            [0x70, 1, 4, 0, 0, 0, 0x64],
            [0x41, 1, 4, 0, 0, 0x10, 0],
            [0xFF, 1, 4, 0, 0, 0, 0],
        ];
        fill_brother(&record.concat(), &mut rows);
        let judged = judged(&rows);
        assert_eq!(judged[0], (Some(0.99), SupplyState::Ok));
        assert_eq!(judged[1], (Some(0.01), SupplyState::Empty));
        // What the standard table tells stays.
        assert_eq!(rows[&(1, 3)].level, Some(5));
    }

    #[test]
    fn a_ricoh_tells_nearly_empty_as_minus_a_hundred() {
        let mut rows = rows(&[
            ("Black Toner", 3, Some(0)),
            ("Yellow Toner", 3, Some(-2)),
            ("Waste Toner", 4, Some(-3)),
        ]);
        for (name, level) in [("Black Toner", 60), ("Yellow Toner", -100), ("Cyan Toner", 10)] {
            fill_ricoh(name, level, &mut rows);
        }
        let judged = judged(&rows);
        assert_eq!(judged[0], (Some(0.6), SupplyState::Ok));
        assert_eq!(judged[1], (Some(0.05), SupplyState::Low));
        assert_eq!(judged[2], (None, SupplyState::Some));
    }

    #[test]
    fn the_vendor_stands_in_the_object_id() {
        let of = |arcs: &[u32]| enterprise(Some(&Value::Oid(Oid::new(arcs))));
        assert_eq!(of(&[1, 3, 6, 1, 4, 1, 2435, 2, 3]), Some(BROTHER));
        assert_eq!(of(&[1, 3, 6, 1, 2, 1]), None);
        assert_eq!(enterprise(None), None);
    }

    proptest! {
        #[test]
        fn any_record_is_survived(record in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut rows = rows(&[("Black Toner", 3, Some(-3)), ("Drum", 9, None)]);
            fill_brother(&record, &mut rows);
            for (ratio, _) in judged(&rows) {
                prop_assert!(ratio.is_none_or(|ratio| (0.0..=1.0).contains(&ratio)));
            }
        }
    }
}

//! What is left of a toner: one ratio and one state out of what vendors make of RFC 3805.

use crate::probe::Waste;

/// A row of prtMarkerSuppliesTable; `None` where the device leaves a column out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SupplyRow {
    /// prtMarkerSuppliesClass: 3 consumed, 4 filled.
    pub class: Option<i64>,
    /// prtMarkerSuppliesType: 3 toner, 4 waste toner, 5 ink, 9 drum, 21 toner cartridge, …
    pub kind: Option<i64>,
    /// prtMarkerSuppliesSupplyUnit: 7 impressions, 19 percent, …
    pub unit: Option<i64>,
    /// prtMarkerSuppliesMaxCapacity; −1 no limit, −2 unknown.
    pub max: Option<i64>,
    /// prtMarkerSuppliesLevel; −1 no limit, −2 unknown, −3 some.
    pub level: Option<i64>,
    /// prtMarkerSuppliesDescription, already readable.
    pub text: String,
    /// prtMarkerColorantValue of its colorant.
    pub colorant: Option<String>,
    /// Codes of the alerts that are about this row.
    pub alerts: Vec<i64>,
}

/// What a supply is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SupplyKind {
    /// The label `kind`.
    pub name: &'static str,
    /// It fills up instead of being used up.
    pub waste: bool,
}

/// How a supply is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SupplyState {
    /// Enough.
    Ok,
    /// Time to order.
    Low,
    /// Nothing left; a waste container is full.
    Empty,
    /// Something is left, nobody says how much.
    Some,
    /// The device does not know.
    Unknown,
    /// It does not run out.
    Unlimited,
    /// It is not there.
    Missing,
}

impl SupplyState {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Ok,
        Self::Low,
        Self::Empty,
        Self::Some,
        Self::Unknown,
        Self::Unlimited,
        Self::Missing,
    ];

    /// The label `state`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Low => "low",
            Self::Empty => "empty",
            Self::Some => "some",
            Self::Unknown => "unknown",
            Self::Unlimited => "unlimited",
            Self::Missing => "missing",
        }
    }
}

/// At most this much left is low, for what is changed often and for what is changed seldom.
const LOW: f64 = 0.10;
const LOW_PART: f64 = 0.05;
/// At most this much left is empty.
const EMPTY: f64 = 0.02;
/// The unit "percent".
const PERCENT: i64 = 19;

impl SupplyRow {
    /// What it is: by its type, else by the words of its text. Its own word that it is waste wins.
    pub fn kind(&self) -> SupplyKind {
        let by_type = self.kind.and_then(kind_of_type);
        let kind = by_type.unwrap_or_else(|| kind_of_words(&self.text));
        match (kind.waste, self.class == Some(4) || names_waste(&self.text)) {
            (false, true) if kind.name.contains("ink") => WASTE_INK,
            (false, true) => WASTE_TONER,
            _ => kind,
        }
    }

    /// Its colour, in English where we know the word; empty when it has none.
    pub fn color(&self) -> String {
        let kind = self.kind();
        if kind.waste {
            return String::new();
        }
        let told = self.colorant.as_deref().map(str::trim).unwrap_or_default().to_lowercase();
        if !["", "other", "unknown", "none"].contains(&told.as_str()) {
            // "light cyan" is another ink than cyan.
            let known = WORDS_OF_COLORS.iter().find(|(word, _)| *word == told);
            return known.map_or(told, |(_, color)| (*color).to_owned());
        }
        if let Some(color) = color_in(&self.text.to_lowercase()) {
            return color.to_owned();
        }
        let color = if kind.name == "toner" { color_of_code(&self.text) } else { None };
        color.unwrap_or_default().to_owned()
    }

    /// How much good is left (1 = all, 0 = act now, also for waste containers) where the device
    /// tells, and the state.
    pub fn judge(&self, waste: Waste) -> (Option<f64>, SupplyState) {
        let kind = self.kind();
        let (ratio, state) = self.level(kind, waste);
        (ratio, self.alerts.iter().fold(state, |state, code| raised(state, *code)))
    }

    fn level(&self, kind: SupplyKind, waste: Waste) -> (Option<f64>, SupplyState) {
        let Some(level) = self.level else { return (None, SupplyState::Unknown) };
        let max = self.max.unwrap_or(-2);
        #[allow(clippy::cast_precision_loss)] // levels are small
        let told = match level {
            -3 => return (None, SupplyState::Some),
            -1 => return (None, SupplyState::Unlimited),
            // A Ricoh that is nearly empty.
            -100 => return (Some(0.05), SupplyState::Low),
            ..0 => return (None, SupplyState::Unknown),
            level if max > 0 => (level as f64 / max as f64).clamp(0.0, 1.0),
            level if self.unit == Some(PERCENT) && level <= 100 => level as f64 / 100.0,
            0 if max == 0 => 0.0,
            0 => return (None, SupplyState::Empty),
            _ => return (None, SupplyState::Some),
        };
        let left = if kind.waste && waste == Waste::Used { 1.0 - told } else { told };
        let low = if is_part(kind) { LOW_PART } else { LOW };
        let state = match left {
            ..=EMPTY => SupplyState::Empty,
            left if left <= low => SupplyState::Low,
            _ => SupplyState::Ok,
        };
        (Some(left), state)
    }
}

/// Rows that say "capacity unknown, level 0" beside a row of the same name that says "some" mean
/// nothing (Brother lists its one toner twice).
pub fn quieten_twins(rows: &mut [(&SupplyRow, Option<f64>, SupplyState)]) {
    let some: Vec<String> = rows
        .iter()
        .filter(|(_, _, state)| *state == SupplyState::Some)
        .map(|(row, ..)| row.text.clone())
        .collect();
    for (row, ratio, state) in rows {
        let unmeasured = ratio.is_none() && row.alerts.is_empty();
        if *state == SupplyState::Empty && unmeasured && some.contains(&row.text) {
            *state = SupplyState::Unknown;
        }
    }
}

/// Alert codes of RFC 3805 (PrtAlertCodeTC) that say more than a level.
fn raised(state: SupplyState, code: i64) -> SupplyState {
    match code {
        9 | 1115 => SupplyState::Missing,
        11 | 13 | 15 | 1101 | 1102 | 1109 | 1110 | 1112 | 1114 if state != SupplyState::Missing => {
            SupplyState::Empty
        }
        10 | 12 | 14 | 1104 | 1105 | 1107 | 1108 | 1111 | 1113
            if !matches!(state, SupplyState::Missing | SupplyState::Empty) =>
        {
            SupplyState::Low
        }
        _ => state,
    }
}

const fn plain(name: &'static str) -> SupplyKind {
    SupplyKind { name, waste: false }
}

const fn waste(name: &'static str) -> SupplyKind {
    SupplyKind { name, waste: true }
}

const WASTE_TONER: SupplyKind = waste("waste_toner");
const WASTE_INK: SupplyKind = waste("waste_ink");

/// PrtMarkerSuppliesTypeTC; `None` for other, unknown and numbers nobody assigned.
fn kind_of_type(number: i64) -> Option<SupplyKind> {
    Some(match number {
        3 | 21 => plain("toner"),
        4 => WASTE_TONER,
        5 | 6 => plain("ink"),
        7 => plain("ink_ribbon"),
        8 => WASTE_INK,
        9 => plain("drum"),
        10 => plain("developer"),
        11 => plain("fuser_oil"),
        12 => plain("solid_wax"),
        13 => plain("ribbon_wax"),
        14 => waste("waste_wax"),
        15 => plain("fuser"),
        16 => plain("corona_wire"),
        17 => plain("fuser_oil_wick"),
        18 => plain("cleaner_unit"),
        19 => plain("fuser_cleaning_pad"),
        20 => plain("transfer_unit"),
        22 => plain("fuser_oiler"),
        23 => plain("water"),
        24 => waste("waste_water"),
        25 => plain("glue"),
        26 => waste("waste_paper"),
        27 => plain("binding"),
        28 => plain("banding"),
        29 => plain("stitching_wire"),
        30 => plain("shrink_wrap"),
        31 => plain("paper_wrap"),
        32 => plain("staples"),
        33 => plain("inserts"),
        34 => plain("covers"),
        35 => plain("matte_toner"),
        36 => plain("matte_ink"),
        _ => return None,
    })
}

/// For devices that do not tell the type.
fn kind_of_words(text: &str) -> SupplyKind {
    const WORDS: [(&str, SupplyKind); 14] = [
        ("drum", plain("drum")),
        ("photoconduct", plain("drum")),
        ("imaging", plain("drum")),
        ("trommel", plain("drum")),
        ("fuser", plain("fuser")),
        ("fusing", plain("fuser")),
        ("developer", plain("developer")),
        ("transfer", plain("transfer_unit")),
        ("belt", plain("transfer_unit")),
        ("staple", plain("staples")),
        ("kit", plain("maintenance_kit")),
        ("toner", plain("toner")),
        ("ink", plain("ink")),
        ("tinte", plain("ink")),
    ];
    let text = text.to_lowercase();
    let found = WORDS.iter().find(|(word, _)| text.contains(word));
    found.map_or(plain("other"), |(_, kind)| *kind)
}

/// Parts that are changed once in tens of thousands of pages.
fn is_part(kind: SupplyKind) -> bool {
    const PARTS: [&str; 9] = [
        "drum",
        "fuser",
        "developer",
        "transfer_unit",
        "maintenance_kit",
        "corona_wire",
        "cleaner_unit",
        "fuser_cleaning_pad",
        "other",
    ];
    PARTS.contains(&kind.name)
}

fn names_waste(text: &str) -> bool {
    const WORDS: [&str; 8] = [
        "waste",
        "resttoner",
        "tonerauffang",
        "récup",
        "recup",
        "maintenance box",
        "tank di recupero",
        "废",
    ];
    let text = text.to_lowercase();
    WORDS.iter().any(|word| text.contains(word))
}

const WORDS_OF_COLORS: [(&str, &str); 26] = [
    ("black", "black"),
    ("schwarz", "black"),
    ("noir", "black"),
    ("negro", "black"),
    ("nero", "black"),
    ("preto", "black"),
    ("黑", "black"),
    ("黒", "black"),
    ("ブラック", "black"),
    ("cyan", "cyan"),
    ("zyan", "cyan"),
    ("cian", "cyan"),
    ("青", "cyan"),
    ("シアン", "cyan"),
    ("magenta", "magenta"),
    ("magneta", "magenta"),
    ("品红", "magenta"),
    ("红", "magenta"),
    ("マゼンタ", "magenta"),
    ("yellow", "yellow"),
    ("gelb", "yellow"),
    ("jaune", "yellow"),
    ("amarillo", "yellow"),
    ("giallo", "yellow"),
    ("黄", "yellow"),
    ("イエロー", "yellow"),
];

/// The first colour that a lower-case text names.
fn color_in(text: &str) -> Option<&'static str> {
    WORDS_OF_COLORS
        .iter()
        .filter_map(|(word, color)| text.find(word).map(|at| (at, *color)))
        .min()
        .map(|(_, color)| color)
}

/// Kyocera names a cartridge by its order code: `TK-895C`, `PK-3010S`; no letter means black.
fn color_of_code(text: &str) -> Option<&'static str> {
    let (family, number) = text.split_once('-')?;
    let letters = family.len() == 2 && family.bytes().all(|b| b.is_ascii_uppercase());
    let digits = number.trim_end_matches(|c: char| c.is_ascii_uppercase());
    if !letters || digits.len() < 2 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    match &number[digits.len()..] {
        "" | "S" | "K" | "KS" => Some("black"),
        "C" | "CS" => Some("cyan"),
        "M" | "MS" => Some("magenta"),
        "Y" | "YS" => Some("yellow"),
        _ => None,
    }
}

#[cfg(test)]
#[path = "supply_tests.rs"]
mod tests;

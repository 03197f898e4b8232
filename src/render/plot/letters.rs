//! The characters of axis labels as strokes, drawn by ourselves: a font file and a shaper for some
//! thirty characters would be a tenth of the whole program.

/// Width of a character with the gap behind it, in units.
pub(super) const ADVANCE: f32 = 5.4;
/// From the top of a digit to the line it stands on, in units.
pub(super) const HEIGHT: f32 = 6.0;

/// Polylines of a character; points are `xy` in units, x to the right from 0 to 4, y downwards
/// from 0 to 7. `None` for what is not drawn.
fn shape(character: char) -> Option<&'static str> {
    Some(match character {
        '0' => "10 30 41 45 36 16 05 01 10",
        '1' => "02 20 26;06 46",
        '2' => "01 10 30 41 42 06 46",
        '3' => "01 10 30 41 42 33 44 45 36 16 05;13 33",
        '4' => "36 30 04 44",
        '5' => "40 00 03 33 44 45 36 16 05",
        '6' => "40 20 02 05 16 36 45 44 33 13 04",
        '7' => "00 40 16",
        '8' => "13 02 01 10 30 41 42 33 13 04 05 16 36 45 44 33",
        '9' => "06 26 44 41 30 10 01 02 13 33 42",
        '.' => "26 26",
        ',' => "25 26 17",
        ':' => "22 22;25 25",
        '-' => "13 33",
        '+' => "03 43;21 25",
        'k' => "00 06;32 04;14 36",
        'M' => "06 00 23 40 46",
        'G' => "41 30 10 01 05 16 36 45 43 23",
        'T' => "00 40;20 26",
        'P' => "06 00 30 41 42 33 03",
        'E' => "40 00 06 46;03 33",
        'e' => "04 44 43 32 12 03 05 16 36 45",
        'm' => "06 02;03 12 23 26;23 32 43 46",
        'µ' => "02 07;05 16 26 45;42 46",
        'n' => "06 02;03 12 32 43 46",
        'p' => "07 02 32 43 44 35 05",
        _ => return None,
    })
}

/// The polylines of a text, in units from its upper left corner.
pub(super) fn strokes(text: &str) -> Vec<Vec<(f32, f32)>> {
    let mut all = Vec::new();
    let mut left = 0.0;
    for character in text.chars() {
        for stroke in shape(character).unwrap_or_default().split(';') {
            let digits = stroke.split(' ').filter_map(|point| {
                let mut digits = point.chars().filter_map(|digit| digit.to_digit(10));
                Some((digits.next()?, digits.next()?))
            });
            #[allow(clippy::cast_precision_loss)] // digits
            let points: Vec<(f32, f32)> =
                digits.map(|(x, y)| (left + x as f32, y as f32)).collect();
            if !points.is_empty() {
                all.push(points);
            }
        }
        left += ADVANCE;
    }
    all
}

/// The width of a text in units.
#[allow(clippy::cast_precision_loss)] // labels are short
pub(super) fn width(text: &str) -> f32 {
    text.chars().count() as f32 * ADVANCE - (ADVANCE - 4.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_of_a_label_has_a_shape() {
        for character in "0123456789.,:-+kMGTPEmµnpe".chars() {
            let drawn = strokes(&character.to_string());
            assert!(!drawn.is_empty(), "{character}");
            let inside = |(x, y): &(f32, f32)| (0.0..=4.0).contains(x) && (0.0..=7.0).contains(y);
            assert!(drawn.iter().flatten().all(inside), "{character}");
        }
        assert!(strokes(" ").is_empty());
    }
}

//! Texts of devices: any of a dozen character sets, padded, with serial numbers inside.

use encoding_rs::SHIFT_JIS;

/// No label is longer, in characters.
const LONGEST: usize = 80;

/// 0xA1 to 0xFE of HP Roman-8 (IANA MIBenum 2004); below are Latin-1's.
const ROMAN_8: &str = "ÀÂÈÊËÎÏ´ˋˆ¨˜ÙÛ₤¯Ýý°ÇçÑñ¡¿¤£¥§ƒ¢âêôûáéóúàèòùäëöüÅîØÆåíøæÄìÖÜÉïßÔÁÃãÐðÍÌÓÒÕõŠšÚŸÿÞþ·µ¶¾—¼½ªº«■»±";

/// Whether a text can only be read when its character set is known.
pub fn needs_charset(bytes: &[u8]) -> bool {
    let bytes = trimmed(bytes);
    bytes.contains(&0) || std::str::from_utf8(bytes).is_err()
}

/// A text as a person reads it: UTF-8 where it is valid, else what `charset` says (IANA MIBenum,
/// as prtLocalizationCharacterSet gives it), else Latin-1. Without control characters, line breaks,
/// invisible marks and doubled spaces; cut when it is very long.
pub fn text(bytes: &[u8], charset: Option<i64>) -> String {
    let (whole, bytes) = (bytes, trimmed(bytes));
    let text = match (std::str::from_utf8(bytes), charset) {
        (_, Some(1000 | 1013)) if bytes.contains(&0) => utf_16(whole, u16::from_be_bytes),
        (_, Some(1014)) if bytes.contains(&0) => utf_16(whole, u16::from_le_bytes),
        (Ok(text), _) => text.to_owned(),
        (Err(_), Some(17 | 2024)) => SHIFT_JIS.decode_without_bom_handling(bytes).0.into_owned(),
        (Err(_), Some(1000 | 1013)) => utf_16(whole, u16::from_be_bytes),
        (Err(_), Some(1014)) => utf_16(whole, u16::from_le_bytes),
        (Err(_), Some(2004)) => bytes.iter().map(|byte| roman_8(*byte)).collect(),
        (Err(_), _) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    };
    plain(&text)
}

/// The name of a supply without what changes with each cartridge and says who bought it: part
/// and serial numbers.
pub fn supply_name(text: &str) -> String {
    const MARKS: [&str; 8] = [", pn", ";sn", " s/n", ";s/n", ",s/n", " serial", " sn:", "s/n:"];
    // Marks are ASCII, so that byte positions are the same in the lowered text.
    let lowered = text.to_ascii_lowercase();
    let end = MARKS.iter().filter_map(|mark| lowered.find(mark)).min().unwrap_or(text.len());
    text[..end].trim_end_matches([' ', ',', ';', '-']).to_owned()
}

fn trimmed(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    bytes[..end].trim_ascii()
}

fn utf_16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
    char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

fn roman_8(byte: u8) -> char {
    let high = byte.checked_sub(0xA1).and_then(|at| ROMAN_8.chars().nth(usize::from(at)));
    high.unwrap_or(char::from(byte))
}

fn plain(text: &str) -> String {
    let visible = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let visible: String = visible.filter(|c| !is_invisible(*c)).collect();
    let mut plain = String::with_capacity(visible.len().min(LONGEST));
    for word in visible.split_whitespace() {
        if !plain.is_empty() {
            plain.push(' ');
        }
        plain.push_str(word);
    }
    match plain.char_indices().nth(LONGEST) {
        Some((end, _)) => plain[..end].trim_end().to_owned(),
        None => plain,
    }
}

/// Zero-width characters, direction marks (a label must not turn the text around it), and the
/// byte order mark.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn charsets_of_real_devices() {
        assert_eq!(text(b"Stapler 1 HP C8091A\0", None), "Stapler 1 HP C8091A");
        assert_eq!(text(b"\xe9\xbb\x91\xe8\x89\xb2", Some(3)), "黑色");
        assert_eq!(text(b"Bo\xeete de r\xe9cup", None), "Boîte de récup");
        assert_eq!(text(b"Bo\xeete", Some(4)), "Boîte");
        assert_eq!(text(b"Patrone f\xcfr Schwarz", Some(2004)), "Patrone für Schwarz");
        assert_eq!(text(b"\x83g\x83i\x81[", Some(17)), "トナー");
        assert_eq!(text(b"\0T\0o\0n\0e\0r\0\0", Some(1013)), "Toner");
        assert_eq!(text(b"T\0o\0n\0e\0r\0", Some(1014)), "Toner");
        assert_eq!(ROMAN_8.chars().count(), 0xFE - 0xA0);
    }

    #[test]
    fn only_unclear_texts_need_their_charset() {
        assert!(!needs_charset(b"Black Toner \0\0"));
        assert!(!needs_charset("黑".as_bytes()));
        assert!(needs_charset(b"f\xfcr"));
        assert!(needs_charset(b"\0T\0o"));
    }

    #[test]
    fn nothing_invisible_is_left() {
        assert_eq!(text(b"a\x07\r\nb\t  c\x1b[31m", None), "a b c [31m");
        assert_eq!(text("x\u{202E}y\u{200B}".as_bytes(), None), "xy");
        assert_eq!(text(&[b'a'; 500], None).len(), LONGEST);
    }

    #[test]
    fn serial_numbers_are_cut_off() {
        let cut = [
            ("Black Toner, PN 006R01509;SN48178080E0000481", "Black Toner"),
            ("Waste Toner Container, PN 008R13061;SNunknown", "Waste Toner Container"),
            ("Black Toner Cartridge S/N:CRUM-12345", "Black Toner Cartridge"),
            ("Black Toner Cartridge;S/N:1", "Black Toner Cartridge"),
            ("Toner Serial Number 123", "Toner"),
            ("TK-895C", "TK-895C"),
            ("Black Cartridge 827A HP CF300A", "Black Cartridge 827A HP CF300A"),
            ("S/N:123", ""),
        ];
        for (told, name) in cut {
            assert_eq!(supply_name(told), name);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_bounded_text(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            charset in proptest::option::of(proptest::sample::select(vec![3i64, 4, 17, 106, 1000, 1013, 1014, 2004, 2024])),
        ) {
            let read = text(&bytes, charset);
            prop_assert!(read.chars().count() <= LONGEST && !read.chars().any(char::is_control));
            let name = supply_name(&read);
            prop_assert!(read.starts_with(&name));
        }
    }
}

use std::borrow::Cow;
use std::fmt::Write;

use crate::model::{is_legacy_label_name, is_legacy_metric_name};

/// What becomes of a name that the old grammar (`[a-zA-Z_:][a-zA-Z0-9_:]*`) does not know, as a
/// scraper asks for it with `escaping=` in its Accept header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Escaping {
    /// Each foreign character becomes `_`.
    #[default]
    Underscores,
    /// `.` becomes `_dot_`, `_` becomes `__`, each other foreign character `__`.
    Dots,
    /// `U__`, then foreign characters as `_<hexadecimal code point>_`; can be read back.
    Values,
    /// The name stays and is quoted.
    AllowUtf8,
}

impl Escaping {
    /// From the parameter's value; `None` for a word that is not known.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "underscores" => Some(Self::Underscores),
            "dots" => Some(Self::Dots),
            "values" => Some(Self::Values),
            "allow-utf-8" => Some(Self::AllowUtf8),
            _ => None,
        }
    }

    /// The parameter's value.
    pub fn word(self) -> &'static str {
        match self {
            Self::Underscores => "underscores",
            Self::Dots => "dots",
            Self::Values => "values",
            Self::AllowUtf8 => "allow-utf-8",
        }
    }

    /// A metric name in this scheme.
    pub fn metric(self, name: &str) -> Cow<'_, str> {
        self.apply(name, true)
    }

    /// A label name in this scheme.
    pub fn label(self, name: &str) -> Cow<'_, str> {
        self.apply(name, false)
    }

    /// The name that [`Escaping::Values`] made this of; the name itself when it was not made so.
    pub fn read_back(name: &str) -> Cow<'_, str> {
        let Some(mut rest) = name.strip_prefix("U__") else { return Cow::Borrowed(name) };
        let mut out = String::with_capacity(rest.len());
        while let Some(at) = rest.find('_') {
            out.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(behind) = rest.strip_prefix('_') {
                out.push('_');
                rest = behind;
                continue;
            }
            let code = rest.split_once('_').filter(|(code, _)| code.len() <= 6);
            let read = code.and_then(|(code, behind)| {
                let c = char::from_u32(u32::from_str_radix(code, 16).ok()?)?;
                Some((c, behind))
            });
            let Some((c, behind)) = read else { return Cow::Borrowed(name) };
            out.push(c);
            rest = behind;
        }
        out.push_str(rest);
        Cow::Owned(out)
    }

    fn apply(self, name: &str, colon: bool) -> Cow<'_, str> {
        let legacy = if colon { is_legacy_metric_name(name) } else { is_legacy_label_name(name) };
        // Dots must be undone, so even an old name has its underscores doubled.
        let keeps = self == Self::AllowUtf8 || (legacy && self != Self::Dots);
        if name.is_empty() || keeps || (legacy && !name.contains('_')) {
            return Cow::Borrowed(name);
        }
        let mut out = String::with_capacity(name.len() + 8);
        if self == Self::Values {
            out.push_str("U__");
        }
        for (at, c) in name.char_indices() {
            let fine = c.is_ascii_alphabetic()
                || c == '_'
                || (c == ':' && colon)
                || (c.is_ascii_digit() && at > 0);
            match self {
                Self::Values if c == '_' => out.push_str("__"),
                Self::Dots if c == '_' => out.push_str("__"),
                Self::Dots if c == '.' => out.push_str("_dot_"),
                _ if fine => out.push(c),
                Self::Values => {
                    // Writing into a String cannot fail.
                    let _ = write!(out, "_{:x}_", u32::from(c));
                }
                Self::Dots => out.push_str("__"),
                Self::Underscores | Self::AllowUtf8 => out.push('_'),
            }
        }
        Cow::Owned(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scheme_as_the_specification_shows_it() {
        let check = |name: &str, underscores: &str, dots: &str, values: &str| {
            assert_eq!(Escaping::Underscores.metric(name), underscores);
            assert_eq!(Escaping::Dots.metric(name), dots);
            assert_eq!(Escaping::Values.metric(name), values);
            assert_eq!(Escaping::AllowUtf8.metric(name), name);
        };
        check(
            "no:escaping_required",
            "no:escaping_required",
            "no:escaping__required",
            "no:escaping_required",
        );
        check(
            "mysystem.prod.west.cpu.load",
            "mysystem_prod_west_cpu_load",
            "mysystem_dot_prod_dot_west_dot_cpu_dot_load",
            "U__mysystem_2e_prod_2e_west_2e_cpu_2e_load",
        );
        check("my_host.org", "my_host_org", "my__host_dot_org", "U__my__host_2e_org");
        check("0a", "_a", "__a", "U___30_a");
        check("花火", "__", "____", "U___82b1__706b_");
    }

    proptest::proptest! {
        #[test]
        fn values_can_be_read_back(name in "\\PC{0,20}") {
            let escaped = Escaping::Values.metric(&name).into_owned();
            if escaped.starts_with("U__") && escaped != name {
                proptest::prop_assert_eq!(Escaping::read_back(&escaped), name);
            }
        }

        #[test]
        fn any_name_is_read_back_or_left(name in "U__[_0-9a-fx]{0,20}") {
            let _ = Escaping::read_back(&name);
        }
    }

    #[test]
    fn a_colon_is_foreign_in_a_label() {
        assert_eq!(Escaping::Underscores.label("a:b"), "a_b");
        assert_eq!(Escaping::Underscores.label("a_b"), "a_b");
    }
}

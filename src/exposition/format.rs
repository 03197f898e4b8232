use super::Escaping;

/// How a page is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// Prometheus' text format, 0.0.4 and 1.0.0.
    Text,
    /// OpenMetrics 0.0.1 and 1.0.0.
    OpenMetrics,
}

/// The formats that we write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `text/plain; version=0.0.4`; foreign names with underscores.
    #[default]
    Text0_0_4,
    /// `text/plain; version=1.0.0`.
    Text1_0_0(Escaping),
    /// `application/openmetrics-text; version=0.0.1`; foreign names with underscores.
    OpenMetrics0_0_1,
    /// `application/openmetrics-text; version=1.0.0`.
    OpenMetrics1_0_0(Escaping),
}

impl Format {
    /// The best of what an Accept header asks for: the highest weight among those that we write,
    /// the first one named where weights are equal; text 0.0.4 where nothing fits, so that a
    /// scraper always gets an answer. At most 32 alternatives are looked at.
    pub fn negotiate(accept: &str) -> Self {
        let mut best: Option<(f64, Self)> = None;
        for range in accept.split(',').take(32) {
            let Some((weight, format)) = one_range(range) else { continue };
            if weight > 0.0 && best.is_none_or(|(other, _)| weight > other) {
                best = Some((weight, format));
            }
        }
        best.map(|(_, format)| format).unwrap_or_default()
    }

    /// What a server says it sends; `None` when it is no format that we read.
    pub fn from_content_type(content_type: &str) -> Option<Self> {
        one_range(content_type).map(|(_, format)| format)
    }

    /// The Content-Type header.
    pub fn content_type(self) -> String {
        match self {
            Self::Text0_0_4 => "text/plain; version=0.0.4; charset=utf-8".to_owned(),
            Self::Text1_0_0(escaping) => {
                format!("text/plain; version=1.0.0; charset=utf-8; escaping={}", escaping.word())
            }
            Self::OpenMetrics0_0_1 => {
                "application/openmetrics-text; version=0.0.1; charset=utf-8".to_owned()
            }
            Self::OpenMetrics1_0_0(escaping) => format!(
                "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping={}",
                escaping.word()
            ),
        }
    }

    /// How it is written down.
    pub fn syntax(self) -> Syntax {
        match self {
            Self::Text0_0_4 | Self::Text1_0_0(_) => Syntax::Text,
            Self::OpenMetrics0_0_1 | Self::OpenMetrics1_0_0(_) => Syntax::OpenMetrics,
        }
    }

    /// What becomes of foreign names.
    pub fn escaping(self) -> Escaping {
        match self {
            Self::Text0_0_4 | Self::OpenMetrics0_0_1 => Escaping::Underscores,
            Self::Text1_0_0(escaping) | Self::OpenMetrics1_0_0(escaping) => escaping,
        }
    }
}

/// One alternative: weight (`q`, 1 when absent, 0 when unreadable) and format.
fn one_range(range: &str) -> Option<(f64, Format)> {
    let mut parts = range.split(';').map(str::trim);
    let kind = parts.next()?;
    let (mut weight, mut version, mut escaping) = (1.0, "", Escaping::default());
    for part in parts.take(16) {
        let Some((name, value)) = part.split_once('=') else { continue };
        let value = value.trim().trim_matches('"');
        match name.trim().to_ascii_lowercase().as_str() {
            "q" => weight = value.parse().ok().filter(|q| (0.0..=1.0).contains(q)).unwrap_or(0.0),
            "version" => version = value,
            "escaping" => escaping = Escaping::from_word(value).unwrap_or_default(),
            _ => {}
        }
    }
    let format = match (kind.to_ascii_lowercase().as_str(), version) {
        ("text/plain", "" | "0.0.4") | ("*/*" | "text/*", "") => Format::Text0_0_4,
        ("text/plain", "1.0.0") => Format::Text1_0_0(escaping),
        ("application/openmetrics-text", "" | "0.0.1") => Format::OpenMetrics0_0_1,
        ("application/openmetrics-text", "1.0.0") => Format::OpenMetrics1_0_0(escaping),
        _ => return None,
    };
    Some((weight, format))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_real_clients_ask_for() {
        let check = |accept: &str, format: Format| assert_eq!(Format::negotiate(accept), format);
        check(
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
            Format::OpenMetrics1_0_0(Escaping::AllowUtf8),
        );
        check(
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            Format::OpenMetrics1_0_0(Escaping::Underscores),
        );
        check("text/html,application/xhtml+xml,*/*;q=0.8", Format::Text0_0_4);
        check("", Format::Text0_0_4);
        check(
            "application/vnd.google.protobuf;q=0.9, text/plain;version=1.0.0;escaping=dots;q=0.2",
            Format::Text1_0_0(Escaping::Dots),
        );
        check("application/openmetrics-text;version=2.0.0", Format::Text0_0_4);
        check("application/openmetrics-text;q=0", Format::Text0_0_4);
        check(
            "application/openmetrics-text; version=\"1.0.0\" ; q=NaN, text/plain;q=0.1",
            Format::Text0_0_4,
        );
    }

    #[test]
    fn we_understand_what_we_say() {
        for escaping in
            [Escaping::Underscores, Escaping::Dots, Escaping::Values, Escaping::AllowUtf8]
        {
            for format in [
                Format::Text0_0_4,
                Format::Text1_0_0(escaping),
                Format::OpenMetrics0_0_1,
                Format::OpenMetrics1_0_0(escaping),
            ] {
                assert_eq!(Format::from_content_type(&format.content_type()), Some(format));
            }
        }
        assert_eq!(Format::from_content_type("text/html"), None);
    }

    proptest! {
        #[test]
        fn any_header_has_an_answer(accept in "\\PC{0,200}") {
            let _ = Format::negotiate(&accept);
        }
    }
}

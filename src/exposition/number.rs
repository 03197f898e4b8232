use std::fmt::Write;

/// A number as Prometheus' Go programs print it (`strconv` format `g`, shortest form that reads
/// back the same): `0.25`, `1e+21`, `1e-07`, `NaN`, `+Inf`, `-Inf`.
pub fn float_text(value: f64) -> String {
    let mut out = String::with_capacity(8);
    push_float(&mut out, value);
    out
}

/// A number as the value of `le` or `quantile`: like [`float_text`], but with `.0` where it would
/// otherwise look like an integer, as Prometheus 3 and OpenMetrics want it.
pub fn label_float(value: f64) -> String {
    let mut out = float_text(value);
    if value.is_finite() && !out.contains(['e', '.']) {
        out.push_str(".0");
    }
    out
}

pub(super) fn push_float(out: &mut String, value: f64) {
    let written = if value.is_nan() {
        out.push_str("NaN");
        Ok(())
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
        Ok(())
    } else if value == 0.0 || (1e-4..1e21).contains(&value.abs()) {
        write!(out, "{value}")
    } else {
        push_exponent(out, value);
        Ok(())
    };
    // Writing into a String cannot fail.
    debug_assert!(written.is_ok());
}

/// Go writes the exponent with its sign and at least two digits.
fn push_exponent(out: &mut String, value: f64) {
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(rest) => ('-', rest),
        None => ('+', exponent),
    };
    let _ = write!(out, "{digits}e{sign}{exponent:0>2}");
}

/// A number as Go's `strconv.ParseFloat` reads it, without hexadecimal and underscores; a number
/// too large for 64 bits is refused, one too small is zero.
pub(super) fn read_float(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let value: f64 = text.parse().ok()?;
    let digit = text.bytes().any(|b| b.is_ascii_digit());
    let signed = text.starts_with(['+', '-']);
    // Rust turns 1e999 into infinity and reads `-nan`; Go refuses both.
    ((value.is_finite() || !digit) && !(value.is_nan() && signed)).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_prints_as_go_does() {
        let check = |value: f64, text: &str| assert_eq!(float_text(value), text);
        check(0.0, "0");
        check(-0.0, "-0");
        check(1.0, "1");
        check(0.25, "0.25");
        check(1e-4, "0.0001");
        check(1e-5, "1e-05");
        check(1.5e-7, "1.5e-07");
        check(1e20, "100000000000000000000");
        check(1e21, "1e+21");
        check(-1.25e300, "-1.25e+300");
        check(f64::NAN, "NaN");
        check(f64::INFINITY, "+Inf");
        check(f64::NEG_INFINITY, "-Inf");
        assert_eq!(label_float(1.0), "1.0");
        assert_eq!(label_float(1e21), "1e+21");
        assert_eq!(label_float(f64::INFINITY), "+Inf");
    }

    #[test]
    fn it_reads_what_go_reads() {
        for good in ["1", "+7", ".5", "5.", "1e3", "-1.5E-3", "inf", "Infinity", "-Inf", "nan"] {
            assert!(read_float(good.as_bytes()).is_some(), "{good}");
        }
        for bad in
            ["", "-", ".", "1e", "1e999", "0x1", "0x1p4", "1_000", "1,5", "-nan", " 1", "1\r"]
        {
            assert!(read_float(bad.as_bytes()).is_none(), "{bad}");
        }
        assert_eq!(read_float(b"1e-999"), Some(0.0));
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            let back = read_float(float_text(value).as_bytes());
            prop_assert!(back.is_some_and(|b| b == value || (b.is_nan() && value.is_nan())));
        }
    }
}

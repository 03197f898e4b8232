//! A tree as JSON, with the types that programs in Go see in it (YAML 1.1, as `yaml.v2` reads it).

use serde_json::{Map, Number, Value};

use super::{Key, Kind, Node};

impl Node {
    /// The tree as JSON. Numbers and truths are what they look like unless they are quoted. Keys
    /// that look like something else than text are left out, as in Alertmanager.
    pub fn json(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Scalar { text, plain: false } => Value::from(text.as_str()),
            Kind::Scalar { text, plain: true } => typed(text),
            Kind::List(items) => items.iter().map(|item| item.json()).collect(),
            Kind::Map(entries) => {
                let is_text = |key: &Key| !key.plain || typed(&key.text).is_string();
                let named = entries.iter().filter(|(key, _)| is_text(key));
                let named = named.map(|(key, value)| (key.text.clone(), value.json()));
                Value::Object(named.collect::<Map<_, _>>())
            }
        }
    }
}

/// What a text without quotes is.
fn typed(text: &str) -> Value {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Value::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Value::Bool(false);
        }
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        _ => {}
    }
    whole(text).or_else(|| fraction(text)).map_or_else(|| Value::from(text), Value::Number)
}

fn whole(text: &str) -> Option<Number> {
    let digits = text.replace('_', "");
    let (minus, bare) = match digits.strip_prefix('-') {
        Some(bare) => (true, bare),
        None => (false, digits.strip_prefix('+').unwrap_or(&digits)),
    };
    let (radix, bare) = match bare.get(..2) {
        Some("0x") => (16, &bare[2..]),
        Some("0b") => (2, &bare[2..]),
        Some("0o") => (8, &bare[2..]),
        Some(_) if bare.starts_with('0') => (8, &bare[1..]),
        _ => (10, bare),
    };
    // A second sign would be read as one.
    let size = u64::from_str_radix(bare, radix).ok().filter(|_| !bare.starts_with('+'))?;
    match minus {
        false => Some(size.into()),
        true => Some(i64::try_from(-i128::from(size)).ok()?.into()),
    }
}

fn fraction(text: &str) -> Option<Number> {
    let bare = text.trim_start_matches(['-', '+']);
    // Neither a word such as `inf`, nor a date, nor an address.
    let looks = bare.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && bare.bytes().all(|b| b.is_ascii_digit() || b".eE+-_".contains(&b));
    if !looks || text.len() > bare.len() + 1 {
        return None;
    }
    Number::from_f64(text.replace('_', "").parse().ok()?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::yaml::{Reading, read};

    #[test]
    fn types_are_those_of_yaml_1_1() {
        let go = Reading { most_nodes: 1000, deepest: 20, as_go: true };
        let text = "{a: 7, b: -7, c: 0x1f, d: 017, e: 1_000, f: 1.5, g: 1e3, h: yes, i: Off, j: ~,\
                    k: '7', l: 1.2.3, m: 2026-11-22, i2: inf, o: [y, 'y'], y: gone, 1: gone, 'n': 1, p: +-1,\
                    q: x y, r: 127.0.0.1, s: 1 2, t: '', u: 0, w: 08}";
        let expected = json!({
            "a": 7, "b": -7, "c": 31, "d": 15, "e": 1000, "f": 1.5, "g": 1000.0, "h": true,
            "i": false, "j": null, "k": "7", "l": "1.2.3", "m": "2026-11-22", "i2": "inf", "n": 1,
            "o": [true, "y"], "p": "+-1", "q": "x y", "r": "127.0.0.1", "s": "1 2", "t": "",
            "u": 0, "w": 8.0,
        });
        let (root, flaws) = read(text, go);
        assert_eq!(flaws, []);
        assert_eq!(root.unwrap().json(), expected);
    }
}

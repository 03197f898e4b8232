use super::alerts::fingerprint;
use super::body::{Asked, instant};
use crate::model::Labels;

#[test]
fn fingerprints_are_those_of_a_real_one() {
    let of = |pairs: &[(&str, &str)]| {
        format!("{:016x}", fingerprint(&Labels::from_pairs(pairs.iter().copied()).unwrap()))
    };
    assert_eq!(of(&[("alertname", "Slow")]), "2a6d61766e100a13");
    assert_eq!(of(&[("alertname", "Down"), ("x", "2")]), "0784a44150412322");
    assert_eq!(of(&[("0 ü", "b")]), "ffa7c0ea579179f0");
}

#[test]
fn what_is_not_yes_is_no() {
    let asked = Asked::of(&"/?a=true&b=false&c=maybe&d=1".parse().unwrap());
    let wants = ["a", "b", "c", "d", "absent"].map(|name| asked.wants(name));
    assert_eq!(wants, [true, false, false, true, true]);
}

#[test]
fn matchers_come_from_the_address() {
    let asked = Asked::of(&"/?filter=a%3Db&filter=c%3D~%22d.*%22".parse().unwrap());
    assert_eq!(asked.matchers("filter").ok().unwrap().len(), 2);
    let asked = Asked::of(&"/?filter=a".parse().unwrap());
    assert!(asked.matchers("filter").is_err());
    let asked = Asked::of(&"/?filter=%7Ba%3Db%7D&none=&active=".parse().unwrap());
    assert!(asked.matchers("filter").is_err(), "one filter is one matcher");
    assert!(asked.matchers("none").is_err());
    assert!(asked.wants("active"), "nothing written is the default");
}

#[test]
fn instants_are_rfc_3339() {
    assert!(instant("2026-01-01T00:00:00Z").is_some());
    assert!(instant("2026-01-01T00:00:00.5+02:00").is_some());
    let millis = |text| instant(text).map(|at| at.millis());
    assert_eq!(millis("1970-01-02T01:00:00.1239+01:00"), Some(86_400_123));
    let also = [
        "1970-01-02",
        "1970-01-02T00:00",
        "1970-01-02T00:00Z",
        "1970-01-02 00:00:00",
        "1970-01-02T00:00:00",
    ];
    assert!(also.into_iter().all(|text| millis(text) == Some(86_400_000)));
    assert_eq!(millis(""), Some(0));
    let latest = instant("9999-12-31T23:59:59Z").unwrap();
    assert_eq!(latest.to_string(), "9999-12-30T22:00:00.000Z", "one that has a date");
    for text in [
        "yesterday",
        "2026-11-23t10:00:00Z",
        "2026-11-23T10:00:00z",
        "2026-11-23 10:00:00Z",
        "2026-11-23T24:00:00Z",
        "2026-11-23T10:00:60Z",
        "2026-13-01T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "2026-11-23T10:00:00.Z",
        "2026-11-23T10:00:00+2:00",
    ] {
        assert!(instant(text).is_none(), "{text}");
    }
}

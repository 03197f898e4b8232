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
}

#[test]
fn instants_are_rfc_3339() {
    assert!(instant("2026-01-01T00:00:00Z").is_some());
    assert!(instant("2026-01-01T00:00:00.5+02:00").is_some());
    assert!(instant("yesterday").is_none());
}

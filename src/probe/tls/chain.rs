use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::model::Timestamp;

/// More certificates than this are not looked at: real chains have two to five.
pub(super) const LONGEST: usize = 10;

/// The dates of one certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dates {
    /// Valid from this second.
    pub(super) not_before: Timestamp,
    /// Valid through this second.
    pub(super) not_after: Timestamp,
}

/// What is in a certificate, as far as it is asked for here. Version 1 and weak keys are fine.
pub(super) struct Parsed<'a> {
    pub(super) dates: Dates,
    pub(super) issuer: &'a [u8],
    pub(super) subject: &'a [u8],
    pub(super) key: &'a [u8],
}

/// Reads the certificates of a chain, leaf first. `None` for one that is no X.509.
pub(super) fn parse<'a>(chain: &'a [CertificateDer<'_>]) -> Vec<Option<Parsed<'a>>> {
    chain.iter().take(LONGEST).map(|der| one(der.as_ref())).collect()
}

fn one(der: &[u8]) -> Option<Parsed<'_>> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let validity = &certificate.validity;
    let dates = Dates {
        not_before: instant(validity.not_before.timestamp()),
        not_after: instant(validity.not_after.timestamp()),
    };
    Some(Parsed {
        dates,
        issuer: content(certificate.issuer.as_raw()),
        subject: content(certificate.subject.as_raw()),
        key: content(certificate.subject_pki.raw),
    })
}

fn instant(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds.saturating_mul(1000))
}

/// The value of a DER element, without tag and length: that is how trust anchors are kept.
fn content(element: &[u8]) -> &[u8] {
    let header = match element.get(1) {
        Some(&short) if short < 0x80 => 2,
        Some(&long) => 2 + usize::from(long & 0x7f),
        None => 0,
    };
    element.get(header..).unwrap_or(&[])
}

/// The latest instant through which some path from the leaf to an anchor is valid: the best path
/// counts, and of a path its earliest end. `None` when no path ends at an anchor.
pub(super) fn best_path_ends(
    chain: &[Option<Parsed<'_>>],
    is_anchor: impl Fn(&[u8]) -> bool,
) -> Option<Timestamp> {
    let mut used = [false; LONGEST];
    path_from(0, chain, &is_anchor, &mut used, &mut 0)
}

/// Each certificate once in a path, and at most 100 steps in all: a hostile chain of ten
/// certificates that all name each other has millions of paths.
fn path_from(
    at: usize,
    chain: &[Option<Parsed<'_>>],
    is_anchor: &impl Fn(&[u8]) -> bool,
    used: &mut [bool; LONGEST],
    steps: &mut u32,
) -> Option<Timestamp> {
    let here = chain.get(at)?.as_ref()?;
    *steps += 1;
    if *steps > 100 {
        return None;
    }
    let own = here.dates.not_after;
    let mut best = (is_anchor(here.issuer) || is_anchor(here.subject)).then_some(own);
    used[at] = true;
    for next in 1..chain.len().min(LONGEST) {
        let issuer = chain[next].as_ref().is_some_and(|other| other.subject == here.issuer);
        if !used[next] && issuer {
            let through = path_from(next, chain, is_anchor, used, steps).map(|end| end.min(own));
            best = best.max(through);
        }
    }
    used[at] = false;
    best
}

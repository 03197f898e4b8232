use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error};

use super::chain::{Dates, LONGEST, Parsed, best_path_ends, parse};
use super::recorder::Presented;
use super::trust::TlsClient;
use crate::model::Timestamp;

/// Why a chain is not trusted. A closed set: it is a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::probe) enum Reason {
    Expired,
    NotYetValid,
    WrongName,
    SelfSigned,
    IncompleteChain,
    UnknownIssuer,
    WrongPurpose,
    BadSignature,
    WeakKey,
    NoCertificate,
    Malformed,
    Other,
}

impl Reason {
    /// The label value.
    pub(in crate::probe) fn name(self) -> &'static str {
        match self {
            Reason::Expired => "expired",
            Reason::NotYetValid => "not_yet_valid",
            Reason::WrongName => "wrong_name",
            Reason::SelfSigned => "self_signed",
            Reason::IncompleteChain => "incomplete_chain",
            Reason::UnknownIssuer => "unknown_issuer",
            Reason::WrongPurpose => "wrong_purpose",
            Reason::BadSignature => "bad_signature",
            Reason::WeakKey => "weak_key",
            Reason::NoCertificate => "no_certificate",
            Reason::Malformed => "malformed",
            Reason::Other => "other",
        }
    }

    /// For a person.
    pub(in crate::probe) fn told(self) -> &'static str {
        match self {
            Reason::Expired => "the certificate has expired",
            Reason::NotYetValid => "the certificate is not valid yet",
            Reason::WrongName => "the certificate is for another name",
            Reason::SelfSigned => "the certificate is self-signed",
            Reason::IncompleteChain => {
                "the server does not send the intermediate certificate (incomplete chain)"
            }
            Reason::UnknownIssuer => "the certificate is from an unknown issuer",
            Reason::WrongPurpose => "the certificate is not made for servers",
            Reason::BadSignature => "a signature in the certificate chain is wrong",
            Reason::WeakKey => "the certificate's key or signature is too weak or unknown",
            Reason::NoCertificate => "the server presents no certificate",
            Reason::Malformed => "the certificate cannot be read",
            Reason::Other => "the certificate is not trusted",
        }
    }
}

/// A chain, read and judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::probe) struct Judgement {
    /// Dates by position, leaf first; `None` where there is no X.509.
    pub(super) dates: Vec<Option<Dates>>,
    /// Everything that is wrong, each once, sorted; empty when it is trusted.
    pub(in crate::probe) reasons: Vec<Reason>,
    /// Until when the best path to an anchor holds; only when there is one.
    pub(super) path_ends: Option<Timestamp>,
}

impl Judgement {
    /// When the leaf ends.
    pub(in crate::probe) fn leaf_ends(&self) -> Option<Timestamp> {
        Some(self.dates.first()?.as_ref()?.not_after)
    }

    /// The earliest end among all presented certificates.
    pub(super) fn earliest_end(&self) -> Option<Timestamp> {
        self.dates.iter().flatten().map(|dates| dates.not_after).min()
    }
}

/// The last judgement of a target, so that an unchanged chain costs one digest and not three
/// signatures. Dates decide how long it holds.
#[derive(Default)]
pub(super) struct Cache(Mutex<Option<Kept>>);

struct Kept {
    digest: [u8; 32],
    holds: (Timestamp, Timestamp),
    judgement: Arc<Judgement>,
}

/// An unchanged chain is judged anew after this time at the latest.
const AT_MOST: Duration = Duration::from_secs(3600);

impl TlsClient {
    /// Judges what was presented, `now`.
    pub(super) fn judge(&self, presented: &Presented, now: Timestamp) -> Arc<Judgement> {
        let digest = digest(presented);
        let mut cache = self.cache.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = &*cache
            && kept.digest == digest
            && (kept.holds.0..=kept.holds.1).contains(&now)
        {
            return kept.judgement.clone();
        }
        let judgement = Arc::new(self.judge_anew(presented, now));
        // It holds until the next date of any certificate is crossed.
        let edges = judgement.dates.iter().flatten().flat_map(|d| [d.not_before, d.not_after]);
        let next = edges.filter(|edge| *edge >= now).min().unwrap_or(Timestamp::MAX);
        let holds = (now, next.min(now + AT_MOST));
        *cache = Some(Kept { digest, holds, judgement: judgement.clone() });
        judgement
    }

    fn judge_anew(&self, presented: &Presented, now: Timestamp) -> Judgement {
        let chain = &presented.chain;
        let parsed = parse(chain);
        let dates: Vec<_> = parsed.iter().map(|one| one.as_ref().map(|it| it.dates)).collect();
        let mut reasons = Vec::new();
        match (chain.split_first(), parsed.first()) {
            (Some((leaf, rest)), Some(Some(read))) => {
                reasons.extend(self.name_and_path(leaf, rest, read, now));
                reasons.extend(out_of_time(read.dates, now));
            }
            (None, _) => reasons.push(Reason::NoCertificate),
            _ => reasons.push(Reason::Malformed),
        }
        if let Some(Err(error)) = &presented.possession {
            reasons.push(reason_of(error));
        }
        reasons.sort_unstable();
        reasons.dedup();
        let is_anchor = |subject: &[u8]| {
            self.roots.store.roots.iter().any(|anchor| anchor.subject.as_ref() == subject)
        };
        let path_ends = reasons.is_empty().then(|| best_path_ends(&parsed, is_anchor)).flatten();
        Judgement { dates, reasons, path_ends }
    }

    fn name_and_path(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        read: &Parsed<'_>,
        now: Timestamp,
    ) -> Vec<Reason> {
        let end_entity = match ParsedCertificate::try_from(leaf) {
            Ok(end_entity) => end_entity,
            // Version 1, as old devices have it: read above, but nothing can vouch for it.
            Err(_) if read.issuer == read.subject => return vec![Reason::SelfSigned],
            Err(_) => return vec![Reason::Malformed],
        };
        let mut reasons = Vec::new();
        if verify_server_name(&end_entity, &self.name).is_err() {
            reasons.push(Reason::WrongName);
        }
        // A certificate that is itself an anchor is trusted, also when it calls itself a CA: so
        // say OpenSSL and browsers of a self-signed one that somebody put into the trust store.
        let itself = self.roots.store.roots.iter().any(|anchor| {
            anchor.subject.as_ref() == read.subject
                && anchor.subject_public_key_info.as_ref() == read.key
        });
        if itself {
            return reasons;
        }
        let rest = &rest[..rest.len().min(LONGEST)];
        let Err(first) = self.path(&end_entity, rest, now) else { return reasons };
        let first = path_reason(&first, read, rest);
        reasons.push(first);
        if matches!(first, Reason::Expired | Reason::NotYetValid) {
            // The search stops at its first fault. Look behind a date, at an instant when the
            // leaf was valid; what it says of dates then is no news.
            if let Err(behind) = self.path(&end_entity, rest, read.dates.not_after) {
                let behind = path_reason(&behind, read, rest);
                let date = matches!(behind, Reason::Expired | Reason::NotYetValid);
                reasons.extend((!date).then_some(behind));
            }
        }
        reasons
    }

    fn path(
        &self,
        end_entity: &ParsedCertificate<'_>,
        rest: &[CertificateDer<'_>],
        at: Timestamp,
    ) -> Result<(), Error> {
        let seconds = u64::try_from(at.millis() / 1000).unwrap_or(0);
        verify_server_cert_signed_by_trust_anchor(
            end_entity,
            &self.roots.store,
            rest,
            UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
            self.provider.signature_verification_algorithms.all,
        )
    }
}

fn out_of_time(dates: Dates, now: Timestamp) -> Option<Reason> {
    // The last second belongs to the certificate (RFC 5280 §4.1.2.5).
    if now >= dates.not_after + Duration::from_secs(1) {
        Some(Reason::Expired)
    } else {
        (now < dates.not_before).then_some(Reason::NotYetValid)
    }
}

fn path_reason(error: &Error, leaf: &Parsed<'_>, rest: &[CertificateDer<'_>]) -> Reason {
    match reason_of(error) {
        Reason::UnknownIssuer => unknown_issuer(leaf, rest),
        reason => reason,
    }
}

/// Which kind of unknown: signed by itself, or by somebody whom the server should have sent.
fn unknown_issuer(leaf: &Parsed<'_>, rest: &[CertificateDer<'_>]) -> Reason {
    if leaf.issuer == leaf.subject {
        return Reason::SelfSigned;
    }
    let sent = parse(rest).iter().flatten().any(|other| other.subject == leaf.issuer);
    if sent { Reason::UnknownIssuer } else { Reason::IncompleteChain }
}

fn reason_of(error: &Error) -> Reason {
    let Error::InvalidCertificate(error) = error else { return Reason::Other };
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Reason::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Reason::NotYetValid
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Reason::WrongName
        }
        CertificateError::UnknownIssuer => Reason::UnknownIssuer,
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            Reason::WrongPurpose
        }
        CertificateError::BadSignature => Reason::BadSignature,
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            Reason::WeakKey
        }
        CertificateError::BadEncoding => Reason::Malformed,
        _ => other(error),
    }
}

/// What rustls passes through from its certificate library has no variant of its own.
fn other(error: &CertificateError) -> Reason {
    let told = format!("{error:?}");
    if told.contains("CaUsedAsEndEntity") {
        Reason::SelfSigned
    } else if told.contains("UnsupportedSignature") || told.contains("InvalidSignature") {
        Reason::WeakKey
    } else {
        Reason::Other
    }
}

fn digest(presented: &Presented) -> [u8; 32] {
    use aws_lc_rs::digest::{Context, SHA256};
    let mut context = Context::new(&SHA256);
    for certificate in &presented.chain {
        context.update(&u64::try_from(certificate.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(certificate);
    }
    let possession = match &presented.possession {
        None => [0, 0],
        Some(Ok(())) => [1, 0],
        Some(Err(error)) => [2, reason_of(error) as u8],
    };
    context.update(&possession);
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

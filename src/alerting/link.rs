//! Links in messages by which somebody may say "I have it": signed, for one incident and one owner,
//! and only for a while. They are made and judged without any memory.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::model::{Secret, Timestamp};

/// How long a link may be used.
const VALID: Duration = Duration::from_secs(7 * 86_400);
/// Bytes of the signature that stand in the link.
const SIGNATURE: usize = 16;
/// Version of what is signed.
const VERSION: u8 = 1;
/// No link of ours is longer.
const LONGEST: usize = 1024;

/// Makes links, and reads them again.
#[derive(Clone)]
pub struct LinkSigner {
    base: Arc<str>,
    key: hmac::Key,
}

/// What a good link allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// About which incident.
    pub incident: String,
    /// Who was sent the link.
    pub owner: Arc<str>,
    /// Until when.
    pub expires: Timestamp,
}

/// Why a link is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLink {
    /// Not made by us, or changed on its way.
    #[error("this link was not made here")]
    Forged,
    /// Too old.
    #[error("this link is too old")]
    Expired,
}

impl LinkSigner {
    /// `base`: where readers reach our pages, without a slash at its end.
    pub fn new(base: &str, key: &Secret) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.reveal().as_bytes());
        Self { base: base.into(), key }
    }

    /// The link for an owner who is told of an incident. Opening it shows a page with a button;
    /// nothing happens before that is pressed.
    pub fn link(&self, incident: &str, owner: &str, now: Timestamp) -> String {
        format!("{}/act/{}", self.base, self.token(incident, owner, now + VALID))
    }

    fn token(&self, incident: &str, owner: &str, expires: Timestamp) -> String {
        let mut signed = vec![VERSION];
        signed.extend_from_slice(&(expires.millis() / 1000).to_be_bytes());
        signed.extend_from_slice(incident.as_bytes());
        signed.push(0);
        signed.extend_from_slice(owner.as_bytes());
        let signature = hmac::sign(&self.key, &signed);
        signed.extend_from_slice(&signature.as_ref()[..SIGNATURE]);
        URL_SAFE_NO_PAD.encode(signed)
    }

    /// Reads the last part of a link's path.
    ///
    /// # Errors
    /// It is not ours, or too old.
    pub fn open(&self, token: &str, now: Timestamp) -> Result<Invitation, BadLink> {
        if LONGEST < token.len() {
            return Err(BadLink::Forged);
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| BadLink::Forged)?;
        let split = bytes.len().checked_sub(SIGNATURE).ok_or(BadLink::Forged)?;
        let (signed, signature) = bytes.split_at(split);
        let expected = hmac::sign(&self.key, signed);
        let expected = &expected.as_ref()[..SIGNATURE];
        if aws_lc_rs::constant_time::verify_slices_are_equal(expected, signature).is_err() {
            return Err(BadLink::Forged);
        }
        let (&version, rest) = signed.split_first().ok_or(BadLink::Forged)?;
        let (expires, rest) = rest.split_first_chunk::<8>().ok_or(BadLink::Forged)?;
        if version != VERSION {
            return Err(BadLink::Forged);
        }
        let expires = i64::from_be_bytes(*expires).saturating_mul(1000);
        let expires = Timestamp::from_millis(expires);
        let text = std::str::from_utf8(rest).map_err(|_| BadLink::Forged)?;
        let (incident, owner) = text.split_once('\0').ok_or(BadLink::Forged)?;
        if expires <= now {
            return Err(BadLink::Expired);
        }
        Ok(Invitation { incident: incident.to_owned(), owner: owner.into(), expires })
    }
}

impl std::fmt::Debug for LinkSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LinkSigner").field("base", &self.base).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn signer() -> LinkSigner {
        LinkSigner::new("https://mon.example", &Secret::new("0123456789abcdef"))
    }

    fn token(link: &str) -> &str {
        link.strip_prefix("https://mon.example/act/").unwrap()
    }

    #[test]
    fn a_link_opens_for_a_week_and_not_longer() {
        let now = Timestamp::from_millis(1_700_000_000_000);
        let link = signer().link("0f3a", "web-team", now);
        let found = signer().open(token(&link), now).unwrap();
        assert_eq!((found.incident.as_str(), &*found.owner), ("0f3a", "web-team"));
        assert_eq!(signer().open(token(&link), now + VALID), Err(BadLink::Expired));
        assert!(signer().open(token(&link), now + VALID - Duration::from_secs(1)).is_ok());
        assert!(link.len() < 120, "{link}");
    }

    #[test]
    fn a_changed_link_or_another_key_opens_nothing() {
        let now = Timestamp::from_millis(1_700_000_000_000);
        let link = signer().link("0f3a", "web-team", now);
        let mut bytes = URL_SAFE_NO_PAD.decode(token(&link)).unwrap();
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            let forged = URL_SAFE_NO_PAD.encode(&bytes);
            assert_eq!(signer().open(&forged, now), Err(BadLink::Forged), "byte {at}");
            bytes[at] ^= 1;
        }
        let other = LinkSigner::new("https://mon.example", &Secret::new("another"));
        assert_eq!(other.open(token(&link), now), Err(BadLink::Forged));
        assert!(!format!("{:?}", signer()).contains("0123"));
    }

    proptest! {
        #[test]
        fn any_text_is_refused(text in "\\PC{0,80}|[A-Za-z0-9_-]{0,80}") {
            prop_assert!(signer().open(&text, Timestamp::from_millis(0)).is_err());
        }
    }
}

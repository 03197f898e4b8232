//! Statements of who we are that our own key signs: JSON Web Tokens (RFC 7519) as an OAuth 2.0
//! grant (RFC 7523 §2.1), with the claims that Alertmanager writes.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::{self, SystemRandom};
use aws_lc_rs::signature::{
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RsaEncoding, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Map, Value, json};

use super::{Assertion, SigningAlgorithm};
use crate::model::{Secret, Timestamp};

/// How long a statement is good for.
const GOOD_FOR: Duration = Duration::from_secs(600);

impl SigningAlgorithm {
    /// Its name in RFC 7518 §3.1.
    pub fn name(self) -> &'static str {
        match self {
            SigningAlgorithm::Rs256 => "RS256",
            SigningAlgorithm::Rs384 => "RS384",
            SigningAlgorithm::Rs512 => "RS512",
        }
    }

    fn encoding(self) -> &'static dyn RsaEncoding {
        match self {
            SigningAlgorithm::Rs256 => &RSA_PKCS1_SHA256,
            SigningAlgorithm::Rs384 => &RSA_PKCS1_SHA384,
            SigningAlgorithm::Rs512 => &RSA_PKCS1_SHA512,
        }
    }
}

/// Makes statements to one token endpoint.
pub(super) struct Signer {
    pub(super) assertion: Arc<Assertion>,
    pub(super) client_id: Arc<str>,
    /// The token endpoint, without a password.
    pub(super) endpoint: String,
    /// With blanks between them; may be empty.
    pub(super) scopes: String,
}

impl Signer {
    /// Signs a statement; the key is read anew, since something else may change it. Takes a
    /// millisecond or more of computing.
    ///
    /// # Errors
    /// The key cannot be read, or is none; the text shows nothing of it.
    pub(super) fn signed(&self, now: Timestamp) -> Result<Secret, String> {
        let key = key_pair(&self.assertion.key.key()?)?;
        let mut random = [0; 16];
        rand::fill(&mut random).map_err(|_| "there is no randomness")?;
        let unsigned = self.unsigned(now, &URL_SAFE_NO_PAD.encode(random));
        let mut signature = vec![0; key.public_modulus_len()];
        let encoding = self.assertion.algorithm.encoding();
        key.sign(encoding, &SystemRandom::new(), unsigned.as_bytes(), &mut signature)
            .map_err(|_| "the key cannot sign")?;
        Ok(Secret::new(&format!("{unsigned}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }

    fn unsigned(&self, now: Timestamp, id: &str) -> String {
        let Assertion { key_id, algorithm, issuer, audience, claims: own, .. } = &*self.assertion;
        let mut header = json!({"alg": algorithm.name(), "typ": "JWT"});
        if let Some(key) = key_id {
            header["kid"] = Value::from(&**key);
        }
        let now = now.millis().div_euclid(1000);
        let mut claims = Map::new();
        let issuer = issuer.as_ref().unwrap_or(&self.client_id);
        claims.insert("iss".into(), (&**issuer).into());
        claims.insert("sub".into(), (&*self.client_id).into());
        let audience = audience.as_deref().unwrap_or(&self.endpoint);
        claims.insert("aud".into(), audience.into());
        claims.insert("jti".into(), id.into());
        claims.insert("iat".into(), now.into());
        claims.insert("exp".into(), now.saturating_add(GOOD_FOR.as_secs() as i64).into());
        if !self.scopes.is_empty() {
            claims.insert("scope".into(), self.scopes.as_str().into());
        }
        claims.extend(own.clone());
        let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}", encoded(&header), encoded(&Value::Object(claims)))
    }
}

fn key_pair(key: &PrivateKeyDer<'_>) -> Result<RsaKeyPair, &'static str> {
    let pair = match key {
        PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
        PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
        _ => return Err("it is no RSA key"),
    };
    pair.map_err(|_| "it is no RSA key that can sign")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::Pem;
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{
        KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
        RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey,
    };
    use base64::engine::general_purpose::STANDARD;

    fn assertion(key: &str, algorithm: SigningAlgorithm) -> Assertion {
        Assertion {
            key: Pem::Text(Secret::new(key)),
            key_id: None,
            algorithm,
            issuer: None,
            audience: None,
            claims: Map::new(),
        }
    }

    fn signer(assertion: Assertion, scopes: &str) -> Signer {
        let (assertion, client_id) = (Arc::new(assertion), "i".into());
        Signer { assertion, client_id, endpoint: "http://t/token".into(), scopes: scopes.into() }
    }

    const NOW: Timestamp = Timestamp::from_millis(1_795_400_525_999);

    fn decoded(part: &str) -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }

    /// Header and claims are those of an Alertmanager 0.33.1 with the same settings.
    #[test]
    fn what_is_said_is_what_alertmanager_says() {
        let mut said = assertion("", SigningAlgorithm::Rs256);
        let unsigned = signer(said.clone(), "").unsigned(NOW, "d535");
        let (header, claims) = unsigned.split_once('.').unwrap();
        assert_eq!(decoded(header), json!({"alg": "RS256", "typ": "JWT"}));
        let usual = json!({"aud": "http://t/token", "exp": 1_795_401_125, "iat": 1_795_400_525,
            "iss": "i", "jti": "d535", "sub": "i"});
        assert_eq!(decoded(claims), usual);
        said.algorithm = SigningAlgorithm::Rs384;
        said.key_id = Some("kid1".into());
        said.issuer = Some("me".into());
        said.audience = Some("aud".into());
        let more = json!({"sub": "other", "n": 1, "l": [1, {"c": "d"}]});
        said.claims = more.as_object().unwrap().clone();
        let unsigned = signer(said, "a b").unsigned(NOW, "e1a1");
        let (header, claims) = unsigned.split_once('.').unwrap();
        assert_eq!(decoded(header), json!({"alg": "RS384", "kid": "kid1", "typ": "JWT"}));
        let own = json!({"aud": "aud", "exp": 1_795_401_125, "iat": 1_795_400_525, "iss": "me",
            "jti": "e1a1", "l": [1, {"c": "d"}], "n": 1, "scope": "a b", "sub": "other"});
        assert_eq!(decoded(claims), own);
    }

    #[test]
    fn the_signature_is_ours() {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
        let body = STANDARD.encode(der.as_ref());
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
        for (algorithm, check) in [
            (SigningAlgorithm::Rs256, &RSA_PKCS1_2048_8192_SHA256),
            (SigningAlgorithm::Rs384, &RSA_PKCS1_2048_8192_SHA384),
            (SigningAlgorithm::Rs512, &RSA_PKCS1_2048_8192_SHA512),
        ] {
            let signed = signer(assertion(&pem, algorithm), "").signed(NOW).unwrap();
            let (text, signature) = signed.reveal().rsplit_once('.').unwrap();
            let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
            let public = UnparsedPublicKey::new(check, pair.public_key().as_ref());
            public.verify(text.as_bytes(), &signature).unwrap();
            assert!(public.verify(b"other", &signature).is_err());
        }
    }

    #[test]
    fn what_is_no_key_is_said_without_showing_it() {
        let ec = rcgen::KeyPair::generate().unwrap().serialize_pem();
        for (pem, why) in [("geheim", "it is not there"), (ec.as_str(), "no RSA key")] {
            let told = signer(assertion(pem, SigningAlgorithm::Rs256), "").signed(NOW).unwrap_err();
            assert!(told.contains(why) && !told.contains("geheim"), "{told}");
        }
        let mut lost = assertion("", SigningAlgorithm::Rs256);
        lost.key = Pem::File("/no/such/key.pem".into());
        assert!(signer(lost, "").signed(NOW).is_err());
    }
}

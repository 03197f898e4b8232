//! Logging in at a mail server: SCRAM (RFC 5802, RFC 7677), CRAM-MD5 (RFC 2195), PLAIN (RFC 4616),
//! LOGIN, XOAUTH2.

use std::num::NonZeroU32;
use std::sync::Arc;

use ::hmac::{Hmac, KeyInit as _, Mac as _};
use aws_lc_rs::{digest, hmac, pbkdf2, rand};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;

use super::smtp::{Fault, Session};
use crate::model::Secret;
use crate::notify::MailLogin;
use crate::notify::wire::scrubbed;

/// A server that asks for more rounds than this wants to keep us busy.
const MOST_ROUNDS: u32 = 1_000_000;

/// What proves who we are.
pub(super) enum Proof {
    Login(MailLogin),
    /// A user's OAuth 2.0 access token.
    Token(Arc<str>, Secret),
}

/// A mechanism of RFC 5802.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scram {
    Sha256,
    Sha1,
}

impl Scram {
    fn name(self) -> &'static str {
        match self {
            Scram::Sha256 => "SCRAM-SHA-256",
            Scram::Sha1 => "SCRAM-SHA-1",
        }
    }

    fn hash(self, data: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Scram::Sha256 => &digest::SHA256,
            Scram::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        };
        digest::digest(algorithm, data).as_ref().to_vec()
    }

    fn mac(self, key: &[u8], data: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Scram::Sha256 => hmac::HMAC_SHA256,
            Scram::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        };
        hmac::sign(&hmac::Key::new(algorithm, key), data).as_ref().to_vec()
    }

    fn salted(self, password: &str, salt: &[u8], rounds: NonZeroU32) -> Vec<u8> {
        let (algorithm, length) = match self {
            Scram::Sha256 => (pbkdf2::PBKDF2_HMAC_SHA256, 32),
            Scram::Sha1 => (pbkdf2::PBKDF2_HMAC_SHA1, 20),
        };
        let mut salted = vec![0; length];
        pbkdf2::derive(algorithm, rounds, salt, password.as_bytes(), &mut salted);
        salted
    }
}

/// The client's side of one login by SCRAM, without channel binding.
struct Exchange {
    scram: Scram,
    /// The GS2 header.
    header: String,
    first: String,
    nonce: String,
}

/// What the client answers, and what the server must prove afterwards.
struct Last {
    message: String,
    server: Vec<u8>,
}

impl Exchange {
    fn new(scram: Scram, user: &str, identity: Option<&str>, nonce: &str) -> Self {
        let name = |text: &str| text.replace('=', "=3D").replace(',', "=2C");
        // No channel binding.
        let header = match identity {
            Some(identity) => format!("n,a={},", name(identity)),
            None => "n,,".to_owned(),
        };
        let first = format!("n={},r={nonce}", name(user));
        Self { scram, header, first, nonce: nonce.to_owned() }
    }

    fn client_first(&self) -> String {
        format!("{}{}", self.header, self.first)
    }

    /// The answer to the server's challenge.
    fn client_last(&self, challenge: &str, password: &str) -> Result<Last, &'static str> {
        let part = |name: &str| challenge.split(',').find_map(|part| part.strip_prefix(name));
        let nonce = part("r=").filter(|n| n.len() > self.nonce.len() && n.starts_with(&self.nonce));
        let nonce = nonce.ok_or("a challenge for somebody else")?;
        let salt = part("s=").and_then(|salt| STANDARD.decode(salt).ok());
        let salt = salt.ok_or("a challenge without salt")?;
        let rounds = part("i=").and_then(|rounds| rounds.parse::<u32>().ok());
        let rounds = rounds.filter(|rounds| *rounds <= MOST_ROUNDS).and_then(NonZeroU32::new);
        let rounds = rounds.ok_or("a challenge with too many rounds")?;
        let scram = self.scram;
        let salted = scram.salted(password, &salt, rounds);
        let bare = format!("c={},r={nonce}", STANDARD.encode(&self.header));
        let signed = format!("{},{challenge},{bare}", self.first);
        let client_key = scram.mac(&salted, b"Client Key");
        let signature = scram.mac(&scram.hash(&client_key), signed.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        let server = scram.mac(&scram.mac(&salted, b"Server Key"), signed.as_bytes());
        Ok(Last { message: format!("{bare},p={}", STANDARD.encode(proof)), server })
    }
}

impl Last {
    /// Whether the server knows the password too.
    fn is_confirmed_by(&self, verdict: &str) -> bool {
        let proof = verdict.split(',').find_map(|part| part.strip_prefix("v="));
        proof.and_then(|proof| STANDARD.decode(proof).ok()).is_some_and(|proof| {
            aws_lc_rs::constant_time::verify_slices_are_equal(&proof, &self.server).is_ok()
        })
    }
}

/// The answer to a challenge of CRAM-MD5.
fn cram_md5(user: &str, secret: &Secret, challenge: &str) -> Option<String> {
    let mut mac = Hmac::<Md5>::new_from_slice(secret.reveal().as_bytes()).ok()?;
    mac.update(challenge.as_bytes());
    let digest: String = mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect();
    Some(format!("{user} {digest}"))
}

impl Session {
    /// By the best mechanism that the server offers.
    pub(super) async fn login(&mut self, proof: &Proof) -> Result<(), Fault> {
        let offered = self.mechanisms();
        let offers = |name: &str| offered.split_ascii_whitespace().any(|word| word == name);
        let login = match proof {
            Proof::Token(user, token) if offers("XOAUTH2") => {
                return self.xoauth2(user, token).await;
            }
            Proof::Token(..) => return Err(Fault::NoLogin(scrubbed(&offered))),
            Proof::Login(login) => login,
        };
        if let Some(password) = &login.password
            && let Some(scram) = [Scram::Sha256, Scram::Sha1].into_iter().find(|s| offers(s.name()))
        {
            return self.scram(scram, login, password).await;
        }
        if let Some(secret) = &login.secret
            && offers("CRAM-MD5")
        {
            return self.cram(&login.user, secret).await;
        }
        let Some(password) = &login.password else {
            return Err(Fault::NoLogin(scrubbed(&offered)));
        };
        if offers("PLAIN") {
            return self.plain(login, password).await;
        }
        if offers("LOGIN") {
            self.command("AUTH LOGIN").await?;
            self.command(&STANDARD.encode(&*login.user)).await?;
            self.command(&STANDARD.encode(password.reveal())).await?;
            return Ok(());
        }
        // The last one: servers offer it whose users have no password that it could work with.
        if offers("CRAM-MD5") {
            return self.cram(&login.user, password).await;
        }
        Err(Fault::NoLogin(scrubbed(&offered)))
    }

    async fn plain(&mut self, login: &MailLogin, password: &Secret) -> Result<(), Fault> {
        let identity = login.identity.as_deref().unwrap_or_default();
        let response = format!("{identity}\0{}\0{}", login.user, password.reveal());
        self.command(&format!("AUTH PLAIN {}", STANDARD.encode(response))).await?;
        Ok(())
    }

    async fn cram(&mut self, user: &str, secret: &Secret) -> Result<(), Fault> {
        let challenge = self.command("AUTH CRAM-MD5").await?;
        let challenge = challenge.decoded().ok_or(Fault::Nonsense("an unreadable challenge"))?;
        let answer = cram_md5(user, secret, &challenge);
        let answer = answer.ok_or(Fault::Nonsense("a challenge that has no answer"))?;
        self.command(&STANDARD.encode(answer)).await?;
        Ok(())
    }

    async fn scram(
        &mut self,
        scram: Scram,
        login: &MailLogin,
        password: &Secret,
    ) -> Result<(), Fault> {
        let mut random = [0; 18];
        rand::fill(&mut random).map_err(|_| Fault::Nonsense("there is no randomness"))?;
        let nonce = STANDARD.encode(random);
        let exchange = Exchange::new(scram, &login.user, login.identity.as_deref(), &nonce);
        let first = STANDARD.encode(exchange.client_first());
        let challenge = self.command(&format!("AUTH {} {first}", scram.name())).await?;
        let challenge = challenge.decoded().ok_or(Fault::Nonsense("an unreadable challenge"))?;
        let last = exchange.client_last(&challenge, password.reveal()).map_err(Fault::Nonsense)?;
        let verdict = self.command(&STANDARD.encode(&last.message)).await?;
        // The server's proof stands in one more challenge, or in the final answer itself.
        let proven = verdict.decoded().is_some_and(|verdict| last.is_confirmed_by(&verdict));
        if verdict.code == 334 {
            self.command("").await?;
        }
        if proven { Ok(()) } else { Err(Fault::Nonsense("it does not know the password")) }
    }

    /// Google's and Microsoft's way with OAuth 2.0 tokens.
    async fn xoauth2(&mut self, user: &str, token: &Secret) -> Result<(), Fault> {
        let response = format!("user={user}\u{1}auth=Bearer {}\u{1}\u{1}", token.reveal());
        let answer = self.command(&format!("AUTH XOAUTH2 {}", STANDARD.encode(response))).await?;
        if answer.code == 334 {
            // The challenge holds the error; the refusal comes after an empty answer.
            self.command("").await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 7677 §3 and RFC 5802 §5.
    #[test]
    fn the_examples_of_the_standards_come_out() {
        for (scram, nonce, challenge, answer, verdict) in [
            (
                Scram::Sha256,
                "rOprNGfwEbeRWgbNEkqO",
                "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
                "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
                "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
            ),
            (
                Scram::Sha1,
                "fyko+d2lbbFgONRv9qkxdawL",
                "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
                "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
                "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
            ),
        ] {
            let exchange = Exchange::new(scram, "user", None, nonce);
            assert_eq!(exchange.client_first(), format!("n,,n=user,r={nonce}"));
            let last = exchange.client_last(challenge, "pencil").unwrap();
            assert_eq!(last.message, answer);
            assert!(last.is_confirmed_by(verdict));
            assert!(!last.is_confirmed_by("v=AAAA") && !last.is_confirmed_by("e=other"));
        }
    }

    #[test]
    fn a_false_challenge_is_not_answered() {
        let exchange = Exchange::new(Scram::Sha256, "a=b,c", Some("d,e"), "abc");
        assert_eq!(exchange.client_first(), "n,a=d=2Ce,n=a=3Db=2Cc,r=abc");
        let exchange = Exchange::new(Scram::Sha256, "a=b,c", None, "abc");
        assert_eq!(exchange.client_first(), "n,,n=a=3Db=2Cc,r=abc");
        for challenge in [
            "",
            "r=abc,s=AAAA,i=1",
            "r=xyzabc,s=AAAA,i=1",
            "r=abcd,s=!,i=1",
            "r=abcd,s=AAAA,i=0",
            "r=abcd,s=AAAA,i=4000000000",
        ] {
            assert!(exchange.client_last(challenge, "p").is_err(), "{challenge}");
        }
    }

    /// RFC 2195 §2.
    #[test]
    fn the_example_of_cram_md5_comes_out() {
        let challenge = "<1896.697170952@postoffice.reston.mci.net>";
        let answer = cram_md5("tim", &Secret::new("tanstaaftanstaaf"), challenge);
        assert_eq!(answer.unwrap(), "tim b913a602c7eda7a495b4e6e7334d3890");
    }

    proptest! {
        #[test]
        fn no_challenge_causes_a_panic(challenge in "(r=abc|s=|i=|,|[a-zA-Z0-9=+/]){0,12}") {
            let exchange = Exchange::new(Scram::Sha1, "user", None, "abc");
            if let Ok(last) = exchange.client_last(&challenge.replace("i=", "i=1"), "p") {
                prop_assert!(!last.is_confirmed_by(&challenge));
            }
        }
    }
}

//! What is older than our TLS library speaks (before 1.2, or without forward secrecy): printers,
//! UPS cards, switches. Below TLS 1.3 the certificate travels in clear, so a hello is enough to
//! read it; the handshake is not finished and nothing is sent.

use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::chain::LONGEST;
use crate::probe::connect::Watch;
use crate::probe::failure::{Failure, of_connection};

/// A server's first flight may be so long, in bytes.
const FLIGHT_LIMIT: usize = 128 * 1024;

/// Suites of old servers (RFC 2246, 3268, 4346, 4492, 5246), by their numbers in IANA's registry.
const SUITES: [u16; 26] = [
    0xc013, 0xc014, 0xc009, 0xc00a, 0xc027, 0xc028, 0xc023, 0xc024, 0xc02f, 0xc030, 0x0033, 0x0039,
    0x0067, 0x006b, 0x009e, 0x002f, 0x0035, 0x003c, 0x003d, 0x009c, 0x009d, 0xc012, 0x000a, 0x0016,
    0x0005, 0x00ff,
];

/// What an old server shows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// `TLS 1.0` …
    pub(super) version: &'static str,
    /// Leaf first.
    pub(super) chain: Vec<CertificateDer<'static>>,
}

/// Says hello as an old client and reads the certificates.
pub(super) async fn ask(
    mut stream: TcpStream,
    name: &ServerName<'_>,
    watch: Watch<'_>,
) -> Result<Shown, Failure> {
    const DOING: &str = "reading certificates of an old TLS server";
    let mut random = [0; 32];
    if aws_lc_rs::rand::fill(&mut random).is_err() {
        return Err(Failure::theirs("no random numbers"));
    }
    let hello = hello(name, random);
    let written = watch.within(DOING, stream.write_all(&hello)).await?;
    written.map_err(|error| of_connection(&error))?;
    let mut flight = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = watch.within(DOING, stream.read(&mut buffer)).await?;
        let length = read.map_err(|error| of_connection(&error))?;
        flight.extend_from_slice(&buffer[..length]);
        match shown(&flight) {
            Progress::Shown(shown) => return Ok(shown),
            Progress::More if length > 0 && flight.len() < FLIGHT_LIMIT => {}
            Progress::More | Progress::Nothing => {
                return Err(Failure::theirs("the server shows no certificate"));
            }
        }
    }
}

/// A ClientHello (RFC 5246 §7.4.1.2) in one record.
fn hello(name: &ServerName<'_>, random: [u8; 32]) -> Vec<u8> {
    let mut extensions = Vec::new();
    if let ServerName::DnsName(name) = name {
        let entry = [&[0][..], &counted16(name.as_ref().as_bytes())].concat();
        extension(&mut extensions, 0, &counted16(&entry));
    }
    // Groups x25519, P-256, P-384, P-521; uncompressed points; RSA and ECDSA with SHA-512 … SHA-1.
    extension(&mut extensions, 10, &counted16(&[0, 29, 0, 23, 0, 24, 0, 25]));
    extension(&mut extensions, 11, &[1, 0]);
    let signatures = [6, 1, 5, 1, 4, 1, 2, 1, 6, 3, 5, 3, 4, 3, 2, 3];
    extension(&mut extensions, 13, &counted16(&signatures));
    let suites: Vec<u8> = SUITES.iter().flat_map(|suite| suite.to_be_bytes()).collect();
    let body = [&[3, 3][..], &random, &[0], &counted16(&suites), &[1, 0], &counted16(&extensions)]
        .concat();
    let handshake = [&[1, 0][..], &counted16(&body)].concat();
    [&[22, 3, 1][..], &counted16(&handshake)].concat()
}

fn extension(into: &mut Vec<u8>, number: u8, content: &[u8]) {
    into.extend([0, number]);
    into.extend(counted16(content));
}

/// With its length in two bytes before it. A name has at most 255 bytes: all fits.
fn counted16(content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes();
    [&length[..], content].concat()
}

#[derive(Debug, PartialEq, Eq)]
enum Progress {
    /// The flight has not come so far yet.
    More,
    /// It will not come.
    Nothing,
    Shown(Shown),
}

/// Looks for the Certificate message in the bytes that have come.
fn shown(flight: &[u8]) -> Progress {
    let Some(handshake) = handshake_of(flight) else { return Progress::Nothing };
    let mut rest = &handshake[..];
    let mut version = None;
    while let Some((kind, body, behind)) = message(rest) {
        match (kind, version) {
            (2, _) => {
                version = match body.get(..2) {
                    Some([3, 0]) => Some("SSL 3.0"),
                    Some([3, 1]) => Some("TLS 1.0"),
                    Some([3, 2]) => Some("TLS 1.1"),
                    Some([3, 3]) => Some("TLS 1.2"),
                    _ => return Progress::Nothing,
                };
            }
            (11, Some(version)) => {
                return match chain(body) {
                    Some(chain) => Progress::Shown(Shown { version, chain }),
                    None => Progress::Nothing,
                };
            }
            _ => return Progress::Nothing,
        }
        rest = behind;
    }
    Progress::More
}

/// The contents of all handshake records, joined; `None` when there is another one (an alert).
fn handshake_of(flight: &[u8]) -> Option<Vec<u8>> {
    let mut joined = Vec::with_capacity(flight.len());
    let mut rest = flight;
    while let [kind, 3, _, high, low, behind @ ..] = rest {
        if *kind != 22 {
            return None;
        }
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let here = behind.len().min(length);
        joined.extend_from_slice(&behind[..here]);
        rest = &behind[here..];
    }
    // What is left over is the beginning of a record's head, or no TLS.
    let fits = rest.len() < 5 && rest.first().is_none_or(|kind| *kind == 22);
    fits.then_some(joined)
}

/// A handshake message: kind, body, what comes behind. `None` when it is not complete.
fn message(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&kind, rest) = bytes.split_first()?;
    let (body, behind) = counted24(rest)?;
    Some((kind, body, behind))
}

fn counted24(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_at_checked(3)?;
    let length = u32::from_be_bytes([0, length[0], length[1], length[2]]);
    rest.split_at_checked(usize::try_from(length).ok()?)
}

/// The certificates of a Certificate message; `None` when it has none or is malformed.
fn chain(body: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let (mut list, _) = counted24(body)?;
    let mut chain = Vec::new();
    while !list.is_empty() && chain.len() < LONGEST {
        let (certificate, rest) = counted24(list)?;
        chain.push(CertificateDer::from(certificate.to_vec()));
        list = rest;
    }
    (!chain.is_empty()).then_some(chain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// ServerHello and Certificate of TLS 1.0, cut into records of `size` bytes.
    fn flight(size: usize) -> Vec<u8> {
        let hello = [&[2, 0, 0, 38, 3, 1][..], &[7; 32], &[0, 0, 0x2f, 0]].concat();
        let certificate = [11, 0, 0, 12, 0, 0, 9, 0, 0, 6, b'f', b'o', b'o', b'b', b'a', b'r'];
        let all = [&hello[..], &certificate].concat();
        let records = all.chunks(size);
        records.flat_map(|part| [&[22, 3, 1][..], &counted16(part)].concat()).collect()
    }

    #[test]
    fn a_certificate_is_found_however_it_is_cut() {
        for size in [1, 3, 7, 40, 1000] {
            let flight = flight(size);
            let chain = vec![CertificateDer::from(b"foobar".to_vec())];
            let expected = Progress::Shown(Shown { version: "TLS 1.0", chain });
            assert_eq!(shown(&flight), expected);
            for length in 0..flight.len() {
                assert_eq!(shown(&flight[..length]), Progress::More, "{length}");
            }
        }
    }

    #[test]
    fn an_alert_shows_nothing() {
        assert_eq!(shown(&[21, 3, 1, 0, 2, 2, 40]), Progress::Nothing);
        assert_eq!(shown(b"HTTP/1.1 400 Bad Request"), Progress::Nothing);
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = shown(&bytes);
            let record = [&[22, 3, 1][..], &counted16(&bytes)].concat();
            let _ = shown(&record);
        }

        #[test]
        fn damaged_flights_never_panic(at in 0usize..70, flip in any::<u8>()) {
            let mut flight = flight(1000);
            let at = at % flight.len();
            flight[at] ^= flip;
            let _ = shown(&flight);
        }
    }
}

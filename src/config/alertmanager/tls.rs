//! `tls_config`: whom we trust, what we show, which versions.

use super::super::reader::{Fields, Reader};
use super::super::yaml::Kind;
use super::http::one_of;
use super::plain;
use crate::model::Secret;
use crate::notify::{ClientCertificate, Handshake, Pem, TlsVersions};

/// `tls_config`, when it is given.
pub(super) fn tls(
    fields: &mut Fields<'_>,
    name: &'static str,
    reader: &mut Reader<'_>,
) -> Option<Handshake> {
    let node = fields.get(name)?;
    let mut inner = reader.fields(node, name)?;
    let ca = pem(&mut inner, ["ca", "ca_file", "ca_ref"], reader);
    let given = |inner: &mut Fields<'_>, names: [&'static str; 3]| {
        names.iter().any(|name| inner.get(name).is_some_and(|node| !node.is_empty_text()))
    };
    let pair = given(&mut inner, CERTIFICATE) == given(&mut inner, KEY);
    let certificate = pem(&mut inner, CERTIFICATE, reader);
    let key = pem(&mut inner, KEY, reader);
    let certificate = match (certificate, key) {
        (Some(certificate), Some(key)) => Some(ClientCertificate { certificate, key }),
        _ if pair => None,
        _ => {
            reader.problem(node.at, "a certificate (`cert`, `cert_file`) needs its key (`key`, `key_file`), and a key its certificate");
            None
        }
    };
    let server_name = inner.get("server_name").filter(|node| !node.is_empty_text());
    let server_name = server_name.and_then(|node| reader.text(node, "server_name"));
    let versions = versions(&mut inner, reader);
    let anybody = inner.get("insecure_skip_verify");
    let trusts_anybody =
        anybody.is_some_and(|node| reader.boolean(node, "insecure_skip_verify") == Some(true));
    if let (true, Some(node)) = (trusts_anybody, anybody) {
        let message = "with `insecure_skip_verify` whoever stands in between reads and changes \
                       everything: give the issuer's certificate as `ca_file` instead";
        reader.remark(node.at, message);
    }
    inner.finish(reader);
    Some(Handshake { ca, certificate, server_name, trusts_anybody, versions })
}

const CERTIFICATE: [&str; 3] = ["cert", "cert_file", "cert_ref"];
const KEY: [&str; 3] = ["key", "key_file", "key_ref"];

/// PEM as text, or in a file; the last of the names is the one of a secret manager.
pub(super) fn pem(
    inner: &mut Fields<'_>,
    names: [&'static str; 3],
    reader: &mut Reader<'_>,
) -> Option<Pem> {
    let (name, node) = one_of(inner, &names, reader)?;
    if name.ends_with("_file") {
        return reader.path(node, name).map(Pem::File);
    }
    match &node.kind {
        Kind::Scalar { text, .. } => Some(Pem::Text(Secret::new(text))),
        _ => reader.expected(node, name, "a text"),
    }
}

const VERSIONS: [&str; 4] = ["TLS10", "TLS11", "TLS12", "TLS13"];

fn versions(inner: &mut Fields<'_>, reader: &mut Reader<'_>) -> TlsVersions {
    let mut version = |name: &'static str| {
        let node = inner.get(name).filter(|node| !node.is_empty_text())?;
        let text = plain(node, name, reader)?;
        let place = VERSIONS.iter().position(|version| *version == text);
        match place {
            Some(place) => Some((place, node.at)),
            None => reader.expected(node, name, &format!("one of {}", VERSIONS.join(", "))),
        }
    };
    let (least, most) = (version("min_version"), version("max_version"));
    match (least.map_or(0, |(least, _)| least), most) {
        (_, Some((0 | 1, at))) => {
            reader.obstacle(at, "`max_version`: versions of TLS before 1.2 are not spoken");
            TlsVersions::Usual
        }
        (3, Some((2, at))) => {
            reader.obstacle(at, "`max_version` is before `min_version`");
            TlsVersions::Usual
        }
        (3, _) => TlsVersions::Only13,
        (_, Some((2, _))) => TlsVersions::Only12,
        _ => TlsVersions::Usual,
    }
}

//! Certificates for a single server, created when they are needed.

use std::fs;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair};

/// An authority and the certificates that it signed, for a server on the loopback interface and for a client.
/// All are PEM texts.
pub struct Tls {
    /// The certificate that a client must trust.
    pub ca: String,
    pub server_certificate: String,
    pub server_key: String,
    /// For a server that requires client certificates (`tls-auth-clients yes`).
    pub client_certificate: String,
    pub client_key: String,
}

impl Tls {
    /// The server's settings, and the files in its folder that these settings name.
    pub(super) const FILES: [(&str, &str); 3] =
        [("tls-ca-cert-file", "ca.pem"), ("tls-cert-file", "server.pem"), ("tls-key-file", "server.key")];

    /// A new authority that no one trusts yet.
    pub fn generate() -> Self {
        let mut authority = CertificateParams::default();
        authority.distinguished_name = named("authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key can be made");
        let ca = authority.self_signed(&key).expect("an authority certifies itself").pem();
        let issuer = Issuer::new(authority, key);
        let (server_certificate, server_key) = certify(&issuer, &["localhost", "127.0.0.1"]);
        let (client_certificate, client_key) = certify(&issuer, &["client"]);
        Self { ca, server_certificate, server_key, client_certificate, client_key }
    }

    /// Writes the files that the server needs into its folder.
    pub(super) fn install(&self, folder: &Path) {
        for ((_, file), text) in
            Self::FILES.iter().zip([&self.ca, &self.server_certificate, &self.server_key])
        {
            fs::write(folder.join(file), text).expect("the folder of a server is writable");
        }
    }
}

fn certify(issuer: &Issuer<'_, KeyPair>, names: &[&str]) -> (String, String) {
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    let mut parameters = CertificateParams::new(names.clone()).expect("the names are names");
    parameters.distinguished_name = named(&names[0]);
    let key = KeyPair::generate().expect("a key can be made");
    let certificate = parameters.signed_by(&key, issuer).expect("the authority certifies");
    (certificate.pem(), key.serialize_pem())
}

/// Without separate names, all certificates would have the same one, and a certificate with the name of its
/// issuer counts as self-signed.
fn named(name: &str) -> DistinguishedName {
    let mut full = DistinguishedName::new();
    full.push(DnType::CommonName, name);
    full
}

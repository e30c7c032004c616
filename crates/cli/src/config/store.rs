//! `[store]`: where answers are kept, and what matters to each kind of store.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use wellspring::error::Result;
use wellspring::store::{EmbeddedOptions, Eviction, Freshness, Limits, ValkeyOptions, ValkeyStore};

use super::origin::Origin;
use super::{ByteSize, StoreUrl, checked, config_error, units};

/// The longest certificate or key that is read.
const MAX_PEM_BYTES: u64 = 1024 * 1024;

/// `[store]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct StoreConfig {
    /// The store's kind and place.
    pub url: StoreUrl,
    /// The folder for what one process keeps on disk beside the store: its indexes, the outbox of a store on
    /// Valkey, and the gateway's journal.
    pub state_dir: Option<PathBuf>,
    /// How many bytes of an embedded store's file are kept in memory.
    pub cache_bytes: ByteSize,
    /// The greatest number of entries, of a local store.
    pub max_entries: u64,
    /// The greatest size of all entries together, of a local store.
    pub max_bytes: ByteSize,
    /// What is removed first when a local store is full.
    pub eviction: Eviction,
    /// What every key on Valkey begins with.
    pub prefix: String,
    /// Over how many buckets a corpus is spread on Valkey. All processes must agree.
    #[serde(deserialize_with = "buckets")]
    pub buckets: u16,
    /// How long a lookup or a fill waits for a server that usually replies quickly. This is longer than the
    /// library's own default: someone who runs a command would rather wait than read that the server is slow.
    #[serde(with = "units::duration")]
    pub command_timeout: Duration,
    /// How long an invalidation is tried before it is reported as incomplete.
    #[serde(with = "units::duration")]
    pub invalidate_timeout: Duration,
    /// The time after which the server may forget invalidations.
    #[serde(with = "units::duration")]
    pub max_ttl: Duration,
    /// How many bytes of answers from Valkey are kept in this process.
    pub memory_tier_bytes: ByteSize,
    /// What the freshness of a hit in the memory tier depends on.
    #[serde(with = "freshness")]
    pub freshness: Freshness,
    /// The file with the certificate authority of the servers.
    pub tls_ca: Option<PathBuf>,
    /// The file with the certificate that is shown to the servers.
    pub tls_certificate: Option<PathBuf>,
    /// The file with its key.
    pub tls_key: Option<PathBuf>,
}

impl Default for StoreConfig {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            url: StoreUrl::default(),
            state_dir: None,
            cache_bytes: ByteSize(EmbeddedOptions::DEFAULT_CACHE_BYTES as u64),
            max_entries: limits.max_entries,
            max_bytes: ByteSize(limits.max_bytes),
            eviction: limits.eviction,
            prefix: "wellspring:".into(),
            buckets: 16,
            command_timeout: Duration::from_secs(1),
            invalidate_timeout: Duration::from_secs(2),
            max_ttl: Duration::from_hours(7 * 24),
            memory_tier_bytes: ByteSize(64 << 20),
            freshness: Freshness::Validated,
            tls_ca: None,
            tls_certificate: None,
            tls_key: None,
        }
    }
}

/// Settings that only a local store uses.
const LOCAL: [&str; 3] = ["store.max_entries", "store.max_bytes", "store.eviction"];
/// Settings that mean nothing for a store in memory.
const ON_DISK: [&str; 2] = ["store.state_dir", "store.cache_bytes"];

impl StoreConfig {
    /// The settings of a store on Valkey, with the contents of the files that they name.
    pub(super) fn valkey_options(&self, is_tls: bool) -> Result<ValkeyOptions> {
        let mut options = ValkeyStore::options()
            .prefix(&self.prefix)
            .buckets(self.buckets)
            // Who expects a distant server to be slow to answer expects it to be slow to connect, too.
            .connect_timeout(self.command_timeout.max(Duration::from_secs(1)))
            .command_timeout(self.command_timeout)
            .invalidate_timeout(self.invalidate_timeout)
            .max_ttl(self.max_ttl)
            .memory_tier_bytes(self.memory_tier_bytes.0)
            .freshness(self.freshness);
        if let Some(folder) = &self.state_dir {
            options = options.outbox(folder.join("outbox"));
        }
        let files = [
            ("tls_ca", &self.tls_ca),
            ("tls_certificate", &self.tls_certificate),
            ("tls_key", &self.tls_key),
        ];
        // A user who names a certificate believes that the connection is encrypted.
        if let Some((field, _)) = files.iter().find(|(_, path)| path.is_some() && !is_tls) {
            return Err(config_error(format!(
                "store.{field} is set, but {} is not encrypted: write valkeys for valkey, or remove it",
                self.url
            )));
        }
        if let Some(pem) = self.authority()? {
            options = options.tls_ca(pem);
        }
        match (&self.tls_certificate, &self.tls_key) {
            (Some(certificate), Some(key)) => {
                Ok(options.tls_client(read_pem("tls_certificate", certificate)?, read_pem("tls_key", key)?))
            }
            (None, None) => Ok(options),
            _ => Err(config_error("store.tls_certificate and store.tls_key go together, set both or none")),
        }
    }

    /// The certificate authority of the servers, in PEM.
    pub(crate) fn authority(&self) -> Result<Option<Vec<u8>>> {
        self.tls_ca.as_deref().map(|path| read_pem("tls_ca", path)).transpose()
    }
}

/// The warning about settings that the current store does not use. Settings in a layer below the one that
/// names the store were meant for another store, so there is no warning about them.
pub(super) fn without_effect<'a>(
    url: &StoreUrl,
    settings: impl Iterator<Item = (&'a str, &'a Origin)> + Clone,
) -> Option<String> {
    let named = settings.clone().find(|(key, _)| *key == "store.url")?.1.layer();
    let concerns = |key: &str| match (key, url) {
        ("store.url", _) => true,
        ("store.state_dir", _) => *url != StoreUrl::Memory,
        ("store.cache_bytes", _) => matches!(url, StoreUrl::Embedded(_)),
        (_, StoreUrl::Valkey(_)) => !LOCAL.contains(&key),
        _ => LOCAL.contains(&key),
    };
    let idle: Vec<&str> = settings
        .filter(|(key, origin)| key.starts_with("store.") && !concerns(key) && origin.layer() >= named)
        .filter(|(_, origin)| **origin != Origin::Default)
        .map(|(key, _)| key)
        .collect();
    if idle.is_empty() {
        return None;
    }
    let why = match url {
        StoreUrl::Valkey(_) => "is limited by its servers' own maxmemory",
        StoreUrl::Memory if idle.iter().all(|key| ON_DISK.contains(key)) => "keeps nothing on disk",
        _ => "is not a store on Valkey",
    };
    let (has, keys) = (if idle.len() == 1 { "has" } else { "have" }, idle.join(", "));
    Some(format!("{keys} {has} no effect: {url} {why}"))
}

fn read_pem(field: &str, path: &Path) -> Result<Vec<u8>> {
    let cannot =
        |why: &str| config_error(format!("cannot read the file of store.{field}, {}{why}", path.display()));
    let length = std::fs::metadata(path).map_err(|e| cannot("").with_source(e))?.len();
    if length > MAX_PEM_BYTES {
        return Err(cannot(&format!(": it has more than {MAX_PEM_BYTES} bytes")));
    }
    let pem = std::fs::read(path).map_err(|e| cannot("").with_source(e))?;
    if !pem.windows(11).any(|part| part == b"-----BEGIN ") {
        return Err(cannot(": it is not a PEM file"));
    }
    Ok(pem)
}

fn buckets<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    checked(deserializer, |value| (1..=1024).contains(value))
}

/// A [`Freshness`], written `validated` or as the time that bounds it; for `#[serde(with)]`.
mod freshness {
    use serde::de::Error as _;

    use super::{Deserialize as _, Deserializer, Freshness, Serializer};

    pub(super) fn serialize<S: Serializer>(freshness: &Freshness, serializer: S) -> Result<S::Ok, S::Error> {
        match freshness {
            Freshness::Validated => serializer.serialize_str("validated"),
            Freshness::Bounded(bound) => serializer.collect_str(&humantime::format_duration(*bound)),
            _ => Err(serde::ser::Error::custom("this kind of freshness has no name")),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Freshness, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "validated" {
            return Ok(Freshness::Validated);
        }
        humantime::parse_duration(&text).map(Freshness::Bounded).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_want_an_encrypted_address_and_come_in_pairs() {
        let folder = tempfile::tempdir().unwrap();
        let pem = folder.path().join("x.pem");
        std::fs::write(&pem, "-----BEGIN CERTIFICATE-----\n").unwrap();
        let config = |ca: Option<&Path>, certificate: Option<&Path>| StoreConfig {
            url: "valkey://u:secret@h".parse().unwrap(),
            tls_ca: ca.map(Path::to_owned),
            tls_certificate: certificate.map(Path::to_owned),
            ..StoreConfig::default()
        };
        assert!(config(Some(&pem), None).valkey_options(true).is_ok());
        let message =
            |config: StoreConfig, tls| config.valkey_options(tls).map(drop).unwrap_err().to_string();
        let error = message(config(Some(&pem), None), false);
        assert_eq!(
            error,
            "store.tls_ca is set, but valkey://u:***@h is not encrypted: write valkeys for valkey, or remove it"
        );
        assert!(message(config(None, Some(&pem)), true).contains("go together"));
        let none = folder.path().join("none");
        assert!(message(config(Some(&none), None), true).contains("cannot read the file of store.tls_ca"));
        std::fs::write(&pem, "secret").unwrap();
        assert!(message(config(Some(&pem), None), true).ends_with("it is not a PEM file"));
    }
}

//! A store's kind and place.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use wellspring::error::{Error, Result};
use wellspring::store::ValkeyAddress;

use super::config_error;

/// A store's kind and place: `embedded:PATH`, `memory:`, or the address of Valkey servers. Shown without a
/// password.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreUrl {
    /// A file, relative to the current folder.
    Embedded(PathBuf),
    /// The memory of this process.
    Memory,
    /// Servers, shared with other processes.
    Valkey(ValkeyUrl),
}

/// The text of a valid [`ValkeyAddress`].
#[derive(Clone, PartialEq, Eq)]
pub struct ValkeyUrl {
    /// May hold a password.
    text: String,
    shown: String,
    is_tls: bool,
}

impl ValkeyUrl {
    /// Whether connections are encrypted.
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// The address with its password.
    pub(crate) fn secret(&self) -> &str {
        &self.text
    }
}

impl FromStr for ValkeyUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let address: ValkeyAddress = text.parse()?;
        Ok(Self { text: text.to_owned(), shown: address.to_string(), is_tls: address.is_tls() })
    }
}

impl fmt::Display for ValkeyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for ValkeyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ValkeyUrl({self})")
    }
}

impl Default for StoreUrl {
    fn default() -> Self {
        Self::Embedded("wellspring.redb".into())
    }
}

impl FromStr for StoreUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if ValkeyAddress::is_scheme_of(text) {
            return Ok(Self::Valkey(text.parse()?));
        }
        match text.split_once(':') {
            Some(("embedded", path)) if !path.is_empty() && !path.contains('\0') => {
                Ok(Self::Embedded(path.into()))
            }
            Some(("memory", "")) => Ok(Self::Memory),
            _ => Err(config_error(
                "unknown store, known are embedded:PATH, memory: and valkey://HOST with its variants",
            )),
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded(path) => write!(f, "embedded:{}", path.display()),
            Self::Memory => f.write_str("memory:"),
            Self::Valkey(url) => url.fmt(f),
        }
    }
}

impl Serialize for StoreUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StoreUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What may be shown of a text that was meant as an address. However invalid the text is, the part where a
/// password would be is left out.
pub(super) fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let shown = match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://***@{host}"),
        None => text.to_owned(),
    };
    match shown.split_once("pass=") {
        Some((before, _)) => format!("{before}pass=***"),
        None => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn store_urls_round_trip_and_unknown_ones_are_refused() {
        for url in [
            "embedded:wellspring.redb",
            "embedded:/a b/c:d.redb",
            "memory:",
            "redis://localhost",
            "valkeys://h:1/2",
            "valkey+unix:///run/valkey.sock",
            "valkey-cluster://a:1,b:2",
            "valkey-sentinel://a:1,b:2/main",
        ] {
            assert_eq!(url.parse::<StoreUrl>().unwrap().to_string(), url);
        }
        for url in ["", "wellspring.redb", "embedded:", "memory:x", "http://localhost", "embedded:a\0b"] {
            let error = url.parse::<StoreUrl>().unwrap_err().to_string();
            assert!(
                error.starts_with("unknown store, known are embedded:PATH, memory: and valkey:"),
                "{error}"
            );
        }
    }

    #[test]
    fn passwords_are_kept_and_not_shown() {
        let url: StoreUrl = "valkeys://bob:s3cret@h".parse().unwrap();
        assert_eq!(url.to_string(), "valkeys://bob:***@h");
        assert!(!format!("{url:?}").contains("s3cret"));
        let StoreUrl::Valkey(url) = url else { panic!("another kind") };
        assert_eq!(url.secret(), "valkeys://bob:s3cret@h");
        for text in ["valkey://u:s3@cret@h:x", "http://:s3@cret@h", "valkey+unix:///a?pass=s3cret"] {
            let shown = without_password(text);
            assert!(!shown.contains("s3") && !shown.contains("cret"), "{shown}");
        }
    }
}

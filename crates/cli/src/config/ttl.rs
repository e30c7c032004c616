//! `[ttl]`: how long answers live.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wellspring::entry::ContentType;
use wellspring::error::{Error, Result};
use wellspring::policy::Ttls;

use super::{Config, config_error, units};

/// `[ttl]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct TtlConfig {
    /// Answers of no particular type.
    #[serde(with = "units::duration")]
    pub default: Duration,
    /// Answers that say that nothing was found.
    #[serde(with = "units::duration")]
    pub negative: Duration,
    /// Answers of a content type, each as `TYPE:TTL`. Types that are not listed keep their defaults.
    #[serde(with = "content_types")]
    pub content_types: Vec<ContentTypeTtl>,
}

impl Default for TtlConfig {
    fn default() -> Self {
        const MINUTE: Duration = Duration::from_mins(1);
        const HOUR: Duration = Duration::from_hours(1);
        let of = |content_type, ttl| ContentTypeTtl { content_type, ttl };
        Self {
            default: HOUR,
            negative: MINUTE,
            content_types: vec![
                of(ContentType::StaticFact, 24 * HOUR),
                of(ContentType::Documentation, 6 * HOUR),
                of(ContentType::UserData, HOUR),
                of(ContentType::RealTime, 2 * MINUTE),
            ],
        }
    }
}

/// The time to live of a content type, written `TYPE:TTL`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentTypeTtl {
    content_type: ContentType,
    ttl: Duration,
}

impl FromStr for ContentTypeTtl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || config_error(format!("{text:?} is not TYPE:TTL"));
        let (content_type, ttl) = text.split_once(':').ok_or_else(bad)?;
        let content_type = toml::Value::from(content_type).try_into().map_err(|e| bad().with_source(e))?;
        Ok(Self { content_type, ttl: humantime::parse_duration(ttl).map_err(|e| bad().with_source(e))? })
    }
}

impl fmt::Display for ContentTypeTtl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.content_type.serialize(&mut *f)?;
        // In the environment, a space separates items.
        write!(f, ":{}", humantime::format_duration(self.ttl).to_string().replace(' ', ""))
    }
}

impl Config {
    /// The times to live.
    pub fn ttls(&self) -> Ttls {
        let ttls = Ttls::default().general(self.ttl.default).negative(self.ttl.negative);
        self.ttl.content_types.iter().fold(ttls, |ttls, one| ttls.of(one.content_type, one.ttl))
    }
}

/// The list as it is written; what is read has every type.
mod content_types {
    use serde::de::Error as _;
    use serde::{Deserializer, Serializer};

    use super::{ContentTypeTtl, TtlConfig};
    use crate::config::list;

    pub(super) fn serialize<S: Serializer>(
        ttls: &[ContentTypeTtl],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        list::serialize(ttls, serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<ContentTypeTtl>, D::Error> {
        let mut written: Vec<ContentTypeTtl> = list::deserialize(deserializer)?;
        let mut ttls = TtlConfig::default().content_types;
        for ttl in &mut ttls {
            if let Some(at) = written.iter().position(|other| other.content_type == ttl.content_type) {
                *ttl = written.swap_remove(at);
            }
        }
        // General answers have a setting of their own.
        match written.first() {
            None => Ok(ttls),
            Some(left) => Err(D::Error::custom(format!("{left} is not expected"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_that_are_not_listed_keep_their_defaults() {
        let read = |list: &str| toml::from_str::<TtlConfig>(&format!("content_types = {list}"));
        let ttl = read("[\"documentation:36h\"]").unwrap();
        let shown: Vec<_> = ttl.content_types.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["static_fact:1day", "documentation:1day12h", "user_data:1h", "real_time:2m"]);
        assert_eq!(toml::from_str::<TtlConfig>(&toml::to_string(&ttl).unwrap()).unwrap(), ttl);
        assert_eq!(read("[]").unwrap(), TtlConfig::default());
        for bad in [
            "[\"documentation\"]",
            "[\"docs:1h\"]",
            "[\"documentation:1\"]",
            "[\"general:1h\"]",
            "[\"user_data:1h\", \"user_data:2h\"]",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}

//! Where the servers are: a single server, a group behind sentinels, or a cluster.

use std::fmt;
use std::str::FromStr;

use redis::{
    ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo, TlsMode,
};

use crate::error::{Error, ErrorKind, Result};

/// The address of the servers on which a [`ValkeyStore`](super::ValkeyStore) keeps its answers.
///
/// | URL | servers |
/// |---|---|
/// | `valkey://[user:password@]host[:6379][/database]` | one |
/// | `valkey+unix:///path/to/socket[?db=0&user=name&pass=word]` | one, through a Unix socket |
/// | `valkey-cluster://[user:password@]host:port[,host:port…]` | a cluster, found through any of its nodes |
/// | `valkey-sentinel://[user:password@]host:port[,host:port…]/name[?db=0]` | the primary that sentinels call `name` |
///
/// `valkeys`, `valkeys-cluster` and `valkeys-sentinel` use TLS; with the fragment `#insecure` they do not
/// check certificates. Each scheme can also be written with `redis` for `valkey`, and with `rediss` for
/// `valkeys`. The user and the password are percent-encoded. The sentinels themselves are asked without a
/// password, and in plain text unless the scheme is `valkeys-sentinel`.
#[derive(Clone)]
pub struct ValkeyAddress {
    pub(super) topology: Topology,
    /// The address without the password.
    shown: String,
}

#[derive(Clone)]
pub(super) enum Topology {
    Single(ConnectionInfo),
    Cluster(Vec<ConnectionInfo>),
    Sentinel {
        sentinels: Vec<ConnectionInfo>,
        /// The name of the primary.
        name: String,
        /// How to log in to the primary.
        node: RedisConnectionInfo,
        tls: Option<TlsMode>,
    },
}

impl ValkeyAddress {
    /// Whether `text` has the scheme of such an address.
    pub fn is_scheme_of(text: &str) -> bool {
        text.split_once("://").is_some_and(|(scheme, _)| parse_scheme(scheme).is_some())
    }

    /// Whether connections are encrypted.
    pub fn is_tls(&self) -> bool {
        let first = match &self.topology {
            Topology::Single(info) => Some(info),
            Topology::Cluster(nodes) | Topology::Sentinel { sentinels: nodes, .. } => nodes.first(),
        };
        first.is_some_and(|info| matches!(info.addr(), ConnectionAddr::TcpTls { .. }))
    }
}

impl fmt::Display for ValkeyAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for ValkeyAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ValkeyAddress({self})")
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Single,
    Unix,
    Cluster,
    Sentinel,
}

fn parse_scheme(scheme: &str) -> Option<(Kind, bool)> {
    let (tls, rest) = [("valkeys", true), ("rediss", true), ("valkey", false), ("redis", false)]
        .into_iter()
        .find_map(|(name, tls)| Some((tls, scheme.strip_prefix(name)?)))?;
    match (rest, tls) {
        ("", _) => Some((Kind::Single, tls)),
        ("+unix", false) => Some((Kind::Unix, false)),
        ("-cluster", _) => Some((Kind::Cluster, tls)),
        ("-sentinel", _) => Some((Kind::Sentinel, tls)),
        _ => None,
    }
}

impl FromStr for ValkeyAddress {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (scheme, rest) = text.split_once("://").ok_or_else(|| config("it has no scheme"))?;
        let (kind, tls) = parse_scheme(scheme).ok_or_else(|| {
            config("its scheme is not valkey, valkeys, valkey+unix, valkey-cluster or valkey-sentinel")
        })?;
        let (user, after) = rest.rsplit_once('@').map_or(("", rest), |(user, after)| (user, after));
        let shown = match user.split_once(':') {
            _ if user.is_empty() => format!("{scheme}://{after}"),
            Some((name, _)) => format!("{scheme}://{name}:***@{after}"),
            None => format!("{scheme}://{user}@{after}"),
        };
        // A password may also be in the query of a socket's address.
        let shown =
            shown.split_once("pass=").map_or(shown.clone(), |(before, _)| format!("{before}pass=***"));
        let credentials = if user.is_empty() { String::new() } else { format!("{user}@") };
        let plain = if tls { "rediss" } else { "redis" };
        let topology = match kind {
            Kind::Single | Kind::Unix => {
                let scheme = if kind == Kind::Unix { "redis+unix" } else { plain };
                Topology::Single(connection(&format!("{scheme}://{rest}"))?)
            }
            Kind::Cluster => {
                let (hosts, fragment) = after.split_once('#').unwrap_or((after, ""));
                let hosts = hosts.trim_end_matches('/');
                if hosts.contains(['/', '?']) {
                    return Err(config("a cluster has no databases and no parameters"));
                }
                Topology::Cluster(nodes(plain, &credentials, hosts, fragment)?)
            }
            Kind::Sentinel => {
                let (after, fragment) = after.split_once('#').unwrap_or((after, ""));
                let (hosts, path) = after
                    .split_once('/')
                    .ok_or_else(|| config("it lacks the name of the primary, write …:26379/name"))?;
                let (name, query) = path.split_once('?').unwrap_or((path, ""));
                if name.is_empty() {
                    return Err(config("it lacks the name of the primary, write …:26379/name"));
                }
                let database = match query.strip_prefix("db=") {
                    Some(number) => number.parse().map_err(|_| config("its database is not a number"))?,
                    None if query.is_empty() => 0,
                    None => return Err(config("its only parameter is db")),
                };
                let node = connection(&format!("{plain}://{credentials}localhost"))?;
                let settings = settings_of(node.redis_settings()).set_db(database);
                let mode = if fragment == "insecure" { TlsMode::Insecure } else { TlsMode::Secure };
                let sentinels = nodes(plain, "", hosts, fragment)?;
                Topology::Sentinel {
                    sentinels,
                    name: name.to_owned(),
                    node: settings,
                    tls: tls.then_some(mode),
                }
            }
        };
        Ok(Self { topology, shown })
    }
}

fn nodes(scheme: &str, credentials: &str, hosts: &str, fragment: &str) -> Result<Vec<ConnectionInfo>> {
    let fragment = if fragment.is_empty() { String::new() } else { format!("#{fragment}") };
    hosts.split(',').map(|host| connection(&format!("{scheme}://{credentials}{host}{fragment}"))).collect()
}

fn connection(url: &str) -> Result<ConnectionInfo> {
    // The library's message may repeat the URL, and with it the password.
    let info = url.into_connection_info().map_err(|error| config(&error.category().to_lowercase()))?;
    let settings = settings_of(info.redis_settings());
    Ok(info.set_redis_settings(settings))
}

/// The settings that are the same on every connection: the protocol with push messages, and no library name,
/// because setting one would need another permission.
fn settings_of(settings: &RedisConnectionInfo) -> RedisConnectionInfo {
    settings.clone().set_protocol(ProtocolVersion::RESP3).set_skip_set_lib_name()
}

fn config(message: &str) -> Error {
    Error::new(ErrorKind::Config, format!("address of the Valkey server is not valid: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        text.parse::<ValkeyAddress>().unwrap().to_string()
    }

    #[test]
    fn every_spelling_is_read_and_no_password_is_shown() {
        assert_eq!(shown("valkey://localhost"), "valkey://localhost");
        assert_eq!(shown("redis://bob:s%40cret@h:1/2"), "redis://bob:***@h:1/2");
        assert_eq!(shown("valkey://:secret@h"), "valkey://:***@h");
        assert_eq!(
            shown("valkey+unix:///run/v.sock?db=1&pass=secret"),
            "valkey+unix:///run/v.sock?db=1&pass=***"
        );
        for (text, tls) in [
            ("valkeys://h", true),
            ("rediss://h#insecure", true),
            ("valkey-cluster://a:1,b:2", false),
            ("rediss-cluster://u:p@a:1,b:2", true),
            ("valkey-sentinel://a:1,b:2/main?db=3", false),
            ("valkeys-sentinel://a:1/main", true),
        ] {
            let address: ValkeyAddress = text.parse().unwrap();
            assert_eq!(address.is_tls(), tls, "{text}");
            assert!(ValkeyAddress::is_scheme_of(text));
        }
        let cluster: ValkeyAddress = "valkey-cluster://a:1,b:2".parse().unwrap();
        assert!(matches!(cluster.topology, Topology::Cluster(nodes) if nodes.len() == 2));
    }

    #[test]
    fn a_bad_address_says_what_is_wrong_without_the_password() {
        for (text, part) in [
            ("localhost:6379", "no scheme"),
            ("http://localhost", "its scheme is not"),
            ("valkeys+unix:///x", "its scheme is not"),
            ("valkey-sentinel://a:1", "lacks the name"),
            ("valkey-sentinel://a:1/main?x=1", "only parameter is db"),
            ("valkey-cluster://a:1/2", "no databases"),
            ("valkey://u:secret@h:notaport", ""),
        ] {
            let message = text.parse::<ValkeyAddress>().unwrap_err().to_string();
            assert!(message.contains(part) && !message.contains("secret"), "{text}: {message}");
        }
    }
}

//! `[server]` and `[upstream]`: the gateway.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::http::HeaderName;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use wellspring::error::Result;
use wellspring_gateway::auth::Token;
use wellspring_gateway::cors::Origin;
use wellspring_gateway::proxy::{HeaderPattern, PathPattern};
use wellspring_gateway::{Anonymous, Disconnected, Listeners, Options, Price, Sharing, Tls, Upstream};

use super::webhooks::{WebhookConfig, webhooks};
use super::{ByteSize, StoreUrl, checked, config_error, name, units};

/// `[server]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ServerConfig {
    /// The address of the proxy.
    pub listen: SocketAddr,
    /// The address of administration and ingestion.
    pub admin_listen: SocketAddr,
    /// The address for webhooks, if they have their own.
    pub webhook_listen: Option<SocketAddr>,
    /// The file with the certificate chain for all addresses.
    pub tls_certificate: Option<PathBuf>,
    /// The file with its key.
    pub tls_key: Option<PathBuf>,
    /// The file with the authorities that sign the certificates of clients.
    pub tls_client_ca: Option<PathBuf>,
    /// Who may do what, each as `NAME:SCOPES:SHA256`.
    #[serde(with = "list")]
    pub tokens: Vec<Token>,
    /// Who needs no token although there are some.
    pub anonymous: AnonymousConfig,
    /// The names by which callers without a token may address the gateway, besides IP addresses and
    /// `localhost`.
    #[serde(with = "list")]
    pub hosts: Vec<String>,
    /// The origins whose pages may call the proxy from a browser, each as `https://HOST` or `*`.
    #[serde(with = "list")]
    pub cors: Vec<Origin>,
    /// The additional paths to which the gateway's own keys are sent, each as `[METHOD:]PATH` below the base
    /// URL.
    #[serde(with = "list")]
    pub pass: Vec<PathPattern>,
    /// Which callers share answers.
    #[serde(with = "sharing")]
    pub sharing: Sharing,
    /// The names of the tokens that may fill answers which others are served; `*` for everyone.
    #[serde(with = "list")]
    pub writers: Vec<String>,
    /// Headers that are sent upstream and do not change the answer; each is a name, or a prefix followed by
    /// `*`.
    #[serde(with = "list")]
    pub ignore_headers: Vec<HeaderPattern>,
    /// What happens to an answer whose caller has disconnected.
    pub disconnected: DisconnectedConfig,
    /// How long requests may continue after a shutdown was requested.
    #[serde(with = "units::duration")]
    pub drain: Duration,
    /// The longest body of a request.
    pub max_body: ByteSize,
    /// How many requests one caller may send in a second; 0 for any number.
    pub max_rate: u32,
    /// How many changes one caller without the scope `admin` may report in an hour; 0 for any number.
    pub max_changes: u32,
    /// How many requests are served at a time.
    #[serde(deserialize_with = "positive")]
    pub max_concurrency: usize,
    /// How long the gateway waits for a client that reads nothing of what it is sent; a third of it for one
    /// that has not begun to send, and twice as long for a request's whole body.
    #[serde(with = "units::duration")]
    pub client_timeout: Duration,
    /// How many connections callers may have.
    #[serde(deserialize_with = "positive")]
    pub max_connections: usize,
    /// The webhooks through which other systems may report changes.
    pub webhooks: Vec<WebhookConfig>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        let (options, listeners) = (Options::default(), Listeners::default());
        let limits = options.limits;
        Self {
            listen: listeners.public,
            admin_listen: listeners.admin,
            webhook_listen: listeners.webhooks,
            tls_certificate: None,
            tls_key: None,
            tls_client_ca: None,
            tokens: Vec::new(),
            anonymous: AnonymousConfig::None,
            hosts: Vec::new(),
            cors: Vec::new(),
            pass: Vec::new(),
            sharing: options.sharing,
            writers: Vec::new(),
            ignore_headers: options.ignored_headers,
            disconnected: DisconnectedConfig::Cancel,
            drain: listeners.drain,
            max_body: ByteSize(limits.body_bytes as u64),
            max_rate: limits.rate_per_second,
            max_changes: limits.changes_per_hour,
            max_concurrency: limits.concurrency,
            client_timeout: limits.write_timeout,
            max_connections: limits.connections,
            webhooks: Vec::new(),
        }
    }
}

/// An [`Anonymous`] as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnonymousConfig {
    /// No one.
    None,
    /// Callers of the proxy.
    Proxy,
    /// Callers of the proxy, from other machines with the gateway's own keys, too.
    Relay,
    /// Everyone.
    All,
}

/// A [`Disconnected`] as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisconnectedConfig {
    /// Abandon the answer.
    Cancel,
    /// Receive and store it.
    Finish,
}

/// `[upstream]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct UpstreamsConfig {
    /// How long an upstream may send nothing.
    #[serde(with = "units::duration")]
    pub read_timeout: Duration,
    /// The prices of models, each as `MODEL:PROMPT:COMPLETION` in US dollars per million tokens.
    #[serde(with = "list")]
    pub prices: Vec<Price>,
    /// The API of OpenAI, or one like it.
    pub openai: OpenAiConfig,
    /// The API of Anthropic, or one like it.
    pub anthropic: AnthropicConfig,
}

impl Default for UpstreamsConfig {
    fn default() -> Self {
        Self {
            read_timeout: Options::default().openai.read_timeout,
            prices: Vec::new(),
            openai: OpenAiConfig::default(),
            anthropic: AnthropicConfig::default(),
        }
    }
}

macro_rules! upstream {
    ($(#[$doc:meta])* $name:ident, $default:ident, $variable:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        #[non_exhaustive]
        pub struct $name {
            /// The base URL, with the version.
            #[serde(deserialize_with = "name")]
            pub url: String,
            /// The environment variable that holds the gateway's own key.
            #[serde(deserialize_with = "name")]
            pub api_key_env: String,
        }

        impl Default for $name {
            fn default() -> Self {
                Self { url: Options::default().$default.url, api_key_env: $variable.into() }
            }
        }

        impl $name {
            fn upstream(&self, both: &UpstreamsConfig) -> Upstream {
                let mut upstream = Upstream::new(&self.url);
                upstream.api_key = std::env::var(&self.api_key_env).ok().filter(|key| !key.is_empty());
                upstream.read_timeout = both.read_timeout;
                upstream.prices.clone_from(&both.prices);
                upstream
            }
        }
    };
}

upstream! {
    /// `[upstream.openai]`
    OpenAiConfig, openai, "WELLSPRING_OPENAI_API_KEY"
}

upstream! {
    /// `[upstream.anthropic]`
    AnthropicConfig, anthropic, "WELLSPRING_ANTHROPIC_API_KEY"
}

impl super::Config {
    /// How the gateway behaves. Reads the environment for the keys of the upstreams and the
    /// secrets of webhooks.
    ///
    /// # Errors
    ///
    /// `Config` if a name or a webhook is not valid, or if the secret of a webhook is not set.
    pub fn gateway_options(&self) -> Result<Options> {
        let server = &self.server;
        let bytes = |size: ByteSize| usize::try_from(size.0).unwrap_or(usize::MAX);
        let mut options = Options::default();
        options.tokens.clone_from(&server.tokens);
        options.anonymous = match server.anonymous {
            AnonymousConfig::None => Anonymous::None,
            AnonymousConfig::Proxy | AnonymousConfig::Relay => Anonymous::Proxy,
            AnonymousConfig::All => Anonymous::All,
        };
        options.open_relay = server.anonymous == AnonymousConfig::Relay;
        options.hosts.clone_from(&server.hosts);
        options.cors.clone_from(&server.cors);
        options.pass.clone_from(&server.pass);
        options.sharing.clone_from(&server.sharing);
        let is_known = |writer: &&String| *writer == "*" || server.tokens.iter().any(|t| t.name() == *writer);
        if let Some(unknown) = server.writers.iter().find(|writer| !is_known(writer)) {
            return Err(config_error(format!(
                "server.writers names {unknown}, but server.tokens has no token of that name"
            )));
        }
        options.writers.clone_from(&server.writers);
        options.ignored_headers.clone_from(&server.ignore_headers);
        options.disconnected = match server.disconnected {
            DisconnectedConfig::Cancel => Disconnected::Cancel,
            DisconnectedConfig::Finish => Disconnected::Finish,
        };
        options.keep_incomplete = self.admission.incomplete;
        options.max_temperature = self.admission.max_temperature;
        options.limits.body_bytes = bytes(server.max_body);
        // The text of an answer is a part of the response.
        let response = bytes(self.admission.max_answer_bytes).saturating_mul(4);
        options.limits.recording_bytes = options.limits.recording_bytes.max(response);
        options.limits.rate_per_second = server.max_rate;
        options.limits.changes_per_hour = server.max_changes;
        options.limits.concurrency = server.max_concurrency;
        options.limits.open_timeout = server.client_timeout / 3;
        options.limits.body_timeout = server.client_timeout.saturating_mul(2);
        options.limits.write_timeout = server.client_timeout;
        options.limits.connections = server.max_connections;
        options.journal = self.journal();
        options.webhooks = webhooks(&server.webhooks)?;
        options.openai = self.upstream.openai.upstream(&self.upstream);
        options.anthropic = self.upstream.anthropic.upstream(&self.upstream);
        Ok(options)
    }

    /// The file that keeps changes which could not be applied yet. What a store in memory holds ends with the
    /// process, and so do the changes to it.
    fn journal(&self) -> Option<PathBuf> {
        match (&self.store.url, &self.store.state_dir) {
            (StoreUrl::Memory, _) => None,
            (_, Some(folder)) => Some(folder.join("journal")),
            (_, None) => Some("wellspring.journal".into()),
        }
    }

    /// Where the gateway listens.
    ///
    /// # Errors
    ///
    /// `Config` if some of the files that encryption needs are named and others are not.
    pub fn listeners(&self) -> Result<Listeners> {
        let server = &self.server;
        let tls = match (&server.tls_certificate, &server.tls_key, &server.tls_client_ca) {
            (Some(certificate), Some(key), client_ca) => {
                Some(Tls { certificate: certificate.clone(), key: key.clone(), client_ca: client_ca.clone() })
            }
            (None, None, None) => None,
            _ => {
                return Err(config_error(
                    "server.tls_certificate and server.tls_key go together, and server.tls_client_ca needs both",
                ));
            }
        };
        let mut listeners = Listeners::default();
        listeners.public = server.listen;
        listeners.admin = server.admin_listen;
        listeners.webhooks = server.webhook_listen;
        listeners.tls = tls;
        listeners.drain = server.drain;
        Ok(listeners)
    }
}

fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    checked(deserializer, |value| *value > 0)
}

/// A [`Sharing`], written `key`, `shared` or `header:NAME`; for `#[serde(with)]`.
mod sharing {
    use serde::de::Error as _;

    use super::{Deserialize as _, Deserializer, HeaderName, Serializer, Sharing};

    pub(super) fn serialize<S: Serializer>(sharing: &Sharing, serializer: S) -> Result<S::Ok, S::Error> {
        match sharing {
            Sharing::Key => serializer.serialize_str("key"),
            Sharing::Header(name) => serializer.collect_str(&format_args!("header:{name}")),
            Sharing::Shared => serializer.serialize_str("shared"),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Sharing, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.split_once(':') {
            None if text == "key" => Ok(Sharing::Key),
            None if text == "shared" => Ok(Sharing::Shared),
            Some(("header", name)) => {
                name.parse::<HeaderName>().map(Sharing::Header).map_err(D::Error::custom)
            }
            _ => Err(D::Error::custom("not a kind of sharing")),
        }
    }
}

/// A list in the file; in the environment, a text whose items are separated by spaces.
pub(super) mod list {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::de::Error as _;

    use super::{Deserialize, Deserializer, Serializer};

    pub(in crate::config) fn serialize<T: Display, S: Serializer>(
        items: &[T],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(items.iter().map(ToString::to_string))
    }

    pub(in crate::config) fn deserialize<'de, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            List(Vec<String>),
            Text(String),
        }
        let texts = match Written::deserialize(deserializer)? {
            Written::List(texts) => texts,
            Written::Text(text) => text.split_whitespace().map(str::to_owned).collect(),
        };
        texts.iter().map(|text| text.parse().map_err(D::Error::custom)).collect()
    }
}

#[cfg(test)]
mod tests {
    use wellspring_gateway::limits::RequestLimits;

    use super::*;
    use crate::config::Config;

    fn options(text: &str) -> Options {
        toml::from_str::<Config>(text).unwrap().gateway_options().unwrap()
    }

    #[test]
    fn defaults_are_those_of_the_gateway() {
        let (configured, own) = (options(""), Options::default());
        assert_eq!(configured.limits, RequestLimits::default());
        assert_eq!((configured.sharing, configured.anonymous), (own.sharing, own.anonymous));
        assert_eq!(configured.open_relay, own.open_relay);
        assert_eq!(configured.openai.read_timeout, own.openai.read_timeout);
        assert_eq!(configured.journal, Some("wellspring.journal".into()));
    }

    #[test]
    fn merged_settings_set_each_of_their_options() {
        let limits = options("server.client_timeout = \"6s\"\nadmission.max_answer_bytes = \"1MiB\"").limits;
        assert_eq!(
            [limits.open_timeout, limits.write_timeout, limits.body_timeout].map(|time| time.as_secs()),
            [2, 6, 12]
        );
        assert_eq!(limits.recording_bytes, 4 << 20);
        let relay = options("server.anonymous = \"relay\"");
        assert_eq!((relay.anonymous, relay.open_relay), (Anonymous::Proxy, true));
        assert!(!options("server.anonymous = \"all\"").open_relay);
        let both = options("[upstream]\nread_timeout = \"1s\"\nprices = [\"m:1:2\"]");
        for upstream in [both.openai, both.anthropic] {
            assert_eq!((upstream.read_timeout.as_secs(), upstream.prices.len()), (1, 1));
        }
        assert_eq!(options("store.state_dir = \"a\"").journal, Some("a/journal".into()));
        assert_eq!(options("store = { url = \"memory:\", state_dir = \"a\" }").journal, None);
    }

    #[test]
    fn sharing_reads_back_what_it_prints() {
        for text in ["key", "shared", "header:x-team"] {
            let config: Config = toml::from_str(&format!("server.sharing = \"{text}\"")).unwrap();
            assert_eq!(toml::Value::try_from(&config.server).unwrap()["sharing"].as_str(), Some(text));
        }
        for text in ["header", "header:", "header:a b", "keys", "shared:x"] {
            assert!(toml::from_str::<Config>(&format!("server.sharing = \"{text}\"")).is_err(), "{text}");
        }
    }
}

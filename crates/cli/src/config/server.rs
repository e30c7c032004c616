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
use super::{ByteSize, checked, config_error, name, units};

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
    /// Whether everyone who reaches the proxy may use the gateway's own keys.
    pub open_relay: bool,
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
    pub sharing: SharingConfig,
    /// The names of the tokens that may fill answers which others are served; `*` for everyone.
    #[serde(with = "list")]
    pub writers: Vec<String>,
    /// The header that `sharing = "header"` uses.
    #[serde(deserialize_with = "header_name")]
    pub sharing_header: String,
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
    /// The most values and names in a JSON body.
    #[serde(deserialize_with = "positive")]
    pub max_nodes: usize,
    /// The longest body of a webhook.
    pub max_webhook: ByteSize,
    /// The longest question that a caller may name.
    pub max_question: ByteSize,
    /// The deepest nesting of arrays and objects in a body.
    #[serde(deserialize_with = "depth")]
    pub max_depth: usize,
    /// The most sources of one answer.
    pub max_sources: usize,
    /// How many requests one caller may send in a second; 0 for any number.
    pub max_rate: u32,
    /// How many changes one caller without the scope `admin` may report in an hour; 0 for any number.
    pub max_changes: u32,
    /// How many corpora one caller without the scope `invalidate` may use for the first time in an hour; 0
    /// for any number.
    pub max_corpora: u32,
    /// How many requests are served at a time.
    #[serde(deserialize_with = "positive")]
    pub max_concurrency: usize,
    /// How long a request's body may take to arrive.
    #[serde(with = "units::duration")]
    pub body_timeout: Duration,
    /// How many connections callers may have.
    #[serde(deserialize_with = "positive")]
    pub max_connections: usize,
    /// How long a client may take to start sending on a connection.
    #[serde(with = "units::duration")]
    pub open_timeout: Duration,
    /// How long a client may go without reading what it is sent.
    #[serde(with = "units::duration")]
    pub write_timeout: Duration,
    /// The longest upstream response that is kept.
    pub max_recording: ByteSize,
    /// How many bytes of embeddings are kept.
    pub embeddings_cache: ByteSize,
    /// How long a permit waits for its answer.
    #[serde(with = "units::duration")]
    pub permit_ttl: Duration,
    /// The file that keeps changes which could not be applied yet.
    pub journal: PathBuf,
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
            open_relay: options.open_relay,
            hosts: Vec::new(),
            cors: Vec::new(),
            pass: Vec::new(),
            sharing: SharingConfig::Key,
            writers: Vec::new(),
            sharing_header: "wellspring-share".into(),
            ignore_headers: options.ignored_headers,
            disconnected: DisconnectedConfig::Cancel,
            drain: listeners.drain,
            max_body: ByteSize(limits.body_bytes as u64),
            max_nodes: limits.nodes,
            max_webhook: ByteSize(limits.webhook_bytes as u64),
            max_question: ByteSize(limits.question_bytes as u64),
            max_depth: limits.depth,
            max_sources: limits.sources,
            max_rate: limits.rate_per_second,
            max_changes: limits.changes_per_hour,
            max_corpora: limits.corpora_per_hour,
            max_concurrency: limits.concurrency,
            body_timeout: limits.body_timeout,
            max_connections: limits.connections,
            open_timeout: limits.open_timeout,
            write_timeout: limits.write_timeout,
            max_recording: ByteSize(limits.recording_bytes as u64),
            embeddings_cache: ByteSize(options.embeddings_bytes),
            permit_ttl: options.permit_ttl,
            journal: "wellspring.journal".into(),
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
    /// Everyone.
    All,
}

/// A [`Sharing`] as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SharingConfig {
    /// Callers with the same key.
    Key,
    /// Callers who send the same value of a header.
    Header,
    /// Everyone.
    Shared,
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
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct UpstreamsConfig {
    /// The API of OpenAI, or one like it.
    pub openai: OpenAiConfig,
    /// The API of Anthropic, or one like it.
    pub anthropic: AnthropicConfig,
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
            /// How long connecting may take.
            #[serde(with = "units::duration")]
            pub connect_timeout: Duration,
            /// How long the upstream may send nothing.
            #[serde(with = "units::duration")]
            pub read_timeout: Duration,
            /// The prices of models, each as `MODEL:PROMPT:COMPLETION` in US dollars per million tokens.
            #[serde(with = "list")]
            pub prices: Vec<Price>,
        }

        impl Default for $name {
            fn default() -> Self {
                let Upstream { url, connect_timeout, read_timeout, .. } = Options::default().$default;
                Self {
                    url,
                    api_key_env: $variable.into(),
                    connect_timeout,
                    read_timeout,
                    prices: Vec::new(),
                }
            }
        }

        impl $name {
            fn upstream(&self) -> Upstream {
                let mut upstream = Upstream::new(&self.url);
                upstream.api_key = std::env::var(&self.api_key_env).ok().filter(|key| !key.is_empty());
                upstream.connect_timeout = self.connect_timeout;
                upstream.read_timeout = self.read_timeout;
                upstream.prices.clone_from(&self.prices);
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
            AnonymousConfig::Proxy => Anonymous::Proxy,
            AnonymousConfig::All => Anonymous::All,
        };
        options.open_relay = server.open_relay;
        options.hosts.clone_from(&server.hosts);
        options.cors.clone_from(&server.cors);
        options.pass.clone_from(&server.pass);
        options.sharing = match server.sharing {
            SharingConfig::Key => Sharing::Key,
            SharingConfig::Shared => Sharing::Shared,
            SharingConfig::Header => Sharing::Header(server.sharing_header.parse().map_err(|e| {
                config_error("server.sharing_header is not the name of a header").with_source(e)
            })?),
        };
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
        options.limits.nodes = server.max_nodes;
        options.limits.webhook_bytes = bytes(server.max_webhook);
        options.limits.question_bytes = bytes(server.max_question);
        options.limits.depth = server.max_depth;
        options.limits.sources = server.max_sources;
        options.limits.rate_per_second = server.max_rate;
        options.limits.changes_per_hour = server.max_changes;
        options.limits.corpora_per_hour = server.max_corpora;
        options.limits.concurrency = server.max_concurrency;
        options.limits.body_timeout = server.body_timeout;
        options.limits.connections = server.max_connections;
        options.limits.open_timeout = server.open_timeout;
        options.limits.write_timeout = server.write_timeout;
        options.limits.recording_bytes = bytes(server.max_recording);
        options.embeddings_bytes = server.embeddings_cache.0;
        options.permit_ttl = server.permit_ttl;
        options.journal = Some(server.journal.clone());
        options.webhooks = webhooks(&server.webhooks)?;
        options.openai = self.upstream.openai.upstream();
        options.anthropic = self.upstream.anthropic.upstream();
        Ok(options)
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

fn depth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    checked(deserializer, |value| (1..=64).contains(value))
}

fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    checked(deserializer, |value| *value > 0)
}

fn header_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    checked(deserializer, |value: &String| value.parse::<HeaderName>().is_ok())
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

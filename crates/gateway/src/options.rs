//! How the gateway behaves; each field with its default.

use std::path::PathBuf;
use std::time::Duration;

use axum::http::HeaderName;

use wellspring::error::{Error, ErrorKind, Result};

use crate::auth::Token;
use crate::cors::Origin;
use crate::limits::RequestLimits;
use crate::price::Price;
use crate::proxy::{HeaderPattern, NO_TENANT, PathPattern, header_label, is_tenant, joined, token_label};
use crate::webhooks::Webhook;

/// How the gateway behaves.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// Who may do what. Without any tokens, only callers on this machine are served.
    pub tokens: Vec<Token>,
    /// Who needs no token even if some are configured.
    pub anonymous: Anonymous,
    /// Whether anyone who reaches the proxy may use the gateway's own keys. Without it, the default, these
    /// three exclude each other: an address that other machines can reach, callers who need no token, and a
    /// key of the gateway.
    pub open_relay: bool,
    /// The names, besides addresses and `localhost`, by which callers without a token may call the gateway.
    pub hosts: Vec<String>,
    /// The origins whose pages may call the proxy from a browser; none by default.
    pub cors: Vec<Origin>,
    /// The paths that the gateway's own keys are sent to, besides those that are known to be harmless.
    pub pass: Vec<PathPattern>,
    /// Which callers share answers.
    pub sharing: Sharing,
    /// The names of tokens whose holders may fill answers for others where answers are shared; `*` for
    /// everyone. Callers with the permission to administer may do so too, and everyone may if there are no
    /// tokens. What other callers fill is served to themselves only, and what the upstream says to a plain
    /// request of theirs serves the same request only.
    pub writers: Vec<String>,
    /// Headers that go upstream but do not change the answer. Callers that send different values of any other
    /// header do not share answers. By default, the headers that clients, browsers, proxies and tracing add.
    pub ignored_headers: Vec<HeaderPattern>,
    /// What happens to an answer when its caller has gone.
    pub disconnected: Disconnected,
    /// Whether answers that were cut off at a token limit are kept; they are not, by default. They are kept
    /// for the same request only, if it names no question and is matched exactly.
    pub keep_incomplete: bool,
    /// The highest temperature at which a request is answered from the cache or by another caller's call. A
    /// request that names no temperature has 1. Without this limit, the default, the same request gets the
    /// same answer at any temperature.
    pub max_temperature: Option<f64>,
    /// What requests may take.
    pub limits: RequestLimits,
    /// The API of OpenAI, or one like it.
    pub openai: Upstream,
    /// The API of Anthropic, or one like it.
    pub anthropic: Upstream,
    /// How many bytes of embeddings of `/v1/embeddings` are kept; 64 MiB by default.
    pub embeddings_bytes: u64,
    /// How long a permit waits for its answer; 5 minutes by default.
    pub permit_ttl: Duration,
    /// How many permits may wait at a time; 10,000 by default.
    pub permits: u64,
    /// The file that keeps changes which could not be applied yet, created when it is first needed. Without
    /// it, the default, such changes are kept for as long as the process lives.
    pub journal: Option<PathBuf>,
    /// The webhooks by which other systems report changes, each by its name in the address.
    pub webhooks: Vec<Webhook>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tokens: Vec::new(),
            anonymous: Anonymous::None,
            open_relay: false,
            hosts: Vec::new(),
            cors: Vec::new(),
            pass: Vec::new(),
            sharing: Sharing::Key,
            writers: Vec::new(),
            ignored_headers: HeaderPattern::defaults(),
            disconnected: Disconnected::Cancel,
            keep_incomplete: false,
            max_temperature: None,
            limits: RequestLimits::default(),
            openai: Upstream::new("https://api.openai.com/v1"),
            anthropic: Upstream::new("https://api.anthropic.com/v1"),
            embeddings_bytes: 64 << 20,
            permit_ttl: Duration::from_mins(5),
            permits: 10_000,
            journal: None,
            webhooks: Vec::new(),
        }
    }
}

/// Who needs no token even if some are configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Anonymous {
    /// No one.
    #[default]
    None,
    /// Callers of the proxy: their own keys go upstream. They ask and fill, and give no feedback.
    Proxy,
    /// Everyone, at both listeners.
    All,
}

/// Which callers share answers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Sharing {
    /// Callers with the same upstream key and the same token, if they show them. Tokens with the same name
    /// count as the same.
    #[default]
    Key,
    /// Callers who send the same value of this header. Those who send none share by key.
    Header(HeaderName),
    /// Everyone.
    Shared,
}

impl Sharing {
    /// The tenant that the gateway keeps answers under; none if the answers are everyone's. `caller` is the
    /// name of a token, or the value of the header that answers are shared by. `tenant` is the tenant within
    /// it that callers name.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if a caller is given where everyone shares, or a tenant that is empty or longer than 1,024
    /// bytes.
    pub fn tenant(&self, caller: Option<&str>, tenant: Option<&str>) -> Result<Option<String>> {
        if tenant.is_some_and(|tenant| !is_tenant(tenant)) {
            return Err(Error::new(ErrorKind::InvalidInput, NO_TENANT));
        }
        let shared_by = match (caller, self) {
            (None, _) => None,
            (Some(name), Self::Key) => Some(token_label(name)),
            (Some(value), Self::Header(_)) => Some(header_label(value.as_bytes())),
            (Some(_), Self::Shared) => {
                let message = "all callers share their answers here: name a tenant, not a caller";
                return Err(Error::new(ErrorKind::InvalidInput, message));
            }
        };
        Ok(joined(shared_by, tenant))
    }
}

/// What happens to an answer when its caller has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Disconnected {
    /// It is abandoned. If others wait for it, one of them asks again.
    #[default]
    Cancel,
    /// It is received to its end and stored.
    Finish,
}

/// An API behind the gateway.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct Upstream {
    /// Its base URL, up to and including the version: `https://api.openai.com/v1`.
    pub url: String,
    /// The gateway's own key, for callers who send none or send a token in its place.
    pub api_key: Option<String>,
    /// How long connecting may take; 10 seconds by default.
    pub connect_timeout: Duration,
    /// How long the upstream may be silent; 10 minutes by default.
    pub read_timeout: Duration,
    /// What its models cost. Without a price, what a hit saves is counted in tokens only.
    pub prices: Vec<Price>,
}

impl Upstream {
    /// The API at `url`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            api_key: None,
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_mins(10),
            prices: Vec::new(),
        }
    }
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream").field("url", &self.url).finish_non_exhaustive()
    }
}

//! Configuration: flags over environment over `wellspring.toml` over defaults.
//!
//! Every value is checked in the layer that it comes from, so an error names the file and line, the variable
//! or the flag that is at fault, and what is expected there. Unknown fields are errors, unknown variables are
//! warnings: the environment is shared with others. Secrets are never shown: the configuration names the
//! variable that holds the key of an API, and the address of a server is shown without its password.

mod environment;
mod file;
mod layers;
mod open;
mod origin;
mod server;
mod settings;
mod store;
mod ttl;
mod units;
mod url;
mod value;
mod verifying;
mod webhooks;

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};
use wellspring::cache::FollowUps;
use wellspring::error::{Error, ErrorKind};
use wellspring::judge::Shadow;
use wellspring::key::MAX_NAME_BYTES;
use wellspring::match_policy::{DEFAULT_MAX_FALSE_HIT_RATE, MatchPolicy};
use wellspring::policy::Admission;
use wellspring::store::Limits;
use wellspring::verify::{Guard, Guards};

pub use self::layers::{FILE_NAME, Loaded, Sources};
pub use self::open::Opening;
pub(crate) use self::open::{Outbox, with_advice};
pub use self::origin::Origin;
use self::server::list;
pub use self::server::{
    AnonymousConfig, AnthropicConfig, DisconnectedConfig, OpenAiConfig, ServerConfig, UpstreamsConfig,
};
pub use self::store::StoreConfig;
pub use self::ttl::{ContentTypeTtl, TtlConfig};
pub use self::units::ByteSize;
pub use self::url::{StoreUrl, ValkeyUrl};
pub(crate) use self::verifying::made_for;
pub use self::verifying::{CorpusCalibration, Deciding};
pub(crate) use self::webhooks::rules;
pub use self::webhooks::{RuleConfig, WebhookConfig, WebhookKindConfig};

/// Everything that can be configured.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Config {
    /// Where answers are kept.
    pub store: StoreConfig,
    /// What turns questions into vectors.
    pub embedding: EmbeddingConfig,
    /// When another question's answer is served.
    #[serde(rename = "match")]
    pub matching: MatchConfig,
    /// Who decides what cannot be decided otherwise.
    pub judge: JudgeConfig,
    /// How long answers live.
    pub ttl: TtlConfig,
    /// Which answers are kept.
    pub admission: AdmissionConfig,
    /// The gateway.
    pub server: ServerConfig,
    /// The APIs behind the gateway.
    pub upstream: UpstreamsConfig,
}

/// `[embedding]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct EmbeddingConfig {
    /// `bundled`, `multilingual-encoder`, the path of a model folder (begin it with `.` or `/`), the name of
    /// a model that fastembed knows, or, beside `url`, the name that the endpoint knows.
    #[serde(deserialize_with = "name")]
    pub model: String,
    /// The base URL of an OpenAI-compatible embeddings API.
    pub url: Option<String>,
    /// The environment variable that holds the key of the API.
    #[serde(deserialize_with = "name")]
    pub api_key_env: String,
    /// The dimensions of the vectors that the API gives.
    pub dimensions: Option<usize>,
    /// The longest text that the model behind the API reads in full, in tokens.
    pub max_tokens: Option<usize>,
    /// Distinguishes models with the same name behind the API.
    pub revision: Option<String>,
    /// How many threads compute one text.
    #[serde(deserialize_with = "threads")]
    pub threads: usize,
}

impl Default for EmbeddingConfig {
    fn default() -> Self {
        Self {
            model: "bundled".into(),
            url: None,
            api_key_env: "WELLSPRING_EMBEDDING_API_KEY".into(),
            dimensions: None,
            max_tokens: None,
            revision: None,
            threads: 1,
        }
    }
}

/// `[match]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct MatchConfig {
    /// The greatest share of wrong answers among hits on other wordings that is accepted.
    #[serde(deserialize_with = "rate")]
    pub max_false_hit_rate: f64,
    /// The least cosine similarity of another question whose answer may be served. If this is set, it decides
    /// instead of `max_false_hit_rate`.
    #[serde(deserialize_with = "similarity")]
    pub similarity_threshold: Option<f64>,
    /// What reads both questions where similarity and words cannot decide: `bundled`, `none`, the path of a
    /// model folder (begin it with `.` or `/`), or the name of a reranker that fastembed knows.
    #[serde(deserialize_with = "name")]
    pub verifier: String,
    /// What turns similarities, words and the verifier's scores into probabilities: `bundled`, or the path of
    /// a file that `wellspring calibrate` wrote.
    #[serde(deserialize_with = "name")]
    pub calibration: String,
    /// Calibrations of single corpora, each as `CORPUS:FILE`.
    #[serde(with = "list")]
    pub calibrations: Vec<CorpusCalibration>,
    /// Whether feedback moves the calibration, separately in each corpus.
    pub learn: bool,
    /// How long a lookup may take in total to verify its candidates.
    #[serde(with = "units::duration")]
    pub verify_timeout: Duration,
    /// What happens to follow-up questions that come without their conversation: `bypass` or `match`.
    pub follow_ups: FollowUps,
    /// The guards that may veto a hit, by their names; `[]` for none.
    #[serde(with = "list")]
    pub guards: Vec<Guard>,
}

impl Default for MatchConfig {
    fn default() -> Self {
        Self {
            max_false_hit_rate: DEFAULT_MAX_FALSE_HIT_RATE,
            similarity_threshold: None,
            verifier: "bundled".into(),
            calibration: "bundled".into(),
            calibrations: Vec::new(),
            learn: true,
            verify_timeout: Duration::from_millis(500),
            follow_ups: FollowUps::default(),
            guards: Guards::default().enabled().collect(),
        }
    }
}

/// `[judge]`: nothing is judged unless it has a URL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct JudgeConfig {
    /// The base URL of an OpenAI-compatible chat API.
    pub url: Option<String>,
    /// The name of the model there.
    pub model: Option<String>,
    /// The environment variable that holds the key of the API.
    #[serde(deserialize_with = "name")]
    pub api_key_env: String,
    /// The share of hits on other wordings that is judged.
    #[serde(deserialize_with = "share")]
    pub hits: f64,
    /// The share of misses whose neighbours may be judged.
    #[serde(deserialize_with = "share")]
    pub near_misses: f64,
    /// How many calls this process may make in an hour.
    pub calls_per_hour: u32,
    /// How sure the judge must be to approve an answer.
    #[serde(deserialize_with = "share")]
    pub min_confidence: f64,
}

impl Default for JudgeConfig {
    fn default() -> Self {
        Self {
            url: None,
            model: None,
            api_key_env: "WELLSPRING_JUDGE_API_KEY".into(),
            hits: 0.05,
            near_misses: 1.0,
            calls_per_hour: Shadow::DEFAULT_CALLS_PER_HOUR,
            min_confidence: 0.9,
        }
    }
}

/// `[admission]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct AdmissionConfig {
    /// The longest answer that is kept.
    pub max_answer_bytes: ByteSize,
    /// The highest temperature at which a request to the gateway is answered from the cache or from another
    /// caller's request.
    #[serde(deserialize_with = "temperature")]
    pub max_temperature: Option<f64>,
    /// Whether the gateway keeps answers that were cut off at a token limit, to serve them to identical
    /// requests only.
    pub incomplete: bool,
    /// How many principals must get the same answer before it is served to others.
    #[serde(deserialize_with = "confirmations")]
    pub confirmations: u32,
}

impl Default for AdmissionConfig {
    fn default() -> Self {
        Self {
            max_answer_bytes: ByteSize(Admission::default().max_answer_bytes as u64),
            max_temperature: None,
            incomplete: false,
            confirmations: Admission::default().confirmations,
        }
    }
}

fn confirmations<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    checked(deserializer, |value: &u32| *value > 0)
}

fn temperature<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    checked(deserializer, |value: &f64| value.is_finite() && *value >= 0.0).map(Some)
}

impl Config {
    /// What a local store may hold.
    pub fn limits(&self) -> Limits {
        Limits::default()
            .max_entries(self.store.max_entries)
            .max_bytes(self.store.max_bytes.0)
            .eviction(self.store.eviction)
    }

    /// Which answers are kept.
    pub fn admission(&self) -> Admission {
        let bytes = usize::try_from(self.admission.max_answer_bytes.0).unwrap_or(usize::MAX);
        Admission::default().max_answer_bytes(bytes).confirmations(self.admission.confirmations)
    }

    /// Whether a setting names this environment variable.
    fn names_variable(&self, variable: &str) -> bool {
        let named = [
            &self.embedding.api_key_env,
            &self.judge.api_key_env,
            &self.upstream.openai.api_key_env,
            &self.upstream.anthropic.api_key_env,
        ];
        let secrets = self.server.webhooks.iter().map(|webhook| &webhook.secret_env);
        named.into_iter().chain(secrets).any(|named| named == variable)
    }

    /// The guards that may veto.
    pub fn guards(&self) -> Guards {
        self.matching.guards.iter().copied().collect()
    }

    /// The match policy for serving another question's answer.
    #[expect(clippy::cast_possible_truncation, reason = "similarities are `f32`")]
    pub fn match_policy(&self) -> MatchPolicy {
        match self.matching.similarity_threshold {
            Some(threshold) => MatchPolicy::SimilarityThreshold(threshold as f32),
            None => MatchPolicy::MaxFalseHitRate(self.matching.max_false_hit_rate),
        }
    }
}

fn config_error(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, message)
}

/// A value that must satisfy `is_valid`. The table of settings says what is expected.
fn checked<'de, D, T>(deserializer: D, is_valid: impl Fn(&T) -> bool) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let value = T::deserialize(deserializer)?;
    if is_valid(&value) { Ok(value) } else { Err(serde::de::Error::custom("out of range")) }
}

fn similarity<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    checked(deserializer, |value: &Option<f64>| value.is_none_or(|value| (-1.0..=1.0).contains(&value)))
}

fn rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    checked(deserializer, |value: &f64| *value > 0.0 && *value < 1.0)
}

fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    checked(deserializer, |value| (0.0..=1.0).contains(value))
}

fn threads<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    checked(deserializer, |value| (1..=256).contains(value))
}

fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    checked(deserializer, |value: &String| {
        !value.trim().is_empty() && value.len() <= MAX_NAME_BYTES && !value.contains('\0')
    })
}

#[cfg(test)]
mod tests {
    use wellspring::policy::Ttls;

    use super::*;

    #[test]
    fn defaults_are_those_of_the_library() {
        let config = Config::default();
        assert_eq!(config.limits(), Limits::default());
        assert_eq!(config.ttls(), Ttls::default());
        assert_eq!(config.admission(), Admission::default());
        assert_eq!(config.guards(), Guards::default());
        assert_eq!(config.match_policy(), MatchPolicy::default());
        let confidence = f64::from(Shadow::DEFAULT_MIN_CONFIDENCE);
        assert!((config.judge.min_confidence - confidence).abs() < 1e-6);
    }
}

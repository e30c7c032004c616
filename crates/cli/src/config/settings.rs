//! Every setting and what is expected of it; errors, the environment and `wellspring config` use this table.

/// A setting.
#[derive(Debug)]
pub(super) struct Setting {
    /// Section and field, such as `match.similarity_threshold`.
    pub(super) key: &'static str,
    /// What a value must be.
    pub(super) expected: &'static str,
}

const DURATION: &str = "a duration such as \"90s\" or \"6h\"";
const SIZE: &str = "a size such as \"512MiB\", or a number of bytes";
const PEM: &str = "the path of a PEM file";
const ADDRESS: &str = "an address such as \"127.0.0.1:7331\"";
const VARIABLE: &str = "the name of an environment variable";
const SWITCH: &str = "true or false";

/// All settings, in the order in which they are shown.
pub(super) const SETTINGS: &[Setting] = &[
    setting("store.url", "embedded:PATH, memory: or an address such as valkey://HOST:6379"),
    setting("store.state_dir", "the path of a folder"),
    setting("store.cache_bytes", SIZE),
    setting("store.max_entries", "a whole number"),
    setting("store.max_bytes", SIZE),
    setting("store.eviction", "\"least_recently_used\" or \"least_frequently_used\""),
    setting("store.prefix", "a text"),
    setting("store.buckets", "a whole number from 1 to 1024"),
    setting("store.command_timeout", DURATION),
    setting("store.invalidate_timeout", DURATION),
    setting("store.max_ttl", DURATION),
    setting("store.memory_tier_bytes", SIZE),
    setting("store.freshness", "\"validated\", or a duration such as \"2s\" that bounds it"),
    setting("store.tls_ca", PEM),
    setting("store.tls_certificate", PEM),
    setting("store.tls_key", PEM),
    setting(
        "embedding.model",
        "\"bundled\", \"multilingual-encoder\", the path of a model folder, or a model's name",
    ),
    setting("embedding.url", "a URL such as \"https://api.openai.com/v1\""),
    setting("embedding.api_key_env", VARIABLE),
    setting("embedding.dimensions", "a whole number"),
    setting("embedding.max_tokens", "a whole number"),
    setting("embedding.revision", "a text"),
    setting("embedding.threads", "a whole number from 1 to 256"),
    setting("match.max_false_hit_rate", "a number greater than 0 and less than 1"),
    setting("match.similarity_threshold", "a number from -1 to 1"),
    setting("match.verifier", "\"bundled\", \"none\", the path of a model folder, or a reranker's name"),
    setting("match.calibration", "\"bundled\", or the path of a file that `wellspring calibrate` wrote"),
    setting(
        "match.calibrations",
        "a list such as [\"support:support.json\"], of corpora with their calibrations",
    ),
    setting("match.learn", SWITCH),
    setting("match.verify_timeout", DURATION),
    setting("match.follow_ups", "\"bypass\" or \"match\""),
    setting("match.guards", "a list of guards such as [\"numbers\", \"negation\"], or []"),
    setting("judge.url", "a URL such as \"https://api.openai.com/v1\""),
    setting("judge.model", "a model's name"),
    setting("judge.api_key_env", VARIABLE),
    setting("judge.hits", "a number from 0 to 1"),
    setting("judge.near_misses", "a number from 0 to 1"),
    setting("judge.calls_per_hour", "a whole number"),
    setting("judge.min_confidence", "a number from 0 to 1"),
    setting("ttl.default", DURATION),
    setting("ttl.negative", DURATION),
    setting(
        "ttl.content_types",
        "a list such as [\"documentation:7d\"], of static_fact, documentation, user_data and real_time, each at most once",
    ),
    setting("admission.max_answer_bytes", SIZE),
    setting("admission.max_temperature", "a number that is not negative"),
    setting("admission.incomplete", SWITCH),
    setting("admission.confirmations", "a whole number greater than 0"),
    setting("server.listen", ADDRESS),
    setting("server.admin_listen", ADDRESS),
    setting("server.webhook_listen", ADDRESS),
    setting("server.tls_certificate", PEM),
    setting("server.tls_key", PEM),
    setting("server.tls_client_ca", PEM),
    setting(
        "server.tokens",
        "a list of tokens such as \"ci:read,fill:SHA256\", which `wellspring token` makes",
    ),
    setting("server.anonymous", "\"none\", \"proxy\", \"relay\" or \"all\""),
    setting("server.hosts", "a list of names, such as [\"gateway.example\"]"),
    setting("server.cors", "a list of origins, such as [\"https://app.example\"], or [\"*\"]"),
    setting("server.pass", "a list of paths below the base URL, such as [\"audio/*\", \"POST:files\"]"),
    setting("server.sharing", "\"key\", \"shared\" or \"header:NAME\""),
    setting("server.writers", "a list of names of tokens, such as [\"app\"], or [\"*\"]"),
    setting(
        "server.ignore_headers",
        "a list of names of headers, such as [\"user-agent\", \"x-stainless-*\"]",
    ),
    setting("server.disconnected", "\"cancel\" or \"finish\""),
    setting("server.drain", DURATION),
    setting("server.max_body", SIZE),
    setting("server.max_rate", "a whole number"),
    setting("server.max_changes", "a whole number"),
    setting("server.max_concurrency", "a whole number greater than 0"),
    setting("server.client_timeout", DURATION),
    setting("server.max_connections", "a whole number greater than 0"),
    setting("server.webhooks", "tables [[server.webhooks]] with name, kind and secret_env"),
    setting("upstream.read_timeout", DURATION),
    setting(
        "upstream.prices",
        "a list such as [\"gpt-4o-mini*:0.15:0.60\"], in US dollars per million tokens",
    ),
    setting("upstream.openai.url", "a URL such as \"https://api.openai.com/v1\""),
    setting("upstream.openai.api_key_env", VARIABLE),
    setting("upstream.anthropic.url", "a URL such as \"https://api.anthropic.com/v1\""),
    setting("upstream.anthropic.api_key_env", VARIABLE),
];

/// Variables that this program or its library reads but that are not settings.
pub(super) const OTHER_VARIABLES: [&str; 8] = [
    "WELLSPRING_CONFIG",
    "WELLSPRING_MODELS_DIR",
    "WELLSPRING_EMBEDDING_API_KEY",
    "WELLSPRING_JUDGE_API_KEY",
    "WELLSPRING_LLM_API_KEY",
    "WELLSPRING_TOKEN",
    "WELLSPRING_OPENAI_API_KEY",
    "WELLSPRING_ANTHROPIC_API_KEY",
];

const fn setting(key: &'static str, expected: &'static str) -> Setting {
    Setting { key, expected }
}

impl Setting {
    /// The environment variable that sets it.
    pub(super) fn variable(&self) -> String {
        if self.key == "store.url" {
            // The setting that is used most often has the shortest name, the same as its flag.
            return "WELLSPRING_STORE".into();
        }
        format!("WELLSPRING_{}", self.key.replace('.', "_").to_uppercase())
    }

    /// The setting named `key`.
    pub(super) fn find(key: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.key == key)
    }
}

/// The name in `known` that `name` is most likely a misspelling of; none if all are too different.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let similarity = |known: &str| strsim::jaro_winkler(name, known);
    let best = known.into_iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b)))?;
    (similarity(best) > 0.75).then_some(best)
}

//! Lays flags over environment over file over defaults, and remembers where each value came from.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use toml::Table;
use wellspring::error::Result;

use super::environment::{read_environment, unknown_variable};
use super::file::read_file;
use super::origin::{Layers, Origin};
use super::settings::{SETTINGS, Setting};
use super::store::without_effect;
use super::value::{from_text, insert};
use super::{Config, config_error};

/// The configuration file that is read from the current folder if no other is named.
pub const FILE_NAME: &str = "wellspring.toml";

/// What the configuration is read from. The default reads nothing.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Sources {
    file: Option<PathBuf>,
    environment: Vec<(OsString, OsString)>,
    flags: Vec<(&'static str, &'static str, String)>,
}

impl Sources {
    /// The environment of this process, and the file that it names or the one in the current folder.
    pub fn of_this_process() -> Self {
        let named = std::env::var_os("WELLSPRING_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from);
        let file = named.or_else(|| Path::new(FILE_NAME).exists().then(|| FILE_NAME.into()));
        Self { file, environment: std::env::vars_os().collect(), flags: Vec::new() }
    }

    /// Reads only this file.
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(path.into());
        self
    }

    /// Adds an environment variable.
    pub fn variable(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Sets the setting `key` by the command line's `flag`.
    pub fn flag(mut self, flag: &'static str, key: &'static str, value: impl Into<String>) -> Self {
        self.flags.push((flag, key, value.into()));
        self
    }
}

/// A configuration, with the origin of each value.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Loaded {
    /// The configuration in force.
    pub config: Config,
    /// Every setting, in the order of the sections, with the origin of its value.
    pub origins: Vec<(&'static str, Origin)>,
    /// What is unusual but not an error.
    pub warnings: Vec<String>,
}

impl Config {
    /// Reads the configuration.
    ///
    /// An environment variable that is set to an empty text counts as not set.
    ///
    /// # Errors
    ///
    /// `Config` if the file cannot be read, is not TOML or has an unknown field, or if a value is not what is
    /// expected. The message says where.
    pub fn load(sources: &Sources) -> Result<Loaded> {
        let mut layers = Layers::new();
        if let Some(path) = &sources.file {
            read_file(path, &mut layers)?;
        }
        let unknown = read_environment(&sources.environment, &mut layers)?;
        for (flag, key, text) in &sources.flags {
            let setting = Setting::find(key)
                .ok_or_else(|| config_error(format!("{flag} sets {key}, which is not a setting")))?;
            let origin = Origin::Flag(flag);
            layers.insert(setting.key, (from_text(setting, text, &origin)?, origin));
        }
        let mut table = Table::new();
        for (key, (value, _)) in &layers {
            insert(&mut table, key, value.clone());
        }
        let config = Self::deserialize(table)
            .map_err(|e| config_error("the configuration contradicts itself").with_source(e))?;
        let origin =
            |setting: &Setting| layers.get(setting.key).map_or(Origin::Default, |(_, origin)| origin.clone());
        let origins: Vec<_> = SETTINGS.iter().map(|setting| (setting.key, origin(setting))).collect();
        let idle = without_effect(&config.store.url, origins.iter().map(|(key, origin)| (*key, origin)));
        let warnings = unknown
            .into_iter()
            .filter(|name| !config.names_variable(name))
            .map(|name| unknown_variable(&name))
            .chain(idle)
            .collect();
        Ok(Loaded { config, origins, warnings })
    }
}

#[cfg(test)]
mod tests {
    use wellspring::verify::Guard;

    use super::*;

    fn load(text: &str) -> Result<Loaded> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(&Sources::default().file(path))
    }

    fn message(text: &str) -> String {
        let message = load(text).unwrap_err().to_string();
        // Leaves out the folder.
        message.split_once("w.toml").map_or(message.clone(), |(_, rest)| rest.to_owned())
    }

    fn origin<'a>(loaded: &'a Loaded, key: &str) -> &'a Origin {
        &loaded.origins.iter().find(|(name, _)| *name == key).unwrap().1
    }

    #[test]
    fn the_table_of_settings_and_the_types_agree() {
        let file = || Some("f".into());
        let all = toml::Table::try_from(Config {
            store: super::super::StoreConfig {
                state_dir: file(),
                tls_ca: file(),
                tls_certificate: file(),
                tls_key: file(),
                ..Default::default()
            },
            embedding: super::super::EmbeddingConfig {
                url: Some("u".into()),
                dimensions: Some(1),
                max_tokens: Some(1),
                revision: Some("r".into()),
                ..Default::default()
            },
            matching: super::super::MatchConfig { similarity_threshold: Some(0.9), ..Default::default() },
            judge: super::super::JudgeConfig {
                url: Some("http://localhost:1".into()),
                model: Some("m".into()),
                ..Default::default()
            },
            admission: super::super::AdmissionConfig { max_temperature: Some(0.7), ..Default::default() },
            server: super::super::ServerConfig {
                webhook_listen: Some(([127, 0, 0, 1], 7333).into()),
                tls_certificate: file(),
                tls_key: file(),
                tls_client_ca: file(),
                ..Default::default()
            },
            ..Config::default()
        })
        .unwrap();
        let mut keys = Vec::new();
        let mut open = vec![(String::new(), all)];
        while let Some((prefix, table)) = open.pop() {
            for (name, value) in table {
                match value {
                    toml::Value::Table(inner) => open.push((format!("{prefix}{name}."), inner)),
                    _ => keys.push(format!("{prefix}{name}")),
                }
            }
        }
        let mut known: Vec<_> = SETTINGS.iter().map(|setting| setting.key).collect();
        known.sort_unstable();
        keys.sort_unstable();
        assert_eq!(keys, known);
    }

    #[test]
    fn each_layer_lies_over_the_one_below() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.toml");
        std::fs::write(
            &path,
            "[admission]\nconfirmations = 8\n[match]\nguards = [\"negation\"]\n[ttl]\ndefault = \"2h\"\n",
        )
        .unwrap();
        let sources = Sources::default()
            .file(&path)
            .variable("WELLSPRING_ADMISSION_CONFIRMATIONS", "16")
            .variable("WELLSPRING_STORE", "memory:")
            .variable("WELLSPRING_TTL_NEGATIVE", "")
            .flag("--store", "store.url", "embedded:a.redb");
        let loaded = Config::load(&sources).unwrap();
        assert_eq!(loaded.config.admission.confirmations, 16);
        assert_eq!(loaded.config.ttl.default.as_secs(), 7200);
        assert!(!loaded.config.guards().is_enabled(Guard::Numbers));
        assert_eq!(loaded.config.store.url.to_string(), "embedded:a.redb");
        assert_eq!(*origin(&loaded, "store.url"), Origin::Flag("--store"));
        assert_eq!(*origin(&loaded, "match.guards"), Origin::File(path, 4));
        assert_eq!(
            origin(&loaded, "admission.confirmations").to_string(),
            "WELLSPRING_ADMISSION_CONFIRMATIONS"
        );
        assert_eq!(*origin(&loaded, "ttl.negative"), Origin::Default);
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    }

    #[test]
    fn unknown_fields_name_their_line_and_the_nearest_known() {
        let error = message("[store]\nurl = \"memory:\"\n\n[match]\nsimilarty_threshold = 0.9\n");
        assert_eq!(
            error,
            ":5: unknown field in [match] `similarty_threshold`, did you mean `similarity_threshold`?"
        );
        assert_eq!(message("[matching]\n"), ":1: unknown section `matching`, did you mean `match`?");
        assert_eq!(
            message("judge.modell = 'm'"),
            ":1: unknown field in [judge] `modell`, did you mean `model`?"
        );
        assert_eq!(
            message("[admission]\nzzz = 1"),
            ":2: unknown field in [admission] `zzz`, known are max_answer_bytes, max_temperature, incomplete, confirmations"
        );
    }

    #[test]
    fn bad_values_say_what_is_expected() {
        for (text, expected) in [
            ("[ttl]\ndefault = 6", ":2: ttl.default is 6, expected a duration such as \"90s\" or \"6h\""),
            ("[store]\nbuckets = 1025", ":2: store.buckets is 1025, expected a whole number from 1 to 1024"),
            (
                "match.similarity_threshold = nan",
                ":1: match.similarity_threshold is nan, expected a number from -1 to 1",
            ),
            (
                "[admission]\nmax_temperature = -1",
                ":2: admission.max_temperature is -1, expected a number that is not negative",
            ),
            ("match = 1", ":1: match is 1, expected a table"),
            (
                "[store]\nurl = \"redis://u:secret@h:x\"",
                ":2: store.url is \"redis://***@h:x\", expected embedded:PATH, memory: or an address such as valkey://HOST:6379",
            ),
            (
                "[store]\nmax_bytes = \"lots\"",
                ":2: store.max_bytes is \"lots\", expected a size such as \"512MiB\", or a number of bytes",
            ),
            (
                "[embedding]\nmodel = []",
                ":2: embedding.model is an array, expected \"bundled\", \"multilingual-encoder\", the path of a model folder, or a model's name",
            ),
        ] {
            assert_eq!(message(text), expected);
        }
        assert!(message("[store\n").starts_with(":1: "));
    }

    #[test]
    fn settings_of_another_kind_of_store_are_reported_unless_the_store_was_named_over_them() {
        let file =
            "store.url = \"valkey://h\"\nstore.max_entries = 7\nstore.eviction = \"least_recently_used\"\n";
        assert_eq!(
            load(file).unwrap().warnings,
            [
                "store.max_entries, store.eviction have no effect: valkey://h is limited by its servers' own maxmemory"
            ]
        );
        assert_eq!(
            load("store.prefix = \"a:\"").unwrap().warnings,
            ["store.prefix has no effect: embedded:wellspring.redb is not a store on Valkey"]
        );
        let snapshots = |url| load(&format!("store.url = \"{url}\"\nstore.state_dir = \"f\"")).unwrap();
        assert_eq!(
            snapshots("memory:").warnings,
            ["store.state_dir has no effect: memory: keeps nothing on disk"]
        );
        assert!(snapshots("valkey://h").warnings.is_empty() && snapshots("embedded:f").warnings.is_empty());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.toml");
        std::fs::write(&path, "store.url = \"valkey://h\"\nstore.freshness = \"2s\"\n").unwrap();
        let sources = Sources::default().file(path);
        let valkey = Config::load(&sources).unwrap();
        assert_eq!(
            valkey.config.store.freshness,
            wellspring::store::Freshness::Bounded(std::time::Duration::from_secs(2))
        );
        assert!(valkey.warnings.is_empty());
        assert!(Config::load(&sources.flag("--store", "store.url", "memory:")).unwrap().warnings.is_empty());
    }

    #[test]
    fn the_environment_needs_no_quotes_and_unknown_names_are_reported() {
        let set = |name: &str, value: &str| Config::load(&Sources::default().variable(name, value));
        assert_eq!(set("WELLSPRING_EMBEDDING_MODEL", "123").unwrap().config.embedding.model, "123");
        assert_eq!(set("WELLSPRING_STORE_MAX_BYTES", "4096").unwrap().config.store.max_bytes.0, 4096);
        let guards = set("WELLSPRING_MATCH_GUARDS", "numbers order").unwrap().config.guards();
        assert_eq!(guards.enabled().map(Guard::name).collect::<Vec<_>>(), ["numbers", "order"]);
        let error = set("WELLSPRING_STORE_BUCKETS", "many").unwrap_err().to_string();
        assert_eq!(
            error,
            "WELLSPRING_STORE_BUCKETS: store.buckets is \"many\", expected a whole number from 1 to 1024"
        );
        let warnings = set("WELLSPRING_STOER", "memory:").unwrap().warnings;
        assert_eq!(
            warnings,
            ["unknown environment variable WELLSPRING_STOER, did you mean WELLSPRING_STORE?"]
        );
        let sources = Sources::default()
            .variable("WELLSPRING_EMBEDDING_API_KEY_ENV", "WELLSPRING_MY_KEY")
            .variable("WELLSPRING_MY_KEY", "secret");
        assert!(Config::load(&sources).unwrap().warnings.is_empty());
    }
}

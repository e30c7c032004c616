//! From a configuration to the parts of a cache.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use wellspring::cache::{Cache, CacheBuilder};
use wellspring::embed::{BUNDLED_MODEL, Embedder, ModelInfo, OnnxEmbedder, RemoteEmbedder};
use wellspring::error::{Error, ErrorKind, Result, ServerFault};
use wellspring::judge::{LlmJudge, Shadow};
use wellspring::store::{EmbeddedStore, MemoryStore, Store, ValkeyStore};

use super::{Config, EmbeddingConfig, StoreUrl, ValkeyUrl, config_error};

/// How long a command waits for the index of its scope to be loaded from a shared store. Without this wait, a
/// process that asks one question and ends would only ever find exact matches.
const INDEX_WAIT: Duration = Duration::from_secs(30);

/// What to do if there is no store yet. Servers exist or not; no one creates them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// Fail: a command that only reads must not leave an empty file behind, and a misspelt path must be
    /// noticed.
    Existing,
    /// Create it.
    Create,
    /// Create it, for a program that keeps running: it uses servers that are down once they answer. What
    /// waiting cannot fix, such as a wrong password or a missing permission, is still an error.
    Awaited,
}

/// Whether invalidations that cannot be completed are kept in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outbox {
    /// The configuration names none.
    None,
    /// They are.
    Own,
    /// Another process has the file.
    InUse,
}

impl Config {
    /// Opens the store.
    ///
    /// # Errors
    ///
    /// `Store` if there is none and none is to be created; `Unavailable` if its servers cannot be reached and
    /// `opening` does not wait for them; `Config` if they do not let this store in; those of the store
    /// otherwise.
    ///
    /// # Cancel safety
    ///
    /// If dropped, the store may still be created, and stays open for a moment longer.
    pub async fn open_store(&self, opening: Opening) -> Result<Arc<dyn Store>> {
        let limits = self.limits();
        let path = match &self.store.url {
            StoreUrl::Memory => return Ok(Arc::new(MemoryStore::new(limits))),
            StoreUrl::Embedded(path) => path.clone(),
            StoreUrl::Valkey(url) => {
                let (store, checked) = if opening == Opening::Awaited {
                    let store = self.connect(url).await?;
                    let checked = store.check_access().await;
                    (store, checked)
                } else {
                    let (store, outbox) = self.connect_beside(url).await?;
                    // With an outbox, it is better to keep a change than to refuse it.
                    let checked = if outbox == Outbox::Own { Ok(()) } else { store.ping().await.map(drop) };
                    (store, checked)
                };
                match checked {
                    // The error was logged when the connection was tried.
                    Err(error) if opening == Opening::Awaited && error.kind() != ErrorKind::Config => {}
                    checked => checked.map_err(with_advice)?,
                }
                return Ok(Arc::new(store));
            }
        };
        let cache_bytes = usize::try_from(self.store.cache_bytes.0).unwrap_or(usize::MAX);
        blocking(move || {
            // If the path cannot be examined, the store reports its own error.
            if opening == Opening::Existing && matches!(path.try_exists(), Ok(false)) {
                return Err(Error::new(
                    ErrorKind::Store,
                    format!(
                        "no store at {}; fill it with `wellspring put` or `wellspring import`",
                        path.display()
                    ),
                ));
            }
            let options = EmbeddedStore::options().limits(limits).cache_bytes(cache_bytes);
            Ok(Arc::new(options.open(path)?) as Arc<dyn Store>)
        })
        .await
    }

    /// Connects to the servers at `url` with the settings of this configuration. As the library does, it
    /// returns a store even if none of them can be reached.
    ///
    /// # Errors
    ///
    /// `Config` for settings that are not valid or contradict what the servers were used with; others for an
    /// outbox that cannot be used.
    ///
    /// # Cancel safety
    ///
    /// If dropped, nothing is left behind except an empty outbox.
    pub async fn connect(&self, url: &ValkeyUrl) -> Result<ValkeyStore> {
        let (settings, is_tls) = (self.store.clone(), url.is_tls());
        let options = blocking(move || settings.valkey_options(is_tls)).await?;
        options.connect(url.secret()).await
    }

    /// Connects as [`connect`](Self::connect) does, but without an outbox if another process has the one of
    /// this configuration: a gateway must not keep commands from running beside it.
    ///
    /// # Errors
    ///
    /// Those of [`connect`](Self::connect), except that of an outbox in use.
    ///
    /// # Cancel safety
    ///
    /// As for [`connect`](Self::connect).
    pub(crate) async fn connect_beside(&self, url: &ValkeyUrl) -> Result<(ValkeyStore, Outbox)> {
        match self.connect(url).await {
            Err(error) if error.is_locked() => {
                let mut config = self.clone();
                config.store.state_dir = None;
                Ok((config.connect(url).await?, Outbox::InUse))
            }
            store => {
                let outbox = if self.store.state_dir.is_some() { Outbox::Own } else { Outbox::None };
                Ok((store?, outbox))
            }
        }
    }

    /// Loads the embedding model, or sets up the client of the endpoint.
    ///
    /// # Errors
    ///
    /// `Config` if settings contradict each other; `Model` if the model or its runtime is not found.
    ///
    /// # Cancel safety
    ///
    /// If dropped, loading goes on in the background and its result is dropped.
    pub async fn open_embedder(&self) -> Result<Arc<dyn Embedder>> {
        let embedding = self.embedding.clone();
        blocking(move || embedding.open()).await
    }

    /// Sets up the judge, if one is configured. It is for programs that keep running: a command ends before a
    /// judge has answered.
    ///
    /// # Errors
    ///
    /// `Config` if the description of the judge is incomplete.
    pub fn open_judge(&self) -> Result<Option<Shadow>> {
        let judge = &self.judge;
        let (Some(url), Some(model)) = (&judge.url, &judge.model) else {
            let only = match (&judge.url, &judge.model) {
                (Some(_), None) => "judge.url needs judge.model, the name that the endpoint knows",
                (None, Some(_)) => "judge.model is set without judge.url, remove it",
                _ => return Ok(None),
            };
            return Err(config_error(only));
        };
        let mut builder = LlmJudge::builder(url, model);
        if let Some(key) = std::env::var(&judge.api_key_env).ok().filter(|key| !key.is_empty()) {
            builder = builder.api_key(key);
        }
        #[expect(clippy::cast_possible_truncation, reason = "a confidence needs no more digits")]
        let min_confidence = judge.min_confidence as f32;
        Ok(Some(
            Shadow::new(builder.build()?)
                .hits(judge.hits)
                .near_misses(judge.near_misses)
                .calls_per_hour(judge.calls_per_hour)
                .min_confidence(min_confidence),
        ))
    }

    /// A builder of a cache over these parts with the settings of this configuration, except the
    /// [judge](Self::open_judge).
    ///
    /// # Errors
    ///
    /// Those of [`open_verifier`](Self::open_verifier).
    ///
    /// # Cancel safety
    ///
    /// As for [`open_verifier`](Self::open_verifier).
    pub async fn cache_builder(
        &self,
        embedder: Arc<dyn Embedder>,
        store: Arc<dyn Store>,
    ) -> Result<CacheBuilder> {
        let verifier = self.open_verifier(&embedder).await?;
        let mut builder = Cache::builder_from(embedder, store);
        if let Some(folder) = self.store.state_dir.as_ref().filter(|_| self.store.url != StoreUrl::Memory) {
            builder = builder.index_snapshots(folder.join("indexes"));
        }
        Ok(builder
            .match_policy(self.match_policy())
            .follow_ups(self.matching.follow_ups)
            .verifier_from(verifier)
            .verify_timeout(self.matching.verify_timeout)
            .ttls(self.ttls())
            .admission(self.admission()))
    }

    /// Opens the store, loads the model and builds the cache, for a few questions: each one waits until the
    /// contents of a shared store can be searched.
    ///
    /// # Errors
    ///
    /// Those of [`open_judge`](Self::open_judge), [`open_store`](Self::open_store),
    /// [`open_embedder`](Self::open_embedder) and [`CacheBuilder::build`].
    ///
    /// # Cancel safety
    ///
    /// As for [`open_store`](Self::open_store).
    pub async fn open_cache(&self, opening: Opening) -> Result<Cache> {
        // The judge is not asked here, but errors in its settings are reported.
        self.open_judge()?;
        // The store first: it fails sooner and more often, and reporting its error needs no model.
        let store = self.open_store(opening).await?;
        let embedder = self.open_embedder().await?;
        self.cache_builder(embedder, store).await?.index_wait(INDEX_WAIT).build().await
    }
}

impl EmbeddingConfig {
    /// What the model says about itself, if it is in a folder; nothing is loaded.
    pub(super) fn describe(&self) -> Result<Option<ModelInfo>> {
        match self.model.as_str() {
            _ if self.url.is_some() => Ok(None),
            "bundled" => OnnxEmbedder::describe_own(BUNDLED_MODEL),
            path if path.starts_with(['.', '/']) => OnnxEmbedder::describe(path).map(Some),
            name => OnnxEmbedder::describe_own(name),
        }
    }

    fn open(&self) -> Result<Arc<dyn Embedder>> {
        if let Some(url) = &self.url {
            return Ok(Arc::new(self.remote(url)?));
        }
        let beside_url = [
            ("dimensions", self.dimensions.is_some()),
            ("max_tokens", self.max_tokens.is_some()),
            ("revision", self.revision.is_some()),
        ];
        if let Some((field, _)) = beside_url.iter().find(|(_, is_set)| *is_set) {
            return Err(config_error(format!("embedding.{field} is set without embedding.url, remove it")));
        }
        let threads = NonZeroUsize::new(self.threads).unwrap_or(NonZeroUsize::MIN);
        let options = OnnxEmbedder::options().threads(threads);
        Ok(Arc::new(match self.model.as_str() {
            "bundled" => options.bundled()?,
            path if path.starts_with(['.', '/']) => options.from_dir(path)?,
            name => options.named(name)?,
        }))
    }

    fn remote(&self, url: &str) -> Result<RemoteEmbedder> {
        if self.model == "bundled" {
            return Err(config_error(
                "embedding.url needs embedding.model, the name that the endpoint knows",
            ));
        }
        let Some(dimensions) = self.dimensions else {
            return Err(config_error(
                "embedding.url needs embedding.dimensions, the length of the model's vectors",
            ));
        };
        let mut builder = RemoteEmbedder::builder(url, &self.model, dimensions);
        if let Some(tokens) = self.max_tokens {
            builder = builder.max_tokens(tokens);
        }
        if let Some(revision) = &self.revision {
            builder = builder.revision(revision);
        }
        if let Some(key) = std::env::var(&self.api_key_env).ok().filter(|key| !key.is_empty()) {
            builder = builder.api_key(key);
        }
        builder.build()
    }
}

/// The error of servers that cannot be reached, with what to do about it.
#[expect(clippy::needless_pass_by_value, reason = "it is made into another one")]
pub(crate) fn with_advice(error: Error) -> Error {
    let advice = match error.server_fault() {
        Some(ServerFault::Credentials) => {
            "check user and password in the address, valkey://user:password@host"
        }
        Some(ServerFault::UnknownAuthority) => {
            "set store.tls_ca to the authority that signed the server's certificate"
        }
        Some(ServerFault::Certificate) => {
            "check that the server's certificate is valid now, and for the host in store.url"
        }
        Some(ServerFault::Permission) => "`wellspring doctor` lists every permission that is missing",
        Some(ServerFault::NotPrimary) => {
            "name the primary, or its sentinels: valkey-sentinel://host:26379/name"
        }
        _ => "check that the server runs, and that store.url has its host and port",
    };
    Error::new(error.kind(), format!("{error}; {advice}"))
}

/// Runs blocking work off the async threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| Error::new(ErrorKind::Closed, "the program is shutting down").with_source(e))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictions_say_what_to_set() {
        let url = || Some("http://localhost:1/v1".to_owned());
        let open = |embedding: EmbeddingConfig| embedding.open().map(drop).unwrap_err().to_string();
        let base = EmbeddingConfig::default;
        assert!(open(EmbeddingConfig { url: url(), ..base() }).contains("needs embedding.model"));
        let named = || EmbeddingConfig { url: url(), model: "m".into(), ..base() };
        assert!(open(named()).contains("needs embedding.dimensions"));
        assert!(EmbeddingConfig { dimensions: Some(2), ..named() }.open().is_ok());
        let stray = EmbeddingConfig { dimensions: Some(2), ..base() };
        assert_eq!(open(stray), "embedding.dimensions is set without embedding.url, remove it");
    }
}

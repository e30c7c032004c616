//! From a configuration to the parts of a cache.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Config, EmbeddingConfig, config_error};
use crate::cache::{Cache, CacheBuilder};
use crate::embed::{Embedder, OnnxEmbedder, RemoteEmbedder};
use crate::error::{Error, ErrorKind, Result};
use crate::store::{EmbeddedStore, MemoryStore, Store};

/// A store's kind and place: `embedded:PATH` or `memory:`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreUrl {
    /// A file, relative to the current folder.
    Embedded(PathBuf),
    /// The memory of this process.
    Memory,
}

impl Default for StoreUrl {
    fn default() -> Self {
        Self::Embedded("wellspring.redb".into())
    }
}

impl FromStr for StoreUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once(':') {
            Some(("embedded", path)) if !path.is_empty() && !path.contains('\0') => {
                Ok(Self::Embedded(path.into()))
            }
            Some(("memory", "")) => Ok(Self::Memory),
            _ => Err(config_error("unknown store, known are embedded:PATH and memory:")),
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded(path) => write!(f, "embedded:{}", path.display()),
            Self::Memory => f.write_str("memory:"),
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

/// What to do if there is no store yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// Fail: what only reads must not leave an empty file behind, and a misspelt path must not pass unseen.
    Existing,
    /// Create it.
    Create,
}

impl Config {
    /// Opens the store.
    ///
    /// # Errors
    ///
    /// `Store` if there is none and none is to be created; those of the store otherwise.
    ///
    /// # Cancel safety
    ///
    /// If dropped, the store may be created, and is open for a moment longer.
    pub async fn open_store(&self, opening: Opening) -> Result<Arc<dyn Store>> {
        let limits = self.limits();
        let path = match &self.store.url {
            StoreUrl::Memory => return Ok(Arc::new(MemoryStore::new(limits))),
            StoreUrl::Embedded(path) => path.clone(),
        };
        blocking(move || {
            // A path that cannot be looked at is left to the store's own error.
            if opening == Opening::Existing && matches!(path.try_exists(), Ok(false)) {
                return Err(Error::new(
                    ErrorKind::Store,
                    format!(
                        "no store at {}; fill it with `wellspring put` or `wellspring import`",
                        path.display()
                    ),
                ));
            }
            Ok(Arc::new(EmbeddedStore::options().limits(limits).open(path)?) as Arc<dyn Store>)
        })
        .await
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

    /// A builder of a cache over these parts with the settings of this configuration.
    pub fn cache_builder(&self, embedder: Arc<dyn Embedder>, store: Arc<dyn Store>) -> CacheBuilder {
        Cache::builder_from(embedder, store)
            .similarity_threshold(self.similarity_threshold())
            .candidates(self.matching.candidates)
            .verifier(self.guards())
            .ttls(self.ttls())
            .admission(self.admission())
    }

    /// Opens the store, loads the model and builds the cache.
    ///
    /// # Errors
    ///
    /// Those of [`open_store`](Self::open_store), [`open_embedder`](Self::open_embedder) and
    /// [`CacheBuilder::build`].
    ///
    /// # Cancel safety
    ///
    /// As for [`open_store`](Self::open_store).
    pub async fn open_cache(&self, opening: Opening) -> Result<Cache> {
        // The store first: it fails sooner and more often, and its error needs no model.
        let store = self.open_store(opening).await?;
        let embedder = self.open_embedder().await?;
        self.cache_builder(embedder, store).build().await
    }
}

impl EmbeddingConfig {
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

/// Runs what blocks off the async threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| Error::new(ErrorKind::Closed, "the program is shutting down").with_source(e))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn store_urls_round_trip_and_unknown_ones_are_refused() {
        for url in ["embedded:wellspring.redb", "embedded:/a b/c:d.redb", "memory:"] {
            assert_eq!(url.parse::<StoreUrl>().unwrap().to_string(), url);
        }
        for url in ["", "wellspring.redb", "embedded:", "memory:x", "redis://localhost", "embedded:a\0b"] {
            let error = url.parse::<StoreUrl>().unwrap_err().to_string();
            assert_eq!(error, "unknown store, known are embedded:PATH and memory:");
        }
    }

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

//! From a question to its embedding: given, remembered, or made by the model.

use std::sync::Arc;
use std::time::Instant;

use crate::cache::Inner;
use crate::cache::lookup::BypassReason;
use crate::cache::query::Prepared;
use crate::embed::Embedded;
use crate::embedding::Embedding;
use crate::error::{Error, ErrorKind, Result};

impl Inner {
    /// The question's embedding; none if it is too long to have one, or in a script that the model does not
    /// know.
    #[tracing::instrument(level = "debug", skip_all, name = "embed")]
    pub(super) async fn embedding(&self, prepared: &Prepared) -> Result<Option<Embedding>, BypassReason> {
        if let Some(given) = &prepared.given {
            // The same model made a given embedding, so it is useless if the model does not know the script.
            return Ok(self.unknown_script(&prepared.key.text).is_none().then(|| given.clone()));
        }
        self.embed(&prepared.key.text).await.map_err(|error| self.broken(BypassReason::Embedder, &error))
    }

    /// A script of `text` that the embedding model does not know: then it is matched exactly only.
    pub(super) fn unknown_script(&self, text: &str) -> Option<&'static str> {
        self.embedder.model().unknown_script(text)
    }

    /// The embedding of `text`, if it has one.
    ///
    /// # Errors
    ///
    /// Those of the embedder; `Timeout` if it takes longer than its limit; `Embedding` if its result does not
    /// match the request.
    pub(super) async fn embed(&self, text: &Arc<str>) -> Result<Option<Embedding>> {
        if self.unknown_script(text).is_some() {
            return Ok(None);
        }
        if let Some(embedded) = self.memo.get(text) {
            self.metrics.lookup.remembered.increment();
            return Ok(embedded.into_vector());
        }
        let started = Instant::now();
        let texts = [text.to_string()];
        let embedded = tokio::time::timeout(self.settings.embed_timeout, self.embedder.embed(&texts)).await;
        self.metrics.lookup.embed.record(started.elapsed());
        let timed_out = |_| Error::new(ErrorKind::Timeout, "the embedder took longer than its limit");
        let dimensions = self.embedder.model().dimensions;
        match embedded.map_err(timed_out)??.pop() {
            Some(Embedded::Vector(vector)) if vector.dimensions() != dimensions => {}
            Some(embedded) => {
                self.memo.insert(text, &embedded);
                return Ok(embedded.into_vector());
            }
            None => {}
        }
        Err(Error::new(
            ErrorKind::Embedding,
            "the embedder returned vectors of another number or dimension than requested",
        ))
    }
}

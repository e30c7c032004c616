//! The settings of a [`RemoteEmbedder`]; `build` checks all of them, so that no call can fail because of a
//! setting.

use std::fmt;
use std::time::Duration;

use reqwest::header::HeaderValue;
use reqwest::redirect::Policy;
use reqwest::{Client, Url};

use super::RemoteEmbedder;
use crate::embed::ModelInfo;
use crate::embedding::MAX_DIMENSIONS;
use crate::error::{Error, ErrorKind, Result};

/// Settings of a [`RemoteEmbedder`].
#[must_use]
pub struct RemoteBuilder {
    base_url: String,
    model: String,
    dimensions: usize,
    revision: String,
    api_key: Option<String>,
    max_tokens: usize,
    max_batch: usize,
    max_retries: u32,
    timeout: Duration,
}

impl RemoteBuilder {
    pub(super) fn new(base_url: String, model: String, dimensions: usize) -> Self {
        Self {
            base_url,
            model,
            dimensions,
            revision: "remote".to_owned(),
            api_key: None,
            max_tokens: 8_191,
            max_batch: 128,
            max_retries: 2,
            timeout: Duration::from_secs(10),
        }
    }

    /// The key sent as `Authorization: Bearer`; none by default.
    pub fn api_key(mut self, key: impl Into<String>) -> Self {
        self.api_key = Some(key.into());
        self
    }

    /// Distinguishes two models with the same name, `remote` by default. Change it when the endpoint changes
    /// its model; the old vectors are then never compared with the new ones.
    pub fn revision(mut self, revision: impl Into<String>) -> Self {
        self.revision = revision.into();
        self
    }

    /// The longest text that the model sees whole, in tokens; 8,191 by default, the limit of `OpenAI`'s
    /// models. Tokens are not counted here: a text of more *bytes* counts as too long, which errs on the safe
    /// side.
    pub fn max_tokens(mut self, tokens: usize) -> Self {
        self.max_tokens = tokens;
        self
    }

    /// The most texts of one request; 128 by default.
    pub fn max_batch(mut self, texts: usize) -> Self {
        self.max_batch = texts;
        self
    }

    /// How many times a request is retried after 429, 500, 502, 503, 504 or a broken connection; 2 by
    /// default.
    pub fn max_retries(mut self, retries: u32) -> Self {
        self.max_retries = retries;
        self
    }

    /// The time limit for one request with its retries and waits; 10 s by default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Checks the settings; nothing is sent.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if the URL is not an `http` or `https` one without a query, if the key is not
    /// valid in a header, if the model or revision is empty, or if a number is out of range.
    pub fn build(self) -> Result<RemoteEmbedder> {
        if self.model.is_empty() || self.revision.is_empty() {
            return Err(config("embedding model and revision must not be empty"));
        }
        if !(1..=MAX_DIMENSIONS).contains(&self.dimensions) {
            return Err(config(format!("embedding model must have 1 to {MAX_DIMENSIONS} dimensions")));
        }
        if self.max_tokens == 0 || self.max_batch == 0 || self.timeout.is_zero() {
            return Err(config("max_tokens, max_batch and timeout of the embedding endpoint must not be 0"));
        }
        let client = Client::builder().redirect(Policy::none()).build().map_err(|error| {
            config("the HTTP client of the embedding endpoint cannot be set up").with_source(error)
        })?;
        let mut model = ModelInfo::new(self.model, self.revision, self.dimensions);
        model.max_tokens = Some(self.max_tokens);
        Ok(RemoteEmbedder {
            client,
            endpoint: endpoint(&self.base_url)?,
            authorization: self.api_key.as_deref().map(authorization).transpose()?,
            model,
            max_tokens: self.max_tokens,
            max_batch: self.max_batch,
            max_retries: self.max_retries,
            timeout: self.timeout,
        })
    }
}

impl fmt::Debug for RemoteBuilder {
    /// Without the key, and without the URL, which may hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteBuilder")
            .field("model", &self.model)
            .field("dimensions", &self.dimensions)
            .finish_non_exhaustive()
    }
}

fn endpoint(base_url: &str) -> Result<Url> {
    let url = format!("{}/embeddings", base_url.trim_end_matches('/'));
    let url = Url::parse(&url).map_err(|error| {
        config("embedding endpoint is not a URL such as https://api.openai.com/v1").with_source(error)
    })?;
    if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
        return Err(config("embedding endpoint must be an http or https URL without a query"));
    }
    Ok(url)
}

fn authorization(key: &str) -> Result<HeaderValue> {
    // The cause is left out, because it would describe the key.
    let mut value = HeaderValue::from_str(&format!("Bearer {key}"))
        .map_err(|_| config("API key of the embedding endpoint has characters that cannot be sent"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn config(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_settings_are_refused_by_build() {
        let good = || RemoteEmbedder::builder("http://localhost:1/v1/", "m", 2).api_key("secret");
        assert_eq!(good().build().unwrap().endpoint.as_str(), "http://localhost:1/v1/embeddings");
        let bad = [
            RemoteEmbedder::builder("localhost", "m", 2),
            RemoteEmbedder::builder("ftp://localhost", "m", 2),
            RemoteEmbedder::builder("http://localhost/v1?key=secret", "m", 2),
            RemoteEmbedder::builder("http://localhost", "", 2),
            RemoteEmbedder::builder("http://localhost", "m", 0),
            good().api_key("sec\nret"),
            good().max_batch(0),
            good().timeout(Duration::ZERO),
        ];
        for builder in bad {
            assert_eq!(builder.build().unwrap_err().kind(), ErrorKind::Config);
        }
    }

    #[test]
    fn debug_shows_no_key() {
        let builder = RemoteEmbedder::builder("http://user:secret@localhost", "m", 2).api_key("secret");
        assert!(!format!("{builder:?}").contains("secret"));
        assert!(!format!("{:?}", builder.build().unwrap()).contains("secret"));
    }
}

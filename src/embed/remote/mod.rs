//! Embeddings from an `OpenAI`-compatible HTTP endpoint.
//!
//! [`RemoteEmbedder`] posts to `{base}/embeddings`. Guarantees: every call ends within its time limit,
//! retries included; results come in the order of the texts, each with the promised dimension; no error
//! message contains a text, a response of the server or the key. Does not follow redirects, so that texts and
//! key go only to the given host, and does not fall back to another model: its vectors would not be
//! comparable.

mod builder;
mod wire;

use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url};
use tokio::time::{Instant, sleep, timeout_at};

pub use self::builder::RemoteBuilder;
use super::{Embedded, Embedder, ModelInfo};
use crate::backoff::Backoff;
use crate::embedding::Embedding;
use crate::error::{Error, ErrorKind, Result};

/// The waits before retries that we choose ourselves; a server may ask for more.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));

/// An embedder that asks an `OpenAI`-compatible endpoint: `OpenAI`, vLLM, Ollama, text-embeddings-inference.
///
/// A text of more bytes than [`max_tokens`](RemoteBuilder::max_tokens) is [`Embedded::TooLong`] without being
/// sent.
pub struct RemoteEmbedder {
    client: Client,
    endpoint: Url,
    /// Marked sensitive, so that no log of the HTTP client shows it.
    authorization: Option<HeaderValue>,
    model: ModelInfo,
    max_tokens: usize,
    max_batch: usize,
    max_retries: u32,
    timeout: Duration,
}

impl RemoteEmbedder {
    /// Starts to describe an endpoint: the URL to which `/embeddings` is appended, such as
    /// `https://api.openai.com/v1`, the model's name, and the dimensions of its vectors.
    pub fn builder(
        base_url: impl Into<String>,
        model: impl Into<String>,
        dimensions: usize,
    ) -> RemoteBuilder {
        RemoteBuilder::new(base_url.into(), model.into(), dimensions)
    }

    /// Embeds one batch within the time limit, with retries.
    async fn embed_batch(&self, texts: &[&str]) -> Result<Vec<Embedding>> {
        let deadline = Instant::now() + self.timeout;
        let mut attempt = 0;
        loop {
            let failure = match timeout_at(deadline, self.try_batch(texts)).await {
                Ok(Ok(embeddings)) => return Ok(embeddings),
                Ok(Err(failure)) => failure,
                Err(_) => return Err(self.timed_out()),
            };
            let Retry::After(asked) = failure.retry else { return Err(failure.error) };
            let wait = asked.unwrap_or_else(|| BACKOFF.after(attempt));
            // A wait beyond the limit cannot succeed: report the failure now.
            if attempt == self.max_retries || Instant::now() + wait >= deadline {
                return Err(failure.error);
            }
            sleep(wait).await;
            attempt += 1;
        }
    }

    async fn try_batch(&self, texts: &[&str]) -> Result<Vec<Embedding>, Failure> {
        let request = wire::Request { model: &self.model.name, input: texts, encoding_format: "float" };
        let mut post = self.client.post(self.endpoint.clone()).json(&request);
        if let Some(authorization) = &self.authorization {
            post = post.header(AUTHORIZATION, authorization);
        }
        let response = post.send().await.map_err(|error| self.unreachable(error))?;
        if !response.status().is_success() {
            return Err(self.refused(&response));
        }
        let body = self.body(response, texts.len()).await?;
        wire::parse(&body, texts.len(), self.model.dimensions)
            .map_err(|error| Failure { error, retry: Retry::Never })
    }

    /// Reads the response, up to the greatest valid size: a broken server must not fill the memory.
    async fn body(&self, mut response: Response, texts: usize) -> Result<Vec<u8>, Failure> {
        let limit = wire::longest_answer(texts, self.model.dimensions);
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(error))? {
            if body.len() + chunk.len() > limit {
                let error = Error::new(
                    ErrorKind::Embedding,
                    format!("embedding endpoint {} answered with more than {limit} bytes", self.host()),
                );
                return Err(Failure { error, retry: Retry::Never });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn refused(&self, response: &Response) -> Failure {
        let status = response.status();
        let advice = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ": check the API key",
            StatusCode::NOT_FOUND => ": check the base URL and the model's name",
            status if status.is_redirection() => ": give the URL that it redirects to",
            _ => "",
        };
        let message = format!("embedding endpoint {} answered {}{advice}", self.host(), status.as_u16());
        let retry = match status.as_u16() {
            429 | 500 | 502 | 503 | 504 => Retry::After(retry_after(response)),
            _ => Retry::Never,
        };
        Failure { error: Error::new(ErrorKind::Embedding, message), retry }
    }

    fn unreachable(&self, error: reqwest::Error) -> Failure {
        let message = format!("embedding endpoint {} cannot be reached", self.host());
        // Without its URL, which may hold credentials.
        let error = Error::new(ErrorKind::Embedding, message).with_source(error.without_url());
        Failure { error, retry: Retry::After(None) }
    }

    fn timed_out(&self) -> Error {
        let message = format!("embedding endpoint {} took longer than {:?}", self.host(), self.timeout);
        Error::new(ErrorKind::Timeout, message)
    }

    fn host(&self) -> &str {
        self.endpoint.host_str().unwrap_or("without a host")
    }
}

impl std::fmt::Debug for RemoteEmbedder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteEmbedder")
            .field("host", &self.host())
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Embedder for RemoteEmbedder {
    fn model(&self) -> &ModelInfo {
        &self.model
    }

    async fn embed(&self, texts: &[String]) -> Result<Vec<Embedded>> {
        // A token stands for at least one byte, so a text with no more bytes than the limit is sure to fit.
        let fits = |text: &&String| text.len() <= self.max_tokens;
        let to_send: Vec<&str> = texts.iter().filter(fits).map(String::as_str).collect();
        let mut embeddings = Vec::with_capacity(to_send.len());
        for batch in to_send.chunks(self.max_batch) {
            embeddings.extend(self.embed_batch(batch).await?);
        }
        let mut embeddings = embeddings.into_iter();
        let embedded = texts.iter().map(|text| {
            let embedding = if fits(&text) { embeddings.next() } else { None };
            embedding.map_or(Embedded::TooLong, Embedded::Vector)
        });
        Ok(embedded.collect())
    }
}

/// A failed attempt.
struct Failure {
    error: Error,
    retry: Retry,
}

enum Retry {
    Never,
    /// Retried after the time that the server asked for, or after our own backoff.
    After(Option<Duration>),
}

/// The seconds that the server asks us to wait; if it sends a date instead, our own backoff applies.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

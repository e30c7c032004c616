//! A language model as the judge, behind an `OpenAI`-compatible endpoint.
//!
//! Guarantees that what it says is a plain yes or no: anything else is an error, and nothing is learned from it. Does not
//! follow redirects, so that questions, answers and key go to the given host only. No error holds a text or the key.

use std::fmt;

use async_trait::async_trait;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Client, Url};
use serde_json::{Value, json};

use super::{AnswerJudge, Case};
use crate::error::{Error, ErrorKind, Result};

/// What the model is told unless it is told something else.
pub const DEFAULT_PROMPT: &str = "\
You check a cache of answers. A new question was asked, and an answer to an older question is at hand. Say whether that \
answer answers the new question fully and correctly: the same fact, about the same thing, time and place. Differences in \
wording do not matter; a different name, number, date, direction or negation does. Reply with one word, yes or no.";

/// The longest reply that is read, in bytes.
const MAX_REPLY_BYTES: usize = 256 * 1024;

/// A judge that asks a language model. The questions and the answer are sent to it.
pub struct LlmJudge {
    client: Client,
    endpoint: Url,
    model: String,
    prompt: String,
    /// Marked sensitive, so that no log of the HTTP client shows it.
    authorization: Option<HeaderValue>,
}

/// Describes an [`LlmJudge`].
#[derive(Clone)]
#[must_use]
pub struct LlmJudgeBuilder {
    base_url: String,
    model: String,
    prompt: String,
    api_key: Option<String>,
}

impl fmt::Debug for LlmJudgeBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LlmJudgeBuilder").field("model", &self.model).finish_non_exhaustive()
    }
}

impl LlmJudge {
    /// Starts to describe an endpoint: the URL that `/chat/completions` is appended to, such as
    /// `https://api.openai.com/v1`, and the model's name.
    pub fn builder(base_url: impl Into<String>, model: impl Into<String>) -> LlmJudgeBuilder {
        LlmJudgeBuilder {
            base_url: base_url.into(),
            model: model.into(),
            prompt: DEFAULT_PROMPT.into(),
            api_key: None,
        }
    }

    fn failed(&self, what: &str) -> Error {
        let host = self.endpoint.host_str().unwrap_or("without a host");
        Error::new(ErrorKind::Upstream, format!("the judge at {host} {what}"))
    }
}

impl LlmJudgeBuilder {
    /// Sets what the model is told before the case, in place of the default prompt. It must ask for yes or no.
    pub fn prompt(mut self, prompt: impl Into<String>) -> Self {
        self.prompt = prompt.into();
        self
    }

    /// Sets the key of the API.
    pub fn api_key(mut self, key: impl Into<String>) -> Self {
        self.api_key = Some(key.into());
        self
    }

    /// Makes the judge. Sends nothing.
    ///
    /// # Errors
    ///
    /// `Config` if the URL or the key is not valid.
    pub fn build(self) -> Result<LlmJudge> {
        let config = |message: &str| Error::new(ErrorKind::Config, message);
        let url = format!("{}/chat/completions", self.base_url.trim_end_matches('/'));
        let endpoint = Url::parse(&url).map_err(|_| config("the judge's URL is not valid"))?;
        if !matches!(endpoint.scheme(), "http" | "https") {
            return Err(config("the judge's URL begins with neither http nor https"));
        }
        let authorization =
            self.api_key.map(|key| HeaderValue::from_str(&format!("Bearer {key}"))).transpose();
        let mut authorization = authorization.map_err(|_| config("the judge's key is no header value"))?;
        if let Some(authorization) = &mut authorization {
            authorization.set_sensitive(true);
        }
        let client = Client::builder().redirect(reqwest::redirect::Policy::none()).build();
        let client = client.map_err(|error| config("no HTTP client can be made").with_source(error))?;
        Ok(LlmJudge { client, endpoint, model: self.model, prompt: self.prompt, authorization })
    }
}

impl fmt::Debug for LlmJudge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LlmJudge").field("model", &self.model).finish_non_exhaustive()
    }
}

#[async_trait]
impl AnswerJudge for LlmJudge {
    async fn judge(&self, case: &Case) -> Result<bool> {
        // As JSON, so that no question can pass for an instruction or for the end of another field.
        let shown = json!({
            "new_question": &*case.question,
            "older_question": &*case.cached_question,
            "answer_to_older_question": &*case.answer,
        });
        let body = json!({
            "model": self.model,
            "temperature": 0,
            "max_tokens": 16,
            "messages": [
                { "role": "system", "content": self.prompt },
                { "role": "user", "content": shown.to_string() },
            ],
        });
        let mut post = self.client.post(self.endpoint.clone()).json(&body);
        if let Some(authorization) = &self.authorization {
            post = post.header(AUTHORIZATION, authorization);
        }
        // Without its URL, which may hold credentials.
        let unreachable =
            |error: reqwest::Error| self.failed("cannot be reached").with_source(error.without_url());
        let mut response = post.send().await.map_err(unreachable)?;
        if !response.status().is_success() {
            return Err(self.failed(&format!("answered {}", response.status().as_u16())));
        }
        let mut reply = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if reply.len() + chunk.len() > MAX_REPLY_BYTES {
                return Err(self.failed("answered too much"));
            }
            reply.extend_from_slice(&chunk);
        }
        let reply: Value = serde_json::from_slice(&reply).map_err(|_| self.failed("answered no JSON"))?;
        let said = reply["choices"][0]["message"]["content"].as_str().unwrap_or_default();
        verdict(said).ok_or_else(|| self.failed("said neither yes nor no"))
    }
}

/// The first word, if it is yes or no.
fn verdict(said: &str) -> Option<bool> {
    let word = said.split(|c: char| !c.is_alphabetic()).find(|word| !word.is_empty())?;
    if word.eq_ignore_ascii_case("yes") {
        Some(true)
    } else if word.eq_ignore_ascii_case("no") {
        Some(false)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_yes_or_no_counts() {
        assert_eq!(verdict("Yes."), Some(true));
        assert_eq!(verdict("**no**, the years differ"), Some(false));
        for unclear in ["", "Perhaps", "I would say yes", "nothing", "yesterday"] {
            assert_eq!(verdict(unclear), None, "{unclear}");
        }
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for url in ["localhost:1/v1", "ftp://localhost/v1", ""] {
            assert_eq!(LlmJudge::builder(url, "m").build().unwrap_err().kind(), ErrorKind::Config, "{url}");
        }
        assert!(LlmJudge::builder("http://localhost:1/v1/", "m").api_key("k").build().is_ok());
    }
}

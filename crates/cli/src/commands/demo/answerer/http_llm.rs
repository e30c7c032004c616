//! An answerer behind any OpenAI-compatible `/chat/completions` endpoint.
//!
//! Errors name the endpoint's host and the status, and never the question, the documents, the answer or
//! the key: the body of a failed response may echo the prompt, so it is not read. Redirects are not
//! followed, because the key and the prompt are meant for the address that was given.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::{Client, Response, Url, redirect};
use serde::Deserialize;
use serde_json::{Value, json};
use wellspring::embedding::Embedding;
use wellspring::entry::Usage;
use wellspring::error::{Error, ErrorKind, Result};

use super::{Answerer, Generated};
use crate::commands::demo::retriever::Retrieved;

/// The environment variable that holds the key. It is a variable of our own, so that a key for another
/// service is never sent to the address that the user types.
pub(crate) const API_KEY_VARIABLE: &str = "WELLSPRING_LLM_API_KEY";

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an answer may take as a whole.
const TIMEOUT: Duration = Duration::from_mins(1);
/// The longest response that is read.
const MAX_RESPONSE_BYTES: usize = 1024 * 1024;
/// The longest answer that is asked for.
const MAX_ANSWER_TOKENS: u32 = 256;

const INSTRUCTION: &str = "Answer the question from the documents below, in one or two sentences. \
    If they do not answer it, say so.";

/// A language model behind HTTP.
pub(crate) struct HttpLlm {
    client: Client,
    endpoint: Url,
    model: String,
    api_key: Option<String>,
}

impl HttpLlm {
    /// The model named `model` at `base`, such as `http://localhost:11434/v1`; a key is sent as a bearer
    /// token.
    ///
    /// # Errors
    ///
    /// `Config` if the address is not an HTTP address or the model has no name.
    pub(crate) fn new(base: &str, model: &str, api_key: Option<String>) -> Result<Self> {
        Self::with_timeout(base, model, api_key, TIMEOUT)
    }

    fn with_timeout(base: &str, model: &str, api_key: Option<String>, timeout: Duration) -> Result<Self> {
        let config = |message: &str| Error::new(ErrorKind::Config, message);
        if model.trim().is_empty() {
            return Err(config("the language model has no name"));
        }
        let endpoint = endpoint(base).ok_or_else(|| {
            config(
                "the address of the language model is not an HTTP URL, write it like http://localhost:11434/v1",
            )
        })?;
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(timeout)
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|e| config("the HTTP client cannot be set up").with_source(e))?;
        Ok(Self { client, endpoint, model: model.to_owned(), api_key })
    }

    async fn complete(&self, question: &str, found: &[Retrieved]) -> Result<Completion> {
        let mut request = self.client.post(self.endpoint.clone()).json(&self.body(question, found));
        if let Some(key) = &self.api_key {
            request = request.bearer_auth(key);
        }
        let response = request.send().await.map_err(|e| self.broken(e))?;
        if !response.status().is_success() {
            return Err(self.failed(ErrorKind::Upstream, &format!("answered {}", response.status().as_u16())));
        }
        let body = self.read(response).await?;
        // The parser's own message could quote the answer.
        serde_json::from_slice(&body)
            .map_err(|_| self.failed(ErrorKind::Upstream, "did not answer with a chat completion"))
    }

    async fn read(&self, mut response: Response) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.broken(e))? {
            if body.len() + chunk.len() > MAX_RESPONSE_BYTES {
                let message = format!("answered more than {MAX_RESPONSE_BYTES} bytes");
                return Err(self.failed(ErrorKind::Upstream, &message));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn body(&self, question: &str, found: &[Retrieved]) -> Value {
        let documents: Vec<String> = found
            .iter()
            .map(|found| format!("# {}\n{}", found.document.title, found.document.text))
            .collect();
        json!({
            "model": self.model,
            "temperature": 0,
            "max_tokens": MAX_ANSWER_TOKENS,
            "messages": [
                { "role": "system", "content": format!("{INSTRUCTION}\n\n{}", documents.join("\n\n")) },
                { "role": "user", "content": question },
            ],
        })
    }

    fn broken(&self, error: reqwest::Error) -> Error {
        let kind = if error.is_timeout() { ErrorKind::Timeout } else { ErrorKind::Upstream };
        let what = if error.is_timeout() { "took too long" } else { "cannot be reached" };
        // The address may hold a password.
        self.failed(kind, what).with_source(error.without_url())
    }

    fn failed(&self, kind: ErrorKind, what: &str) -> Error {
        Error::new(kind, format!("language model at {} {what}", self.host()))
    }

    fn host(&self) -> &str {
        self.endpoint.host_str().unwrap_or("unknown host")
    }
}

/// The address of the chat completions below `base`, which may already name them.
fn endpoint(base: &str) -> Option<Url> {
    let is_http = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    let mut url = Url::parse(base).ok().filter(is_http)?;
    if !url.path().ends_with("/chat/completions") {
        url.path_segments_mut().ok()?.pop_if_empty().extend(["chat", "completions"]);
    }
    Some(url)
}

impl fmt::Debug for HttpLlm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpLlm")
            .field("host", &self.host())
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Answerer for HttpLlm {
    fn name(&self) -> String {
        format!("{} at {}", self.model, self.host())
    }

    async fn answer(&self, question: &str, _query: &Embedding, found: &[Retrieved]) -> Result<Generated> {
        if found.is_empty() {
            return Ok(Generated::nothing_found());
        }
        let completion = self.complete(question, found).await?;
        let text = completion.choices.first().and_then(|choice| choice.message.content.as_deref());
        match text.map(str::trim) {
            Some(text) if !text.is_empty() => {
                Ok(Generated::new(text, found, completion.usage.map(Usage::from)))
            }
            _ => Err(self.failed(ErrorKind::Upstream, "gave an empty answer")),
        }
    }
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    content: Option<String>,
}

#[derive(Deserialize)]
struct Tokens {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}

impl From<Tokens> for Usage {
    /// The endpoint does not report its price, so the cost is unknown and counts as zero.
    fn from(tokens: Tokens) -> Self {
        Self {
            prompt_tokens: tokens.prompt_tokens,
            completion_tokens: tokens.completion_tokens,
            cost_microusd: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::JoinHandle;

    use super::*;
    use crate::commands::demo::letter_count::{self, LetterCountEmbedder};

    const SECRET: &str = "what is the secret plan";
    const KEY: &str = "sk-not-to-be-seen";

    /// Answers one request with `response` and returns what was asked; if there is no response, never
    /// answers.
    async fn serve(response: Option<String>) -> (String, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/v1/", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"}") {
                assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
            }
            match response {
                Some(response) => {
                    stream.write_all(response.as_bytes()).await.unwrap();
                    // The client may close the connection if a response is too long.
                    let _ = stream.shutdown().await;
                }
                None => std::future::pending().await,
            }
            String::from_utf8(request).unwrap()
        });
        (base, server)
    }

    fn http(status: &str, body: &str) -> String {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
    }

    async fn ask(base: &str, timeout: Duration) -> Result<Generated> {
        let llm = HttpLlm::with_timeout(base, "tiny", Some(KEY.into()), timeout).unwrap();
        let found = letter_count::found(&[("oil", "Prices rose.")]).await;
        llm.answer(SECRET, &LetterCountEmbedder::embed_one(SECRET), &found).await
    }

    #[tokio::test]
    async fn an_answer_comes_with_its_usage_and_what_it_read() {
        let body = r#"{"choices":[{"message":{"role":"assistant","content":" It rose. "}}],
            "usage":{"prompt_tokens":40,"completion_tokens":3,"total_tokens":43}}"#;
        let (base, server) = serve(Some(http("200 OK", body))).await;
        let generated = ask(&base, TIMEOUT).await.unwrap();
        assert_eq!(&*generated.answer.text, "It rose.\n[read oil@v1]");
        let usage = Usage { prompt_tokens: 40, completion_tokens: 3, cost_microusd: 0 };
        assert_eq!(generated.answer.usage, Some(usage));

        let request = server.await.unwrap();
        assert!(request.starts_with("POST /v1/chat/completions HTTP/1.1"));
        assert!(request.contains(&format!("Bearer {KEY}")) && request.contains("Prices rose."));
        assert!(request.contains(r#""model":"tiny""#) && request.contains(SECRET));
    }

    #[tokio::test]
    async fn failures_reveal_neither_prompt_nor_key() {
        let echo = format!("{{\"error\":\"cannot answer {SECRET}\"}}");
        let long = "x".repeat(MAX_RESPONSE_BYTES + 1);
        for (response, kind, message) in [
            (Some(http("500 Oops", &echo)), ErrorKind::Upstream, "answered 500"),
            (
                Some(http("307 Elsewhere\r\nlocation: http://127.0.0.1:1/", "")),
                ErrorKind::Upstream,
                "answered 307",
            ),
            (Some(http("200 OK", &echo)), ErrorKind::Upstream, "did not answer with a chat completion"),
            (Some(http("200 OK", r#"{"choices":[]}"#)), ErrorKind::Upstream, "gave an empty answer"),
            (Some(http("200 OK", &long)), ErrorKind::Upstream, "answered more than 1048576 bytes"),
            (Some("garbage".into()), ErrorKind::Upstream, "cannot be reached"),
            (None, ErrorKind::Timeout, "took too long"),
        ] {
            let (base, server) = serve(response).await;
            let error = ask(&base, Duration::from_millis(500)).await.unwrap_err();
            assert_eq!(error.to_string(), format!("language model at 127.0.0.1 {message}"));
            assert_eq!(error.kind(), kind);
            let shown = format!("{error:?}");
            assert!(!shown.contains(SECRET) && !shown.contains(KEY) && !shown.contains("/v1"), "{shown}");
            server.abort();
        }
    }

    #[tokio::test]
    async fn nothing_is_asked_without_documents() {
        let llm = HttpLlm::new("http://127.0.0.1:1/v1", "tiny", None).unwrap();
        let generated = llm.answer(SECRET, &LetterCountEmbedder::embed_one(SECRET), &[]).await.unwrap();
        assert!(generated.answer.negative);
        assert_eq!(llm.name(), "tiny at 127.0.0.1");
    }

    #[test]
    fn the_key_is_not_one_meant_for_another_service() {
        assert!(API_KEY_VARIABLE.starts_with("WELLSPRING_"));
    }

    #[test]
    fn a_wrong_address_is_refused_at_once() {
        for base in ["", "localhost:11434", "ftp://host/v1", "http://", "not a url"] {
            let error = HttpLlm::new(base, "tiny", None).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{base}");
        }
        assert!(HttpLlm::new("http://localhost/v1", " ", None).is_err());
        let full = HttpLlm::new("http://localhost/v1/chat/completions", "tiny", Some(KEY.into())).unwrap();
        assert_eq!(full.endpoint.path(), "/v1/chat/completions");
        assert!(!format!("{full:?}").contains(KEY));
    }
}

//! Retrieval-augmented generation around an LLM call: documents in memory, a retriever that reuses the embedding that
//! the cache made, and any LLM behind an OpenAI-compatible API.
//!
//! ```sh
//! make setup    # once: fetches the library that runs the embedding model
//! LLM_URL=http://localhost:11434/v1 LLM_MODEL=llama3.2 cargo run --example rag
//! ```
//!
//! `LLM_API_KEY` is sent along if it is set. Without `LLM_URL`, the document that was found is the answer.

#![expect(clippy::print_stdout, reason = "its output is what the example shows")]

use std::env;
use std::sync::Arc;

use serde_json::{Value, json};
use wellspring::embed::{Embedded, Embedder, OnnxEmbedder};
use wellspring::{
    Answer, BoxError, Cache, ContentType, Dependency, Embedding, MemoryStore, Miss, Origin, Query, Scope,
    Usage,
};

const INSTRUCTION: &str = "Answer in one sentence, from the context only.";

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let embedder: Arc<dyn Embedder> = Arc::new(OnnxEmbedder::bundled()?);
    let mut library = Library { embedder: Arc::clone(&embedder), documents: Vec::new() };
    library
        .put("hours.md", "The café in Mill Street is open from 8:00 to 18:00, and closed on Mondays.")
        .await?;
    library.put("parking.md", "Guests park behind the house. The first hour costs nothing.").await?;
    let llm = Llm::from_environment();
    let cache = Cache::builder_from(embedder, Arc::new(MemoryStore::default())).build().await?;

    ask(&cache, &library, &llm, "When is the café in Mill Street open?").await?;
    ask(&cache, &library, &llm, "When is the café in Mill Street open?").await?;
    ask(&cache, &library, &llm, "Where do guests park?").await?;

    library.put("hours.md", "The café in Mill Street is open from 9:00 to 20:00, every day.").await?;
    let done = cache.invalidate_document("hours.md").await?;
    println!("hours.md changed, answers that are gone: {}", done.dropped());

    ask(&cache, &library, &llm, "Where do guests park?").await?;
    ask(&cache, &library, &llm, "When is the café in Mill Street open?").await?;
    cache.close().await?;
    Ok(())
}

/// Answers `question` from the cache, or by retrieval and the LLM.
async fn ask(cache: &Cache, library: &Library, llm: &Llm, question: &str) -> Result<(), BoxError> {
    // Another model or instruction gives other answers.
    let scope = Scope::new().parameter("model", &*llm.model).parameter("instruction", INSTRUCTION);
    let served = cache
        .get_or_fill(Query::new(question).scope(scope), async |miss| {
            let document = library.retrieve(&miss).await?;
            let answer = llm.answer(&miss.question, &document.text).await?;
            Ok((answer, [Dependency::document(document.id)]))
        })
        .await?;
    let origin = match served.origin {
        Origin::Hit(hit) => format!("{:?}", hit.tier),
        Origin::Bypassed(reason) => format!("without the cache: {reason:?}"),
        _ => "made".into(),
    };
    println!("{question}\n    [{origin}] {}", served.answer.text);
    Ok(())
}

/// Documents that are found by the similarity of their embeddings.
struct Library {
    embedder: Arc<dyn Embedder>,
    documents: Vec<Document>,
}

struct Document {
    id: &'static str,
    text: String,
    embedding: Embedding,
}

impl Library {
    async fn put(&mut self, id: &'static str, text: &str) -> Result<(), BoxError> {
        let embedding = self.embed(text).await?;
        self.documents.retain(|document| document.id != id);
        self.documents.push(Document { id, text: text.into(), embedding });
        Ok(())
    }

    async fn retrieve(&self, miss: &Miss) -> Result<&Document, BoxError> {
        let question = match &miss.embedding {
            Some(embedding) => embedding.clone(),
            None => self.embed(&miss.question).await?,
        };
        let similarity = |document: &Document| document.embedding.similarity(&question);
        let nearest = self.documents.iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
        nearest.ok_or_else(|| "there are no documents".into())
    }

    async fn embed(&self, text: &str) -> Result<Embedding, BoxError> {
        match self.embedder.embed(&[text.to_owned()]).await?.pop() {
            Some(Embedded::Vector(embedding)) => Ok(embedding),
            _ => Err("the text is too long for the model".into()),
        }
    }
}

struct Llm {
    client: reqwest::Client,
    url: Option<String>,
    model: String,
    key: Option<String>,
}

impl Llm {
    fn from_environment() -> Self {
        Self {
            client: reqwest::Client::new(),
            url: env::var("LLM_URL").ok(),
            model: env::var("LLM_MODEL").unwrap_or_else(|_| "gpt-4o-mini".into()),
            key: env::var("LLM_API_KEY").ok(),
        }
    }

    async fn answer(&self, question: &str, context: &str) -> Result<Answer, BoxError> {
        let Some(url) = &self.url else { return Ok(Answer::new(context)) };
        let body = json!({
            "model": self.model,
            "messages": [
                { "role": "system", "content": INSTRUCTION },
                { "role": "user", "content": format!("Context:\n{context}\n\nQuestion: {question}") },
            ],
        });
        let mut request = self.client.post(format!("{url}/chat/completions")).json(&body);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        let reply: Value = request.send().await?.error_for_status()?.json().await?;
        let text = reply["choices"][0]["message"]["content"].as_str().ok_or("the LLM gave no answer")?;
        let tokens = |name: &str| reply["usage"][name].as_u64().unwrap_or(0);
        let usage = Usage {
            prompt_tokens: tokens("prompt_tokens"),
            completion_tokens: tokens("completion_tokens"),
            ..Usage::default()
        };
        Ok(Answer::new(text).content_type(ContentType::Documentation).usage(usage))
    }
}

//! A gateway on real sockets, before a fake upstream and over a store in memory.

#![allow(dead_code, reason = "every suite uses a part of it")]

use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;
use wellspring::embed::FakeEmbedder;
use wellspring::server::{Gateway, Listeners, Options, listen};
use wellspring::store::Limits;
use wellspring::{Cache, MemoryStore, Store};

use super::upstream::Upstream;

/// A gateway that ends with the test's runtime, or when it is told to.
pub(crate) struct Running {
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) webhooks: Option<SocketAddr>,
    pub(crate) upstream: Upstream,
    pub(crate) cache: Cache,
    pub(crate) client: Client,
    pub(crate) gateway: Gateway,
    end: Option<tokio::sync::oneshot::Sender<()>>,
    served: Option<tokio::task::JoinHandle<wellspring::Result<()>>>,
}

impl Running {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Options)) -> Self {
        Self::over(Arc::new(MemoryStore::new(Limits::default())), change).await
    }

    pub(crate) async fn over(store: Arc<dyn Store>, change: impl FnOnce(&mut Options)) -> Self {
        let upstream = Upstream::start().await;
        let embedder = Arc::new(FakeEmbedder::new(128));
        let cache = Cache::builder_from(embedder, store).similarity_threshold(0.8).build().await.unwrap();
        let mut options = Options::default();
        options.openai.url = upstream.url();
        options.anthropic.url = upstream.url();
        change(&mut options);
        Self::serve(upstream, cache, options, Listeners::default())
    }

    /// Serves at free ports of this machine.
    pub(crate) fn serve(
        upstream: Upstream,
        cache: Cache,
        options: Options,
        mut listeners: Listeners,
    ) -> Self {
        let gateway = Gateway::new(cache.clone(), options).unwrap();
        listeners.public.set_port(0);
        listeners.admin.set_port(0);
        let bound = listen::bind(gateway.clone(), listeners).unwrap();
        let (public, admin) = (bound.public().unwrap(), bound.admin().unwrap());
        let webhooks = bound.webhooks().unwrap();
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let served = tokio::spawn(bound.serve(async {
            let _ = ended.await;
        }));
        let client = Client::new();
        Self {
            public,
            admin,
            webhooks,
            upstream,
            cache,
            client,
            gateway,
            end: Some(end),
            served: Some(served),
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.public)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.client.post(self.url(path)).json(body).bearer_auth("caller-key")
    }

    pub(crate) async fn ask(&self, path: &str, body: &Value) -> Reply {
        Reply::of(self.post(path, body).send().await.unwrap()).await
    }

    /// Asks it to end; the future that says how it did.
    pub(crate) fn end(&mut self) -> tokio::task::JoinHandle<wellspring::Result<()>> {
        let _ = self.end.take().unwrap().send(());
        self.served.take().unwrap()
    }
}

/// A response that was read whole.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) async fn of(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, body: response.text().await.unwrap() }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn tier(&self) -> &str {
        self.header("wellspring-tier")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

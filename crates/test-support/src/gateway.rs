//! A gateway on real sockets, in front of a fake upstream and over a store in memory.

use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wellspring::embed::FakeEmbedder;
use wellspring::store::{EmbeddedStore, Limits};
use wellspring::{Cache, MemoryStore, Store};
use wellspring_gateway::{Gateway, Listeners, Options, listen};

use crate::upstream::Upstream;

/// A gateway that ends with the test's runtime, or when it is asked to.
pub struct Running {
    pub public: SocketAddr,
    pub admin: SocketAddr,
    pub webhooks: Option<SocketAddr>,
    pub upstream: Upstream,
    pub cache: Cache,
    pub client: Client,
    pub gateway: Gateway,
    end: Option<tokio::sync::oneshot::Sender<()>>,
    served: Option<tokio::task::JoinHandle<wellspring::Result<()>>>,
}

impl Running {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Options)) -> Self {
        Self::over(Arc::new(MemoryStore::new(Limits::default())), change).await
    }

    pub async fn over(store: Arc<dyn Store>, change: impl FnOnce(&mut Options)) -> Self {
        let upstream = Upstream::start().await;
        let embedder = Arc::new(FakeEmbedder::new(128));
        let cache = Cache::builder_from(embedder, store).similarity_threshold(0.8).build().await.unwrap();
        let mut options = Options::default();
        options.openai.url = upstream.url();
        options.anthropic.url = upstream.url();
        change(&mut options);
        Self::serve(upstream, cache, options, Listeners::default())
    }

    /// Serves on free ports of this machine.
    pub fn serve(upstream: Upstream, cache: Cache, options: Options, mut listeners: Listeners) -> Self {
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

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.public)
    }

    pub fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.client.post(self.url(path)).json(body).bearer_auth("caller-key")
    }

    pub async fn ask(&self, path: &str, body: &Value) -> Reply {
        Reply::of(self.post(path, body).send().await.unwrap()).await
    }

    pub fn admin_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.admin)
    }

    pub async fn admin_post(&self, path: &str, body: &Value) -> Reply {
        Reply::of(self.client.post(self.admin_url(path)).json(body).send().await.unwrap()).await
    }

    pub async fn admin_get(&self, path: &str) -> Reply {
        Reply::of(self.client.get(self.admin_url(path)).send().await.unwrap()).await
    }

    pub async fn admin_delete(&self, path: &str) -> Reply {
        Reply::of(self.client.delete(self.admin_url(path)).send().await.unwrap()).await
    }

    /// Looks up a question in the cache itself.
    pub async fn look(&self, question: &str) -> Value {
        let reply = self.ask("/v1/cache/lookup", &json!({ "question": question })).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.json()
    }

    /// Stores the answer to a question; returns its entry.
    pub async fn store(&self, question: &str, sources: &Value) -> String {
        let permit = self.look(question).await["permit"].clone();
        assert!(permit.is_string(), "{question} is stored already");
        let body = json!({ "permit": permit, "answer": format!("answer to {question}"), "sources": sources });
        let reply = self.ask("/v1/cache/fill", &body).await.json();
        assert_eq!(reply["status"], "stored", "{reply}");
        reply["entry"].as_str().unwrap().to_owned()
    }

    pub async fn is_stored(&self, question: &str) -> bool {
        self.look(question).await["status"] == "hit"
    }

    pub fn hook(&self, name: &str, body: &str) -> RequestBuilder {
        self.client.post(self.admin_url(&format!("/v1/webhooks/{name}"))).body(body.to_owned())
    }

    /// Asks the gateway to end; the returned future says how it ended.
    pub fn end(&mut self) -> tokio::task::JoinHandle<wellspring::Result<()>> {
        let _ = self.end.take().unwrap().send(());
        self.served.take().unwrap()
    }
}

/// A gateway over a store on disk, in a folder of its own.
pub async fn start_on_disk(change: impl FnOnce(&mut Options)) -> (Running, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(folder.path().join("store.redb")).unwrap();
    (Running::over(Arc::new(store), change).await, folder)
}

/// A response that was read whole.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: String,
}

impl Reply {
    pub async fn of(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, body: response.text().await.unwrap() }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn tier(&self) -> &str {
        self.header("wellspring-tier")
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Sends `request` unchanged; returns the status of the response and the whole response. For requests that no
/// client library would send.
pub async fn raw(address: SocketAddr, request: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut response = Vec::new();
    stream.read_to_end(&mut response).await.unwrap();
    let response = String::from_utf8_lossy(&response).into_owned();
    let status = response.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no response: {response:?}")), response)
}

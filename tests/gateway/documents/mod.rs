//! The gateway's interfaces for pipelines and for whatever changes documents, over real sockets and real stores.

mod cache_api;
mod changes;
mod pending;
mod putting;
#[cfg(feature = "cli")]
mod watching;
mod webhooks;

use std::sync::Arc;

use crate::running::{Reply, Running};
use serde_json::{Value, json};
use tempfile::TempDir;
use wellspring::server::Options;
use wellspring::store::EmbeddedStore;

/// A gateway over a store on disk, in a folder of its own.
async fn start(change: impl FnOnce(&mut Options)) -> (Running, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(folder.path().join("store.redb")).unwrap();
    (Running::over(Arc::new(store), change).await, folder)
}

impl Running {
    fn admin_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.admin)
    }

    async fn admin_post(&self, path: &str, body: &Value) -> Reply {
        Reply::of(self.client.post(self.admin_url(path)).json(body).send().await.unwrap()).await
    }

    async fn admin_get(&self, path: &str) -> Reply {
        Reply::of(self.client.get(self.admin_url(path)).send().await.unwrap()).await
    }

    async fn admin_delete(&self, path: &str) -> Reply {
        Reply::of(self.client.delete(self.admin_url(path)).send().await.unwrap()).await
    }

    /// Looks a question up in the cache itself.
    async fn look(&self, question: &str) -> Value {
        let reply = self.ask("/v1/cache/lookup", &json!({ "question": question })).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.json()
    }

    /// Stores the answer to a question; returns its entry.
    async fn store(&self, question: &str, sources: &Value) -> String {
        let permit = self.look(question).await["permit"].clone();
        assert!(permit.is_string(), "{question} is stored already");
        let body = json!({ "permit": permit, "answer": format!("answer to {question}"), "sources": sources });
        let reply = self.ask("/v1/cache/fill", &body).await.json();
        assert_eq!(reply["status"], "stored", "{reply}");
        reply["entry"].as_str().unwrap().to_owned()
    }

    async fn is_stored(&self, question: &str) -> bool {
        self.look(question).await["status"] == "hit"
    }
}

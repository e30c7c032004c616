//! Encryption, with and without certificates of clients.

use reqwest::{Certificate, Client, Identity};
use wellspring::embed::FakeEmbedder;
use wellspring::store::Limits;
use wellspring::{Cache, MemoryStore};
use wellspring_gateway::{Listeners, Options, Tls};

use crate::running::Running;
use crate::support::servers;
use crate::upstream::Upstream;

async fn start(tls: Tls) -> Running {
    let cache = Cache::builder(FakeEmbedder::new(64), MemoryStore::new(Limits::default())).build();
    let mut listeners = Listeners::default();
    listeners.tls = Some(tls);
    Running::serve(Upstream::start().await, cache.await.unwrap(), Options::default(), listeners)
}

#[tokio::test]
async fn connections_are_encrypted_and_clients_show_a_certificate_if_they_must() {
    let made = servers::Tls::generate();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name)
    };
    let mut tls = Tls {
        certificate: write("server.pem", &made.server_certificate),
        key: write("server.key", &made.server_key),
        client_ca: None,
    };
    let root = Certificate::from_pem(made.ca.as_bytes()).unwrap();
    let client = || Client::builder().tls_certs_only([root.clone()]);
    let get = async |gateway: &Running, client: Client| {
        let url = format!("https://localhost:{}/healthz", gateway.public.port());
        client.get(url).send().await.map(|response| response.status().as_u16())
    };

    let open = start(tls.clone()).await;
    assert_eq!(get(&open, client().build().unwrap()).await.unwrap(), 200);
    assert!(open.client.get(open.url("/healthz")).send().await.is_err());

    tls.client_ca = Some(write("ca.pem", &made.ca));
    let closed = start(tls).await;
    assert!(get(&closed, client().build().unwrap()).await.is_err());
    let shown = format!("{}{}", made.client_certificate, made.client_key);
    let known = client().identity(Identity::from_pem(shown.as_bytes()).unwrap());
    assert_eq!(get(&closed, known.build().unwrap()).await.unwrap(), 200);
}

//! The listeners: binding, encryption, and a shutdown that lets running requests finish.

use std::fmt;
use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum_server::Handle;
use axum_server::accept::NoDelayAcceptor;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use hyper_util::rt::TokioTimer;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use wellspring::error::{Error, ErrorKind, Result};

use crate::connections::{self, Places, Times, Watching};
use crate::telemetry::Samples;
use crate::{Anonymous, Gateway, admin_router, public_router, webhook_router};

/// How long a client may take to send the head of a request, or to begin the next request on a connection; over
/// HTTP/2, up to twice as long.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// The most bytes of headers that a request has over HTTP/2: as many as are accepted over HTTP/1.1. Directives
/// may be headers, and are longer than what hyper accepts over HTTP/2 by default (16 KiB).
const MAX_HEADERS: u32 = 408 << 10;
/// The shutdown is announced repeatedly until it was received: a listener that is busy at that moment misses
/// it.
const ANNOUNCE_EVERY: Duration = Duration::from_millis(100);

/// Where the gateway listens.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Listeners {
    /// The address of the proxy; 127.0.0.1:7331 by default.
    pub public: SocketAddr,
    /// The address of administration and ingestion; 127.0.0.1:7332 by default.
    pub admin: SocketAddr,
    /// The address of webhooks, which others must reach; that of administration by default.
    pub webhooks: Option<SocketAddr>,
    /// Encryption of all listeners by TLS.
    pub tls: Option<Tls>,
    /// How long requests may go on after the shutdown was requested; 30 seconds by default.
    pub drain: Duration,
}

impl Default for Listeners {
    fn default() -> Self {
        Self {
            public: SocketAddr::from(([127, 0, 0, 1], 7331)),
            admin: SocketAddr::from(([127, 0, 0, 1], 7332)),
            webhooks: None,
            tls: None,
            drain: Duration::from_secs(30),
        }
    }
}

/// Encryption by TLS 1.2 or 1.3.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The file with the certificate chain.
    pub certificate: PathBuf,
    /// The file with its key.
    pub key: PathBuf,
    /// The file with the authorities that sign the certificates of clients. If it is set, a client that shows
    /// no certificate is refused.
    pub client_ca: Option<PathBuf>,
}

/// Listeners that are bound but not yet served.
pub struct Bound {
    gateway: Gateway,
    listeners: Listeners,
    public: TcpListener,
    admin: TcpListener,
    webhooks: Option<TcpListener>,
    tls: Option<RustlsConfig>,
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bound").field("listeners", &self.listeners).finish_non_exhaustive()
    }
}

/// Serves `gateway` until `end`, then drains it and closes its cache.
///
/// # Errors
///
/// Those of [`bind`] and [`Bound::serve`].
///
/// # Cancel safety
///
/// If dropped, connections go on until the runtime ends, and the cache is not closed.
pub async fn serve(gateway: Gateway, listeners: Listeners, end: impl Future<Output = ()>) -> Result<()> {
    bind(gateway, listeners)?.serve(end).await
}

/// Binds both addresses.
///
/// # Errors
///
/// `Config` if an address can be reached from other machines and nothing says who may do what, or if a
/// certificate cannot be used; `Unavailable` if an address cannot be bound.
pub fn bind(gateway: Gateway, listeners: Listeners) -> Result<Bound> {
    check_addresses(&gateway, &listeners)?;
    let tls = listeners.tls.as_ref().map(Tls::config).transpose()?;
    let public = bind_to(listeners.public)?;
    let admin = bind_to(listeners.admin)?;
    let webhooks = listeners.webhooks.map(bind_to).transpose()?;
    Ok(Bound { gateway, listeners, public, admin, webhooks, tls })
}

impl Bound {
    /// The address of the proxy, with the port that was chosen.
    ///
    /// # Errors
    ///
    /// `Unavailable` if the system does not report it.
    pub fn public(&self) -> Result<SocketAddr> {
        local(&self.public)
    }

    /// The address of administration and ingestion, with the port that was chosen.
    ///
    /// # Errors
    ///
    /// `Unavailable` if the system does not report it.
    pub fn admin(&self) -> Result<SocketAddr> {
        local(&self.admin)
    }

    /// The address of webhooks, with the port that was chosen; none if they have no listener of their own.
    ///
    /// # Errors
    ///
    /// `Unavailable` if the system does not report it.
    pub fn webhooks(&self) -> Result<Option<SocketAddr>> {
        self.webhooks.as_ref().map(local).transpose()
    }

    /// Serves until `end`. Then `/readyz` reports the shutdown and no new connection is accepted. Requests
    /// and their background work may finish within the time to drain, and the cache is closed.
    ///
    /// # Errors
    ///
    /// `Unavailable` if a listener breaks; those of [`Cache::close`](wellspring::Cache::close).
    ///
    /// # Cancel safety
    ///
    /// As for [`serve`].
    pub async fn serve(self, end: impl Future<Output = ()>) -> Result<()> {
        let Self { gateway, listeners, public, admin, webhooks, tls } = self;
        // Before anything is served that may have changed.
        gateway.resume().await;
        let handle = Handle::new();
        let limits = gateway.options().limits;
        let times = Times { open: limits.open_timeout, write: limits.write_timeout, idle: HEADER_TIMEOUT };
        let (callers, others) = connections::shares(limits.connections, 1 + usize::from(webhooks.is_some()));
        let listen =
            |listener, router, most| run(listener, tls.clone(), router, &handle, Places::new(most), times);
        let hooks = async {
            match webhooks {
                Some(listener) => listen(listener, webhook_router(&gateway), others).await,
                None => Ok(()),
            }
        };
        let servers = async {
            tokio::try_join!(
                listen(public, public_router(&gateway), callers),
                listen(admin, admin_router(&gateway, &listeners), others),
                hooks,
            )
        };
        let announce = async {
            end.await;
            gateway.begin_draining();
            let begun = Instant::now();
            loop {
                handle.graceful_shutdown(Some(listeners.drain.saturating_sub(begun.elapsed())));
                tokio::time::sleep(ANNOUNCE_EVERY).await;
            }
        };
        tokio::select! {
            served = servers => drop(served?),
            () = announce => {}
            () = Samples::take(&gateway) => {}
        }
        // Followers of a cancelled answer may still store their own.
        let tasks = tokio::time::timeout(listeners.drain, gateway.tasks().wait());
        if gateway.is_draining() && tasks.await.is_err() {
            tracing::warn!("answers that take longer than server.drain are abandoned");
        }
        gateway.cache().close().await
    }
}

async fn run(
    listener: TcpListener,
    tls: Option<RustlsConfig>,
    router: Router,
    handle: &Handle<SocketAddr>,
    places: Places,
    times: Times,
) -> Result<()> {
    let broken = |e| Error::new(ErrorKind::Unavailable, "a listener failed").with_source(e);
    let mut server = axum_server::from_tcp(listener).map_err(broken)?.handle(handle.clone());
    let http = server.http_builder();
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HEADER_TIMEOUT)
        .max_header_list_size(MAX_HEADERS);
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let plain = NoDelayAcceptor::new();
    match tls {
        None => server.acceptor(Watching { inner: plain, places, times }).serve(service).await,
        Some(tls) => {
            let inner = RustlsAcceptor::new(tls).acceptor(plain);
            server.acceptor(Watching { inner, places, times }).serve(service).await
        }
    }
    .map_err(broken)
}

/// Anyone who can reach an address may use it, unless callers must show who they are.
fn check_addresses(gateway: &Gateway, listeners: &Listeners) -> Result<()> {
    let options = gateway.options();
    let asks_for_certificate = listeners.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    let asks_who = !options.tokens.is_empty() || asks_for_certificate;
    let open = |address: SocketAddr| !address.ip().is_loopback() && !asks_who;
    let refused = |setting: &str, address: SocketAddr, advice: &str| {
        Err(Error::new(
            ErrorKind::Config,
            format!(
                "{setting} is {address}, which other machines can reach, but callers are not authenticated: set \
                 server.tokens or server.tls_client_ca, or server.anonymous to {advice}"
            ),
        ))
    };
    if open(listeners.public) && options.anonymous == Anonymous::None {
        return refused("server.listen", listeners.public, "\"proxy\"");
    }
    let has_key = options.openai.api_key.is_some() || options.anthropic.api_key.is_some();
    let lends_key = has_key && options.anonymous != Anonymous::None && !asks_for_certificate;
    if lends_key && !listeners.public.ip().is_loopback() && !options.open_relay {
        return Err(Error::new(
            ErrorKind::Config,
            format!(
                "server.listen is {}, which other machines can reach, and with server.anonymous a caller without a \
                 key uses the gateway's own: remove that key, or set server.anonymous = \"relay\" if this is intended",
                listeners.public
            ),
        ));
    }
    if open(listeners.admin) && options.anonymous != Anonymous::All {
        return refused("server.admin_listen", listeners.admin, "\"all\"");
    }
    Ok(())
}

fn bind_to(address: SocketAddr) -> Result<TcpListener> {
    let bound = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    bound
        .map_err(|e| Error::new(ErrorKind::Unavailable, format!("cannot listen at {address}")).with_source(e))
}

fn local(listener: &TcpListener) -> Result<SocketAddr> {
    listener.local_addr().map_err(|e| {
        Error::new(ErrorKind::Unavailable, "a listener does not report its address").with_source(e)
    })
}

impl Tls {
    fn config(&self) -> Result<RustlsConfig> {
        let cannot = |path: &PathBuf| {
            Error::new(ErrorKind::Config, format!("cannot use {} for encryption", path.display()))
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let certificates =
            certificates(&self.certificate).map_err(|e| cannot(&self.certificate).with_source(e))?;
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|e| cannot(&self.key).with_source(e))?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|e| cannot(&self.certificate).with_source(e))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for authority in self::certificates(path).map_err(|e| cannot(path).with_source(e))? {
                    roots.add(authority).map_err(|e| cannot(path).with_source(e))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.map_err(|e| cannot(path).with_source(e))?)
            }
        };
        let mut config =
            builder.with_single_cert(certificates, key).map_err(|e| cannot(&self.key).with_source(e))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(RustlsConfig::from_config(Arc::new(config)))
    }
}

fn certificates(
    path: &PathBuf,
) -> std::result::Result<Vec<CertificateDer<'static>>, rustls::pki_types::pem::Error> {
    CertificateDer::pem_file_iter(path)?.collect()
}

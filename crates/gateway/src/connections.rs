//! Connections: how many may be open, and what each must do in time.
//!
//! Each listener has its own places, so that a client that takes all the places of one listener does not
//! affect the other. A connection beyond them gets one of a few reserve places. A reserve connection is
//! served the health checks, and any other request gets a reply to come back later. Connections beyond the
//! reserve are closed. A client that connects and sends nothing, that stops reading, or that has no request on
//! its HTTP/2 connection for a while, loses its place: HTTP's own timeouts begin with the first bytes, none of
//! them notices a reader that has stopped, and HTTP/2 has none for a connection that only answers pings.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Extension;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{AddExtension, Next};
use axum::response::Response;
use axum_server::accept::Accept;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};
use tower_layer::Layer as _;

use crate::error::{Dialect, Problem};
use crate::health;

/// What an HTTP/2 connection begins with (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How many connections beyond the limit get a reply that says so.
const RESERVE: usize = 8;
/// How long a connection in reserve lives.
const RESERVE_LIFE: Duration = Duration::from_secs(5);
/// How many connections each listener other than the public one may have.
const OTHERS: usize = 256;
/// Descriptors that are kept free for the store, the journal, logs and other kinds of connections.
const OTHER_DESCRIPTORS: usize = 64;

/// What a connection must do in time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// From accepting the connection to the first bytes; for HTTP/2, to the end of its preface.
    pub(super) open: Duration,
    /// Between two moments at which the client takes some of what is sent.
    pub(super) write: Duration,
    /// Between two requests on a connection of HTTP/2: at least this, and less than twice as much.
    pub(super) idle: Duration,
}

/// The places of a listener.
#[derive(Debug, Clone)]
pub(super) struct Places {
    regular: Arc<Semaphore>,
    reserve: Arc<Semaphore>,
}

/// The kind of place that a connection has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Regular,
    Reserve,
}

/// A request's connection; an extension of every request.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    place: Place,
    requests: Arc<Requests>,
}

/// The requests of a connection.
#[derive(Debug, Default)]
struct Requests {
    running: AtomicUsize,
    /// Whether there was one since the connection was last checked.
    is_used: AtomicBool,
}

/// A request that keeps its connection open.
#[derive(Debug)]
pub(super) struct Running(Arc<Requests>);

impl Connection {
    /// Keeps the connection open until the request was responded to.
    pub(super) fn run(&self) -> Running {
        self.requests.is_used.store(true, Ordering::Relaxed);
        self.requests.running.fetch_add(1, Ordering::Relaxed);
        Running(Arc::clone(&self.requests))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.is_used.store(true, Ordering::Relaxed);
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Places {
    pub(super) fn new(most: usize) -> Self {
        let semaphore = |places: usize| Arc::new(Semaphore::new(places.clamp(1, Semaphore::MAX_PERMITS)));
        Self { regular: semaphore(most), reserve: semaphore(RESERVE) }
    }

    fn take(&self) -> io::Result<(Place, OwnedSemaphorePermit)> {
        let of = |places: &Arc<Semaphore>| Arc::clone(places).try_acquire_owned();
        of(&self.regular)
            .map(|permit| (Place::Regular, permit))
            .or_else(|_| of(&self.reserve).map(|permit| (Place::Reserve, permit)))
            .map_err(|_| io::Error::other("too many connections"))
    }
}

/// How many connections the public listener may have, at most `wanted`, and how many each of the `others` may
/// have. The limit is this process's limit of open files, and each public connection may need another one to
/// an upstream.
pub(super) fn shares(wanted: usize, others: usize) -> (usize, usize) {
    let Some(descriptors) = descriptors() else { return (wanted, OTHERS) };
    let left = usize::try_from(descriptors).unwrap_or(usize::MAX).saturating_sub(OTHER_DESCRIPTORS);
    let other = OTHERS.min(left / 4);
    let public = left.saturating_sub(others * other + (others + 1) * RESERVE) / 2;
    if public < wanted {
        tracing::warn!(
            descriptors,
            connections = public,
            "the limit of open files allows fewer connections than configured"
        );
    }
    (wanted.min(public), other)
}

#[cfg(unix)]
fn descriptors() -> Option<u64> {
    rlimit::Resource::NOFILE.get().ok().map(|(soft, _)| soft)
}

#[cfg(not(unix))]
fn descriptors() -> Option<u64> {
    None
}

/// Raises this process's limit of open files as far as the system allows.
pub fn raise_descriptors() {
    #[cfg(unix)]
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
}

/// Gives each connection a place, and watches it.
#[derive(Debug, Clone)]
pub(super) struct Watching<A> {
    pub(super) inner: A,
    pub(super) places: Places,
    pub(super) times: Times,
}

type Accepting<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

impl<I, S, A> Accept<I, S> for Watching<A>
where
    I: 'static,
    S: 'static,
    A: Accept<I, S, Future: Send> + 'static,
{
    type Stream = Watched<A::Stream>;
    type Service = AddExtension<A::Service, Connection>;
    type Future = Accepting<(Self::Stream, Self::Service)>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let (taken, times) = (self.places.take(), self.times);
        let accepting = self.inner.accept(stream, service);
        Box::pin(async move {
            let (place, permit) = taken?;
            let (stream, service) = accepting.await?;
            let life = (place == Place::Reserve).then(|| timer(RESERVE_LIFE));
            let opening = Some((timer(times.open), 0));
            let connection = Connection { place, requests: Arc::default() };
            let requests = Arc::clone(&connection.requests);
            let (standing, idle) = (None, None);
            let watched = Watched { stream, opening, standing, life, idle, requests, times, _permit: permit };
            Ok((watched, Extension(connection).layer(service)))
        })
    }
}

fn timer(after: Duration) -> Pin<Box<Sleep>> {
    Box::pin(tokio::time::sleep(after))
}

fn late(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

/// A connection that ends when it exceeds one of its time limits.
pub(super) struct Watched<S> {
    stream: S,
    /// Until the connection is known to speak HTTP: the deadline for that, and how much of HTTP/2's preface
    /// was read.
    opening: Option<(Pin<Box<Sleep>>, usize)>,
    /// Runs while the client takes nothing.
    standing: Option<Pin<Box<Sleep>>>,
    /// Only for connections in reserve.
    life: Option<Pin<Box<Sleep>>>,
    /// Only for HTTP/2: until it is checked whether there was a request.
    idle: Option<Pin<Box<Sleep>>>,
    requests: Arc<Requests>,
    times: Times,
    _permit: OwnedSemaphorePermit,
}

impl<S> Watched<S> {
    /// Notes what was read: any protocol other than HTTP/2 has a timeout of its own from here on.
    fn opened(&mut self, read: &[u8]) {
        let Some((_, matched)) = &mut self.opening else { return };
        let rest = &PREFACE[*matched..];
        let same = rest.iter().zip(read).take_while(|(a, b)| a == b).count();
        *matched += same;
        let is_preface_still = same == read.len() && *matched < PREFACE.len();
        if !is_preface_still {
            self.idle = (*matched == PREFACE.len()).then(|| timer(self.times.idle));
            self.opening = None;
        }
    }

    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        let opening = self.opening.as_mut().is_some_and(|(timer, _)| timer.as_mut().poll(context).is_ready());
        let life = self.life.as_mut().is_some_and(|timer| timer.as_mut().poll(context).is_ready());
        opening || life || self.is_idle(context)
    }

    fn is_idle(&mut self, context: &mut Context<'_>) -> bool {
        let Some(timer) = &mut self.idle else { return false };
        while timer.as_mut().poll(context).is_ready() {
            let was_used = self.requests.is_used.swap(false, Ordering::Relaxed);
            if !was_used && self.requests.running.load(Ordering::Relaxed) == 0 {
                return true;
            }
            timer.as_mut().reset(Instant::now() + self.times.idle);
        }
        false
    }

    /// Passes on the result of a write, or ends a connection that has stood still for too long.
    fn wrote<T>(&mut self, context: &mut Context<'_>, went: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if went.is_ready() {
            self.standing = None;
            return went;
        }
        let write = self.times.write;
        if self.standing.get_or_insert_with(|| timer(write)).as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(late("the client does not read what it asked for")));
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_late(context) {
            return Poll::Ready(Err(late("the client sends no request")));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_ready() {
            self.opened(&buffer.filled()[before..]);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(context, wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.wrote(context, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.wrote(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.wrote(context, shut)
    }
}

/// Serves connections in reserve the health checks only, and only one request.
pub(super) async fn in_place(request: Request, next: Next) -> Response {
    let place = request.extensions().get::<Connection>().map(|connection| connection.place);
    if place != Some(Place::Reserve) {
        return next.run(request).await;
    }
    let dialect = Dialect::of(request.uri().path(), request.headers());
    let mut response = if health::is_check(request.uri()) {
        next.run(request).await
    } else {
        let message = "the gateway has as many connections as it may";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_connections", message)
            .retry_after(Duration::from_secs(1))
            .response(dialect)
    };
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Whether the gateway still waits for a connection that has sent `sent` and nothing more.
    async fn is_opening(sent: &[u8]) -> bool {
        let (mut client, server) = tokio::io::duplex(64);
        let places = Places::new(1);
        let times = Times { open: SECOND, write: SECOND, idle: SECOND };
        let watching = Watching { inner: axum_server::accept::DefaultAcceptor::new(), places, times };
        let (mut stream, _) = watching.accept(server, Nothing).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut client, sent).await.unwrap();
        let mut read = vec![0; sent.len()];
        stream.read_exact(&mut read).await.unwrap();
        stream.opening.is_some()
    }

    #[derive(Clone)]
    struct Nothing;

    #[tokio::test]
    async fn only_the_preface_of_http_2_takes_more_than_a_byte() {
        assert!(is_opening(b"").await);
        assert!(is_opening(b"P").await);
        assert!(is_opening(&PREFACE[..23]).await);
        assert!(!is_opening(PREFACE).await);
        assert!(!is_opening(b"POST / HTTP/1.1").await);
        assert!(!is_opening(b"G").await);
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_or_stands_still_is_late() {
        let places = Places::new(1);
        let times = Times { open: SECOND, write: 2 * SECOND, idle: SECOND };
        let watching = Watching { inner: axum_server::accept::DefaultAcceptor::new(), places, times };
        let (client, server) = tokio::io::duplex(4);
        let (mut stream, _) = watching.accept(server, Nothing).await.unwrap();
        let error = stream.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let error = tokio::io::AsyncWriteExt::write_all(&mut stream, b"more than four").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop((stream, client));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_of_http_2_without_requests_ends() {
        let times = Times { open: SECOND, write: SECOND, idle: 10 * SECOND };
        let inner = axum_server::accept::DefaultAcceptor::new();
        let watching = Watching { inner, places: Places::new(1), times };
        let (mut client, server) = tokio::io::duplex(64);
        let (mut stream, _) = watching.accept(server, Nothing).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut client, PREFACE).await.unwrap();
        stream.read_exact(&mut [0; PREFACE.len()]).await.unwrap();
        let connection = Connection { place: Place::Regular, requests: Arc::clone(&stream.requests) };
        let running = connection.run();
        // A ping every second is no request.
        let pinging = tokio::spawn(async move {
            while tokio::io::AsyncWriteExt::write_all(&mut client, b"p").await.is_ok() {
                tokio::time::sleep(SECOND).await;
            }
        });
        let started = Instant::now();
        let read = async |stream: &mut Watched<_>, seconds: u32| {
            while started.elapsed() < seconds * SECOND {
                stream.read_u8().await?;
            }
            io::Result::Ok(())
        };
        read(&mut stream, 60).await.unwrap();
        drop(running);
        read(&mut stream, 70).await.unwrap();
        assert_eq!(read(&mut stream, 80).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        pinging.abort();
    }

    #[test]
    fn places_come_back_and_those_in_reserve_are_few() {
        let places = Places::new(2);
        let taken: Vec<_> = (0..2).map(|_| places.take().unwrap()).collect();
        assert!(taken.iter().all(|(place, _)| *place == Place::Regular));
        let reserve: Vec<_> = (0..RESERVE).map(|_| places.take().unwrap()).collect();
        assert!(reserve.iter().all(|(place, _)| *place == Place::Reserve));
        assert!(places.take().is_err());
        drop(taken);
        assert_eq!(places.take().unwrap().0, Place::Regular);
    }
}

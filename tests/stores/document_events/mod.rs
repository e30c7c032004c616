//! Events from other systems: none is lost without notice, and once one is acknowledged, no stale answer is served.

mod channel;
mod consumers;
mod dead_letters;
mod gaps;
mod spellings;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis::from_redis_value;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use wellspring::events::{DocumentEvents, GapReason, Report, StreamEvents};
use wellspring::{Cache, Dependency, FillOutcome, Lookup, Query};

use crate::support::embedder::WordEmbedder;
use crate::support::eventually;
use crate::support::servers::{Flavour, Server};
use crate::support::valkey::{patient_now, shared_server};

const STREAM: &str = "documents";
const GROUP: &str = "wellspring";

/// A server for events, which is not the store's.
fn server(flavour: Flavour) -> Server {
    Server::builder().flavour(flavour).start()
}

/// A cache on the other server, with keys of its own.
async fn cache(flavour: Flavour) -> Cache {
    let prefix = format!("{:032x}:", rand_bits());
    let store = patient_now().prefix(prefix).connect(&shared_server(flavour).url()).await.unwrap();
    Cache::builder(WordEmbedder::default(), store).build().await.unwrap()
}

fn rand_bits() -> u128 {
    let folder = tempfile::tempdir().unwrap();
    let name = folder.path().file_name().unwrap().to_string_lossy().into_owned();
    name.bytes().fold(u128::from(std::process::id()), |bits, byte| bits << 8 | u128::from(byte))
}

async fn put(cache: &Cache, question: &str, document: &str) {
    put_from(cache, question, vec![Dependency::document(document)]).await;
}

async fn put_from(cache: &Cache, question: &str, dependencies: Vec<Dependency>) {
    let query = Query::new(question).exact_only().renew();
    let Lookup::Miss(permit) = cache.lookup(query).await.unwrap() else { panic!("a renewal") };
    let outcome = permit.fill("answer", dependencies).await;
    assert!(matches!(outcome, FillOutcome::Stored(_)), "{outcome:?}");
}

async fn is_hit(cache: &Cache, question: &str) -> bool {
    matches!(cache.lookup(Query::new(question).exact_only()).await.unwrap(), Lookup::Hit(_))
}

/// What readers reported.
#[derive(Debug, Clone, Default)]
struct Reports(Arc<Mutex<Vec<Report>>>);

impl Reports {
    fn count(&self, is: impl Fn(&Report) -> bool) -> usize {
        self.0.lock().unwrap().iter().filter(|report| is(report)).count()
    }

    fn applied(&self) -> usize {
        self.count(|report| matches!(report, Report::Applied { .. }))
    }

    fn buried(&self) -> usize {
        self.count(|report| matches!(report, Report::DeadLettered { .. }))
    }

    fn gaps(&self, of: GapReason) -> usize {
        self.count(|report| matches!(report, Report::Gap { reason, .. } if *reason == of))
    }

    fn all_gaps(&self) -> usize {
        self.count(|report| matches!(report, Report::Gap { .. }))
    }

    fn listener(&self) -> impl Fn(&Report) + Send + Sync + 'static {
        let reports = self.clone();
        move |report| reports.0.lock().unwrap().push(report.clone())
    }
}

/// A reader in the background.
struct Reader {
    reports: Reports,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<wellspring::Result<()>>,
}

impl Reader {
    fn start(events: StreamEvents, cache: &Cache) -> Self {
        let reports = Reports::default();
        let (stop, stopped) = oneshot::channel::<()>();
        let (events, cache) = (events.observe(reports.listener()), cache.clone());
        let task = tokio::spawn(async move { events.run(&cache, async { drop(stopped.await) }).await });
        Self { reports, stop: Some(stop), task }
    }

    /// Ends like a program that is asked to.
    async fn stop(mut self) -> Reports {
        drop(self.stop.take());
        self.task.await.unwrap().unwrap();
        self.reports
    }

    /// Ends like a process that is killed.
    async fn kill(self) -> Reports {
        self.task.abort();
        assert!(self.task.await.is_err());
        self.reports
    }

    async fn gap(&self, reason: GapReason) {
        eventually("the gap is dealt with", async || self.reports.gaps(reason) > 0).await;
    }
}

/// The stream of `server` as seen by a consumer that notices soon what happens.
fn events(server: &Server, consumer: &str) -> StreamEvents {
    DocumentEvents::stream(server.url(), STREAM, GROUP, consumer)
        .block(Duration::from_millis(100))
        .claim_idle(Duration::from_millis(300))
}

fn add(server: &Server, fields: &[&str]) -> String {
    server.text(&[&["XADD", STREAM, "*"], fields].concat())
}

/// How many events of the group are read and not acknowledged.
fn pending(server: &Server) -> i64 {
    let reply: (i64, redis::Value, redis::Value, redis::Value) =
        from_redis_value(server.command(&["XPENDING", STREAM, GROUP])).unwrap();
    reply.0
}

/// Starts a reader and waits until it has handled that its group is new.
async fn reading(server: &Server, cache: &Cache) -> Reader {
    let reader = Reader::start(events(server, "one"), cache);
    reader.gap(GapReason::NewGroup).await;
    reader
}

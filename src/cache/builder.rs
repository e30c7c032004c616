//! Building a cache from its parts.

use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cache::feedback_index::FeedbackIndex;
use crate::cache::indexes::{Indexes, Loader, SnapshotManager};
use crate::cache::judging::Judging;
use crate::cache::query::FollowUps;
use crate::cache::refresh::{Refresh, Refresher};
use crate::cache::runtime_settings::RuntimeSettings;
use crate::cache::{Cache, Inner, Settings, seeded};
use crate::clock::{Clock, SystemClock};
use crate::embed::{Embedder, Memo};
use crate::entry::{Answer, Dependency};
use crate::error::{BoxError, Error, ErrorKind, Result};
use crate::flight::SingleFlight;
use crate::index::Snapshots;
use crate::journal::Journal;
use crate::judge::Shadow;
use crate::key::Corpus;
use crate::match_policy::MatchPolicy;
use crate::metrics::CacheMetrics;
use crate::policy::{Admission, EarlyRefresh, Ttls};
use crate::store::{ChangeListener, JudgementLog, Store};
#[cfg(doc)]
use crate::verify::Pipeline;
use crate::verify::{Guards, Verifier};

/// The most candidates that a lookup may ask the index for.
const MAX_CANDIDATES: usize = 64;
/// How many near neighbours a lookup looks at by [default](CacheBuilder::candidates).
pub const DEFAULT_CANDIDATES: usize = 4;
/// How many bytes of embeddings are [remembered](CacheBuilder::remember_embeddings) by default: about 8,600
/// questions of 100 bytes and 384 dimensions.
pub const DEFAULT_MEMO_BYTES: u64 = 16 << 20;

/// How long a lookup waits for an index of a store that one process owns.
const INDEX_WAIT: Duration = Duration::from_secs(1);

/// Builds a [`Cache`].
#[must_use]
pub struct CacheBuilder {
    embedder: Arc<dyn Embedder>,
    store: Arc<dyn Store>,
    verifier: Option<Arc<dyn Verifier>>,
    clock: Arc<dyn Clock>,
    match_policy: MatchPolicy,
    ttls: Ttls,
    admission: Admission,
    settings: Settings,
    refresher: Option<Refresher>,
    shadow: Option<Shadow>,
    write_behind: usize,
    unload_after: Duration,
    snapshots: Option<PathBuf>,
    memo_bytes: u64,
    seed: Option<u64>,
}

impl std::fmt::Debug for CacheBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CacheBuilder").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl CacheBuilder {
    pub(super) fn new(embedder: Arc<dyn Embedder>, store: Arc<dyn Store>) -> Self {
        let index_wait = store.coordination().map_or(INDEX_WAIT, |_| Duration::ZERO);
        Self {
            embedder,
            store,
            verifier: None,
            clock: Arc::new(SystemClock),
            match_policy: MatchPolicy::default(),
            ttls: Ttls::default(),
            admission: Admission::default(),
            settings: Settings {
                candidates: DEFAULT_CANDIDATES,
                corpora: HashMap::new(),
                follow_ups: FollowUps::default(),
                embed_timeout: Duration::from_secs(5),
                verify_timeout: Duration::from_millis(500),
                follow_timeout: Duration::from_mins(1),
                index_wait,
                early_refresh: None,
                refresh_on_invalidation: 0,
            },
            refresher: None,
            shadow: None,
            write_behind: 0,
            unload_after: Duration::from_mins(30),
            snapshots: None,
            memo_bytes: DEFAULT_MEMO_BYTES,
            seed: None,
        }
    }

    /// Sets the greatest share of wrong answers among hits on other wordings that is accepted, greater than 0
    /// and less than 1; 0.02 by default. Corpora, scopes and queries may set their own.
    ///
    /// It is kept as far as the calibration fits your questions; `wellspring eval` measures that. If the
    /// calibration [cannot show](Cache::budgets) a rate, only exact matches are served under it. If there is
    /// no calibration for the embedding model, that is so for every rate: fit one with `wellspring calibrate`
    /// for a [`Pipeline`] as the [`verifier`](Self::verifier), or set a
    /// [`similarity_threshold`](Self::similarity_threshold). In both cases, [`build`](Self::build) logs a
    /// warning.
    ///
    /// ```
    /// # wellspring_test_support::example::with_builder(async |builder| {
    /// let cache = builder.max_false_hit_rate(0.01).build().await?;
    /// // No calibration shows how often the fake embedder is wrong. So other wordings are not served.
    /// assert_eq!(cache.least_similarity(), None);
    /// # Ok(()) });
    /// ```
    pub fn max_false_hit_rate(self, rate: f64) -> Self {
        self.match_policy(MatchPolicy::MaxFalseHitRate(rate))
    }

    /// Sets the least cosine similarity of another question whose answer may be served, in `-1.0..=1.0`,
    /// instead of an error rate. The meaning of a similarity differs from model to model, and how often it is
    /// wrong differs from topic to topic.
    ///
    /// ```
    /// # wellspring_test_support::example::with_builder(async |builder| {
    /// let cache = builder.similarity_threshold(0.95).build().await?;
    /// assert_eq!(cache.least_similarity(), Some(0.95));
    /// # Ok(()) });
    /// ```
    pub fn similarity_threshold(self, threshold: f32) -> Self {
        self.match_policy(MatchPolicy::SimilarityThreshold(threshold))
    }

    /// Sets when another question's answer may be served.
    ///
    /// ```
    /// # wellspring_test_support::example::with_builder(async |builder| {
    /// use wellspring::MatchPolicy;
    ///
    /// let cache = builder.match_policy(MatchPolicy::SimilarityThreshold(0.95)).build().await?;
    /// assert_eq!(cache.match_policy(), MatchPolicy::SimilarityThreshold(0.95));
    /// # Ok(()) });
    /// ```
    pub fn match_policy(mut self, match_policy: MatchPolicy) -> Self {
        self.match_policy = match_policy;
        self
    }

    /// Sets the same for one corpus.
    ///
    /// ```
    /// # wellspring_test_support::example::with_builder(async |builder| {
    /// use wellspring::{Corpus, MatchPolicy, Query};
    ///
    /// let (contracts, strict) = (Corpus::new("contracts")?, MatchPolicy::SimilarityThreshold(0.99));
    /// let cache = builder.corpus_match_policy(contracts.clone(), strict).build().await?;
    /// let query = Query::new("Who pays?").corpus(contracts);
    /// assert_eq!(cache.explain(query).await?.match_policy, strict);
    /// # Ok(()) });
    /// ```
    pub fn corpus_match_policy(mut self, corpus: Corpus, match_policy: MatchPolicy) -> Self {
        self.settings.corpora.insert(corpus, match_policy);
        self
    }

    /// Sets how to handle follow-up questions ("and in Germany?") that come without their conversation; they
    /// bypass the cache by default.
    ///
    /// ```
    /// # wellspring_test_support::example::with_builder(async |builder| {
    /// use wellspring::{FollowUps, Lookup};
    ///
    /// let cache = builder.follow_ups(FollowUps::Match).build().await?;
    /// assert!(matches!(cache.lookup("And in Germany?").await?, Lookup::Miss(_)));
    /// # Ok(()) });
    /// ```
    pub fn follow_ups(mut self, follow_ups: FollowUps) -> Self {
        self.settings.follow_ups = follow_ups;
        self
    }

    /// Sets how many near neighbours a lookup looks at, [`DEFAULT_CANDIDATES`] by default and 64 at most.
    ///
    /// ```
    /// # wellspring_test_support::example::with_builder(async |builder| {
    /// let cache = builder.candidates(8).build().await?;
    /// # Ok(()) });
    /// ```
    pub fn candidates(mut self, candidates: usize) -> Self {
        self.settings.candidates = candidates;
        self
    }

    /// Sets what decides whether a near neighbour is a hit. The default is [`Pipeline::bundled`] if
    /// Wellspring comes with a calibration for the embedding model; otherwise it is [`Guards`], which need a
    /// similarity threshold.
    ///
    /// ```
    /// # wellspring_test_support::example::with_builder(async |builder| {
    /// use wellspring::Threshold;
    ///
    /// let cache = builder.verifier(Threshold::new()).build().await?;
    /// # Ok(()) });
    /// ```
    pub fn verifier(mut self, verifier: impl Verifier + 'static) -> Self {
        self.verifier = Some(Arc::new(verifier));
        self
    }

    /// The same for a verifier that is shared.
    ///
    /// ```
    /// # wellspring_test_support::example::with_builder(async |builder| {
    /// use std::sync::Arc;
    /// use wellspring::{Guards, Verifier};
    ///
    /// let verifier: Arc<dyn Verifier> = Arc::new(Guards::default());
    /// let cache = builder.verifier_from(Arc::clone(&verifier)).build().await?;
    /// # Ok(()) });
    /// ```
    pub fn verifier_from(mut self, verifier: Arc<dyn Verifier>) -> Self {
        self.verifier = Some(verifier);
        self
    }

    /// Sets how long the verification of all candidates of a lookup may take together, 500 ms by default. If
    /// it takes longer, the lookup is a miss. The bundled model takes a few milliseconds for each candidate;
    /// the rest is for callers who wait for one another.
    ///
    /// ```
    /// # wellspring_test_support::example::with_builder(async |builder| {
    /// use std::time::Duration;
    ///
    /// let cache = builder.verify_timeout(Duration::from_millis(100)).build().await?;
    /// # Ok(()) });
    /// ```
    pub fn verify_timeout(mut self, timeout: Duration) -> Self {
        self.settings.verify_timeout = timeout;
        self
    }

    /// Lets a judge decide, outside the requests, what nothing else can: near misses, and a sample of the
    /// hits. Off by default.
    ///
    /// ```
    /// # async fn ask_judge(_: &str, _: &str) -> Result<bool, wellspring::BoxError> { Ok(true) }
    /// # wellspring_test_support::example::with_builder(async |builder| {
    /// use wellspring::Shadow;
    /// use wellspring::judge::judge_with;
    ///
    /// // Asks an LLM whether the answer of `case` also answers its question.
    /// let judge = judge_with(async |case| ask_judge(&case.question, &case.answer).await);
    /// let cache = builder.shadow(Shadow::new(judge).calls_per_hour(60)).build().await?;
    /// # Ok(()) });
    /// ```
    pub fn shadow(mut self, shadow: Shadow) -> Self {
        self.shadow = Some(shadow);
        self
    }

    /// Sets the times to live.
    ///
    /// ```
    /// # wellspring_test_support::example::with_builder(async |builder| {
    /// use std::time::Duration;
    /// use wellspring::{ContentType, Ttls};
    ///
    /// let ttls = Ttls::default().of(ContentType::Documentation, Duration::from_hours(1));
    /// let cache = builder.ttls(ttls).build().await?;
    /// # Ok(()) });
    /// ```
    pub fn ttls(mut self, ttls: Ttls) -> Self {
        self.ttls = ttls;
        self
    }

    /// Sets which answers are worth keeping.
    ///
    /// ```
    /// # wellspring_test_support::example::with_builder(async |builder| {
    /// use wellspring::{Admission, FillOutcome};
    ///
    /// let cache = builder.admission(Admission::default().max_answer_bytes(10)).build().await?;
    /// # let permit = wellspring_test_support::example::miss(&cache, "Where is the key?").await?;
    /// let outcome = permit.fill("With the porter.", []).await;
    /// assert!(matches!(outcome, FillOutcome::Declined(_)));
    /// # Ok(()) });
    /// ```
    pub fn admission(mut self, admission: Admission) -> Self {
        self.admission = admission;
        self
    }

    /// Sets how long a lookup waits for the embedder before it bypasses the cache, 5 seconds by default.
    ///
    /// ```
    /// # wellspring_test_support::example::with_builder(async |builder| {
    /// use std::time::Duration;
    ///
    /// let cache = builder.embed_timeout(Duration::from_millis(500)).build().await?;
    /// # Ok(()) });
    /// ```
    pub fn embed_timeout(mut self, timeout: Duration) -> Self {
        self.settings.embed_timeout = timeout;
        self
    }

    /// Sets how many bytes of embeddings are remembered, 16 MiB by default: about 8,600 questions of 100
    /// bytes and 384 dimensions. A remembered question is not embedded again when it is asked again and not
    /// found by its own text: after its answer has gone, in another scope, or each time that it finds the
    /// answer to another wording. 0 remembers nothing.
    ///
    /// All scopes share the memory, because a text has the same embedding in each of them. A caller that can
    /// measure the time of lookups may find out whether a text was asked before in any scope.
    ///
    /// ```
    /// # wellspring_test_support::example::with_builder(async |builder| {
    /// let cache = builder.remember_embeddings(0).build().await?;
    /// # Ok(()) });
    /// ```
    pub fn remember_embeddings(mut self, bytes: u64) -> Self {
        self.memo_bytes = bytes;
        self
    }

    /// Sets how long [`Cache::get_or_fill`] waits for another caller's answer to the same question before it
    /// makes its own, 1 minute by default. Set it above the time that an answer may take.
    ///
    /// ```
    /// # wellspring_test_support::example::with_builder(async |builder| {
    /// use std::time::Duration;
    ///
    /// let cache = builder.follow_timeout(Duration::from_mins(3)).build().await?;
    /// # Ok(()) });
    /// ```
    pub fn follow_timeout(mut self, timeout: Duration) -> Self {
        self.settings.follow_timeout = timeout;
        self
    }

    /// Sets how long a lookup waits for the index of its scope to be loaded, which happens when the scope is
    /// first searched; after that time it searches what is loaded so far. Exact hits do not wait. The default
    /// is 1 second for a store that one process owns, which is enough for some 50,000 entries, or for more
    /// that are in a [snapshot](Self::index_snapshots). It is zero for a store that processes share. Set more
    /// for programs that look up once and end.
    ///
    /// ```
    /// # wellspring_test_support::example::with_builder(async |builder| {
    /// use std::time::Duration;
    ///
    /// let cache = builder.index_wait(Duration::from_secs(30)).build().await?;
    /// # Ok(()) });
    /// ```
    pub fn index_wait(mut self, wait: Duration) -> Self {
        self.settings.index_wait = wait;
        self
    }

    /// Sets a folder where indexes are kept between runs, and while they are unloaded, so that they need not
    /// be fetched and linked again. They are saved every 10 minutes, when a scope is unloaded, and by
    /// [`Cache::close`]. If one process owns the store, only scopes with graphs are kept: those with 8,192
    /// entries or more.
    ///
    /// Processes that share a store may share the folder: the first one saves, the others load. Different
    /// stores need different folders. The folder holds embeddings of questions: keep it as private as the
    /// store.
    ///
    /// ```
    /// # wellspring_test_support::example::with_builder(async |builder| {
    /// # let folder = tempfile::tempdir()?;
    /// let cache = builder.index_snapshots(folder.path()).build().await?;
    /// cache.close().await?; // saves the indexes
    /// # Ok(()) });
    /// ```
    pub fn index_snapshots(mut self, folder: impl Into<PathBuf>) -> Self {
        self.snapshots = Some(folder.into());
        self
    }

    /// Sets after how long without lookups the index of a scope is unloaded, 30 minutes by default. It is
    /// loaded again when it is needed. An index with graphs takes long to build, so it stays in memory if one
    /// process owns the store and the index cannot be [kept](Self::index_snapshots).
    ///
    /// ```
    /// # wellspring_test_support::example::with_builder(async |builder| {
    /// use std::time::Duration;
    ///
    /// let cache = builder.unload_idle_scopes(Duration::from_mins(5)).build().await?;
    /// # Ok(()) });
    /// ```
    pub fn unload_idle_scopes(mut self, after: Duration) -> Self {
        self.unload_after = after;
        self
    }

    /// Sets the closure that makes answers again in the background, for
    /// [`early_refresh`](Self::early_refresh) and [`refresh_on_invalidation`](Self::refresh_on_invalidation).
    ///
    /// ```
    /// # async fn ask_llm(_: &str) -> Result<String, std::io::Error> { Ok("With the porter.".into()) }
    /// # wellspring_test_support::example::with_builder(async |builder| {
    /// use wellspring::{Dependency, EarlyRefresh};
    ///
    /// let cache = builder
    ///     .refresh_with(async |refresh| {
    ///         let answer = ask_llm(&refresh.question).await?;
    ///         Ok((answer, [Dependency::document("keys.md")]))
    ///     })
    ///     .early_refresh(EarlyRefresh::default())
    ///     .build()
    ///     .await?;
    /// # Ok(()) });
    /// ```
    pub fn refresh_with<F, Fut, A, D>(mut self, refresh: F) -> Self
    where
        F: Fn(Refresh) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(A, D), BoxError>> + Send + 'static,
        A: Into<Answer>,
        D: Into<Vec<Dependency>>,
    {
        self.refresher = Some(Arc::new(move |entry| {
            let made = refresh(entry);
            Box::pin(async move {
                let (answer, dependencies) = made.await?;
                Ok((answer.into(), dependencies.into()))
            })
        }));
        self
    }

    /// Refreshes entries near their end in the background when they are hit. Off by default; needs
    /// [`refresh_with`](Self::refresh_with).
    ///
    /// ```
    /// # wellspring_test_support::example::with_builder(async |builder| {
    /// use wellspring::{Dependency, EarlyRefresh};
    ///
    /// let builder = builder.early_refresh(EarlyRefresh::default().beta(2.0));
    /// let refresh = async |_| Ok(("With the porter.", [Dependency::document("keys.md")]));
    /// let cache = builder.refresh_with(refresh).build().await?;
    /// # Ok(()) });
    /// ```
    pub fn early_refresh(mut self, early_refresh: EarlyRefresh) -> Self {
        self.settings.early_refresh = Some(early_refresh);
        self
    }

    /// After a change, makes up to `entries` of the answers that it ended again in the background, those hit
    /// most often first. Until an answer is made again, it is not served. 0, the default, only drops the
    /// answers. Needs [`refresh_with`](Self::refresh_with). If a call reports more than 256 changes, only the
    /// first 256 count.
    ///
    /// ```
    /// # wellspring_test_support::example::with_builder(async |builder| {
    /// use wellspring::Dependency;
    ///
    /// let builder = builder.refresh_on_invalidation(10);
    /// let refresh = async |_| Ok(("With the porter.", [Dependency::document("keys.md")]));
    /// let cache = builder.refresh_with(refresh).build().await?;
    /// # Ok(()) });
    /// ```
    pub fn refresh_on_invalidation(mut self, entries: usize) -> Self {
        self.settings.refresh_on_invalidation = entries;
        self
    }

    /// Lets fills return before they are stored, up to `queue` at a time; further ones wait until they are
    /// stored. 0, the default, stores each fill before it returns.
    ///
    /// [`Cache::close`] writes the fills that still wait. A crash loses them: those answers are made again.
    ///
    /// ```
    /// # wellspring_test_support::example::with_builder(async |builder| {
    /// use wellspring::{Dependency, FillOutcome};
    ///
    /// let cache = builder.write_behind(1_000).build().await?;
    /// # let permit = wellspring_test_support::example::miss(&cache, "Where is the key?").await?;
    /// let outcome = permit.fill("With the porter.", [Dependency::document("keys.md")]).await;
    /// assert!(matches!(outcome, FillOutcome::Queued(_)));
    /// cache.close().await?; // writes what is queued
    /// # Ok(()) });
    /// ```
    pub fn write_behind(mut self, queue: usize) -> Self {
        self.write_behind = queue;
        self
    }

    /// Sets the clock that ages and expiry are measured by. Give the store the same clock.
    ///
    /// ```
    /// # wellspring_test_support::example::run(async || {
    /// use std::sync::Arc;
    /// use std::time::Duration;
    /// use wellspring::clock::{ManualClock, Timestamp};
    /// use wellspring::embed::FakeEmbedder;
    /// use wellspring::{Cache, Lookup, MemoryStore};
    ///
    /// let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_700_000_000_000)));
    /// let store = MemoryStore::with_clock(Default::default(), clock.clone());
    /// let cache = Cache::builder(FakeEmbedder::new(64), store).clock(clock.clone()).build().await?;
    /// # let permit = wellspring_test_support::example::miss(&cache, "Where is the key?").await?;
    /// permit.fill("With the porter.", []).await;
    /// clock.advance(Duration::from_hours(2));
    /// assert!(matches!(cache.lookup("Where is the key?").await?, Lookup::Miss(_)));
    /// # Ok(()) });
    /// ```
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Seeds the random numbers of jitter and early refresh, for tests.
    ///
    /// ```
    /// # wellspring_test_support::example::with_builder(async |builder| {
    /// let cache = builder.seed(7).build().await?;
    /// # Ok(()) });
    /// ```
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Checks the settings and makes the cache.
    ///
    /// Reads no entries: a scope is read when it is first searched. Must be called within a Tokio runtime
    /// with time enabled.
    ///
    /// ```
    /// # wellspring_test_support::example::with_builder(async |builder| {
    /// let cache = builder.build().await?;
    /// assert_eq!(cache.status().await?.entries, 0);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// `Config` for settings that are not valid or contradict one another; others if the store cannot
    /// be read.
    ///
    /// # Cancel safety
    ///
    /// Can be dropped at any time.
    pub async fn build(self) -> Result<Cache> {
        self.check()?;
        let verifier = match self.verifier {
            Some(verifier) => verifier,
            None => default_verifier(&self.embedder).await?,
        };
        let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let dimensions = self.embedder.model().dimensions;
        let is_shared = self.store.coordination().is_some();
        let fingerprint = self.embedder.model().fingerprint();
        let snapshots = self.snapshots.as_ref().map(Snapshots::open).transpose()?;
        let snapshot_manager = snapshots
            .and_then(|snapshots| SnapshotManager::new(snapshots, fingerprint.clone(), &*self.store));
        let loader = Loader::new(&self.store, snapshot_manager, tasks.clone(), shutdown.clone());
        let indexes = Arc::new(Indexes::new(dimensions, loader));
        // Before the first search, so that nothing that changes while a scope is loaded is missed.
        self.store.listen(Arc::clone(&indexes) as Arc<dyn ChangeListener>);
        let feedback_index = Arc::new(FeedbackIndex::new(Arc::clone(&self.store) as Arc<dyn JudgementLog>));
        match feedback_index.read_on().await {
            Err(error) if !is_shared => return Err(error),
            // It is read as soon as it can be. A store that is away has reported that itself.
            Err(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout) => {}
            Err(error) => tracing::warn!(%error, "lessons from feedback are not loaded yet"),
            Ok(()) => {}
        }
        if is_shared {
            tasks.spawn(Arc::clone(&feedback_index).follow(shutdown.clone()));
        }
        tasks.spawn(Arc::clone(&feedback_index).teach(Arc::clone(&verifier), shutdown.clone()));
        let judging = self.shadow.map(|shadow| Arc::new(Judging::new(shadow, Arc::clone(&self.clock))));
        let inner = Inner {
            fingerprint,
            store: self.store,
            embedder: self.embedder,
            memo: Memo::new(self.memo_bytes),
            verifier,
            indexes,
            feedback_index,
            flights: SingleFlight::default(),
            refreshes: SingleFlight::default(),
            runtime: RuntimeSettings::new(self.match_policy, self.ttls),
            admission: self.admission,
            metrics: CacheMetrics::default(),
            journal: Journal::default(),
            clock: self.clock,
            random: seeded(self.seed).into(),
            settings: self.settings,
            process: rand::random(),
            refresher: self.refresher,
            judging,
            ids: crate::cache::shown::Ids::default(),
            write_behind: (self.write_behind > 0).then(|| Arc::new(Semaphore::new(self.write_behind))),
            tasks,
            shutdown,
        };
        inner.indexes.unload_idle(self.unload_after);
        inner.warn_of_unshown();
        let inner = Arc::new(inner);
        if let Some(judging) = &inner.judging {
            // Weak, because it may wait for the budget longer than anyone needs the cache.
            let judging = Arc::clone(judging).run(Arc::downgrade(&inner));
            inner.tasks.spawn(inner.shutdown.clone().run_until_cancelled_owned(judging));
        }
        Ok(Cache { inner })
    }

    fn check(&self) -> Result<()> {
        let config = |message: &str| Err(Error::new(ErrorKind::Config, message));
        for match_policy in std::iter::once(&self.match_policy).chain(self.settings.corpora.values()) {
            match_policy.checked().map_err(|e| Error::new(ErrorKind::Config, e.to_string()))?;
        }
        if !(1..=MAX_CANDIDATES).contains(&self.settings.candidates) {
            return config("candidates is not in 1..=64");
        }
        if self.settings.early_refresh.is_some_and(|early| !early.beta.is_finite() || early.beta < 0.0) {
            return config("early refresh has a beta that is negative or not finite");
        }
        let refreshes = self.settings.early_refresh.is_some() || self.settings.refresh_on_invalidation > 0;
        if refreshes && self.refresher.is_none() {
            return config("refreshing needs a closure, set it with refresh_with");
        }
        if self.shadow.as_ref().is_some_and(|shadow| !shadow.is_valid()) {
            return config(
                "a share or the confidence of the judge is not in 0.0..=1.0, its floor is not in -1.0..=1.0, or it \
                 may make no calls at a time",
            );
        }
        if self.write_behind > Semaphore::MAX_PERMITS {
            return config("the write-behind queue is too long");
        }
        Ok(())
    }
}

/// The verifier that comes with Wellspring for the embedding model, if a calibration does.
#[cfg(feature = "_local")]
async fn default_verifier(embedder: &Arc<dyn Embedder>) -> Result<Arc<dyn Verifier>> {
    use crate::verify::{Calibration, LateInteraction, Pipeline};

    let Some(encoder) = Arc::clone(embedder).token_encoder() else { return Ok(Arc::new(Guards::default())) };
    let load = || -> Result<Arc<dyn Verifier>> {
        Ok(match Calibration::bundled_for(encoder.name())? {
            Some(calibration) => {
                Arc::new(Pipeline::new(calibration).scorer(Arc::new(LateInteraction::bundled(encoder)?)))
            }
            None => Arc::new(Guards::default()),
        })
    };
    let closed = |e| Error::new(ErrorKind::Closed, "the program is shutting down").with_source(e);
    tokio::task::spawn_blocking(load).await.map_err(closed)?
}

#[cfg(not(feature = "_local"))]
#[expect(clippy::unused_async, reason = "loading a model, the other form, blocks")]
async fn default_verifier(_: &Arc<dyn Embedder>) -> Result<Arc<dyn Verifier>> {
    Ok(Arc::new(Guards::default()))
}

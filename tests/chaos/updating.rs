//! Tasks that change documents and report it to the cache.
//!
//! Each document belongs to one task of one worker, and has one change at a time: what its next one says, builds on
//! this one being in force.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use wellspring::{Cache, Change, Corpus, Error, Result};

use crate::question::{Way, change, label, name};
use crate::worker::Worker;
use crate::world::DOCUMENTS;

/// Between changes by one task.
const PAUSES_MS: std::ops::Range<u64> = 5..60;
/// After this share of changes, a task pauses for a while, so that there is something to serve.
const RESTS: f64 = 0.1;
const RESTS_MS: std::ops::Range<u64> = 1_000..4_000;
/// Between attempts at one change.
const RETRY_MS: std::ops::Range<u64> = 5..100;
/// The share of changes that are reported as a change of everything.
const EVERYTHING: f64 = 0.02;
/// How often an incomplete change is left to the outbox.
const LEFT_TO_THE_OUTBOX: f64 = 0.5;

fn own(worker: &Worker) -> impl Iterator<Item = usize> {
    let (member, members) = (worker.plan.member, worker.plan.members);
    (0..DOCUMENTS).filter(move |document| document % members == member)
}

/// Finishes what the last process in this place may have left: changes in its outbox, changes that it made but did not
/// report, and holds.
pub(crate) async fn recover(worker: &Worker) {
    let left: Vec<usize> = own(worker)
        .filter(|&document| worker.world.content(document) > worker.world.floor(document))
        .collect();
    if left.is_empty() || !outbox_empties(worker).await {
        return;
    }
    for &document in &left {
        worker.world.settle(document, worker.world.kept(document));
    }
    let mut random = SmallRng::seed_from_u64(worker.plan.seed);
    for document in left {
        let version = worker.world.content(document);
        let is_held = matches!(Way::of(document), Way::Held | Way::HeldInVersion);
        // Not the versions in between, which the last process may or may not have reported.
        let reported = try_until_done(worker, &mut random, async || match Way::of(document) {
            _ if is_held => end_update(&worker.cache, document, None).await,
            Way::Chunk | Way::WholeInVersion => {
                invalidate(&worker.cache, Change::document(name(document))).await
            }
            _ => invalidate(&worker.cache, change(document, version)).await,
        });
        if reported.await {
            worker.world.settle(document, version);
        }
    }
}

/// Changes the documents of one of `tasks` until the world ends.
pub(crate) async fn update(worker: &Worker, task: usize, tasks: usize) {
    let documents: Vec<usize> = own(worker).skip(task).step_by(tasks).collect();
    let mut random = SmallRng::seed_from_u64(worker.plan.seed ^ (task as u64 + 1) << 16);
    while !worker.world.is_over() && !documents.is_empty() {
        let document = documents[random.random_range(0..documents.len())];
        match Way::of(document) {
            Way::Held | Way::HeldInVersion => change_held(worker, &mut random, document).await,
            _ => report_change(worker, &mut random, document).await,
        }
        let rests = random.random_bool(RESTS);
        pause(&mut random, if rests { RESTS_MS } else { PAUSES_MS }).await;
    }
}

async fn report_change(worker: &Worker, random: &mut SmallRng, document: usize) {
    let version = worker.world.publish(document);
    let is_everything = random.random_bool(EVERYTHING);
    let change = if is_everything { Change::Everything } else { change(document, version) };
    if let Err(error) = invalidate(&worker.cache, change.clone()).await {
        incomplete(worker, &error);
        if error.kind() == wellspring::ErrorKind::Incomplete {
            worker.world.keep(document, version);
        }
        let waits = random.random_bool(LEFT_TO_THE_OUTBOX);
        let is_done = if waits {
            outbox_empties(worker).await
        } else {
            try_until_done(worker, random, async || invalidate(&worker.cache, change.clone()).await).await
        };
        if !is_done {
            return;
        }
    }
    settle(worker, document, version);
}

async fn change_held(worker: &Worker, random: &mut SmallRng, document: usize) {
    let corpus = Corpus::default();
    let cache = &worker.cache;
    let held = try_until_done(worker, random, async || cache.begin_update(&corpus, &name(document)).await);
    if !held.await {
        return;
    }
    if worker.plan.holds_last {
        // Nothing that depends on the document is served from now on, until it is made from the next version.
        worker.world.settle(document, worker.world.content(document) + 1);
    }
    pause(random, 1..10).await;
    let version = worker.world.publish(document);
    let reported = (Way::of(document) == Way::HeldInVersion).then(|| label(version));
    let ended =
        try_until_done(worker, random, async || end_update(cache, document, reported.clone()).await).await;
    if ended {
        settle(worker, document, version);
    }
}

fn settle(worker: &Worker, document: usize, version: u64) {
    worker.world.settle(document, version);
    worker.counts().invalidated += 1;
}

async fn invalidate(cache: &Cache, change: Change) -> Result<()> {
    cache.invalidate(&Corpus::default(), &[change]).await.map(drop)
}

async fn end_update(cache: &Cache, document: usize, version: Option<String>) -> Result<()> {
    cache.end_update(&Corpus::default(), &name(document), version.map(Into::into)).await.map(drop)
}

/// Tries until it succeeds; false if the world ends before.
async fn try_until_done(
    worker: &Worker,
    random: &mut SmallRng,
    mut attempt: impl AsyncFnMut() -> Result<()>,
) -> bool {
    while !worker.world.is_over() {
        match attempt().await {
            Ok(()) => return true,
            Err(error) => incomplete(worker, &error),
        }
        pause(random, RETRY_MS).await;
    }
    false
}

/// Waits until all that this process kept for later is in force; false if the world ends before.
async fn outbox_empties(worker: &Worker) -> bool {
    while !worker.world.is_over() {
        if let Ok(status) = worker.cache.status().await
            && status.pending_invalidations == 0
        {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}

fn incomplete(worker: &Worker, error: &Error) {
    let mut counts = worker.counts();
    *if error.is_invalid_input() { &mut counts.errors } else { &mut counts.incomplete } += 1;
}

async fn pause(random: &mut SmallRng, millis: std::ops::Range<u64>) {
    tokio::time::sleep(Duration::from_millis(random.random_range(millis))).await;
}

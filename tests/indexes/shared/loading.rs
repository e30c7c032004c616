//! Answers that one process stores and another finds, before and after its first search.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_found_that_was_there_before() {
    let server = Server::start();
    let (one, other) = (Process::start(&server).await, Process::start(&server).await);
    one.answer(ASKED, "a").await;
    other.comes_to_find(NEAR, ANSWER).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_found_that_comes_later_and_not_after_it_went() {
    let server = Server::start();
    let (one, other) = (Process::start(&server).await, Process::start(&server).await);
    assert_eq!(other.finds(NEAR).await, None);
    other.cache.wait_idle().await.unwrap();
    one.answer(ASKED, "a").await;
    other.comes_to_find(NEAR, ANSWER).await;
    one.invalidate("a").await;
    // At once, regardless of what the stream has delivered by now.
    assert_eq!(other.finds(NEAR).await, None);
    one.answer(ASKED, "a").await;
    other.comes_to_find(NEAR, ANSWER).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_looks_once_can_wait_for_the_index() {
    let server = Server::start();
    Process::start(&server).await.answer(ASKED, "a").await;
    let wait = Duration::from_secs(30);
    let other = Process::with(&server, patient_now(), |builder| builder.index_wait(wait)).await;
    assert_eq!(other.finds(NEAR).await.as_deref(), Some(ANSWER));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_that_went_unnoticed_are_passed_over() {
    let server = Server::start();
    let (one, other) = (Process::start(&server).await, Process::start(&server).await);
    // Two that are nearer than the third. Eviction and expiry do not notify anyone.
    let nearer = ["when does the big library open on sundays", "when does big library open on sunday"];
    for question in nearer {
        let Lookup::Miss(permit) = one.cache.lookup(Query::new(question).exact_only()).await.unwrap() else {
            panic!("it is answered already");
        };
        drop(permit);
        let embedding = crate::support::embedder::embed(question).as_slice().to_vec();
        let query = Query::new(question).embedding(embedding).similarity_threshold(1.0);
        let Lookup::Miss(permit) = one.cache.lookup(query).await.unwrap() else { panic!("it is near") };
        let id = permit.entry_id();
        permit.fill("evicted", vec![]).await;
        other.comes_to_find(NEAR, "evicted").await;
        let key = server.command(&["KEYS", &format!("wellspring:e:*{id}")]);
        let keys: Vec<String> = redis::from_redis_value(key).unwrap();
        server.command(&["DEL", &keys[0]]);
    }
    let query = Query::new(ASKED).similarity_threshold(1.0);
    let Lookup::Miss(permit) = one.cache.lookup(query).await.unwrap() else { panic!("it is near") };
    permit.fill(ANSWER, vec![]).await;
    other.comes_to_find(NEAR, ANSWER).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exact_hit_needs_no_embedding() {
    let server = Server::start();
    let (one, other) = (Process::start(&server).await, Process::start(&server).await);
    one.answer(ASKED, "a").await;
    for _ in 0..3 {
        let Lookup::Hit(hit) = other.cache.lookup(Query::new(ASKED)).await.unwrap() else { panic!("a miss") };
        assert_eq!(hit.tier, Tier::Exact);
    }
    assert_eq!(other.embedded(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_scopes_are_unloaded_and_loaded_again() {
    let server = Server::start();
    let idle = Duration::from_millis(200);
    let one = Process::with(&server, patient_now(), |builder| builder.unload_idle_scopes(idle)).await;
    one.answer(ASKED, "a").await;
    // On a busy machine it may be unloaded before it is looked at.
    eventually("the index is loaded", async || {
        one.finds(NEAR).await;
        one.cache.index_bytes() > 0
    })
    .await;
    eventually("the index is unloaded", async || one.cache.index_bytes() == 0).await;
    one.comes_to_find(NEAR, ANSWER).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_ask_the_same_and_one_answers() {
    const CALLERS: usize = 10_000;
    let server = Server::start();
    let mut processes = Vec::new();
    for _ in 0..4 {
        processes.push(Process::start(&server).await);
    }
    let calls = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..CALLERS)
        .map(|n| {
            let (cache, calls) = (processes[n % 4].cache.clone(), Arc::clone(&calls));
            tokio::spawn(async move {
                let answer = cache.get_or_fill(Query::new(ASKED), async |_| {
                    calls.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    Ok((Answer::new("one"), vec![Dependency::document("a")]))
                });
                answer.await.unwrap().answer.text.to_string()
            })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), "one");
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

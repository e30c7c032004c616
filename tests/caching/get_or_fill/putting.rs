//! Answers that are stored without a permit, and how they are fenced.

use wellspring::store::RefusedReason;
use wellspring::{
    Change, Corpus, Dependency, FillOutcome, FillPermit, Lookup, Namespace, Query, Scope, Since, Tier,
};

use crate::get_or_fill::{Fixture, hit};
use crate::support::Kind;

const QUESTION: &str = "when do we open";

async fn miss(fixture: &Fixture, question: &str) -> FillPermit {
    match fixture.cache.lookup(Query::new(question)).await.unwrap() {
        Lookup::Miss(permit) => permit,
        found => panic!("{found:?}"),
    }
}

async fn put(fixture: &Fixture, sources: Vec<Dependency>, since: Option<&Since>) -> FillOutcome {
    fixture.cache.put(Query::new(QUESTION), "At nine.", sources, since).await.unwrap()
}

async fn change(fixture: &Fixture, change: Change) {
    fixture.cache.invalidate(&Corpus::default(), &[change]).await.unwrap();
}

fn refused(outcome: &FillOutcome) -> Option<RefusedReason> {
    match outcome {
        FillOutcome::Refused(reason) => Some(*reason),
        _ => None,
    }
}

#[cfg(feature = "valkey")]
const KINDS: [Kind; 3] =
    [Kind::Memory, Kind::Embedded, Kind::Valkey(crate::support::servers::Flavour::Valkey)];
#[cfg(not(feature = "valkey"))]
const KINDS: [Kind; 2] = [Kind::Memory, Kind::Embedded];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changed_since_the_miss_refuses_the_answer() {
    for kind in KINDS {
        let fixture = Fixture::new(kind).await;
        let since: Since = miss(&fixture, QUESTION).await.since().to_string().parse().unwrap();
        let source = || vec![Dependency::document("a")];
        change(&fixture, Change::document("b")).await;
        assert!(matches!(put(&fixture, source(), Some(&since)).await, FillOutcome::Stored(_)), "{kind:?}");
        let found = hit(&fixture.cache, Query::new(QUESTION)).await;
        assert_eq!((found.tier, found.answer().text.as_ref()), (Tier::Exact, "At nine."));
        assert!(found.entry.embedding.is_some(), "so that it is found by meaning, too");
        change(&fixture, Change::document("a")).await;
        let late = put(&fixture, source(), Some(&since)).await;
        assert_eq!(refused(&late), Some(RefusedReason::DependencyChanged), "{kind:?}");
        change(&fixture, Change::Everything).await;
        let late = put(&fixture, vec![Dependency::document("c")], Some(&since)).await;
        assert_eq!(refused(&late), Some(RefusedReason::DependencyChanged), "{kind:?}");
        assert!(matches!(fixture.cache.lookup(Query::new(QUESTION)).await.unwrap(), Lookup::Miss(_)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn since_cannot_be_made_up_or_moved() {
    for kind in KINDS {
        let fixture = Fixture::new(kind).await;
        let permit = miss(&fixture, QUESTION).await;
        let since = permit.since();
        drop(permit);
        let text = since.to_string();
        change(&fixture, Change::document("a")).await;
        // The number of a later moment, and of one that is yet to come, with the seal of the earlier one.
        for sequence in [1_u64, 2, u64::MAX] {
            let forged: Since = format!("{sequence:016x}{}", &text[16..]).parse().unwrap();
            let outcome = put(&fixture, vec![Dependency::document("a")], Some(&forged)).await;
            assert_eq!(refused(&outcome), Some(RefusedReason::ClockLost), "{kind:?} {sequence}");
        }
        let other: Since = miss(&fixture, "another question").await.since();
        let error = fixture.cache.put(Query::new(QUESTION), "a", vec![], Some(&other)).await.unwrap_err();
        assert!(error.is_invalid_input() && error.to_string().contains("another question"), "{error}");
        let scoped = Query::new(QUESTION).scope(Scope::new().tenant("t"));
        assert!(fixture.cache.put(scoped, "a", vec![], Some(&since)).await.unwrap_err().is_invalid_input());
        for bad in ["", "00", &text[1..], &text.replace(&text[..1], "x")] {
            assert!(bad.parse::<Since>().unwrap_err().is_invalid_input(), "{bad}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn since_of_a_clock_that_is_gone_is_refused() {
    // The clock of a file may count on from before a crash, so that a number stands for two moments.
    let fixture = Fixture::new(Kind::Embedded).await;
    let filled = fixture.cache.lookup(Query::new("another")).await.unwrap();
    if let Lookup::Miss(permit) = filled {
        permit.fill("answer", vec![]).await;
    }
    let since = miss(&fixture, QUESTION).await.since();
    fixture.cache.close().await.unwrap();
    let Fixture { cache, store, bench, .. } = fixture;
    drop((cache, store));
    let store = bench.open(wellspring::store::Limits::default());
    let again = Fixture::on(bench, store, |builder| builder).await;
    let outcome = put(&again, vec![Dependency::document("a")], Some(&since)).await;
    assert_eq!(refused(&outcome), Some(RefusedReason::ClockLost));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_since_the_versions_must_be_the_last_reported() {
    for kind in KINDS {
        let fixture = Fixture::new(kind).await;
        let read = |version: &str| vec![Dependency::document_version("a", version)];
        let reason = async |sources| refused(&put(&fixture, sources, None).await);
        assert_eq!(reason(read("1")).await, Some(RefusedReason::VersionUnknown), "{kind:?}");
        change(&fixture, Change::document_version("a", "1")).await;
        assert_eq!(reason(read("1")).await, None, "{kind:?}");
        assert_eq!(
            reason([read("1"), vec![Dependency::document_version("b", "1")]].concat()).await,
            Some(RefusedReason::VersionUnknown)
        );
        change(&fixture, Change::document_version("a", "2")).await;
        assert_eq!(reason(read("1")).await, Some(RefusedReason::VersionMismatch), "{kind:?}");
        assert_eq!(reason(read("2")).await, None, "{kind:?}");
        // An answer that is stored this way ends like any other.
        change(&fixture, Change::document("a")).await;
        assert!(matches!(fixture.cache.lookup(Query::new(QUESTION)).await.unwrap(), Lookup::Miss(_)));
        assert_eq!(reason(read("2")).await, Some(RefusedReason::VersionUnknown), "{kind:?}");
        change(&fixture, Change::document_version("a", "2")).await;
        fixture.cache.begin_update(&Corpus::default(), "a").await.unwrap();
        assert_eq!(reason(read("2")).await, Some(RefusedReason::Held), "{kind:?}");
    }
}

#[tokio::test]
async fn without_since_what_has_no_version_is_not_taken() {
    let fixture = Fixture::new(Kind::Memory).await;
    change(&fixture, Change::document_version("a", "1")).await;
    let versioned = Dependency::document_version("a", "1");
    let put = async |query: Query, sources: Vec<Dependency>| {
        fixture.cache.put(query, "answer", sources, None).await.unwrap_err().is_invalid_input()
    };
    for other in [
        Dependency::document("a"),
        Dependency::chunk("a", "x"),
        Dependency::Tag("t".into()),
        Dependency::Collection("c".into()),
    ] {
        assert!(put(Query::new(QUESTION), vec![versioned.clone(), other]).await);
    }
    assert!(put(Query::new(QUESTION), vec![]).await);
    let namespaced = Scope::new().namespace(Namespace::new("docs").unwrap());
    assert!(put(Query::new(QUESTION).scope(namespaced), vec![versioned.clone()]).await);
    assert!(put(Query::new("and in Germany?"), vec![versioned.clone()]).await);
    assert!(put(Query::new(QUESTION).no_store(), vec![versioned]).await);
    assert_eq!(fixture.stored().await, 0);
}

#[tokio::test]
async fn a_permit_can_be_fenced_by_an_earlier_lookup() {
    let fixture = Fixture::new(Kind::Memory).await;
    let since = miss(&fixture, QUESTION).await.since();
    change(&fixture, Change::document("a")).await;
    let mut permit = miss(&fixture, QUESTION).await;
    assert!(permit.fence(&since).unwrap());
    let outcome = permit.fill("old", vec![Dependency::document("a")]).await;
    assert_eq!(refused(&outcome), Some(RefusedReason::DependencyChanged));
    let mut other = miss(&fixture, "another question").await;
    assert!(other.fence(&since).unwrap_err().is_invalid_input());
}

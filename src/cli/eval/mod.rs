//! How well a policy tells questions that ask the same from questions that only look alike.
//!
//! Labelled pairs go in; for each policy come out its ranking quality and a table over thresholds. The
//! measures are pure functions in [`metrics`], the input format is in [`pairs`]. Thresholds are reported,
//! never chosen: one chosen on the data that it is reported on promises too much.

mod command;
mod metrics;
mod pairs;

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;

pub(crate) use self::command::{EvalArgs, run};
use self::metrics::Scores;
use self::pairs::{Pair, parse};
use crate::embed::{Embedded, Embedder};
use crate::embedding::Embedding;
use crate::error::{Error, ErrorKind, Result};
use crate::verify::{Candidate, Verifier};

/// Texts embedded per call.
const BATCH: usize = 256;

/// The thresholds of the table.
pub(crate) const THRESHOLDS: [f32; 14] =
    [0.50, 0.55, 0.60, 0.65, 0.70, 0.75, 0.80, 0.85, 0.88, 0.90, 0.92, 0.95, 0.97, 0.99];

/// A verifier with the name under which it is reported.
pub(crate) type Policy = (&'static str, Arc<dyn Verifier>);

/// What an evaluation found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Report {
    /// The embedding model.
    pub(crate) model: String,
    /// All pairs.
    pub(crate) pairs: usize,
    /// Pairs labelled as the same question.
    pub(crate) positives: usize,
    /// Pairs labelled as different questions.
    pub(crate) negatives: usize,
    /// Pairs with a text that is too long for the model. No threshold accepts them.
    pub(crate) too_long: usize,
    /// The figures of the first policy, at the top level for scripts that look no further.
    #[serde(flatten)]
    pub(crate) first: Scores,
    /// The figures of every policy, the first included, in the order given.
    pub(crate) policies: Vec<PolicyReport>,
}

/// The figures of one policy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct PolicyReport {
    /// The policy's name.
    pub(crate) policy: &'static str,
    /// Its figures.
    #[serde(flatten)]
    pub(crate) scores: Scores,
}

/// Scores `pairs` with each of `policies` and measures how well the scores separate them.
///
/// A pair's score is the confidence of a policy's verdict with the caller's threshold at its lowest; a
/// pair that the policy vetoes ranks below all others and no threshold accepts it. `progress` is told how
/// many of how many texts have been embedded.
///
/// # Errors
///
/// If `pairs` or `policies` is empty, or the embedder or a verifier fails.
///
/// # Cancel safety
///
/// Dropping the future abandons the evaluation; nothing is kept of it.
pub(crate) async fn evaluate(
    embedder: &dyn Embedder,
    policies: &[Policy],
    pairs: &[Pair],
    progress: &mut (dyn FnMut(usize, usize) + Send),
) -> Result<Report> {
    if pairs.is_empty() {
        return Err(Error::new(ErrorKind::InvalidInput, "there is no pair to evaluate"));
    }
    let embeddings = embed_all(embedder, pairs, progress).await?;
    let mut reports = Vec::with_capacity(policies.len());
    for &(policy, ref verifier) in policies {
        let scored = score(&**verifier, pairs, &embeddings).await?;
        reports.push(PolicyReport { policy, scores: Scores::of(&scored, &THRESHOLDS) });
    }
    let first = reports.first().map(|report| report.scores.clone());
    let positives = pairs.iter().filter(|pair| pair.is_same).count();
    Ok(Report {
        model: embedder.model().fingerprint(),
        pairs: pairs.len(),
        positives,
        negatives: pairs.len() - positives,
        too_long: pairs.iter().filter(|pair| similarity(pair, &embeddings).is_none()).count(),
        first: first.ok_or_else(|| Error::new(ErrorKind::InvalidInput, "there is no policy to evaluate"))?,
        policies: reports,
    })
}

/// The embedding of each text that the model sees whole.
type Embeddings<'a> = HashMap<&'a str, Option<Embedding>>;

async fn embed_all<'a>(
    embedder: &dyn Embedder,
    pairs: &'a [Pair],
    progress: &mut (dyn FnMut(usize, usize) + Send),
) -> Result<Embeddings<'a>> {
    let mut texts: Vec<&str> = pairs.iter().flat_map(|pair| [&*pair.a, &*pair.b]).collect();
    texts.sort_unstable();
    texts.dedup();
    let mut embeddings = HashMap::with_capacity(texts.len());
    progress(0, texts.len());
    for batch in texts.chunks(BATCH) {
        let owned: Vec<String> = batch.iter().map(|&text| text.to_owned()).collect();
        let results = embedder.embed(&owned).await?;
        if results.len() != batch.len() {
            let (got, sent) = (results.len(), batch.len());
            return Err(Error::new(ErrorKind::Embedding, format!("got {got} embeddings for {sent} texts")));
        }
        embeddings.extend(batch.iter().copied().zip(results.into_iter().map(|result| match result {
            Embedded::Vector(embedding) => Some(embedding),
            Embedded::TooLong | Embedded::Unreadable => None,
        })));
        progress(embeddings.len(), texts.len());
    }
    Ok(embeddings)
}

fn similarity(pair: &Pair, embeddings: &Embeddings<'_>) -> Option<f32> {
    let embedding = |text: &str| embeddings.get(text)?.as_ref();
    Some(embedding(&pair.a)?.similarity(embedding(&pair.b)?))
}

async fn score(
    verifier: &dyn Verifier,
    pairs: &[Pair],
    embeddings: &Embeddings<'_>,
) -> Result<Vec<metrics::Scored>> {
    const LOWEST: f32 = -1.0;
    let mut scored = Vec::with_capacity(pairs.len());
    for pair in pairs {
        let score = match similarity(pair, embeddings) {
            Some(similarity) => {
                let verdict = verifier.verify(Candidate::new(&pair.b, &pair.a, similarity, LOWEST)).await?;
                verdict.accepted.then_some(verdict.confidence)
            }
            None => None,
        };
        scored.push(metrics::Scored { score, is_same: pair.is_same });
    }
    Ok(scored)
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::embed::ModelInfo;
    use crate::verify::{Guards, Threshold};

    /// Places a text on the unit circle by the angle in degrees that it starts with.
    #[derive(Debug)]
    struct Circle(ModelInfo);

    #[async_trait]
    impl Embedder for Circle {
        fn model(&self) -> &ModelInfo {
            &self.0
        }

        async fn embed(&self, texts: &[String]) -> Result<Vec<Embedded>> {
            assert!(texts.len() <= BATCH);
            texts
                .iter()
                .map(|text| {
                    let Ok(degrees) = text.split(' ').next().unwrap_or_default().parse::<f32>() else {
                        return Ok(Embedded::TooLong);
                    };
                    let (sin, cos) = degrees.to_radians().sin_cos();
                    Embedding::new(&[cos, sin]).map(Embedded::Vector)
                })
                .collect()
        }
    }

    fn pair(a: &str, b: &str, is_same: bool) -> Pair {
        Pair { a: a.into(), b: b.into(), is_same }
    }

    fn policies() -> [Policy; 2] {
        [
            ("threshold", Arc::new(Threshold::new())),
            ("threshold+guards", Arc::new(Guards::none().with(crate::verify::Guard::Negation))),
        ]
    }

    async fn report(pairs: &[Pair]) -> Report {
        let embedder = Circle(ModelInfo::new("circle", "1", 2));
        let mut calls = Vec::new();
        let mut progress = |done, all| calls.push((done, all));
        let report = evaluate(&embedder, &policies(), pairs, &mut progress).await.unwrap();
        let (done, all) = calls[calls.len() - 1];
        assert_eq!((calls[0], done), ((0, all), all));
        report
    }

    #[tokio::test]
    async fn policies_stand_side_by_side() {
        let report = report(&[
            pair("0", "20", true),
            pair("0", "10 not", false),
            pair("0", "80", false),
            pair("long", "0", true),
        ])
        .await;
        assert_eq!((report.pairs, report.positives, report.negatives, report.too_long), (4, 2, 2, 1));
        let [threshold, guards] = &report.policies[..] else { panic!("two policies") };
        assert_eq!(report.first, threshold.scores);
        // The negated question is the nearest; only the guard ranks it below the true one.
        assert_eq!(threshold.scores.roc_auc, Some(0.25));
        assert_eq!(guards.scores.roc_auc, Some(0.625));
    }

    #[tokio::test]
    async fn the_report_has_the_keys_that_scripts_read() {
        let pairs: Vec<_> = (0..600_u16).map(|n| pair(&n.to_string(), "7", n < 20)).collect();
        let json = serde_json::to_value(report(&pairs).await).unwrap();
        for key in ["roc_auc", "average_precision", "best_f1", "pairs", "positives", "negatives"] {
            assert!(!json[key].is_null(), "{key}");
        }
        assert_eq!(json["policies"][1]["policy"], "threshold+guards");
        let row = &json["thresholds"][0];
        for key in ["threshold", "accepted_positive", "accepted_negative", "precision", "recall", "hit_rate"]
        {
            assert!(row[key].is_number(), "{key}");
        }
        assert!(row["false_hits_per_hit"].is_number() && row["false_hits_per_hit_upper95"].is_number());
    }

    #[tokio::test]
    async fn nothing_to_evaluate_is_an_error() {
        let embedder = Circle(ModelInfo::new("circle", "1", 2));
        let no_pairs = evaluate(&embedder, &policies(), &[], &mut |_, _| ()).await;
        assert!(no_pairs.unwrap_err().is_invalid_input());
        let no_policies = evaluate(&embedder, &[], &[pair("0", "1", true)], &mut |_, _| ()).await;
        assert!(no_policies.unwrap_err().is_invalid_input());
    }
}

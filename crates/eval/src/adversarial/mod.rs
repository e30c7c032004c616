//! Measures how many attacks on cached questions would be served the cached answers.
//!
//! Each attack is made for one cached question (`variants`) and asked of a cache that holds only that
//! question. This is the attacker's best case: no other candidate stands in the way. Every answer served is
//! wrong, because every attack asks something else. If these attacks are refused, that shows nothing about
//! attacks that are searched for against the models themselves.

mod variants;

use std::collections::HashSet;
use std::sync::Arc;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use serde::Serialize;
use wellspring::embed::Embedder;
use wellspring::error::{Error, ErrorKind, Result};
use wellspring::key::normalise;
use wellspring::verify::wilson_upper95;

use self::variants::{Kind, keys};
use super::embeddings::{Embeddings, Progress};
use super::examined::{Examined, Examiner};
use super::policy::{Judge, Policy};
use super::queries::Cached;
use super::thresholds::{Terms, judges};
use crate::serving::Rivals;

/// How often another question is drawn to find one that has nothing in common with the cached one.
const DRAWS: usize = 50;

/// The number of served attacks shown for each kind and policy.
const EXAMPLES: usize = 5;

/// The result of a run of attacks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AdversarialReport {
    /// The embedding model.
    pub model: String,
    /// Cached questions.
    pub cached: usize,
    /// Those that were attacked.
    pub attacked: usize,
    /// The seed, which decides which questions are attacked, and with what.
    pub seed: u64,
    /// The budget that thresholds keep.
    pub budget: f64,
    /// The threshold of every policy, in the order given; none where its calibration cannot show the budget,
    /// so that nothing is served.
    pub thresholds: Vec<PolicyThreshold>,
    /// The results for each kind of attack.
    pub kinds: Vec<KindReport>,
    /// The same over all kinds.
    pub all: KindReport,
}

/// The threshold of a policy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PolicyThreshold {
    /// The policy's name.
    pub policy: &'static str,
    /// Its threshold.
    pub threshold: Option<f32>,
}

/// The results for a kind of attack.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KindReport {
    /// The kind's name, or `all`.
    pub kind: &'static str,
    /// Attacks made. A question in which the kind finds nothing to change gives no attack.
    pub made: usize,
    /// Those that are too long for the embedding model, which no policy serves.
    pub too_long: usize,
    /// What each policy served.
    pub policies: Vec<ServedBy>,
}

/// The attacks of one kind that a policy served.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServedBy {
    /// The policy's name.
    pub policy: &'static str,
    /// Attacks served.
    pub served: usize,
    /// Their share of those made; none if none was made.
    pub share: Option<f64>,
    /// The upper end of its Wilson interval at 95 % (two-sided).
    pub share_upper95: f64,
    /// Some of those served, the surest first; empty for all kinds together.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<Example>,
}

/// An attack that was served.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Example {
    /// What was asked.
    pub asked: String,
    /// The question whose answer was served.
    pub cached: String,
    /// How sure the policy was.
    pub confidence: f32,
}

/// The plan of a run of attacks.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Cached questions to attack.
    pub count: usize,
    /// The seed, which decides which questions are attacked, and with what.
    pub seed: u64,
}

/// A question that is asked to get the answer to a cached one, although it asks something else.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Attack<'a> {
    kind: Kind,
    cached: &'a str,
    asked: String,
}

/// Attacks `cached` under `policies`.
///
/// # Errors
///
/// If there is nothing to attack, a policy needs labelled data, or a model fails.
///
/// # Cancel safety
///
/// Dropping the future abandons the evaluation; nothing is kept of it.
pub async fn evaluate(
    embedder: &dyn Embedder,
    examiner: &Examiner,
    policies: &[Policy],
    cached: &[Cached],
    plan: Plan,
    terms: Terms,
    progress: Progress<'_>,
) -> Result<AdversarialReport> {
    let invalid = |message: String| Err(Error::new(ErrorKind::InvalidInput, message));
    if cached.is_empty() || policies.is_empty() || plan.count == 0 {
        return invalid("there is nothing to attack".into());
    }
    if let Some(policy) = policies.iter().find(|policy| policy.learns()) {
        return invalid(format!("`{}` learns from labelled data, which attacks do not have", policy.name()));
    }
    let attacks = attacks(cached, plan);
    let texts = attacks.iter().flat_map(|attack| [attack.cached, &*attack.asked]);
    let embeddings = Embeddings::of(embedder, texts, progress).await?;
    let judges = judges(policies, None, examiner, terms)?;
    let calibrations = [Arc::clone(&examiner.calibration)];
    let mut examined: Vec<(&Attack<'_>, Examined)> = Vec::with_capacity(attacks.len());
    for attack in &attacks {
        let similarity = embeddings.similarity(attack.cached, &attack.asked);
        let mut pair = examiner.look(&attack.asked, attack.cached, similarity);
        examiner.screen(&mut pair, &attack.asked, attack.cached, &calibrations).await?;
        examined.push((attack, pair));
    }
    let of_kind = |kind: Kind| {
        let made: Vec<_> = examined.iter().filter(|(attack, _)| attack.kind == kind).collect();
        KindReport::of(kind.name(), &made, &judges, EXAMPLES)
    };
    Ok(AdversarialReport {
        model: embedder.model().fingerprint(),
        cached: cached.len(),
        attacked: plan.count.min(cached.len()),
        seed: plan.seed,
        budget: terms.budget,
        thresholds: judges
            .iter()
            .map(|(judge, threshold)| PolicyThreshold { policy: judge.policy.name(), threshold: *threshold })
            .collect(),
        kinds: Kind::ALL.into_iter().map(of_kind).collect(),
        all: KindReport::of("all", &examined.iter().collect::<Vec<_>>(), &judges, 0),
    })
}

/// The attacks of `plan`; the same for the same seed.
fn attacks(cached: &[Cached], plan: Plan) -> Vec<Attack<'_>> {
    let mut random = StdRng::seed_from_u64(plan.seed);
    let known: HashSet<&str> = cached.iter().map(|entry| &*entry.question).collect();
    let mut targets: Vec<&Cached> = cached.iter().collect();
    targets.shuffle(&mut random);
    targets.truncate(plan.count);
    let mut attacks = Vec::new();
    for Cached { question, .. } in targets {
        let other = other(question, cached, &mut random);
        for kind in Kind::ALL {
            let Some(variant) = kind.variant(question, other, &mut random) else { continue };
            // A text that is too long for a question is refused before any cache; one that is cached has its
            // own answer.
            let Ok(asked) = normalise(&variant) else { continue };
            if !known.contains(&*asked) {
                attacks.push(Attack { kind, cached: question, asked });
            }
        }
    }
    attacks
}

/// A cached question that has no key word in common with `question`, if one of some draws finds it.
fn other<'a>(question: &str, cached: &'a [Cached], random: &mut StdRng) -> Option<&'a str> {
    let own = keys(question);
    (0..DRAWS).filter_map(|_| cached.choose(random).map(|entry| &*entry.question)).find(|other| {
        let keys = keys(other);
        !keys.is_empty() && keys.is_disjoint(&own)
    })
}

impl KindReport {
    fn of(
        kind: &'static str,
        made: &[&(&Attack<'_>, Examined)],
        judges: &[(Judge, Option<f32>)],
        examples: usize,
    ) -> Self {
        Self {
            kind,
            made: made.len(),
            too_long: made.iter().filter(|(_, pair)| pair.similarity.is_none()).count(),
            policies: judges.iter().map(|by| ServedBy::of(made, by, examples)).collect(),
        }
    }
}

impl ServedBy {
    fn of(made: &[&(&Attack<'_>, Examined)], by: &(Judge, Option<f32>), examples: usize) -> Self {
        let (judge, threshold) = by;
        let served = |(attack, pair): &&(&Attack<'_>, Examined)| {
            let offer = *judge.offers(&[pair], &Rivals::new()).first()?;
            let is_served = threshold.is_some_and(|least| offer.score >= least);
            is_served.then(|| Example {
                asked: attack.asked.clone(),
                cached: attack.cached.to_owned(),
                confidence: offer.confidence,
            })
        };
        let mut hits: Vec<Example> = made.iter().filter_map(served).collect();
        let count = hits.len();
        hits.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
        hits.truncate(examples);
        Self {
            policy: judge.policy.name(),
            served: count,
            share: (!made.is_empty()).then(|| count as f64 / made.len() as f64),
            share_upper95: wilson_upper95(count as u64, made.len() as u64),
            examples: hits,
        }
    }
}

#[cfg(test)]
mod tests;

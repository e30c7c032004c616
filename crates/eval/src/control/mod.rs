//! Compares a wording with its own plain question and that question's near-twins, to check what a policy
//! understands.
//!
//! A policy that understands the meaning ranks the own question first, however it is worded. A model that
//! reads no meaning has only the surface, which the overlap of words stands for. Where a wording shares its
//! words with its own question, such a model ranks it right, too. Only a result above that baseline shows
//! that anything is understood.

mod wordings;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use wellspring::embed::Embedder;
use wellspring::error::{Error, ErrorKind, Result};

pub use self::wordings::{Wording, parse};
use super::embeddings::{Embeddings, Progress};
use super::examined::{Examined, Examiner};
use super::metrics::{Scored, roc_auc};
use super::policy::{Judge, Policy};

/// The name of the baseline.
const WORD_OVERLAP: &str = "word_overlap";

/// The result of a control.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ControlReport {
    /// The embedding model.
    pub model: String,
    /// Wordings.
    pub wordings: usize,
    /// Twins of all of them.
    pub twins: usize,
    /// Pairs with a text that is too long for the model, which rank last.
    pub too_long: usize,
    /// How often the own question would rank first if the order were random.
    pub chance: f64,
    /// The figures of every policy in the order given, then those of the baseline, `word_overlap`.
    pub policies: Vec<ControlPolicy>,
}

/// The figures of one policy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ControlPolicy {
    /// The policy's name.
    pub policy: &'static str,
    /// Over all wordings.
    #[serde(flatten)]
    pub all: Figures,
    /// By domain, starting with the one where the own question ranks first least often; empty unless wordings
    /// name domains.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<DomainFigures>,
}

/// How well the own question is distinguished from its twins.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figures {
    /// Over all pairs of a wording and a candidate: the probability that a random own question ranks above a
    /// random twin, ties counting half.
    pub roc_auc: Option<f64>,
    /// How often the own question ranks first among the candidates of its wording. In a tie of several, each
    /// counts with its share.
    pub ranked_first: f64,
}

/// The figures of one domain.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DomainFigures {
    /// The domain; none for wordings without one.
    pub domain: Option<String>,
    /// The number of its wordings.
    pub wordings: usize,
    /// The figures over them.
    #[serde(flatten)]
    pub figures: Figures,
}

/// The ranks of a wording's candidates, its own question first; none for one that has no embedding.
type Ranks = Vec<Option<f32>>;

/// Measures `policies` and the baseline on `wordings`.
///
/// # Errors
///
/// If there are no wordings, a policy needs more than pairs, or a model fails.
///
/// # Cancel safety
///
/// Dropping the future abandons the evaluation; nothing is kept of it.
pub async fn evaluate(
    embedder: &dyn Embedder,
    examiner: &Examiner,
    policies: &[Policy],
    wordings: &[Wording],
    progress: Progress<'_>,
) -> Result<ControlReport> {
    if wordings.is_empty() {
        return Err(Error::new(ErrorKind::InvalidInput, "there is no wording to evaluate"));
    }
    if let Some(policy) = policies.iter().find(|policy| policy.learns()) {
        let message = format!("`{}` learns from labelled data, which a control does not have", policy.name());
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    let texts = wordings.iter().flat_map(|one| std::iter::once(&*one.text).chain(one.candidates()));
    let embeddings = Embeddings::of(embedder, texts, progress).await?;
    let mut examined: Vec<Vec<Examined>> = Vec::with_capacity(wordings.len());
    for wording in wordings {
        let mut pairs = Vec::with_capacity(1 + wording.twins.len());
        for candidate in wording.candidates() {
            let similarity = embeddings.similarity(&wording.text, candidate);
            let mut pair = examiner.look(&wording.text, candidate, similarity);
            if similarity.is_some() {
                examiner.score(&mut pair, &wording.text, candidate).await?;
            }
            pairs.push(pair);
        }
        examined.push(pairs);
    }
    let of_policy = |&policy: &Policy| {
        let judge =
            Judge::new(policy, Arc::clone(&examiner.calibration), examiner.stage(&examiner.calibration));
        let ranks = |pairs: &Vec<Examined>| pairs.iter().map(|pair| judge.rank(pair)).collect();
        ControlPolicy::of(policy.name(), wordings, &examined.iter().map(ranks).collect::<Vec<Ranks>>())
    };
    let overlaps = |one: &Wording| one.candidates().map(|text| Some(word_overlap(&one.text, text))).collect();
    let baseline: Vec<Ranks> = wordings.iter().map(overlaps).collect();
    let mut figures: Vec<ControlPolicy> = policies.iter().map(of_policy).collect();
    figures.push(ControlPolicy::of(WORD_OVERLAP, wordings, &baseline));
    let chance = |one: &Wording| 1.0 / (1 + one.twins.len()) as f64;
    Ok(ControlReport {
        model: embedder.model().fingerprint(),
        wordings: wordings.len(),
        twins: wordings.iter().map(|one| one.twins.len()).sum(),
        too_long: examined.iter().flatten().filter(|pair| pair.similarity.is_none()).count(),
        chance: wordings.iter().map(chance).sum::<f64>() / wordings.len() as f64,
        policies: figures,
    })
}

impl Wording {
    /// The own question, then the twins.
    fn candidates(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&*self.question).chain(self.twins.iter().map(|twin| &**twin))
    }
}

impl ControlPolicy {
    fn of(policy: &'static str, wordings: &[Wording], ranks: &[Ranks]) -> Self {
        let all = Figures::of(&ranks.iter().collect::<Vec<_>>());
        let mut domains = Vec::new();
        if wordings.iter().any(|one| one.domain.is_some()) {
            let mut members: BTreeMap<Option<&str>, Vec<&Ranks>> = BTreeMap::new();
            for (wording, ranks) in wordings.iter().zip(ranks) {
                members.entry(wording.domain.as_deref()).or_default().push(ranks);
            }
            domains.extend(members.into_iter().map(|(domain, members)| DomainFigures {
                domain: domain.map(str::to_owned),
                wordings: members.len(),
                figures: Figures::of(&members),
            }));
            domains.sort_by(|a, b| a.figures.ranked_first.total_cmp(&b.figures.ranked_first));
        }
        Self { policy, all, domains }
    }
}

impl DomainFigures {
    /// The name of the domain.
    pub fn name(&self) -> &str {
        self.domain.as_deref().unwrap_or("(none)")
    }
}

impl Figures {
    /// The figures of at least one wording.
    fn of(ranks: &[&Ranks]) -> Self {
        let pair =
            |(place, rank): (usize, &Option<f32>)| Scored { score: *rank, rank: *rank, is_same: place == 0 };
        let pairs: Vec<Scored> = ranks.iter().flat_map(|ranks| ranks.iter().enumerate().map(pair)).collect();
        let first: f64 = ranks.iter().map(|ranks| first(ranks)).sum();
        Self { roc_auc: roc_auc(&pairs), ranked_first: first / ranks.len() as f64 }
    }
}

/// Whether the first of `ranks` is the highest: 1 or 0, or its share if it ties with others.
fn first(ranks: &[Option<f32>]) -> f64 {
    let mut places = ranks.iter().map(|rank| rank.unwrap_or(f32::NEG_INFINITY));
    let Some(own) = places.next() else { return 0.0 };
    let twins: Vec<f32> = places.collect();
    if twins.iter().any(|&twin| twin > own) {
        return 0.0;
    }
    let ties = twins.iter().filter(|&&twin| twin >= own).count();
    1.0 / (1 + ties) as f64
}

/// The share of the words of either text that both have, in lower case and without order (the Jaccard index):
/// the result of a model that reads no meaning.
fn word_overlap(a: &str, b: &str) -> f32 {
    let words = |text: &str| -> BTreeSet<String> {
        let text = text.to_lowercase();
        let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        words.map(str::to_owned).collect()
    };
    let (a, b) = (words(a), words(b));
    let either = a.union(&b).count();
    if either == 0 { 0.0 } else { a.intersection(&b).count() as f32 / either as f32 }
}

#[cfg(test)]
mod tests;

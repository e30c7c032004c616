//! The disagreements between a policy and the labels, for a person to review. The surest of them are often
//! errors in the labels, and every corrected label makes the measurement more accurate.

use std::sync::Arc;

use serde::Serialize;
use wellspring::error::Result;
use wellspring::match_policy::MatchPolicy;
use wellspring::verify::{Calibration, Candidate, Check, Pipeline, Verifier as _};

use super::examined::{Examined, Examiner};
use super::policy::Judge;

/// The number of disagreements that are kept.
const MOST: usize = 200;

/// The surest disagreements of a policy with the labels, the most confident first.
#[derive(Debug, Clone, PartialEq)]
pub struct Review {
    calibration: Arc<Calibration>,
    found: Vec<Disagreement>,
}

/// A pair on which a policy contradicts the label.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Disagreement {
    a: String,
    b: String,
    is_same: bool,
    probability: f32,
    similarity: f32,
    domain: Option<String>,
}

/// A disagreement with its reasons: a labelled pair, in the form that `eval pairs` and `calibrate` read.
#[derive(Debug, Serialize)]
struct Line<'a> {
    a: &'a str,
    b: &'a str,
    label: u8,
    probability: f32,
    similarity: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<&'a str>,
    /// The result of every check of the pipeline, as in `wellspring why`.
    checks: Vec<Check>,
}

impl Disagreement {
    /// The disagreement of `judge` with the label of whether `asked` is the same question as `cached`, if
    /// there is one. A veto means a different question, however probable the pair.
    pub(super) fn of(
        judge: &Judge,
        pair: &Examined,
        (cached, asked): (&str, &str),
        is_same: bool,
        domain: Option<&str>,
    ) -> Option<Self> {
        let similarity = pair.similarity?;
        let probability = judge.probability(pair);
        let says_same = !pair.is_vetoed() && probability >= 0.5;
        (says_same != is_same).then(|| Self {
            a: cached.to_owned(),
            b: asked.to_owned(),
            is_same,
            probability,
            similarity,
            domain: domain.map(str::to_owned),
        })
    }

    /// How sure the policy is of the opposite of the label.
    fn confidence(&self) -> f32 {
        if self.is_same { 1.0 - self.probability } else { self.probability }
    }
}

impl Review {
    /// The disagreements that `find` returns for the first of `judges` that gives probabilities; none if no
    /// judge gives any.
    pub(super) fn of(
        judges: &[(Judge, Option<f32>)],
        find: impl FnOnce(&Judge) -> Vec<Disagreement>,
    ) -> Option<Self> {
        let (judge, _) = judges.iter().find(|(judge, _)| judge.policy.scores())?;
        Some(Self { calibration: Arc::clone(&judge.calibration), found: surest(find(judge)) })
    }

    /// One line of JSON for each, with the results of the pipeline's checks under this budget.
    ///
    /// # Errors
    ///
    /// If a model fails.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future abandons the lines; nothing is kept of them.
    #[expect(clippy::missing_panics_doc, reason = "numbers and strings have a JSON form")]
    pub async fn lines(&self, examiner: &Examiner, budget: f64) -> Result<Vec<String>> {
        let mut pipeline =
            Pipeline::new(Arc::clone(&self.calibration)).guards(examiner.guards).learning(false);
        if let Some(scorer) = &examiner.scorer {
            pipeline = pipeline.scorer(Arc::clone(scorer));
        }
        let mut lines = Vec::with_capacity(self.found.len());
        for Disagreement { a, b, is_same, probability, similarity, domain } in &self.found {
            let candidate = Candidate::new(b, a, *similarity, MatchPolicy::MaxFalseHitRate(budget));
            let line = Line {
                a,
                b,
                label: u8::from(*is_same),
                probability: *probability,
                similarity: *similarity,
                domain: domain.as_deref(),
                checks: pipeline.explain(candidate).await?.checks,
            };
            lines.push(serde_json::to_string(&line).expect("numbers and strings have a JSON form"));
        }
        Ok(lines)
    }
}

/// The surest of `found`, most confident first: the same number for each label, or more of one where the
/// other has fewer. Otherwise one kind of error could hide the other.
fn surest(mut found: Vec<Disagreement>) -> Vec<Disagreement> {
    found.sort_by(|a, b| b.confidence().total_cmp(&a.confidence()));
    let positives = found.iter().filter(|one| one.is_same).count();
    let negatives = found.len() - positives;
    let of_positives = positives.min((MOST / 2).max(MOST.saturating_sub(negatives)));
    let of_negatives = negatives.min(MOST - of_positives);
    let (mut positives, mut negatives) = (0, 0);
    found.retain(|one| {
        let (count, most) =
            if one.is_same { (&mut positives, of_positives) } else { (&mut negatives, of_negatives) };
        *count += 1;
        *count <= most
    });
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wellspring::verify::{CalibratedStage, Features, Guard, Guards};

    use super::*;
    use crate::cost::Cost;
    use crate::policy::Policy;

    const ASKED: &str = "how do i enable it?";
    const CACHED: &str = "how can i enable it?";

    fn judge(policy: Policy) -> Judge {
        Judge::new(policy, Calibration::bundled(), CalibratedStage::Full)
    }

    fn pair(logit: f32, veto: Option<Check>) -> Examined {
        Examined {
            similarity: Some(0.9),
            veto,
            features: Features::of(ASKED, CACHED, 0.9),
            logit: Some(logit),
            is_screened: false,
            is_unread: false,
            cost: Cost::default(),
        }
    }

    fn disagreement(is_same: bool, probability: f32) -> Disagreement {
        let (a, b) = (CACHED.to_owned(), ASKED.to_owned());
        Disagreement { a, b, is_same, probability, similarity: 0.9, domain: None }
    }

    #[test]
    fn only_what_the_policy_and_the_label_say_differently_is_found() {
        let judge = judge(Policy::Verifier);
        let found = |pair: &Examined, is_same| {
            let found = Disagreement::of(&judge, pair, (CACHED, ASKED), is_same, Some("it"));
            found.map(|one| (one.is_same, one.domain))
        };
        let (yes, no) = (pair(9.0, None), pair(-9.0, None));
        assert!(judge.probability(&yes) > 0.5 && judge.probability(&no) < 0.5);
        assert_eq!(found(&yes, true), None);
        assert_eq!(found(&no, false), None);
        assert_eq!(found(&yes, false), Some((false, Some("it".into()))));
        assert_eq!(found(&no, true), Some((true, Some("it".into()))));
        let vetoed = pair(9.0, Some(Check::new("negation", false, "not")));
        assert_eq!(found(&vetoed, false), None, "the veto agrees with the label");
        assert!(found(&vetoed, true).is_some());
    }

    #[test]
    fn the_surest_come_first_and_either_label_has_its_share() {
        let share = |n: u16| f32::from(n) / 1_000.0;
        let mut all: Vec<_> = (0..300).map(|n| disagreement(false, 0.6 + share(n))).collect();
        all.extend((0..150).map(|n| disagreement(true, 0.4 - share(n))));
        let kept = surest(all.clone());
        assert!(kept.is_sorted_by(|a, b| a.confidence() >= b.confidence()));
        assert_eq!((kept.len(), kept.iter().filter(|one| one.is_same).count()), (200, 100));
        assert!((kept[0].probability - 0.899).abs() < 1e-6);
        // Where there are few of one kind, the other fills the rest.
        all.truncate(310);
        let kept = surest(all);
        assert_eq!((kept.len(), kept.iter().filter(|one| one.is_same).count()), (200, 10));
        assert_eq!(surest(vec![disagreement(true, 0.1)]).len(), 1);
    }

    #[tokio::test]
    async fn lines_are_labelled_pairs_with_what_the_checks_say() {
        let judges = [(judge(Policy::Guards), None), (judge(Policy::Verifier), None)];
        let review = Review::of(&judges, |judge| {
            assert_eq!(judge.policy, Policy::Verifier);
            vec![disagreement(false, 0.97)]
        });
        let guards = Guards::none().with(Guard::Negation);
        let examiner = Examiner { guards, calibration: Calibration::bundled(), scorer: None };
        let lines = review.unwrap().lines(&examiner, 0.02).await.unwrap();
        let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!((&line["a"], &line["b"], &line["label"]), (&json!(CACHED), &json!(ASKED), &json!(0)));
        assert!(line["probability"].is_number() && line["similarity"].is_number());
        assert_eq!(line.get("domain"), None);
        let checks = line["checks"].as_array().unwrap();
        for name in ["negation", "cheap"] {
            assert!(checks.iter().any(|check| check["name"] == name), "{name}");
        }
        let pairs = crate::pairs::parse(&lines.join("\n")).unwrap();
        assert_eq!((pairs[0].is_same, &*pairs[0].a), (false, CACHED));
        assert_eq!(Review::of(&judges[..1], |_| Vec::new()), None);
    }
}

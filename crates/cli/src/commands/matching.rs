//! Which answers to other wordings the configuration accepts, and whether that can be shown.
//!
//! If it cannot be shown, only exact matches are served, which looks like a cache that does not work. A user
//! who looks at the settings or at the store is therefore warned, and advised what to change. No model is
//! loaded for this.

use serde::Serialize;
use wellspring::embed::Scripts;
use wellspring::error::Result;
use wellspring::match_policy::MatchPolicy;
use wellspring::store::{Finding, Severity};
use wellspring::verify::Unshown;

use crate::config::{Config, Deciding};

/// What is accepted, and what could be accepted.
#[derive(Debug, Serialize)]
pub(crate) struct Matching {
    /// The embedding model, and its revision if it says one.
    embedding: String,
    /// The scripts that it knows; none if it does not say which.
    scripts: Option<Scripts>,
    /// What reads both questions; none if nothing does.
    scorer: Option<String>,
    /// The name of the calibration; none if there is none for the embedding model.
    calibration: Option<String>,
    match_policy: MatchPolicy,
    /// The lowest false-hit rate that can be shown, rounded up; none if no rate can be, or if the verifier
    /// does not say.
    least_max_false_hit_rate: Option<f64>,
    /// Says that only exact matches are served, and why; none if that is not so.
    warning: Option<String>,
    #[serde(skip)]
    unshown: Option<Unshown>,
}

impl Matching {
    /// What `config` accepts.
    ///
    /// # Errors
    ///
    /// If the calibration or what describes the embedding model cannot be read.
    pub(crate) async fn of(config: &Config) -> Result<Self> {
        Ok(Self::new(config.match_policy(), config.deciding().await?))
    }

    fn new(match_policy: MatchPolicy, deciding: Deciding) -> Self {
        let Deciding { embedding, scripts, scorer, calibration, budgets } = deciding;
        let unshown = budgets.unshown(match_policy);
        Self {
            embedding,
            scripts,
            scorer,
            calibration,
            match_policy,
            least_max_false_hit_rate: budgets.least(),
            warning: unshown.map(|unshown| format!("match.{unshown}")),
            unshown,
        }
    }

    /// What is accepted, in a few words.
    pub(crate) fn accepted(&self) -> String {
        self.match_policy.to_string()
    }

    /// Says that only exact matches are served, and why; none if that is not so.
    pub(crate) fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// A script of `text` that the embedding model does not know.
    pub(crate) fn unknown_script(&self, text: &str) -> Option<&'static str> {
        self.scripts.as_ref()?.unknown_in(text)
    }

    /// Which models and which calibration are in force.
    pub(crate) fn models(&self) -> String {
        let scorer = self.scorer.as_ref().map_or_else(|| "no scorer".into(), |name| format!("scorer {name}"));
        let calibration = match &self.calibration {
            Some(name) => format!("calibration {name}"),
            None => "no calibration".into(),
        };
        format!("{}, {scorer}, {calibration}", self.embedding)
    }

    /// The models and the calibration as a finding, with what the embedding model can read.
    pub(crate) fn models_finding(&self) -> Finding {
        let scripts = self.scripts.as_ref().map(|scripts| {
            let names: Vec<_> = scripts.names().collect();
            format!("; it knows {}; questions in other scripts only match exactly", names.join(", "))
        });
        Finding::new("models", Severity::Ok, format!("{}{}", self.models(), scripts.unwrap_or_default()))
    }

    /// A finding on what is accepted.
    pub(crate) fn finding(&self) -> Finding {
        if let (Some(warning), Some(remedy)) = (self.warning(), self.remedy()) {
            return Finding::new("matching", Severity::Warning, warning).remedy(remedy);
        }
        let least = match (self.match_policy, self.least_max_false_hit_rate) {
            (MatchPolicy::MaxFalseHitRate(_), Some(least)) => {
                format!("; the lowest that the calibration can show is {least}")
            }
            _ => String::new(),
        };
        Finding::new("matching", Severity::Ok, format!("{}{least}", self.match_policy))
    }

    /// What to do about the warning.
    fn remedy(&self) -> Option<String> {
        let unshown = self.unshown?;
        let calibrate = "(wellspring calibrate PAIRS --write FILE, then match.calibration = \"FILE\")";
        Some(match unshown.least {
            Some(least) => format!(
                "set match.max_false_hit_rate = {least} or more, or calibrate on more labelled questions {calibrate}"
            ),
            None if unshown.is_uncalibrated() => {
                format!("calibrate on labelled questions {calibrate}, or set match.similarity_threshold")
            }
            None => {
                format!("calibrate on more labelled questions {calibrate}, or set match.similarity_threshold")
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use wellspring::verify::Budgets;

    use super::*;

    fn deciding(budgets: Budgets) -> Deciding {
        Deciding {
            embedding: "a-model@1".into(),
            scripts: Scripts::new(["Latin", "Han"]).ok(),
            scorer: Some("a-comparer@2".into()),
            calibration: None,
            budgets,
        }
    }

    #[test]
    fn the_models_are_reported_with_the_scripts_that_they_know() {
        let matching = Matching::new(RATE, deciding(Budgets::Uncalibrated));
        let message = matching.models_finding().reason;
        assert_eq!(
            message,
            "a-model@1, scorer a-comparer@2, no calibration; it knows Latin, Han; questions in other scripts only \
             match exactly"
        );
        assert_eq!(
            (matching.unknown_script("漢字"), matching.unknown_script("かな")),
            (None, Some("Hiragana"))
        );
    }

    const RATE: MatchPolicy = MatchPolicy::MaxFalseHitRate(0.01);

    #[test]
    fn what_cannot_be_shown_is_a_warning_with_a_remedy() {
        for (budgets, reason, remedy) in [
            (
                Budgets::From(0.0152),
                "match.max_false_hit_rate = 0.01 cannot be shown by the calibration in force",
                "set match.max_false_hit_rate = 0.016 or more",
            ),
            (Budgets::From(1.0), "it can show none", "calibrate on more labelled questions"),
            (
                Budgets::Uncalibrated,
                "without a calibration for the embedding model",
                "match.similarity_threshold",
            ),
        ] {
            let finding = Matching::new(RATE, deciding(budgets)).finding();
            assert_eq!(finding.severity, Severity::Warning);
            assert!(finding.reason.contains(reason), "{finding:?}");
            assert!(finding.remedy.as_ref().unwrap().contains(remedy), "{finding:?}");
        }
    }

    #[test]
    fn what_can_be_shown_is_reported_with_the_least() {
        let message = |match_policy, budgets| {
            let matching = Matching::new(match_policy, deciding(budgets));
            assert_eq!((matching.warning(), matching.finding().severity), (None, Severity::Ok));
            matching.finding().reason
        };
        assert_eq!(
            message(RATE, Budgets::From(0.005)),
            "at most 1 % false hits; the lowest that the calibration can show is 0.005"
        );
        assert_eq!(message(RATE, Budgets::Unstated), "at most 1 % false hits");
        assert_eq!(message(0.9.into(), Budgets::Uncalibrated), "similarity 0.900 and up");
        assert_eq!(message(0.9.into(), Budgets::From(0.05)), "similarity 0.900 and up");
    }
}

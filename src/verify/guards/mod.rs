//! Cheap vetoes: differences that an embedding hardly sees and that change the answer.
//!
//! "Population in 2019" and "population in 2021" are more similar than most paraphrases. Each [`Guard`] looks
//! for one kind of difference, in microseconds and without a model: numbers and units, times, negation,
//! opposites, names, swapped places, question words, languages, and letters and codes that the models do not
//! see. A guard can only veto: a pair that all of them let pass need not be the same question. They know
//! English, and for [other languages](foreign) numbers, times, negations, some opposites and the words that
//! mark roles.
//!
//! Spoken questions correct themselves ("in 2018, no wait, 2019"). What was taken back is read as optional,
//! so that a correction is compared by its final meaning.
//!
//! Every guard is symmetric in its two questions and never vetoes a question against itself.

mod antonyms;
mod clock;
mod codes;
mod dates;
mod entities;
mod foreign;
mod language;
mod letters;
mod negation;
mod numbers;
mod numerals;
mod order;
mod question_word;
mod units;

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub(super) use self::entities::same_slot;
pub(super) use self::order::inversions;
pub(super) use self::question_word::kinds;
use super::text::Comparison;
use super::threshold::Threshold;
use super::{Budgets, Candidate, Check, Outcome, Screening, Stage, Verdict, Verifier};
use crate::error::{Error, ErrorKind, Result};
use crate::key::Corpus;

/// One kind of difference that makes two similar questions different ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Guard {
    /// The sets of numbers differ: years, counts, versions, ordinals, in digits or in words.
    Numbers,
    /// One question is negated and the other is not.
    Negation,
    /// The questions hold opposites: `enable` against `disable`, `before` against `after`.
    Antonyms,
    /// One number has different units: `5 km` against `5 miles`.
    Units,
    /// Different times: months, weekdays, `current` against `former`.
    Dates,
    /// One question has a name where the other has a different one.
    Entities,
    /// Two words have traded roles: "from A to B" against "from B to A".
    Order,
    /// The questions ask for different kinds of answers: `who` against `when`.
    QuestionWord,
    /// The questions are in different languages.
    Language,
    /// Words differ in accents or case that can change them: `campaña` against `campana`, `US` against `us`.
    Letters,
    /// Codes, signs or labels differ: `--force` against `--no-force`, `-18` against `18`, `Plan A` against
    /// `Plan B`.
    Codes,
}

impl Guard {
    /// Every guard, in the order in which they run.
    pub const ALL: [Self; 11] = [
        Self::Numbers,
        Self::Negation,
        Self::Antonyms,
        Self::Units,
        Self::Dates,
        Self::Entities,
        Self::Order,
        Self::QuestionWord,
        Self::Language,
        Self::Letters,
        Self::Codes,
    ];

    /// The guard's name, as in [`Check::name`].
    pub fn name(self) -> &'static str {
        match self {
            Self::Numbers => "numbers",
            Self::Negation => "negation",
            Self::Antonyms => "antonyms",
            Self::Units => "units",
            Self::Dates => "dates",
            Self::Entities => "entities",
            Self::Order => "order",
            Self::QuestionWord => "question_word",
            Self::Language => "language",
            Self::Letters => "letters",
            Self::Codes => "codes",
        }
    }

    /// The difference that this guard finds between the two questions, if there is one.
    pub(super) fn difference(self, comparison: &Comparison) -> Option<String> {
        let (asked, cached) = (&comparison.asked, &comparison.cached);
        match self {
            Self::Numbers => numbers::difference(asked, cached),
            Self::Negation => negation::difference(asked, cached),
            Self::Antonyms => antonyms::difference(asked, cached),
            Self::Units => units::difference(comparison),
            Self::Dates => dates::difference(comparison),
            Self::Entities => entities::difference(comparison),
            Self::Order => order::difference(comparison),
            Self::QuestionWord => question_word::difference(comparison),
            Self::Language => language::difference(comparison),
            Self::Letters => letters::difference(comparison),
            Self::Codes => codes::difference(comparison),
        }
    }

    /// The difference for which this guard vetoes a hit, if there is one.
    ///
    /// If questions share nearly all words, a model hardly notices an additional "not" or year. If they are
    /// worded differently, such a word on one side means little ("80-year-old man. What is the dose of
    /// Plendil?", "colour is unavailable" for "I can't print in colour"). It is then left to the model, which
    /// has it among its inputs.
    fn veto(self, comparison: &Comparison) -> Option<String> {
        let (asked, cached) = (&comparison.asked, &comparison.cached);
        let difference = self.difference(comparison)?;
        let is_certain = match self {
            Self::Negation => false,
            // People who type another language without accents leave out all of them, and the models that
            // know other scripts see their marks.
            Self::Letters => match (asked.foreign(), cached.foreign()) {
                (Some(one), Some(other)) if !one.is_latin() || !other.is_latin() => return None,
                (Some(_), Some(_)) => false,
                _ => true,
            },
            Self::Numbers => numbers::contradict(asked, cached),
            Self::Dates => dates::contradict(comparison),
            // Words in another order mostly ask the same.
            Self::Order => {
                return (comparison.is_nearly_verbatim() && order::trade(comparison)).then_some(difference);
            }
            _ => true,
        };
        (is_certain || comparison.is_nearly_verbatim()).then_some(difference)
    }

    fn check(self, comparison: &Comparison) -> Check {
        let difference = self.veto(comparison);
        let passed = difference.is_none();
        Check { name: self.name(), passed, detail: difference.unwrap_or_else(|| "no difference".into()) }
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Guard {
    type Err = Error;

    /// The guard of this [name](Self::name).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] if there is none.
    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|guard| guard.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::new(ErrorKind::InvalidInput, format!("there is no guard {name:?}, only {names}"))
        })
    }
}

/// The plain [`Threshold`], then those guards that are switched on. Like the threshold, it accepts nothing
/// under a false-hit rate.
///
/// The confidence is the similarity; like that of the threshold, it is not calibrated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Guards {
    enabled: [bool; Guard::ALL.len()],
}

impl Guards {
    /// All guards.
    pub fn all() -> Self {
        Self { enabled: [true; Guard::ALL.len()] }
    }

    /// No guard: the plain threshold.
    pub fn none() -> Self {
        Self { enabled: [false; Guard::ALL.len()] }
    }

    /// Switches `guard` on.
    pub fn with(mut self, guard: Guard) -> Self {
        self.enabled[guard as usize] = true;
        self
    }

    /// Switches `guard` off.
    pub fn without(mut self, guard: Guard) -> Self {
        self.enabled[guard as usize] = false;
        self
    }

    /// The guards that are switched on, in the order in which they run.
    pub fn enabled(self) -> impl Iterator<Item = Guard> {
        Guard::ALL.into_iter().filter(move |&guard| self.is_enabled(guard))
    }

    /// Whether `guard` is switched on.
    pub fn is_enabled(self, guard: Guard) -> bool {
        self.enabled[guard as usize]
    }

    /// The first veto of the guards that are switched on, if one vetoes. Takes microseconds.
    pub fn veto(self, question: &str, cached: &str) -> Option<Check> {
        let comparison = Comparison::of(question, cached);
        self.enabled().map(|guard| guard.check(&comparison)).find(|check| !check.passed)
    }

    /// Whether one of the guards that are switched on vetoes.
    pub(super) fn vetoes(self, comparison: &Comparison) -> bool {
        self.enabled().any(|guard| guard.veto(comparison).is_some())
    }

    /// The checks of the guards that are switched on, up to the first one for which `stop` returns true.
    pub(super) fn checks(self, comparison: &Comparison, stop: impl Fn(&Check) -> bool) -> Vec<Check> {
        let mut checks = Vec::new();
        for guard in self.enabled() {
            checks.push(guard.check(comparison));
            if checks.last().is_some_and(&stop) {
                break;
            }
        }
        checks
    }

    /// The threshold, then the guards.
    fn all_checks(self, candidate: &Candidate<'_>, stop: impl Fn(&Check) -> bool) -> Vec<Check> {
        let mut checks = vec![Threshold::check(candidate)];
        if !stop(&checks[0]) {
            let comparison = Comparison::of(candidate.question, candidate.cached_question);
            checks.extend(self.checks(&comparison, stop));
        }
        checks
    }
}

impl FromIterator<Guard> for Guards {
    fn from_iter<I: IntoIterator<Item = Guard>>(guards: I) -> Self {
        guards.into_iter().fold(Self::none(), Self::with)
    }
}

impl Default for Guards {
    /// The guards that veto far more wrong answers than right ones in any of the evaluation data. Names and
    /// question words are weighed with everything else instead, as [features](super::Features).
    fn default() -> Self {
        Self::all().without(Guard::Entities).without(Guard::QuestionWord)
    }
}

#[async_trait]
impl Verifier for Guards {
    fn budgets(&self, _corpus: Option<&Corpus>) -> Budgets {
        Budgets::Uncalibrated
    }

    fn screen(&self, candidate: &Candidate<'_>) -> Screening {
        let checks = self.all_checks(candidate, |check| !check.passed);
        let passed = checks.iter().all(|check| check.passed);
        let outcome = if passed { Outcome::Accepted } else { Outcome::Rejected };
        let stage = if checks.len() == 1 { Stage::Cheap } else { Stage::Guards };
        Screening::new(stage, outcome, candidate.similarity)
    }

    async fn verify(&self, candidate: Candidate<'_>) -> Result<Verdict> {
        Ok(Verdict::from_checks(candidate.similarity, self.all_checks(&candidate, |check| !check.passed)))
    }

    async fn explain(&self, candidate: Candidate<'_>) -> Result<Verdict> {
        Ok(Verdict::from_checks(candidate.similarity, self.all_checks(&candidate, |_| false)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn explain(guards: Guards, a: &str, b: &str) -> Verdict {
        let checks = guards.all_checks(&Candidate::new(a, b, 0.9, 0.8), |_| false);
        Verdict::from_checks(0.9, checks)
    }

    #[tokio::test]
    async fn verification_stops_at_the_first_failure_and_explanation_does_not() {
        let candidate = Candidate::new("enable 2 of them", "do not disable 3 of them", 0.5, 0.8);
        let verified = Guards::all().verify(candidate).await.unwrap();
        assert_eq!(verified.checks.len(), 1);
        let explained = Guards::all().explain(candidate).await.unwrap();
        let names: Vec<_> = explained.checks.iter().map(|check| check.name).collect();
        assert_eq!(names[..4], ["threshold", "numbers", "negation", "antonyms"]);
        assert_eq!(names.len(), 1 + Guard::ALL.len());
        assert!(explained.checks[..4].iter().all(|check| !check.passed));
        assert!(!verified.accepted && !explained.accepted);
    }

    #[test]
    fn guards_are_known_by_their_names() {
        for guard in Guard::ALL {
            assert_eq!(guard.to_string().parse::<Guard>().unwrap(), guard);
        }
        let error = "Numbers".parse::<Guard>().unwrap_err().to_string();
        assert!(error.starts_with("there is no guard \"Numbers\", only numbers, negation, "), "{error}");
        assert_eq!(Guards::default().enabled().collect::<Guards>(), Guards::default());
    }

    #[test]
    fn each_guard_is_switched_alone() {
        let (a, b) = ("enable 2 of them", "do not disable 3 of them");
        for guard in Guard::ALL {
            assert_eq!(explain(Guards::none().with(guard), a, b).checks[1].name, guard.name());
            assert!(
                !explain(Guards::all().without(guard), a, b).checks.iter().any(|c| c.name == guard.name())
            );
        }
        assert!(explain(Guards::none(), a, b).accepted);
    }

    #[test]
    fn what_one_question_has_more_is_left_to_the_model_where_they_are_worded_differently() {
        for (asked, cached) in [
            (
                "On Norvasc, 77-year-old female, insurance pays little. What is the dose of Plendil?",
                "What is the dose of Plendil?",
            ),
            ("For what reason is colour output unavailable on the printer?", "Why can't I print in color?"),
            (
                "We fly to Arizona in April with my hiking club. How deep is the Grand Canyon?",
                "How deep is the Grand Canyon?",
            ),
        ] {
            assert!(explain(Guards::default(), asked, cached).accepted, "{asked}");
        }
        for (asked, cached) in [
            ("Is parking not allowed here?", "Is parking allowed here?"),
            ("population of Oslo in 2019", "how many people lived in the city of Oslo by the end of 2021?"),
            ("How many students enrolled in 2014?", "How many students enrolled?"),
            (
                "Until when can I hand in my tax form if March is over?",
                "Is April the last month for tax returns?",
            ),
        ] {
            assert!(!explain(Guards::default(), asked, cached).accepted, "{asked}");
        }
    }

    #[test]
    fn a_correction_is_compared_by_what_it_ended_up_asking() {
        for (asked, meant, taken_back) in [
            (
                "When was Frankfurt ranked 22nd, no wait, when was Warsaw ranked 23rd?",
                "When was Warsaw ranked 23rd?",
                "When was Warsaw ranked 22nd?",
            ),
            (
                "How many students enrolled in 2011, actually, no, in 2014?",
                "How many students enrolled in 2014?",
                "How many students enrolled in 2011?",
            ),
        ] {
            assert!(explain(Guards::all(), asked, meant).accepted, "{asked}");
            assert!(!explain(Guards::all(), asked, taken_back).accepted, "{asked}");
        }
    }

    /// Words that the guards know, so that random questions exercise them.
    fn question() -> impl Strategy<Value = String> {
        let word = prop_oneof![
            "(no|not|never|don't|without|wait|or|i|mean|er|second|two|twenty|hundred|and|XIV|War|I)",
            "(enable|disabled|before|after|unlock|lock|[0-9]{1,5}(k|th|\\.[0-9]+)?|1,000|[a-z]{2,6})",
            "(Reset|WHO|who|US|us|mW|MW|5Mb|5MB|Co|CO|getItem|getitem|café|cafe|Förderung|Forderung)",
            "(мой|мои|ё|е|كَتَبَ|كُتُب|كتب|νόμος|νομός|かぎ|かき|कुल|e\u{301}|\u{301}|ﬁ|Ａ)",
            "(--force|-v|/etc/hosts|report_a|E0502|H2O2?|-?18|> ?5|<5|>=|over|under|at least|more than|no more than 5)",
            "(2x4|1/2|1:2|x\\^2|m²|7 ?(am|p\\.m\\.)|19:00|07:30|Plan|A|B|C\\+\\+|c sharp|AB-|5%|\\$5|€5|20 ?°?[CF])",
            "(nicht|kein|ne|plus|nie|не|нет|不|没|ない|ません|لا|नहीं|zwei|deux|mil|dos|сто|三|十|二十|天|年|1\\.000|3,5|٣|५|nein|じゃなくて)",
            "(montag|lundi|周一|月曜|morgen|der|die|das|wie|que|los|est|jak|как|怎么|的|か|aktivieren|deaktivieren|关闭|打开|nach|von)",
            "(reached|with|few|little|a|hardly|fail to|lack of|unless|except|window|whether or no|monthly|yearly|stop)",
            "\\PC{0,6}",
        ];
        prop::collection::vec(word, 0..14).prop_map(|words| words.join(" "))
    }

    proptest! {
        #[test]
        fn never_panics_and_is_symmetric(a in any::<String>(), b in any::<String>()) {
            prop_assert_eq!(explain(Guards::all(), &a, &b).accepted, explain(Guards::all(), &b, &a).accepted);
        }

        #[test]
        fn each_guard_is_symmetric(a in question(), b in question()) {
            let outcome = |verdict: Verdict| -> Vec<bool> { verdict.checks.iter().map(|c| c.passed).collect() };
            prop_assert_eq!(
                outcome(explain(Guards::all(), &a, &b)),
                outcome(explain(Guards::all(), &b, &a))
            );
        }

        #[test]
        fn a_question_never_vetoes_itself(a in question(), b in any::<String>()) {
            prop_assert!(explain(Guards::all(), &a, &a).accepted);
            prop_assert!(explain(Guards::all(), &b, &b).accepted);
        }
    }
}

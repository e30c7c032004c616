//! Judgements of served answers: the log that learning uses.
//!
//! The log only grows: a judge's decision is taken back by a later [`Revocation`].

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::key::{Corpus, EntryId, ScopeId};

/// About how many judgements and revocations a store keeps; older ones are forgotten.
pub const MAX_JUDGEMENTS: usize = 100_000;

/// Whether an answer served the question that it was given for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feedback {
    /// It did.
    Right,
    /// It did not.
    Wrong,
}

/// Who judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Judge {
    /// The caller that was given the answer.
    Caller,
    /// The judge, on a hit.
    Shadow,
    /// The judge, on a near neighbour that was not served.
    NearMiss,
}

/// A judgement of one answer for one question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Judgement {
    /// The corpus of the entry.
    pub corpus: Corpus,
    /// The scope in which it was found.
    pub scope: ScopeId,
    /// The id of an answer to exactly the question asked.
    pub asked: EntryId,
    /// The entry; the same as `asked` for an exact hit.
    pub cached: EntryId,
    /// The question asked, normalised.
    pub question: Arc<str>,
    /// The question that the entry answered, normalised.
    pub cached_question: Arc<str>,
    /// Cosine similarity of the two; 1 for an exact hit, none if it is not known.
    pub similarity: Option<f32>,
    /// The judgement.
    pub feedback: Feedback,
    /// Who judged.
    pub judge: Judge,
    /// When it was judged.
    pub at: Timestamp,
    /// How sure the judge was, in `0.0..=1.0`; none for a caller's word.
    #[serde(default)]
    pub confidence: Option<f32>,
    /// The judge's [name](crate::judge::AnswerJudge::name), or that of the
    /// [caller](crate::cache::FeedbackSource::name) if it is known.
    #[serde(default)]
    pub by: Option<Arc<str>>,
    /// Whether what is learned from it also affects callers other than the one who said it.
    #[serde(default)]
    pub shared: bool,
}

impl Judgement {
    /// Whether it comes from a caller, and what is learned from it affects other callers.
    pub(crate) fn is_shared(&self) -> bool {
        self.judge == Judge::Caller && self.shared
    }

    /// Whether the answer was to exactly the question asked.
    pub fn is_exact(&self) -> bool {
        self.asked == self.cached
    }
}

/// The judgements of an entry's answer, for its own question and for others.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[non_exhaustive]
pub struct EntryRecord {
    /// How often it was right.
    pub right: u64,
    /// How often it was wrong.
    pub wrong: u64,
    /// The callers sharing the entry whose word was counted, and what they said.
    #[serde(skip)]
    counted: HashSet<(Option<Arc<str>>, bool)>,
}

/// The most judgements by callers who share an entry that are counted for it.
const MAX_COUNTED: usize = 1_000;

impl EntryRecord {
    /// Takes back a judgement.
    pub(crate) fn uncount(&mut self, is_right: bool) {
        let count = if is_right { &mut self.right } else { &mut self.wrong };
        *count = count.saturating_sub(1);
    }

    /// Counts a judgement. A caller who shares the entry with others counts once for right and once for
    /// wrong.
    pub(crate) fn count(&mut self, judgement: &Judgement) {
        let is_right = judgement.feedback == Feedback::Right;
        if judgement.is_shared()
            && (self.counted.len() == MAX_COUNTED || !self.counted.insert((judgement.by.clone(), is_right)))
        {
            return;
        }
        *if is_right { &mut self.right } else { &mut self.wrong } += 1;
    }
}

/// A judgement of a pair, for learning.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Judged {
    /// The judgement.
    pub judgement: Judgement,
    /// How often the entry's answer had been judged right before.
    pub right: u64,
    /// How often the entry's answer had been judged wrong before.
    pub wrong: u64,
}

impl Judged {
    /// A judgement of an entry that had this record before.
    pub fn new(judgement: Judgement, before: &EntryRecord) -> Self {
        Self { judgement, right: before.right, wrong: before.wrong }
    }
}

/// An item of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Logged {
    /// A judgement.
    Judgement(Judgement),
    /// A revocation of earlier judgements.
    Revocation {
        /// Which judgements it revokes.
        revoke: Revocation,
    },
}

/// Which judgements by judges, or else which judgements by [callers](Self::feedback), no longer count: those
/// before it in the log that match everything set here.
///
/// If a [pair](Self::of_pair) was revoked by name, it is not put to a judge again, and a judge's later
/// rulings on it do not count either. Judgements that were revoked by judge or by time may be made again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Revocation {
    /// Those of this question and this entry.
    #[serde(default)]
    pub pair: Option<(EntryId, EntryId)>,
    /// Those by the judge or caller of this name.
    #[serde(default)]
    pub by: Option<Arc<str>>,
    /// Those from this time on.
    #[serde(default)]
    pub since: Option<Timestamp>,
    /// Those by callers, in place of those by judges.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub callers: bool,
}

impl Revocation {
    /// Everything that judges decided.
    pub fn everything() -> Self {
        Self::default()
    }

    /// Everything that callers said, and with it everything that was learned from it. Answers that it removed
    /// stay removed.
    pub fn feedback() -> Self {
        Self { callers: true, ..Self::default() }
    }

    /// The judges' decisions on the answer of `cached` for the question `asked`.
    pub fn of_pair(asked: EntryId, cached: EntryId) -> Self {
        Self { pair: Some((asked, cached)), ..Self::default() }
    }

    /// Only what the judge or caller of this name said.
    pub fn by(mut self, name: impl Into<Arc<str>>) -> Self {
        self.by = Some(name.into());
        self
    }

    /// Only what was said at this time or later.
    pub fn since(mut self, since: Timestamp) -> Self {
        self.since = Some(since);
        self
    }

    /// Whether it revokes `judgement`, if that comes before it.
    pub fn covers(&self, judgement: &Judgement) -> bool {
        let pair = (judgement.asked, judgement.cached);
        (judgement.judge == Judge::Caller) == self.callers
            && self.fits(pair, judgement.by.as_deref(), judgement.at)
    }

    pub(crate) fn fits(&self, pair: (EntryId, EntryId), by: Option<&str>, at: Timestamp) -> bool {
        self.pair.is_none_or(|wanted| wanted == pair)
            && self.by.as_deref().is_none_or(|wanted| by == Some(wanted))
            && self.since.is_none_or(|since| at >= since)
    }
}

/// What has been revoked so far.
#[derive(Debug, Default)]
pub(crate) struct Revocations {
    pairs: HashSet<(EntryId, EntryId)>,
    others: Vec<(JudgementCursor, Revocation)>,
}

impl Revocations {
    /// Adds the revocation at `cursor`.
    pub(crate) fn note(&mut self, cursor: JudgementCursor, revocation: &Revocation) {
        match revocation {
            Revocation { pair: Some(pair), by: None, since: None, callers: false } => {
                self.pairs.insert(*pair);
            }
            other => self.others.push((cursor, other.clone())),
        }
    }

    /// Whether the judgement at `cursor` no longer counts.
    pub(crate) fn cover(&self, cursor: JudgementCursor, judgement: &Judgement) -> bool {
        let is_out = || self.pairs.contains(&(judgement.asked, judgement.cached));
        (judgement.judge != Judge::Caller && is_out())
            || self.others.iter().any(|(at, revoked)| *at > cursor && revoked.covers(judgement))
    }
}

/// The judgements of a whole log that are not revoked, in their order.
pub fn in_force(log: Vec<(JudgementCursor, Logged)>) -> Vec<(JudgementCursor, Judgement)> {
    let mut revocations = Revocations::default();
    for (cursor, logged) in &log {
        if let Logged::Revocation { revoke } = logged {
            revocations.note(*cursor, revoke);
        }
    }
    let judgements = log.into_iter().filter_map(|(cursor, logged)| match logged {
        Logged::Judgement(judgement) => Some((cursor, judgement)),
        Logged::Revocation { .. } => None,
    });
    judgements.filter(|(cursor, judgement)| !revocations.cover(*cursor, judgement)).collect()
}

/// A place in the log, and so the id of the item there: two numbers, `0-17`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct JudgementCursor(pub(crate) u64, pub(crate) u64);

impl fmt::Display for JudgementCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0, self.1)
    }
}

impl FromStr for JudgementCursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts = text.split_once('-');
        let numbers = parts.and_then(|(first, second)| Some((first.parse().ok()?, second.parse().ok()?)));
        let (first, second) = numbers
            .ok_or_else(|| Error::invalid("the id of a judgement is two numbers with a dash between them"))?;
        Ok(Self(first, second))
    }
}

impl Serialize for JudgementCursor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for JudgementCursor {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judgement(asked: u8, judge: Judge, by: Option<&str>, at: u64) -> Logged {
        Logged::Judgement(Judgement {
            corpus: Corpus::default(),
            scope: ScopeId::from_bytes([0; 16]),
            asked: EntryId::from_bytes([asked; 16]),
            cached: EntryId::from_bytes([0; 16]),
            question: "asked".into(),
            cached_question: "cached".into(),
            similarity: Some(0.7),
            feedback: Feedback::Right,
            judge,
            at: Timestamp::from_millis(at),
            confidence: Some(1.0),
            by: by.map(Into::into),
            shared: false,
        })
    }

    fn left(log: &[Logged]) -> Vec<usize> {
        let log = log.iter().zip(0..).map(|(logged, at)| (JudgementCursor(0, at), logged.clone()));
        let left = in_force(log.collect());
        left.into_iter().map(|(cursor, _)| usize::try_from(cursor.1).unwrap()).collect()
    }

    #[test]
    fn a_revocation_takes_back_what_stands_before_it_of_judges_or_of_callers() {
        let one = |at| judgement(1, Judge::NearMiss, Some("one"), at);
        let said = |revoke| Logged::Revocation { revoke };
        let log =
            [one(5), judgement(2, Judge::Shadow, Some("other"), 6), judgement(3, Judge::Caller, None, 7)];
        let with = |revoke| left(&[&log[..], &[said(revoke), one(8)]].concat());
        assert_eq!(with(Revocation::everything()), [2, 4]);
        assert_eq!(with(Revocation::everything().by("other")), [0, 2, 4]);
        assert_eq!(with(Revocation::everything().since(Timestamp::from_millis(6))), [0, 2, 4]);
        assert_eq!(with(Revocation::feedback()), [0, 1, 4]);
        assert_eq!(with(Revocation::feedback().by("one")), [0, 1, 2, 4]);
        // A pair that was revoked by name stays out for good.
        let pair = Revocation::of_pair(EntryId::from_bytes([1; 16]), EntryId::from_bytes([0; 16]));
        assert_eq!(with(pair), [1, 2]);
    }

    #[test]
    fn the_log_is_read_as_it_was_written_and_what_is_unknown_is_no_revocation() {
        let revoked = |revoke| Logged::Revocation { revoke };
        let log = [
            judgement(1, Judge::Shadow, None, 1),
            revoked(Revocation::everything()),
            revoked(Revocation::feedback()),
        ];
        for logged in log {
            let json = serde_json::to_string(&logged).unwrap();
            assert_eq!(serde_json::from_str::<Logged>(&json).unwrap(), logged);
        }
        for later in ["{}", "{\"revoke\": {\"corpus\": \"a\"}}"] {
            assert!(serde_json::from_str::<Logged>(later).is_err(), "{later}");
        }
        let id: JudgementCursor = "17-3".parse().unwrap();
        assert_eq!(id.to_string(), "17-3");
        assert!("17".parse::<JudgementCursor>().is_err() && "a-3".parse::<JudgementCursor>().is_err());
    }
}

//! The surest candidate beside others that claim the same question; see [`beside_rivals`].

use crate::cache::Inner;
use crate::cache::query::Prepared;
use crate::entry::Entry;
use crate::error::Result;
use crate::verify::{Candidate, RIVAL_FROM, beside_rivals};

/// A candidate, and how likely it is right alone.
pub(super) type Rival<'a> = (&'a Entry, f32);

/// How likely a candidate is right beside its rivals.
pub(super) enum Weighed {
    /// Likely enough to be served.
    Likely(f32),
    /// Not likely enough.
    Unlikely {
        confidence: f32,
        /// What would be enough.
        least: f32,
        /// The question of the likeliest that asks something else.
        rival: String,
    },
}

impl Inner {
    /// Weighs the surest candidate, which was accepted, beside the others. Whether two of them ask the same is
    /// looked at only if the answer depends on it.
    pub(super) async fn weighed(
        &self,
        prepared: &Prepared,
        (surest, confidence): Rival<'_>,
        others: &[Rival<'_>],
    ) -> Result<Weighed> {
        let least = self.verifier.threshold(&prepared.candidate(surest, 1.0, None));
        let mut rivals: Vec<Rival<'_>> =
            others.iter().filter(|(_, alone)| *alone >= RIVAL_FROM).copied().collect();
        rivals.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        let Some(least) = least else { return Ok(Weighed::Likely(confidence)) };
        let at_worst = beside_rivals(confidence, rivals.iter().map(|(_, alone)| (*alone, 0.0)));
        if at_worst >= least {
            return Ok(Weighed::Likely(at_worst));
        }
        let (mut weighed, mut likeliest) = (Vec::with_capacity(rivals.len()), None);
        for (rival, alone) in rivals {
            let same = self.same(prepared, surest, rival).await?;
            weighed.push((alone, same));
            if likeliest.is_none() && same < 0.5 {
                likeliest = Some(rival);
            }
        }
        let beside = beside_rivals(confidence, weighed);
        Ok(if beside >= least {
            Weighed::Likely(beside)
        } else {
            let rival = likeliest.map_or_else(String::new, |rival| rival.question.to_string());
            Weighed::Unlikely { confidence: beside, least, rival }
        })
    }

    /// How likely two entries' questions ask the same.
    async fn same(&self, prepared: &Prepared, one: &Entry, other: &Entry) -> Result<f32> {
        let (Some(a), Some(b)) = (&one.embedding, &other.embedding) else { return Ok(0.0) };
        let pair = Candidate::new(&one.question, &other.question, a.similarity(b), prepared.match_policy)
            .in_corpus(&prepared.key.corpus)
            .in_scope(prepared.key.scope);
        Ok(self.verifier.verify(pair).await?.probability())
    }
}

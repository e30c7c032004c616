//! The log of judgements in the file.
//!
//! A judgement begins with the length of its corpus' name, which is never 0, so a revocation begins with 0. A
//! judgement from an older version lacks its last field, or its last three. Appending as many zero bytes
//! decodes those fields as none and false.

use redb::{
    ReadTransaction, ReadableTable as _, ReadableTableMetadata as _, TableDefinition, TableError,
    WriteTransaction,
};

use super::encoding::{encode_checksummed, without_checksum};
use super::failures::read_error;
use crate::error::Result;
use crate::judgement::{Judgement, JudgementCursor, Logged, MAX_JUDGEMENTS, Revocation};

/// Number -> judgement. An older file has no such table until the first judgement is written.
const JUDGEMENTS: TableDefinition<u64, &[u8]> = TableDefinition::new("wellspring.judgements");

/// About how many bytes a judgement takes.
const ENCODED_BYTES: usize = 128;

/// The first byte of a revocation.
const REVOKES: u8 = 0;

/// The record as it is written to the file.
pub(super) fn encode(logged: &Logged) -> Result<Vec<u8>> {
    match logged {
        Logged::Judgement(judgement) => encode_checksummed(judgement, ENCODED_BYTES),
        Logged::Revocation { revoke } => encode_checksummed(&(REVOKES, revoke), ENCODED_BYTES),
    }
}

fn decode(bytes: &[u8]) -> Option<Logged> {
    let content = without_checksum(bytes)?;
    if content.first() == Some(&REVOKES) {
        // The last field is written only if it is set, so the byte added here stands for it.
        let (_, revoke) = postcard::from_bytes::<(u8, Revocation)>(&[content, &[0]].concat()).ok()?;
        return Some(Logged::Revocation { revoke });
    }
    let padded = |fields: &[u8]| postcard::from_bytes::<Judgement>(&[content, fields].concat()).ok();
    padded(&[]).or_else(|| padded(&[0])).or_else(|| padded(&[0; 3])).map(Logged::Judgement)
}

/// Appends to the log, and removes the oldest records above the limit.
pub(super) fn append(transaction: &WriteTransaction, judgements: &[Vec<u8>]) -> Result<(), redb::Error> {
    if judgements.is_empty() {
        return Ok(());
    }
    let mut table = transaction.open_table(JUDGEMENTS)?;
    let next = table.last()?.map_or(0, |(number, _)| number.value() + 1);
    for (number, judgement) in (next..).zip(judgements) {
        table.insert(number, judgement.as_slice())?;
    }
    while table.len()? > MAX_JUDGEMENTS as u64 {
        table.pop_first()?;
    }
    Ok(())
}

/// Up to `limit` records after `after`, oldest first. Damaged ones are left out.
pub(super) fn read(
    transaction: &ReadTransaction,
    after: Option<JudgementCursor>,
    limit: usize,
) -> Result<Vec<(JudgementCursor, Logged)>> {
    let table = match transaction.open_table(JUDGEMENTS) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        Err(error) => return Err(read_error(error)),
    };
    let first = after.map_or(0, |JudgementCursor(_, number)| number.saturating_add(1));
    let mut judgements = Vec::new();
    for row in table.range(first..).map_err(read_error)? {
        if judgements.len() == limit {
            break;
        }
        let (number, bytes) = row.map_err(read_error)?;
        if let Some(logged) = decode(bytes.value()) {
            judgements.push((JudgementCursor(0, number.value()), logged));
        }
    }
    Ok(judgements)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wellspring_test_support::fuzz::Target;

    use super::*;
    use crate::store::embedded::encoding::encode_checksummed;

    #[test]
    fn a_judgement_of_an_older_version_is_read_without_what_it_lacks() {
        let judgement: Judgement = serde_json::from_value(json!({
            "corpus": "default", "scope": "07".repeat(16), "asked": "01".repeat(16), "cached": "02".repeat(16),
            "question": "asked", "cached_question": "cached", "similarity": 0.5, "feedback": "wrong",
            "judge": "near_miss", "at": 7, "confidence": 0.75, "by": "small",
        }))
        .unwrap();
        let whole = Logged::Judgement(judgement.clone());
        assert_eq!(decode(&encode(&whole).unwrap()), Some(whole));
        // The layout of older versions: the same fields up to `at`.
        let Judgement { corpus, scope, asked, cached, question, cached_question, .. } = &judgement;
        let Judgement { similarity, feedback, judge, at, .. } = &judgement;
        let pair = (question, cached_question, similarity);
        let old = (corpus, scope, asked, cached, pair, feedback, judge, at);
        let known = Judgement { confidence: None, by: None, ..judgement.clone() };
        assert_eq!(decode(&encode_checksummed(&old, 0).unwrap()), Some(Logged::Judgement(known)));
        let old = (old, judgement.confidence, judgement.by.as_deref());
        assert_eq!(decode(&encode_checksummed(&old, 0).unwrap()), Some(Logged::Judgement(judgement)));
        for revoke in [Revocation::everything().by("small"), Revocation::feedback()] {
            let revocation = Logged::Revocation { revoke };
            assert_eq!(decode(&encode(&revocation).unwrap()), Some(revocation));
        }
    }

    #[test]
    fn whatever_bytes_have_the_right_checksum_they_are_a_record_or_none() {
        let judgement = |more: &[(&str, serde_json::Value)]| {
            let mut fields = json!({
                "corpus": "default", "scope": "07".repeat(16), "asked": "01".repeat(16), "cached": "02".repeat(16),
                "question": "asked", "cached_question": "cached", "similarity": 0.5, "feedback": "wrong",
                "judge": "near_miss", "at": 7,
            });
            for (name, value) in more {
                fields[name] = value.clone();
            }
            Logged::Judgement(serde_json::from_value(fields).unwrap())
        };
        let mut target = Target::new("judgement");
        for logged in [
            judgement(&[]),
            judgement(&[("confidence", json!(0.75)), ("by", json!("small")), ("shared", json!(true))]),
            Logged::Revocation { revoke: Revocation::everything().by("small") },
            Logged::Revocation { revoke: Revocation::feedback() },
        ] {
            target = target.input(without_checksum(&encode(&logged).unwrap()).unwrap().to_vec());
        }
        target.run(|input| {
            drop(decode(input));
            let checksum = crc32fast::hash(input).to_le_bytes();
            let Some(logged) = decode(&[input, &checksum].concat()) else { return false };
            let written = encode(&logged).unwrap();
            // Compared in bytes: a similarity may be no number.
            assert_eq!(decode(&written).map(|again| encode(&again).unwrap()), Some(written));
            true
        });
    }
}

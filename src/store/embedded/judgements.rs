//! The log of judgements in the file.

use redb::{
    ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _, TableDefinition, TableError,
    WriteTransaction,
};

use super::file::{StoreFile, read_error};
use super::format::{seal, unseal};
use crate::error::Result;
use crate::judgement::{Judgement, JudgementCursor, MAX_JUDGEMENTS};

/// Number -> judgement. Older files have no such table until the first one is written.
const JUDGEMENTS: TableDefinition<u64, &[u8]> = TableDefinition::new("wellspring.judgements");

/// About what a judgement takes.
const ENCODED_BYTES: usize = 128;

/// A judgement as it is written.
pub(super) fn encode(judgement: &Judgement) -> Result<Vec<u8>> {
    seal(judgement, ENCODED_BYTES)
}

/// Appends to the log, and forgets what is over the limit.
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

/// Up to `limit` judgements that follow `after`, oldest first. Damaged ones are left out.
pub(super) fn read(
    database: &StoreFile,
    after: Option<JudgementCursor>,
    limit: usize,
) -> Result<Vec<(JudgementCursor, Judgement)>> {
    let transaction = database.begin_read().map_err(read_error)?;
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
        if let Some(judgement) = unseal(bytes.value()) {
            judgements.push((JudgementCursor(0, number.value()), judgement));
        }
    }
    Ok(judgements)
}

//! How the invalidation clocks stand in the file.
//!
//! A damaged entry can be a miss; a damaged clock could serve answers that it had ended. So every clock
//! carries a digest of all its rows, and one that does not add up fails the opening.

use std::collections::HashMap;
use std::path::Path;

use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};

use super::Serial;
use super::file::{corrupt, read_error};
use super::format::Id;
use crate::entry::DocumentVersion;
use crate::error::{Error, Result};
use crate::key::{Corpus, DependencyId, short_hash};
use crate::store::invalidation_clock::InvalidationClock;
use crate::store::ledger::Ledger;

/// Corpus -> incarnation, sequence, floor, and the [`Digest`] of these and of the rows below.
const CLOCKS: TableDefinition<&str, (u128, u64, u64, u64)> = TableDefinition::new("wellspring.clocks");
/// Corpus and dependency -> mark. Marks at or below the floor are without effect and dropped on loading.
const MARKS: TableDefinition<(&str, Id), u64> = TableDefinition::new("wellspring.marks");
/// Corpus and document -> registered version.
const VERSIONS: TableDefinition<(&str, Id), &str> = TableDefinition::new("wellspring.versions");
/// Corpus and document -> its name, while it is held.
const HELD_DOCUMENTS: TableDefinition<(&str, Id), &str> = TableDefinition::new("wellspring.held");

/// Rows of one clock as they are to stand in the file; what is none is to go from it.
pub(super) struct ClockRows {
    corpus: Corpus,
    /// Whether no other rows are to stand.
    whole: bool,
    header: (u128, u64, u64),
    marks: Vec<(DependencyId, Option<u64>)>,
    versions: Vec<(DependencyId, Option<String>)>,
    held: Vec<(DependencyId, Option<String>)>,
}

impl ClockRows {
    /// The header and the rows of `ids`.
    pub(super) fn of(corpus: &Corpus, clock: &InvalidationClock, ids: &[DependencyId]) -> Self {
        Self {
            corpus: corpus.clone(),
            whole: false,
            header: (clock.incarnation, clock.sequence, clock.floor),
            marks: ids.iter().map(|id| (*id, clock.marks.get(id).copied())).collect(),
            versions: ids
                .iter()
                .map(|id| (*id, clock.versions.get(id).map(|version| version.as_str().to_owned())))
                .collect(),
            held: ids.iter().map(|id| (*id, clock.held.get(id).cloned())).collect(),
        }
    }

    /// The header and every row.
    pub(super) fn all(corpus: &Corpus, clock: &InvalidationClock) -> Self {
        let ids: Vec<DependencyId> =
            clock.marks.keys().chain(clock.versions.keys()).chain(clock.held.keys()).copied().collect();
        Self { whole: true, ..Self::of(corpus, clock, &ids) }
    }

    pub(super) fn write(&self, transaction: &WriteTransaction) -> Result<(), redb::Error> {
        let corpus = self.corpus.as_str();
        let mut clocks = transaction.open_table(CLOCKS)?;
        let mut marks = transaction.open_table(MARKS)?;
        let mut versions = transaction.open_table(VERSIONS)?;
        let mut held = transaction.open_table(HELD_DOCUMENTS)?;
        let mut digest = Digest::default();
        if self.whole {
            let all = || (corpus, &[u8::MIN; 16])..=(corpus, &[u8::MAX; 16]);
            marks.retain_in(all(), |_, _| false)?;
            versions.retain_in(all(), |_, _| false)?;
            held.retain_in(all(), |_, _| false)?;
        } else if let Some(old) = clocks.get(corpus)? {
            let (incarnation, sequence, floor, rows) = old.value();
            digest = Digest(rows);
            digest.remove_header(corpus, (incarnation, sequence, floor));
        }
        for (id, mark) in &self.marks {
            let key = (corpus, id.as_bytes());
            let old = match mark {
                Some(mark) => {
                    digest.add(Row::Mark, key, &mark.to_le_bytes());
                    marks.insert(key, mark)?
                }
                None => marks.remove(key)?,
            };
            if let Some(old) = old {
                digest.remove(Row::Mark, key, &old.value().to_le_bytes());
            }
        }
        for (table, row, names) in
            [(&mut versions, Row::Version, &self.versions), (&mut held, Row::Held, &self.held)]
        {
            for (id, name) in names {
                let key = (corpus, id.as_bytes());
                let old = match name {
                    Some(name) => {
                        digest.add(row, key, name.as_bytes());
                        table.insert(key, name.as_str())?
                    }
                    None => table.remove(key)?,
                };
                if let Some(old) = old {
                    digest.remove(row, key, old.value().as_bytes());
                }
            }
        }
        digest.add_header(corpus, self.header);
        let (incarnation, sequence, floor) = self.header;
        clocks.insert(corpus, (incarnation, sequence, floor, digest.0))?;
        Ok(())
    }
}

/// The kinds of rows that a clock consists of.
#[derive(Debug, Clone, Copy)]
enum Row {
    Mark,
    Version,
    Held,
}

/// The sum of the hashes of a clock's header and rows. It follows each change without reading the
/// others, and shows when one was damaged or lost: a mark that is too low would bring answers back.
#[derive(Debug, Default, PartialEq)]
struct Digest(u64);

impl Digest {
    fn add(&mut self, row: Row, key: (&str, &[u8; 16]), value: &[u8]) {
        self.0 = self.0.wrapping_add(Self::of(row, key, value));
    }

    fn remove(&mut self, row: Row, key: (&str, &[u8; 16]), value: &[u8]) {
        self.0 = self.0.wrapping_sub(Self::of(row, key, value));
    }

    fn add_header(&mut self, corpus: &str, header: (u128, u64, u64)) {
        self.0 = self.0.wrapping_add(Self::of_header(corpus, header));
    }

    fn remove_header(&mut self, corpus: &str, header: (u128, u64, u64)) {
        self.0 = self.0.wrapping_sub(Self::of_header(corpus, header));
    }

    fn of(row: Row, (corpus, id): (&str, &[u8; 16]), value: &[u8]) -> u64 {
        let label = match row {
            Row::Mark => "wellspring.mark.1",
            Row::Version => "wellspring.version.1",
            Row::Held => "wellspring.held.1",
        };
        short_hash(label, &[corpus.as_bytes(), id, value])
    }

    fn of_header(corpus: &str, (incarnation, sequence, floor): (u128, u64, u64)) -> u64 {
        let parts: [&[u8]; 4] =
            [corpus.as_bytes(), &incarnation.to_le_bytes(), &sequence.to_le_bytes(), &floor.to_le_bytes()];
        short_hash("wellspring.clock.1", &parts)
    }
}

/// Makes the tables, so that readers find them.
pub(super) fn create(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(CLOCKS)?;
    transaction.open_table(MARKS)?;
    transaction.open_table(VERSIONS)?;
    transaction.open_table(HELD_DOCUMENTS)?;
    Ok(())
}

/// Reads the clocks into `ledger`.
pub(super) fn load(transaction: &ReadTransaction, ledger: &Ledger<Serial>, path: &Path) -> Result<()> {
    let damaged = || corrupt(path, "the invalidation clock in it is damaged");
    let mut clocks: HashMap<Corpus, (InvalidationClock, Digest, Digest)> = HashMap::new();
    for row in transaction.open_table(CLOCKS).map_err(read_error)?.iter().map_err(read_error)? {
        let (corpus, header) = row.map_err(read_error)?;
        let (incarnation, sequence, floor, stated) = header.value();
        let clock = InvalidationClock { sequence, floor, ..InvalidationClock::new(incarnation) };
        let mut found = Digest::default();
        found.add_header(corpus.value(), (incarnation, sequence, floor));
        let corpus = Corpus::new(corpus.value()).map_err(|_| damaged())?;
        clocks.insert(corpus, (clock, Digest(stated), found));
    }
    let mut clock_of = |row, key: (&str, &[u8; 16]), value: &[u8], keep: &dyn Fn(&mut InvalidationClock)| {
        let corpus = Corpus::new(key.0).map_err(|_| damaged())?;
        let (clock, _, found) = clocks.get_mut(&corpus).ok_or_else(damaged)?;
        found.add(row, key, value);
        keep(clock);
        Ok::<_, Error>(())
    };
    for row in transaction.open_table(MARKS).map_err(read_error)?.iter().map_err(read_error)? {
        let (key, mark) = row.map_err(read_error)?;
        let (key, mark) = (key.value(), mark.value());
        clock_of(Row::Mark, key, &mark.to_le_bytes(), &|clock| {
            if mark > clock.floor {
                clock.marks.insert(DependencyId::from_bytes(*key.1), mark);
            }
        })?;
    }
    for row in transaction.open_table(VERSIONS).map_err(read_error)?.iter().map_err(read_error)? {
        let (key, version) = row.map_err(read_error)?;
        let (key, version) = (key.value(), version.value());
        clock_of(Row::Version, key, version.as_bytes(), &|clock| {
            let id = DependencyId::from_bytes(*key.1);
            // A version goes with its mark, see `InvalidationClock`.
            if clock.marks.contains_key(&id) {
                clock.versions.insert(id, DocumentVersion::new(version));
            }
        })?;
    }
    for row in transaction.open_table(HELD_DOCUMENTS).map_err(read_error)?.iter().map_err(read_error)? {
        let (key, document) = row.map_err(read_error)?;
        let (key, document) = (key.value(), document.value());
        clock_of(Row::Held, key, document.as_bytes(), &|clock| {
            clock.held.insert(DependencyId::from_bytes(*key.1), document.to_owned());
        })?;
    }
    for (corpus, (clock, stated, found)) in clocks {
        if stated != found {
            return Err(damaged());
        }
        ledger.restore_clock(corpus, clock);
    }
    Ok(())
}

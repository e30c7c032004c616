//! How the invalidation clocks are stored in the file.
//!
//! A damaged entry can be a miss, but a damaged clock could serve answers that it had ended. So every clock
//! carries a digest of all its rows, and if a digest does not match, opening the file fails.

use std::collections::HashMap;
use std::path::Path;

use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata as _, TableDefinition, WriteTransaction};

use super::Serial;
use super::encoding::Id;
use super::failures::{corrupt, read_error};
use crate::entry::DocumentVersion;
use crate::error::{Error, Result};
use crate::key::{Corpus, DependencyId, short_hash};
use crate::store::entry_table::EntryTable;
use crate::store::invalidation_clock::InvalidationClock;

/// Corpus -> incarnation, sequence, low-water mark, and the [`Digest`] of these and of the rows below.
const CLOCKS: TableDefinition<&str, (u128, u64, u64, u64)> = TableDefinition::new("wellspring.clocks");
/// Corpus and dependency -> tombstone. Tombstones at or below the low-water mark have no effect and are
/// dropped on loading.
const TOMBSTONES: TableDefinition<(&str, Id), u64> = TableDefinition::new("wellspring.marks");
/// Corpus and document -> registered version.
const VERSIONS: TableDefinition<(&str, Id), &str> = TableDefinition::new("wellspring.versions");
/// Corpus and document -> its name, while it is held.
const HELD_DOCUMENTS: TableDefinition<(&str, Id), &str> = TableDefinition::new("wellspring.held");

/// Rows of one clock as they should be in the file; a row with no value is removed from it.
pub(super) struct ClockRows {
    corpus: Corpus,
    /// Whether all other rows of the clock are removed.
    whole: bool,
    header: (u128, u64, u64),
    tombstones: Vec<(DependencyId, Option<u64>)>,
    versions: Vec<(DependencyId, Option<String>)>,
    held: Vec<(DependencyId, Option<String>)>,
}

impl ClockRows {
    /// The header, and the rows of `ids`.
    pub(super) fn of(corpus: &Corpus, clock: &InvalidationClock, ids: &[DependencyId]) -> Self {
        Self {
            corpus: corpus.clone(),
            whole: false,
            header: (clock.incarnation, clock.sequence, clock.low_water_mark),
            tombstones: ids.iter().map(|id| (*id, clock.tombstones.get(id).copied())).collect(),
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
            clock.tombstones.keys().chain(clock.versions.keys()).chain(clock.held.keys()).copied().collect();
        Self { whole: true, ..Self::of(corpus, clock, &ids) }
    }

    pub(super) fn write(&self, transaction: &WriteTransaction) -> Result<(), redb::Error> {
        let corpus = self.corpus.as_str();
        let mut clocks = transaction.open_table(CLOCKS)?;
        let mut tombstones = transaction.open_table(TOMBSTONES)?;
        let mut versions = transaction.open_table(VERSIONS)?;
        let mut held = transaction.open_table(HELD_DOCUMENTS)?;
        let mut digest = Digest::default();
        if self.whole {
            let all = || (corpus, &[u8::MIN; 16])..=(corpus, &[u8::MAX; 16]);
            tombstones.retain_in(all(), |_, _| false)?;
            versions.retain_in(all(), |_, _| false)?;
            held.retain_in(all(), |_, _| false)?;
        } else if let Some(old) = clocks.get(corpus)? {
            // Carried on from what the file states, and not computed again from its rows: a row that was
            // damaged before stays visible.
            let (incarnation, sequence, low_water_mark, rows) = old.value();
            digest = Digest(rows);
            digest.remove_header(corpus, (incarnation, sequence, low_water_mark));
        }
        for (id, tombstone) in &self.tombstones {
            let key = (corpus, id.as_bytes());
            let old = match tombstone {
                Some(tombstone) => {
                    digest.add(Row::Tombstone, key, &tombstone.to_le_bytes());
                    tombstones.insert(key, tombstone)?
                }
                None => tombstones.remove(key)?,
            };
            if let Some(old) = old {
                digest.remove(Row::Tombstone, key, &old.value().to_le_bytes());
            }
        }
        for (table, row, names) in
            [(&mut versions, Row::Version, &self.versions), (&mut held, Row::Held, &self.held)]
        {
            // Usually no document is held, and then nothing needs to be looked up.
            if table.is_empty()? && names.iter().all(|(_, name)| name.is_none()) {
                continue;
            }
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
        let (incarnation, sequence, low_water_mark) = self.header;
        clocks.insert(corpus, (incarnation, sequence, low_water_mark, digest.0))?;
        Ok(())
    }
}

/// The kinds of rows that a clock consists of.
#[derive(Debug, Clone, Copy)]
enum Row {
    Tombstone,
    Version,
    Held,
}

/// The sum of the hashes of a clock's header and rows. It can be updated with each change without reading the
/// other rows. It shows when a row was damaged or lost: a tombstone that is too low would bring answers back.
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
            Row::Tombstone => "wellspring.mark.1",
            Row::Version => "wellspring.version.1",
            Row::Held => "wellspring.held.1",
        };
        short_hash(label, &[corpus.as_bytes(), id, value])
    }

    fn of_header(corpus: &str, (incarnation, sequence, low_water_mark): (u128, u64, u64)) -> u64 {
        let parts: [&[u8]; 4] = [
            corpus.as_bytes(),
            &incarnation.to_le_bytes(),
            &sequence.to_le_bytes(),
            &low_water_mark.to_le_bytes(),
        ];
        short_hash("wellspring.clock.1", &parts)
    }
}

/// Creates the tables, so that readers find them.
pub(super) fn create(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(CLOCKS)?;
    transaction.open_table(TOMBSTONES)?;
    transaction.open_table(VERSIONS)?;
    transaction.open_table(HELD_DOCUMENTS)?;
    Ok(())
}

/// The corpus of a row. None if the name is not in the form in which names are compared. Such rows are from a
/// time when names were kept as they were given. The entries of that corpus are dead, because they belong to
/// another clock than that of the name they have now.
fn stored_corpus(name: &str) -> Result<Option<Corpus>> {
    Ok(Some(Corpus::new(name)?).filter(|corpus| corpus.as_str() == name))
}

/// Reads the clocks into `entry_table`.
pub(super) fn load(
    transaction: &ReadTransaction,
    entry_table: &EntryTable<Serial>,
    path: &Path,
) -> Result<()> {
    let damaged = || corrupt(path, "the invalidation clock in it is damaged");
    let mut clocks: HashMap<Corpus, (InvalidationClock, Digest, Digest)> = HashMap::new();
    for row in transaction.open_table(CLOCKS).map_err(read_error)?.iter().map_err(read_error)? {
        let (corpus, header) = row.map_err(read_error)?;
        let (incarnation, sequence, low_water_mark, stated) = header.value();
        let clock = InvalidationClock { sequence, low_water_mark, ..InvalidationClock::new(incarnation) };
        let mut found = Digest::default();
        found.add_header(corpus.value(), (incarnation, sequence, low_water_mark));
        let Some(corpus) = stored_corpus(corpus.value()).map_err(|_| damaged())? else { continue };
        clocks.insert(corpus, (clock, Digest(stated), found));
    }
    let mut clock_of = |row, key: (&str, &[u8; 16]), value: &[u8], keep: &dyn Fn(&mut InvalidationClock)| {
        let Some(corpus) = stored_corpus(key.0).map_err(|_| damaged())? else { return Ok(()) };
        let (clock, _, found) = clocks.get_mut(&corpus).ok_or_else(damaged)?;
        found.add(row, key, value);
        keep(clock);
        Ok::<_, Error>(())
    };
    for row in transaction.open_table(TOMBSTONES).map_err(read_error)?.iter().map_err(read_error)? {
        let (key, tombstone) = row.map_err(read_error)?;
        let (key, tombstone) = (key.value(), tombstone.value());
        clock_of(Row::Tombstone, key, &tombstone.to_le_bytes(), &|clock| {
            if tombstone > clock.low_water_mark {
                clock.tombstones.insert(DependencyId::from_bytes(*key.1), tombstone);
            }
        })?;
    }
    for row in transaction.open_table(VERSIONS).map_err(read_error)?.iter().map_err(read_error)? {
        let (key, version) = row.map_err(read_error)?;
        let (key, version) = (key.value(), version.value());
        clock_of(Row::Version, key, version.as_bytes(), &|clock| {
            let id = DependencyId::from_bytes(*key.1);
            // A version is dropped together with its tombstone, see `InvalidationClock`.
            if clock.tombstones.contains_key(&id) {
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
        entry_table.restore_clock(corpus, clock);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use redb::{Database, ReadableDatabase as _};

    use super::*;
    use crate::clock::SystemClock;
    use crate::store::Limits;
    use crate::store::embedded::format;

    #[test]
    fn a_corpus_under_a_name_of_another_form_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.redb");
        let database = Database::create(&path).unwrap();
        format::create(&database).unwrap();
        let load_with = |name: &str| {
            let transaction = database.begin_write().unwrap();
            // A digest that does not match, as when the rows of two corpora are taken for those of one.
            transaction.open_table(CLOCKS).unwrap().insert(name, (1, 2, 0, 4)).unwrap();
            transaction.open_table(TOMBSTONES).unwrap().insert((name, &[7; 16]), 2).unwrap();
            transaction.commit().unwrap();
            let entry_table = EntryTable::new(Limits::default(), Arc::new(SystemClock));
            load(&database.begin_read().unwrap(), &entry_table, &path).map(|()| entry_table)
        };
        let entry_table = load_with("a\u{308}").unwrap();
        let sequence = entry_table.with_clock(&Corpus::new("a\u{308}").unwrap(), |clock| clock.sequence);
        assert_eq!(sequence, 0, "a clock of its own");
        assert!(load_with("\u{e4}").unwrap_err().is_corrupt());
    }
}

//! The documents and their versions, in a file that all processes of a run share.
//!
//! Each number is written by one process at a time, together with its complement: a reader that reads while it is
//! written sees that the two do not match, and reads again.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

pub(crate) const DOCUMENTS: usize = 24;
/// Numbers that each document has.
const COLUMNS: usize = 3;
const NUMBER: usize = 16;

/// What there is to know about documents.
#[derive(Debug)]
pub(crate) struct World {
    file: File,
}

#[derive(Debug, Clone, Copy)]
enum Column {
    /// The version that retrieval sees.
    Content,
    /// The highest version whose invalidation returned: no answer from the cache may be older.
    Floor,
    /// The highest version whose invalidation was incomplete and kept in an outbox.
    Kept,
}

impl World {
    /// A new world, in which every document is in its first version.
    pub(crate) fn create(path: &Path) -> Self {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path).unwrap();
        let world = Self { file };
        (0..=DOCUMENTS * COLUMNS).for_each(|place| world.write(place, 0));
        world
    }

    pub(crate) fn open(path: &Path) -> Self {
        Self { file: OpenOptions::new().read(true).write(true).open(path).unwrap() }
    }

    /// Makes every process end.
    pub(crate) fn end(&self) {
        self.write(DOCUMENTS * COLUMNS, 1);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.read::<1>(DOCUMENTS * COLUMNS) == [1]
    }

    pub(crate) fn content(&self, document: usize) -> u64 {
        self.get(Column::Content, document)
    }

    /// Makes a new version visible to retrieval. Only for the one process that updates this document.
    pub(crate) fn publish(&self, document: usize) -> u64 {
        let version = self.content(document) + 1;
        self.set(Column::Content, document, version);
        version
    }

    pub(crate) fn floor(&self, document: usize) -> u64 {
        self.get(Column::Floor, document)
    }

    /// The least version that a request that begins now may expect.
    pub(crate) fn floors(&self) -> [u64; DOCUMENTS] {
        self.read(Column::Floor as usize * DOCUMENTS)
    }

    /// The invalidation of `version` returned.
    pub(crate) fn settle(&self, document: usize, version: u64) {
        self.set(Column::Floor, document, version.max(self.floor(document)));
    }

    pub(crate) fn kept(&self, document: usize) -> u64 {
        self.get(Column::Kept, document)
    }

    /// The invalidation of `version` was incomplete, and is in the process' outbox.
    pub(crate) fn keep(&self, document: usize, version: u64) {
        self.set(Column::Kept, document, version);
    }

    fn get(&self, column: Column, document: usize) -> u64 {
        self.read::<1>(column as usize * DOCUMENTS + document)[0]
    }

    fn set(&self, column: Column, document: usize, value: u64) {
        self.write(column as usize * DOCUMENTS + document, value);
    }

    fn read<const N: usize>(&self, first: usize) -> [u64; N] {
        loop {
            let mut bytes = vec![0; N * NUMBER];
            self.file.read_exact_at(&mut bytes, (first * NUMBER) as u64).unwrap();
            let numbers: Vec<u128> =
                bytes.as_chunks::<NUMBER>().0.iter().map(|bytes| u128::from_le_bytes(*bytes)).collect();
            if let Some(values) = numbers.into_iter().map(value_of).collect::<Option<Vec<u64>>>() {
                return values.try_into().unwrap();
            }
            std::thread::yield_now();
        }
    }

    fn write(&self, place: usize, value: u64) {
        let number = u128::from(value) | u128::from(!value) << 64;
        self.file.write_all_at(&number.to_le_bytes(), (place * NUMBER) as u64).unwrap();
    }
}

fn value_of(number: u128) -> Option<u64> {
    let value = u64::try_from(number & u128::from(u64::MAX)).unwrap();
    (number >> 64 == u128::from(!value)).then_some(value)
}

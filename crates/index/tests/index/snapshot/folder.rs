//! Generations in a folder: which are kept, which one is loaded, and who may write.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use wellspring_index::{
    Embedding, ErrorKind, Generations, Restored, Saved, SegmentedIndex, Snapshots, VectorIndex,
};

use crate::snapshot::{DIMENSIONS, LABEL, answers, clustered, id, mixed, random, settings, sorted};

const NAME: &str = "07ab";

/// An index of `len` entries.
fn plain(len: usize) -> SegmentedIndex {
    let index = settings().build().unwrap();
    for number in 0..len {
        let components: [f32; DIMENSIONS] = std::array::from_fn(|axis| ((number + axis) as f32).sin());
        index.insert(id(number), &Embedding::new(&components).unwrap()).unwrap();
    }
    index
}

fn save(generations: &Generations, index: &SegmentedIndex) -> u64 {
    match generations.save(index, LABEL).unwrap() {
        Saved::Written { generation, bytes } => {
            assert!(bytes > 0);
            generation
        }
        refused => panic!("{refused:?}"),
    }
}

fn load(generations: &Generations) -> Restored {
    generations.load(&settings(), LABEL).unwrap()
}

/// The generation that is loaded and the number of its entries.
fn loaded(generations: &Generations) -> Option<(u64, usize)> {
    load(generations).index.map(|(index, generation)| (generation, index.len()))
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder.join(NAME))
        .map(|entries| entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect())
        .unwrap_or_default();
    names.sort();
    names
}

fn path_of(folder: &Path, generation: u64) -> PathBuf {
    folder.join(NAME).join(format!("{generation:016x}.index"))
}

fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn the_last_two_generations_are_kept_and_the_newest_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let snapshots = Snapshots::open(folder.path().join("made")).unwrap();
    let folder = folder.path().join("made");
    assert!(snapshots.refusal().is_none());
    let generations = snapshots.generations(NAME).unwrap();
    assert_eq!(loaded(&generations), None);
    assert!(load(&generations).passed_over.is_empty() && snapshots.names().unwrap().is_empty());
    for len in 1..=5 {
        assert_eq!(save(&generations, &plain(len)), len as u64);
        assert_eq!(loaded(&generations), Some((len as u64, len)));
    }
    assert_eq!(files(&folder), ["0000000000000004.index", "0000000000000005.index"]);
    // Another name is another index, and everything is there for the next process.
    drop((snapshots, generations));
    let snapshots = Snapshots::open(&folder).unwrap();
    assert_eq!(loaded(&snapshots.generations("07ac").unwrap()), None);
    let generations = snapshots.generations(NAME).unwrap();
    assert_eq!(loaded(&generations), Some((5, 5)));
    assert_eq!(save(&generations, &plain(6)), 6);
    assert_eq!(snapshots.names().unwrap(), [NAME]);
}

#[test]
fn a_large_index_comes_back_as_it_was() {
    let mut random = random();
    let folder = tempfile::tempdir().unwrap();
    let generations = Snapshots::open(folder.path()).unwrap().generations(NAME).unwrap();
    let index = mixed(&mut random, 4);
    let Saved::Written { bytes, .. } = generations.save(&index, LABEL).unwrap() else { panic!() };
    assert_eq!(bytes, fs::metadata(path_of(folder.path(), 1)).unwrap().len());
    let (restored, _) = load(&generations).index.unwrap();
    assert_eq!(sorted(restored.ids()), sorted(index.ids()));
    let queries = clustered(&mut random, 20, DIMENSIONS);
    assert_eq!(answers(&restored, &queries), answers(&index, &queries));
}

#[test]
fn where_the_newest_is_damaged_the_one_before_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let generations = Snapshots::open(folder.path()).unwrap().generations(NAME).unwrap();
    save(&generations, &plain(1));
    save(&generations, &plain(2));
    damage(&path_of(folder.path(), 2));
    let restored = load(&generations);
    let passed_over = &restored.passed_over[0];
    assert_eq!((passed_over.generation, passed_over.error.kind()), (2, ErrorKind::Corrupt));
    let message = passed_over.error.to_string();
    assert!(message.contains("0000000000000002.index") && message.contains("damaged"), "{message}");
    assert_eq!(restored.index.unwrap().1, 1);
    // The next save would have kept the damaged one and removed the whole one.
    save(&generations, &plain(3));
    damage(&path_of(folder.path(), 2));
    assert_eq!(loaded(&generations), Some((1, 1)));
    // Both damaged: nothing, with a reason for each.
    save(&generations, &plain(4));
    damage(&path_of(folder.path(), 1));
    damage(&path_of(folder.path(), 2));
    let restored = load(&generations);
    assert!(restored.index.is_none());
    assert_eq!(restored.passed_over.iter().map(|over| over.generation).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(loaded(&generations), None);
    assert!(files(folder.path()).is_empty());
}

#[test]
fn what_is_meant_for_another_index_is_passed_over_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let generations = Snapshots::open(folder.path()).unwrap().generations(NAME).unwrap();
    save(&generations, &plain(1));
    let restored = generations.load(&settings(), b"model 2").unwrap();
    assert!(restored.index.is_none());
    assert_eq!(restored.passed_over[0].error.kind(), ErrorKind::Config);
    generations.save(&plain(2), b"model 2").unwrap();
    assert_eq!(loaded(&generations), Some((1, 1)), "of the label that is asked for");
    let (index, generation) = generations.load(&settings(), b"model 2").unwrap().index.unwrap();
    assert_eq!((generation, index.len()), (2, 2));
    // Wrong settings are the caller's mistake, not the file's.
    assert_eq!(generations.load(&settings().ef_search(0), LABEL).unwrap_err().kind(), ErrorKind::Config);
    assert!(generations.save(&plain(1), &[0; 5_000]).unwrap_err().is_invalid_input());
    assert_eq!(files(folder.path()).len(), 2, "a save that failed leaves nothing");
}

#[test]
fn what_interrupted_saves_left_is_removed_and_what_is_not_ours_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Snapshots::open(folder.path()).unwrap();
    save(&open().generations(NAME).unwrap(), &plain(1));
    let place = |name: &str| fs::write(folder.path().join(NAME).join(name), b"x").unwrap();
    place("0000000000000002.draft");
    place("0000000000000009.draft");
    for foreign in ["notes.txt", "0000000000000009.index.bak", "9.index", "ffffffffffffffff.index", "index"] {
        place(foreign);
    }
    fs::write(folder.path().join("cafe"), b"a file where a folder could be").unwrap();
    fs::create_dir(folder.path().join("Not a name")).unwrap();
    let snapshots = open();
    assert_eq!(snapshots.names().unwrap(), [NAME]);
    assert!(!files(folder.path()).iter().any(|name| name.ends_with("draft")));
    let generations = snapshots.generations(NAME).unwrap();
    place("0000000000000002.draft");
    assert_eq!(save(&generations, &plain(2)), 2);
    assert_eq!(loaded(&generations), Some((2, 2)));
    assert_eq!(files(folder.path()).len(), 2 + 5);
    generations.remove().unwrap();
    assert_eq!(files(folder.path()).len(), 5, "what is not ours is there yet");
}

#[test]
fn a_save_that_fails_leaves_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let snapshots = Snapshots::open(folder.path()).unwrap();
    let generations = snapshots.generations(NAME).unwrap();
    save(&generations, &plain(1));
    // A folder cannot be replaced by a file.
    fs::create_dir(folder.path().join(NAME).join("0000000000000002.draft")).unwrap();
    let error = generations.save(&plain(2), LABEL).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert_eq!(loaded(&generations), Some((1, 1)));
    fs::write(folder.path().join("cafe"), b"not a folder").unwrap();
    let blocked = snapshots.generations("cafe").unwrap();
    assert_eq!(blocked.save(&plain(1), LABEL).unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(blocked.load(&settings(), LABEL).unwrap_err().kind(), ErrorKind::Io);
    // A generation that cannot be read is no damage.
    fs::create_dir(path_of(folder.path(), 7)).unwrap();
    let restored = load(&generations);
    assert_eq!(restored.passed_over[0].error.kind(), ErrorKind::Io);
    assert_eq!(restored.index.unwrap().1, 1);
    assert_eq!(Snapshots::open(folder.path().join("cafe")).unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn one_may_save_and_the_others_load() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Snapshots::open(folder.path()).unwrap();
    let (first, second) = (open(), open());
    assert!(first.refusal().is_none());
    assert!(second.refusal().unwrap().is_locked(), "{:?}", second.refusal());
    let (writer, reader) = (first.generations(NAME).unwrap(), second.generations(NAME).unwrap());
    assert_eq!(reader.save(&plain(9), LABEL).unwrap(), Saved::Refused);
    save(&writer, &plain(1));
    assert_eq!(loaded(&reader), Some((1, 1)));
    reader.remove().unwrap();
    damage(&path_of(folder.path(), 1));
    assert_eq!(loaded(&reader), None);
    assert_eq!(files(folder.path()).len(), 1, "who may not save removes nothing");
    // The right lasts as long as anything that can use it.
    drop(first);
    assert!(open().refusal().is_some());
    drop(writer);
    let third = open();
    assert!(third.refusal().is_none() && second.refusal().is_some());
    assert_eq!(save(&third.generations(NAME).unwrap(), &plain(2)), 2);
}

#[test]
fn names_are_hexadecimal() {
    let folder = tempfile::tempdir().unwrap();
    let snapshots = Snapshots::open(folder.path()).unwrap();
    let long = "a".repeat(65);
    for bad in ["", ".", "..", "../a", "a/b", "A", "lock", "0x1", "a.b", long.as_str()] {
        assert!(snapshots.generations(bad).unwrap_err().is_invalid_input(), "{bad}");
    }
    let hash = "a7".repeat(16);
    for good in ["0", &long[1..], &hash] {
        save(&snapshots.generations(good).unwrap(), &plain(1));
    }
    assert_eq!(snapshots.names().unwrap().len(), 3);
}

#[test]
fn an_index_of_no_more_use_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let snapshots = Snapshots::open(folder.path()).unwrap();
    let generations = snapshots.generations(NAME).unwrap();
    generations.remove().unwrap();
    save(&generations, &plain(1));
    save(&generations, &plain(2));
    generations.remove().unwrap();
    assert!(snapshots.names().unwrap().is_empty() && loaded(&generations).is_none());
    assert_eq!(save(&generations, &plain(3)), 1);
}

/// A generation may go between its listing and its opening; then there are newer ones.
#[test]
fn loading_beside_a_process_that_saves_finds_something() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Snapshots::open(folder.path()).unwrap().generations(NAME).unwrap();
    let (writer, reader) = (open(), open());
    save(&writer, &plain(1));
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for len in 2..200 {
                save(&writer, &plain(len % 50));
            }
            is_done.store(true, Ordering::Relaxed);
        });
        let mut last = 1;
        while !is_done.load(Ordering::Relaxed) {
            let (generation, len) = loaded(&reader).expect("there always is one");
            assert!(generation >= last && len as u64 == if generation == 1 { 1 } else { generation % 50 });
            last = generation;
        }
    });
}

/// Both save under one name, as two caches over one folder in one process would.
#[test]
fn saves_of_one_process_do_not_meet() {
    let folder = tempfile::tempdir().unwrap();
    let snapshots = Snapshots::open(folder.path()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let generations = snapshots.generations(NAME).unwrap();
            scope.spawn(move || {
                for len in 1..30 {
                    save(&generations, &plain(len));
                    assert!(loaded(&generations).is_some());
                }
            });
        }
    });
    assert_eq!(loaded(&snapshots.generations(NAME).unwrap()).unwrap().0, 87);
    assert_eq!(files(folder.path()).len(), 2);
}

//! Parsers and inputs at random: those of a committed corpus, mutated for a bounded time.
//!
//! A target is an ordinary test on stable Rust. It runs for two seconds, or for `WELLSPRING_FUZZ_SECONDS`. An input
//! that fails is kept in `target/fuzz/`. Moved to `tests/fuzz/corpus/<target>/`, it is tried first in every run.
//! `WELLSPRING_SEED` sets the seed, which is printed.
//!
//! Nothing measures coverage. Instead, an input that is read becomes one to mutate, so that changes add up, and
//! many mutations respect the structure of text: they exchange words, numbers and bracketed parts.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use allocation_counter::measure;
#[cfg(feature = "gateway")]
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// The longest input, if none of those to begin with is longer: short ones are tried more often.
const MAX_BYTES: usize = 4 << 10;
/// How many inputs that were read are kept to be mutated further.
const MAX_KEPT: usize = 256;
/// What parsers tend to get wrong.
const WORDS: [&[u8]; 24] = [
    b"0",
    b"-0",
    b"1.50",
    b"-1",
    b"65536",
    b"4294967295",
    b"18446744073709551615",
    b"1e400",
    b"null",
    b"true",
    b"[]",
    b"{}",
    b"\"\"",
    b"\"x\"",
    b"\\u0000",
    b"\\ud800",
    b"\r",
    b"\n\n",
    b"\r\n",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"%ff",
    b"\xf0\x9f\xa6\x80",
];

/// A parser under test.
pub struct Target {
    name: &'static str,
    inputs: Vec<Vec<u8>>,
    room: (u64, u64),
}

impl Target {
    /// With the inputs in `tests/fuzz/corpus/<name>/`, if there are any.
    pub fn new(name: &'static str) -> Self {
        let folder = crate::root().join("tests/fuzz/corpus").join(name);
        let mut files: Vec<PathBuf> =
            folder.read_dir().into_iter().flatten().map(|file| file.unwrap().path()).collect();
        files.sort();
        let inputs = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
        Self { name, inputs, room: (64 << 10, 64) }
    }

    /// Adds an input that is made by the code under test, because it changes with it.
    #[must_use]
    pub fn input(mut self, input: Vec<u8>) -> Self {
        self.inputs.push(input);
        self
    }

    /// Allows as many bytes of memory at a time: a fixed number, and more for each byte of the input. The default
    /// is 64 KiB and 64.
    #[must_use]
    pub fn room(mut self, fixed: u64, for_each: u64) -> Self {
        self.room = (fixed, for_each);
        self
    }

    /// Gives inputs to `read`, which checks what it reads and returns whether there was anything to read.
    ///
    /// # Panics
    ///
    /// If `read` panics or takes more memory than it may, or if it reads none of the inputs to begin with.
    pub fn run(self, mut read: impl FnMut(&[u8]) -> bool) {
        let seed = std::env::var("WELLSPRING_SEED").ok().map(|seed| seed.parse().expect("a number"));
        let seed = seed.unwrap_or_else(rand::random);
        let mut mutator = Mutator {
            random: SmallRng::seed_from_u64(seed),
            words: words(&self.inputs),
            max_bytes: self.inputs.iter().map(Vec::len).fold(MAX_BYTES, usize::max),
        };
        let mut kept: Vec<Vec<u8>> = Vec::new();
        for input in &self.inputs {
            if self.is_read(input, &mut read) {
                kept.push(input.clone());
            }
        }
        assert!(!kept.is_empty(), "{}: none of the {} inputs is read", self.name, self.inputs.len());
        let (end, mut tried, mut accepted) = (Instant::now() + duration(), 0_u64, 0_u64);
        while Instant::now() < end {
            let from = if mutator.random.random() { &self.inputs } else { &kept };
            let input = mutator.mutated(from);
            tried += 1;
            if self.is_read(&input, &mut read) {
                accepted += 1;
                let place = mutator.random.random_range(0..MAX_KEPT);
                match kept.get_mut(place) {
                    Some(old) => *old = input,
                    None => kept.push(input),
                }
            }
        }
        eprintln!("{}: {tried} inputs, {accepted} of them read, WELLSPRING_SEED={seed}", self.name);
    }

    fn is_read(&self, input: &[u8], read: &mut impl FnMut(&[u8]) -> bool) -> bool {
        let mut is_read = false;
        let mut used = || catch_unwind(AssertUnwindSafe(|| measure(|| is_read = read(input)).bytes_max));
        let room = self.room.0 + self.room.1 * input.len() as u64;
        // The second time, what is loaded once does not count, such as symbols for the backtrace of a panic that the
        // reader catches.
        let failure = match used().and_then(|first| if first > room { used() } else { Ok(first) }) {
            Ok(used) if used <= room => return is_read,
            Ok(used) => format!("takes {used} bytes of memory"),
            Err(_) => "panics".into(),
        };
        let folder = crate::root().join("target/fuzz");
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("{}-{:016x}", self.name, rand::random::<u64>()));
        std::fs::write(&path, input).unwrap();
        panic!(
            "{}: an input of {} bytes {failure}; it is kept in {}",
            self.name,
            input.len(),
            path.display()
        );
    }
}

/// An input as a request: lines `name: value`, an empty line, and the body. Lines that are no headers are left out.
#[cfg(feature = "gateway")]
pub fn head_and_body(input: &[u8]) -> (HeaderMap, &[u8]) {
    let (mut headers, mut rest) = (HeaderMap::new(), input);
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let line = &rest[..end];
        rest = &rest[end + 1..];
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { break };
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(&line[..colon]), value) {
            headers.append(name, value);
        }
    }
    (headers, rest)
}

fn duration() -> Duration {
    let seconds = std::env::var("WELLSPRING_FUZZ_SECONDS").ok().map(|seconds| seconds.parse());
    Duration::from_secs(seconds.map_or(2, |seconds| seconds.expect("a number")))
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-.".contains(&byte)
}

/// The words of the inputs, and those that parsers tend to get wrong.
fn words(inputs: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut words: Vec<Vec<u8>> = WORDS.iter().map(|word| word.to_vec()).collect();
    for input in inputs {
        words.extend(
            input
                .split(|byte| !is_word(*byte))
                .filter(|word| (2..32).contains(&word.len()))
                .map(<[u8]>::to_vec),
        );
    }
    words.sort();
    words.dedup();
    words
}

struct Mutator {
    random: SmallRng,
    words: Vec<Vec<u8>>,
    max_bytes: usize,
}

impl Mutator {
    /// One of `inputs` with one to eight changes.
    fn mutated(&mut self, inputs: &[Vec<u8>]) -> Vec<u8> {
        let mut input = one_of(&mut self.random, inputs).clone();
        for _ in 0..self.random.random_range(1..=8) {
            self.change(&mut input, inputs);
            input.truncate(self.max_bytes);
        }
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, inputs: &[Vec<u8>]) {
        let place = self.range(input.len());
        match self.random.random_range(0..10) {
            0 => {
                if let Some(byte) = input.get_mut(place.start) {
                    *byte ^= 1 << self.random.random_range(0..8);
                }
            }
            1 => {
                if let Some(byte) = input.get_mut(place.start) {
                    *byte = self.random.random();
                }
            }
            2 => drop(input.drain(place)),
            3 => {
                let part = input[place.clone()].to_vec();
                input.splice(place.start..place.start, part);
            }
            4 => input.truncate(place.start),
            5 => {
                // The rest of another input.
                let other = one_of(&mut self.random, inputs);
                let from = self.random.random_range(0..=other.len());
                input.splice(place.start.., other[from..].iter().copied());
            }
            6 => {
                let word = one_of(&mut self.random, &self.words).clone();
                input.splice(place.start..place.start, word);
            }
            7 => {
                let word = one_of(&mut self.random, &self.words).clone();
                input.splice(word_at(input, place.start), word);
            }
            8 => {
                let word = one_of(&mut self.random, &self.words).clone();
                input.splice(part_at(input, place.start), word);
            }
            _ => {
                let other = one_of(&mut self.random, inputs).clone();
                let from = self.random.random_range(0..=other.len());
                input.splice(part_at(input, place.start), other[part_at(&other, from)].iter().copied());
            }
        }
    }

    /// A range within `len`; more often a short one.
    fn range(&mut self, len: usize) -> Range<usize> {
        let start = self.random.random_range(0..=len);
        let most = (len - start).min(1 << self.random.random_range(0..10));
        start..start + self.random.random_range(0..=most)
    }
}

fn one_of<'a, T>(random: &mut SmallRng, all: &'a [T]) -> &'a T {
    &all[random.random_range(0..all.len())]
}

/// The word at `place`.
fn word_at(input: &[u8], place: usize) -> Range<usize> {
    let before = input[..place].iter().rev().take_while(|byte| is_word(**byte)).count();
    let after = input[place..].iter().take_while(|byte| is_word(**byte)).count();
    place - before..place + after
}

/// The first text in quotation marks, list or object that begins at `place` or after it, with its end.
fn part_at(input: &[u8], place: usize) -> Range<usize> {
    let Some(ahead) = input[place..].iter().position(|byte| b"\"[{".contains(byte)) else {
        return place..place;
    };
    let (start, mut depth) = (place + ahead, 0);
    let is_text = input[start] == b'"';
    for (at, byte) in input.iter().enumerate().skip(start + 1) {
        match byte {
            b'"' if is_text => return start..at + 1,
            b'[' | b'{' if !is_text => depth += 1,
            b']' | b'}' if !is_text && depth == 0 => return start..at + 1,
            b']' | b'}' if !is_text => depth -= 1,
            _ => {}
        }
    }
    start..start
}

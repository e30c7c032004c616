//! What waits for a judge: near misses by their value, and hits that were sampled at random.
//!
//! A near miss is a question that was not served, with the neighbours that may answer it. Its value is what
//! an approval would save: first how often the question was asked, then how likely its best neighbour answers
//! it, then how early it came. The queue holds a bounded number of questions and bytes; the least valuable
//! questions are dropped. All cases of a batch are from one scope, so that a judge never reads texts of
//! different scopes together.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::judgement::Judge;
use crate::key::{CacheKey, EntryId};

/// The most questions that wait with their neighbours.
pub(crate) const MAX_QUESTIONS: usize = 4_096;
/// The most bytes that the questions take.
const MAX_BYTES: usize = 4 << 20;
/// The most hits that wait.
const MAX_HITS: usize = 256;
/// The most neighbours of a question that are judged.
pub(crate) const NEIGHBOURS: usize = 3;
/// About what a question takes besides its text, in bytes.
const OVERHEAD: usize = 256;
/// While both wait, one call in this many is for hits.
const HITS_TURN: u32 = 4;

/// A neighbour that may answer a question.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Neighbour {
    pub(crate) entry: EntryId,
    pub(crate) similarity: f32,
    /// How likely its answer is right, in `0.0..=1.0`, by what is known now.
    pub(crate) likelihood: f32,
    /// How often a judge failed on it.
    pub(crate) failures: u8,
}

/// A question with a neighbour, for a judge.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) key: CacheKey,
    pub(crate) neighbour: Neighbour,
    /// Whether it was served.
    pub(crate) judge: Judge,
    /// How often the question was asked.
    asked: u32,
}

#[derive(Debug)]
struct Waiting {
    key: CacheKey,
    /// The likeliest first.
    neighbours: Vec<Neighbour>,
    asked: u32,
    arrival: u64,
}

/// How often it was asked, how likely it is (as bits, which sort like the numbers because these are not
/// negative), how early it came.
type Value = (u32, u32, Reverse<u64>, EntryId);

impl Waiting {
    fn value(&self) -> Value {
        let likelihood = self.neighbours.first().map_or(0.0, |first| first.likelihood);
        (self.asked, likelihood.to_bits(), Reverse(self.arrival), self.key.exact)
    }

    fn bytes(&self) -> usize {
        self.key.text.len() + OVERHEAD
    }
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    near: HashMap<EntryId, Waiting>,
    /// The same questions sorted by value, the greatest last.
    order: BTreeSet<Value>,
    bytes: usize,
    hits: VecDeque<(CacheKey, Neighbour)>,
    arrivals: u64,
    /// The number of calls so far, which decides whose turn it is.
    calls: u32,
}

impl Queue {
    /// Adds a question that was not served, or counts it again if it is queued; returns how many questions
    /// were dropped.
    pub(crate) fn offer(&mut self, key: CacheKey, neighbours: Vec<Neighbour>) -> u64 {
        self.add(key, neighbours, 1)
    }

    /// Adds a hit; returns whether there was room.
    pub(crate) fn offer_hit(&mut self, key: CacheKey, neighbour: Neighbour) -> bool {
        let has_room = self.hits.len() < MAX_HITS;
        if has_room {
            self.hits.push_back((key, neighbour));
        }
        has_room
    }

    /// Puts back a pair that was taken but not judged; returns how many questions were dropped.
    pub(crate) fn put_back(&mut self, pair: Pair) -> u64 {
        match pair.judge {
            Judge::NearMiss => self.add(pair.key, vec![pair.neighbour], pair.asked),
            _ => u64::from(!self.offer_hit(pair.key, pair.neighbour)),
        }
    }

    /// Takes up to `most` pairs for one call. A pair that a judge failed on is taken alone.
    pub(crate) fn take(&mut self, most: usize) -> Vec<Pair> {
        self.calls = self.calls.wrapping_add(1);
        if self.is_turn_of_hits(self.calls) { self.take_hits(most) } else { self.take_near(most) }
    }

    fn is_turn_of_hits(&self, call: u32) -> bool {
        !self.hits.is_empty() && (self.order.is_empty() || call.is_multiple_of(HITS_TURN))
    }

    /// Whether the next call would have `most` pairs, or has to take a single pair alone.
    pub(crate) fn fills(&self, most: usize) -> bool {
        let next_hit = self.hits.front().filter(|_| self.is_turn_of_hits(self.calls.wrapping_add(1)));
        let (is_alone, pairs) = if let Some((key, neighbour)) = next_hit {
            let fitting = self.hits.iter().filter(|(other, _)| other.scope == key.scope);
            (neighbour.failures > 0, fitting.count())
        } else {
            let Some(best) = self.order.last().and_then(|(.., id)| self.near.get(id)) else { return false };
            let fitting = self.near.values().filter(|other| other.key.scope == best.key.scope);
            let is_alone = best.neighbours.first().is_some_and(|first| first.failures > 0);
            (is_alone, fitting.map(|waiting| waiting.neighbours.len()).sum())
        };
        is_alone || pairs >= most
    }

    /// Forgets a question, for example after one of its neighbours was approved.
    pub(crate) fn forget(&mut self, asked: EntryId) {
        if let Some(waiting) = self.near.remove(&asked) {
            self.order.remove(&waiting.value());
            self.bytes -= waiting.bytes();
        }
    }

    /// The number of questions and hits.
    pub(crate) fn len(&self) -> usize {
        self.near.len() + self.hits.len()
    }

    fn add(&mut self, key: CacheKey, mut neighbours: Vec<Neighbour>, asked: u32) -> u64 {
        let (mut total, mut arrival) = (asked, self.arrivals);
        self.arrivals += 1;
        if let Some(before) = self.near.remove(&key.exact) {
            self.order.remove(&before.value());
            self.bytes -= before.bytes();
            total = before.asked.saturating_add(asked);
            arrival = before.arrival;
            // The latest estimate counts, but the failures of a judge are not forgotten.
            for old in before.neighbours {
                match neighbours.iter_mut().find(|new| new.entry == old.entry) {
                    Some(new) => new.failures = new.failures.max(old.failures),
                    None => neighbours.push(old),
                }
            }
        }
        neighbours.sort_by(|a, b| b.likelihood.total_cmp(&a.likelihood));
        neighbours.truncate(NEIGHBOURS);
        let waiting = Waiting { key, neighbours, asked: total, arrival };
        self.bytes += waiting.bytes();
        self.order.insert(waiting.value());
        self.near.insert(waiting.key.exact, waiting);
        let mut left = 0;
        while self.near.len() > MAX_QUESTIONS || self.bytes > MAX_BYTES {
            let Some(&(.., least)) = self.order.first() else { break };
            self.forget(least);
            left += 1;
        }
        left
    }

    fn take_hits(&mut self, most: usize) -> Vec<Pair> {
        let pair = |(key, neighbour)| Pair { key, neighbour, judge: Judge::Shadow, asked: 1 };
        let Some(first) = self.hits.pop_front() else { return Vec::new() };
        let (scope, is_alone) = (first.0.scope, first.1.failures > 0);
        let mut taken = vec![pair(first)];
        let mut place = 0;
        while !is_alone && taken.len() < most && place < self.hits.len() {
            let (key, neighbour) = &self.hits[place];
            if key.scope == scope && neighbour.failures == 0 {
                taken.extend(self.hits.remove(place).map(pair));
            } else {
                place += 1;
            }
        }
        taken
    }

    fn take_near(&mut self, most: usize) -> Vec<Pair> {
        let mut scope = None;
        let mut taken: Vec<Pair> = Vec::new();
        let by_value: Vec<EntryId> = self.order.iter().rev().map(|&(.., id)| id).collect();
        for id in by_value {
            if taken.len() >= most.max(1) {
                break;
            }
            let Some(waiting) = self.near.get_mut(&id) else { continue };
            let is_other = scope.is_some_and(|scope| scope != waiting.key.scope);
            let is_alone = waiting.neighbours.first().is_some_and(|first| first.failures > 0);
            if is_other || (is_alone && !taken.is_empty()) {
                continue;
            }
            scope = Some(waiting.key.scope);
            let before = waiting.value();
            let room = if is_alone { 1 } else { most.max(1) - taken.len() };
            // The neighbours before the first one that a judge failed on.
            let sound = waiting.neighbours.iter().take_while(|one| is_alone || one.failures == 0).count();
            for neighbour in waiting.neighbours.drain(..room.min(sound)) {
                let (key, asked) = (waiting.key.clone(), waiting.asked);
                taken.push(Pair { key, neighbour, judge: Judge::NearMiss, asked });
            }
            self.order.remove(&before);
            if waiting.neighbours.is_empty() {
                self.bytes -= waiting.bytes();
                self.near.remove(&id);
            } else {
                self.order.insert(waiting.value());
            }
            if is_alone {
                break;
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Corpus, ScopeId};

    fn key(scope: u8, text: &str) -> CacheKey {
        CacheKey::new(Corpus::default(), ScopeId::from_bytes([scope; 16]), text).unwrap()
    }

    fn neighbour(id: u8, likelihood: f32) -> Neighbour {
        Neighbour { entry: EntryId::from_bytes([id; 16]), similarity: 0.7, likelihood, failures: 0 }
    }

    fn offer(queue: &mut Queue, text: &str, likelihood: f32) {
        assert_eq!(queue.offer(key(0, text), vec![neighbour(1, likelihood)]), 0);
    }

    fn texts(pairs: &[Pair]) -> Vec<&str> {
        pairs.iter().map(|pair| &*pair.key.text).collect()
    }

    #[test]
    fn what_was_asked_for_most_comes_first_then_what_is_likeliest_then_who_came_first() {
        let mut queue = Queue::default();
        for (text, likelihood) in [("near", 0.9), ("far", 0.1), ("as near", 0.9), ("often", 0.2)] {
            offer(&mut queue, text, likelihood);
        }
        offer(&mut queue, "often", 0.2);
        assert_eq!(queue.len(), 4);
        assert_eq!(texts(&queue.take(3)), ["often", "near", "as near"]);
        assert_eq!(texts(&queue.take(3)), ["far"]);
        assert!(queue.take(3).is_empty() && queue.bytes == 0);
    }

    #[test]
    fn the_likeliest_neighbours_go_together_as_far_as_there_is_room() {
        let mut queue = Queue::default();
        let neighbours = (1..=5_u8).map(|id| neighbour(id, f32::from(id) / 10.0)).collect();
        queue.offer(key(0, "one"), neighbours);
        let entries =
            |pairs: &[Pair]| pairs.iter().map(|pair| pair.neighbour.entry.as_bytes()[0]).collect::<Vec<_>>();
        assert_eq!(entries(&queue.take(2)), [5, 4]);
        assert_eq!(entries(&queue.take(2)), [3]);
        queue.offer(key(0, "one"), vec![neighbour(1, 0.5), neighbour(2, 0.4)]);
        assert_eq!(entries(&queue.take(1)), [1]);
        queue.forget(key(0, "one").exact);
        assert_eq!((queue.len(), queue.bytes), (0, 0));
    }

    #[test]
    fn what_is_worth_least_leaves_a_full_queue() {
        let mut queue = Queue::default();
        for n in 0..MAX_QUESTIONS {
            offer(&mut queue, &format!("question {n}"), 0.5);
        }
        assert_eq!(queue.offer(key(0, "less"), vec![neighbour(1, 0.4)]), 1);
        assert_eq!(queue.offer(key(0, "more"), vec![neighbour(1, 0.6)]), 1);
        assert_eq!(queue.len(), MAX_QUESTIONS);
        assert_eq!(texts(&queue.take(2)), ["more", "question 0"]);
        // Long questions leave room for few.
        let mut queue = Queue::default();
        let long = "x".repeat(60_000);
        let left: u64 =
            (0..100).map(|n| queue.offer(key(0, &format!("{long}{n}")), vec![neighbour(1, 0.5)])).sum();
        assert_eq!((queue.len(), left), (MAX_BYTES / 60_258, 100 - (MAX_BYTES / 60_258) as u64));
        assert!(queue.bytes <= MAX_BYTES);
    }

    #[test]
    fn a_batch_has_pairs_of_one_scope() {
        let mut queue = Queue::default();
        for (scope, text, likelihood) in [(1, "a", 0.9), (2, "b", 0.8), (1, "c", 0.7), (2, "d", 0.6)] {
            queue.offer(key(scope, text), vec![neighbour(1, likelihood)]);
        }
        assert_eq!(texts(&queue.take(8)), ["a", "c"]);
        assert_eq!(texts(&queue.take(8)), ["b", "d"]);
        for (scope, text) in [(1, "a"), (2, "b"), (1, "c")] {
            assert!(queue.offer_hit(key(scope, text), neighbour(1, 0.9)));
        }
        assert_eq!(texts(&queue.take(8)), ["a", "c"]);
        assert_eq!(texts(&queue.take(8)), ["b"]);
    }

    #[test]
    fn what_failed_comes_again_alone_and_is_as_valuable_as_before() {
        let mut queue = Queue::default();
        offer(&mut queue, "failed", 0.9);
        offer(&mut queue, "failed", 0.9);
        offer(&mut queue, "other", 0.95);
        let mut taken = queue.take(8);
        assert_eq!(texts(&taken), ["failed", "other"]);
        for pair in &mut taken {
            pair.neighbour.failures += 1;
        }
        offer(&mut queue, "sound", 0.5);
        for pair in taken {
            assert_eq!(queue.put_back(pair), 0);
        }
        // Asked again, with the same neighbour: the failure is not forgotten.
        offer(&mut queue, "other", 0.95);
        assert_eq!(texts(&queue.take(8)), ["other"]);
        assert_eq!(texts(&queue.take(8)), ["failed"]);
        assert_eq!(texts(&queue.take(8)), ["sound"]);
    }

    #[test]
    fn hits_have_one_call_of_four_while_both_wait() {
        let mut queue = Queue::default();
        for n in 0..8 {
            offer(&mut queue, &format!("near {n}"), 0.5);
            assert!(queue.offer_hit(key(0, &format!("hit {n}")), neighbour(1, 0.9)));
        }
        let kinds: Vec<Judge> = (0..8).map(|_| queue.take(1)[0].judge).collect();
        let near = Judge::NearMiss;
        assert_eq!(kinds, [near, near, near, Judge::Shadow, near, near, near, Judge::Shadow]);
        let rest: Vec<Judge> = (0..8).map(|_| queue.take(1)[0].judge).collect();
        assert_eq!(rest.iter().filter(|judge| **judge == near).count(), 2);
        assert!((0..MAX_HITS).all(|_| queue.offer_hit(key(0, "hit"), neighbour(1, 0.9))));
        assert!(!queue.offer_hit(key(0, "hit"), neighbour(1, 0.9)), "there is no room for more");
    }
}

//! The outcome of a call with many changes that are applied in batches.

use std::ops::Range;

use super::ChangeOutcome;
use crate::error::{Error, Result};

/// Collects the outcome of each batch. When one batch fails, the others are still tried, so that as many
/// changes as possible take effect.
#[derive(Debug, Default)]
pub(super) struct Batches {
    outcomes: Vec<ChangeOutcome>,
    /// How many changes there were in the batches so far.
    count: usize,
    left: Vec<Range<usize>>,
    why: Option<Error>,
}

impl Batches {
    /// Adds the outcome of the next `count` changes.
    pub(super) fn add(&mut self, count: usize, applied: Result<Vec<ChangeOutcome>>) {
        let batch = self.count..self.count + count;
        self.count = batch.end;
        match applied {
            Ok(outcomes) => self.outcomes.extend(outcomes),
            Err(error) => {
                match self.left.last_mut() {
                    Some(last) if last.end == batch.start => last.end = batch.end,
                    _ => self.left.push(batch),
                }
                self.why.get_or_insert(error);
            }
        }
    }

    /// The outcome of each change, or the first error together with the changes that are not in force.
    pub(super) fn outcomes(self) -> Result<Vec<ChangeOutcome>> {
        match self.why {
            None => Ok(self.outcomes),
            Some(error) => Err(error.of_changes(self.left, self.count)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn an_error_says_which_changes_it_is_about() {
        let failed = || Err(Error::new(ErrorKind::Incomplete, "the server is unavailable"));
        let done = |count| Ok(vec![ChangeOutcome::Dropped(0); count]);
        let mut batches = Batches::default();
        batches.add(2, done(2));
        assert_eq!(batches.outcomes().unwrap().len(), 2);

        let mut batches = Batches::default();
        for (count, applied) in [(2, done(2)), (3, failed()), (1, failed()), (1, done(1)), (2, failed())] {
            batches.add(count, applied);
        }
        let error = batches.outcomes().unwrap_err();
        assert_eq!(error.not_in_force(), [2..6, 7..9]);
        let said = "6 of 9 changes (3 to 6, 8 to 9) are not in force: the server is unavailable";
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Incomplete, said));

        let mut batches = Batches::default();
        batches.add(3, failed());
        let error = batches.outcomes().unwrap_err();
        assert_eq!(error.not_in_force(), std::slice::from_ref(&(0..3)));
        assert_eq!(error.to_string(), "the server is unavailable");
    }
}

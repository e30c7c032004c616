//! Counts what the current thread allocates, so that a test can hold it to a limit.

use allocation_counter::measure;

/// What `work` returns, and the most that it had allocated at any time, in bytes.
pub(crate) fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let mut result = None;
    let counted = measure(|| result = Some(work()));
    (result.unwrap(), usize::try_from(counted.bytes_max).unwrap())
}

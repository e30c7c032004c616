//! Both limits of a store as one weight, which is what an eviction policy knows.

use crate::store::Limits;

/// The greatest capacity that weights are parts of.
const WHOLE: u64 = u32::MAX as u64;

/// The weight of an entry that counts as one of `max_entries` and no more.
fn least_weight(limits: Limits) -> u64 {
    (WHOLE / limits.max_entries.max(1)).max(1)
}

/// What all weights may sum up to: exactly as much as `max_entries` of the least weight.
pub(super) fn capacity(limits: Limits) -> u64 {
    least_weight(limits) * limits.max_entries.clamp(1, WHOLE)
}

/// The part of both limits that an entry takes, the greater of the two: while the parts sum up to no
/// more than the whole, neither limit is passed.
pub(super) fn weight(limits: Limits, bytes: u64) -> u32 {
    let of_bytes =
        (u128::from(bytes) * u128::from(capacity(limits))).div_ceil(u128::from(limits.max_bytes.max(1)));
    u32::try_from(of_bytes.max(u128::from(least_weight(limits)))).unwrap_or(u32::MAX)
}

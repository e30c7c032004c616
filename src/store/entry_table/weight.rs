//! Both limits of a store as one weight, since an eviction policy knows only weights.

use crate::store::Limits;

/// The greatest capacity; a weight is a part of it.
const WHOLE: u64 = u32::MAX as u64;

/// The least weight of any entry: its share of `max_entries`.
fn least_weight(limits: Limits) -> u64 {
    (WHOLE / limits.max_entries.max(1)).max(1)
}

/// The limit for the sum of all weights: `max_entries` times the least weight.
pub(super) fn capacity(limits: Limits) -> u64 {
    least_weight(limits) * limits.max_entries.clamp(1, WHOLE)
}

/// The entry's share of both limits, whichever is greater. While the shares sum up to no more than the whole,
/// neither limit is exceeded.
pub(super) fn weight(limits: Limits, bytes: u64) -> u32 {
    let of_bytes =
        (u128::from(bytes) * u128::from(capacity(limits))).div_ceil(u128::from(limits.max_bytes.max(1)));
    u32::try_from(of_bytes.max(u128::from(least_weight(limits)))).unwrap_or(u32::MAX)
}

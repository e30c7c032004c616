//! The dot product of two `i8` vectors: nine tenths of what a search does.
//!
//! One portable loop is compiled once per instruction set, and the best that the processor has is
//! picked at run time, so that a binary built for any `x86_64` still runs at the speed of the machine
//! below it. All forms return the same integer. The only `unsafe` code of the index is here.

/// The greatest vector for which an `i32` holds any sum of products (each is at most 128 * 128).
const MAX_LEN: usize = 131_071;
const _: () = assert!(crate::embedding::MAX_DIMENSIONS <= MAX_LEN);

/// The sum of the products of `a` and `b`, which have the same length.
pub(super) fn dot(a: &[i8], b: &[i8]) -> i32 {
    let mut out = [0];
    dot_rows(a, b, &mut out);
    out[0]
}

/// The dot product of `query` and each of the `rows`, which lie one after the other.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "each call is guarded by a check that the processor has the features")]
pub(super) fn dot_rows(query: &[i8], rows: &[i8], out: &mut [i32]) {
    if is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vnni") {
        // SAFETY: both features were detected.
        unsafe { dot_rows_avx512(query, rows, out) }
    } else if is_x86_feature_detected!("avx2") {
        // SAFETY: the feature was detected.
        unsafe { dot_rows_avx2(query, rows, out) }
    } else {
        dot_rows_portable(query, rows, out);
    }
}

/// The dot product of `query` and each of the `rows`, which lie one after the other.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn dot_rows(query: &[i8], rows: &[i8], out: &mut [i32]) {
    // NEON is part of every aarch64 target, so the compiler already uses it.
    dot_rows_portable(query, rows, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512bw,avx512vnni")]
fn dot_rows_avx512(query: &[i8], rows: &[i8], out: &mut [i32]) {
    dot_rows_portable(query, rows, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn dot_rows_avx2(query: &[i8], rows: &[i8], out: &mut [i32]) {
    dot_rows_portable(query, rows, out);
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "must be compiled with the features of its caller")]
fn dot_rows_portable(query: &[i8], rows: &[i8], out: &mut [i32]) {
    for (row, out) in rows.chunks_exact(query.len()).zip(out) {
        *out = query.iter().zip(row).map(|(&a, &b)| i32::from(i16::from(a) * i16::from(b))).sum();
    }
}

/// Asks the processor to fetch `row`, which will be read soon.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "a prefetch is a hint; it reads nothing that the program can see")]
pub(super) fn prefetch(row: &[i8]) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    for line in row.chunks(64) {
        // SAFETY: the instruction is part of every x86_64 and accepts any address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr()) }
    }
}

/// Does nothing: stable Rust has no prefetch for this processor.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn prefetch(_row: &[i8]) {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reference(a: &[i8], b: &[i8]) -> i32 {
        a.iter().zip(b).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum()
    }

    proptest! {
        #[test]
        fn every_form_gives_the_same_integer(pairs in prop::collection::vec(any::<(i8, i8)>(), 1..600)) {
            let (a, b): (Vec<i8>, Vec<i8>) = pairs.into_iter().unzip();
            let expected = reference(&a, &b);
            prop_assert_eq!(dot(&a, &b), expected);
            let mut out = [0];
            dot_rows_portable(&a, &b, &mut out);
            prop_assert_eq!(out[0], expected);
        }
    }

    #[test]
    fn the_extremes_do_not_overflow() {
        let lowest = vec![i8::MIN; crate::embedding::MAX_DIMENSIONS];
        assert_eq!(dot(&lowest, &lowest), 16_384 * 8_192);
    }

    #[test]
    fn rows_are_taken_in_order() {
        let mut out = [0; 3];
        dot_rows(&[1, 2], &[1, 0, 0, 1, 1, 1], &mut out);
        assert_eq!(out, [1, 2, 3]);
    }
}

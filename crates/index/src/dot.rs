//! The dot products of quantised vectors, which take most of the time of a search.
//!
//! A [`Block`] has the size and alignment of a cache line and of an AVX-512 register. One side of a product
//! is unsigned and the other signed: this is the form of the VNNI instructions of x86, which compute 64
//! products at a time. Without them, the compiler vectorises a plain loop for AVX2, SSE2 or NEON. The form is
//! chosen at run time, so a binary built for any `x86_64` still runs at the full speed of the machine. All
//! forms return the same integer. All `unsafe` code of the index is here, except the requests to the system
//! in [`super::memory`].

/// Bytes per block.
pub(super) const BLOCK: usize = 64;

/// Added to a code of 8 bits to make it unsigned.
pub(super) const SHIFT: u8 = 128;

/// A part of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(align(64))]
pub(super) struct Block(pub(super) [u8; BLOCK]);

/// The factor that planes of halves are multiplied with: codes of 8 bits.
#[derive(Debug)]
pub(super) struct Factor {
    /// For each block of a plane: first the codes for its lower halves, then those for its upper halves.
    blocks: Vec<[FactorBlock; 2]>,
    sum: i32,
}

#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct FactorBlock([i8; BLOCK]);

// No sum of products overflows: each product is at most 255 * 127.
const _: () = assert!(crate::embedding::MAX_DIMENSIONS < i32::MAX as usize / (255 * 127));

impl Factor {
    /// `codes` are shifted, [`BLOCK`] in each block.
    pub(super) fn new(mut codes: impl Iterator<Item = Block>) -> Self {
        let unshift = |block: Block| FactorBlock(block.0.map(|code| (code ^ SHIFT).cast_signed()));
        let mut blocks = Vec::with_capacity(codes.size_hint().0.div_ceil(2));
        while let Some(lower) = codes.next() {
            blocks.push([unshift(lower), unshift(codes.next().unwrap_or(Block([SHIFT; BLOCK])))]);
        }
        let sum = blocks.iter().flatten().flat_map(|block| block.0).map(i32::from).sum();
        Self { blocks, sum }
    }

    /// The sum of the codes.
    pub(super) fn sum(&self) -> i32 {
        self.sum
    }

    /// The product with each of `rows`, whose blocks hold two halves of 4 bits in each byte.
    #[cfg(target_arch = "x86_64")]
    #[expect(unsafe_code, reason = "each call is guarded by a check that the processor has the features")]
    pub(super) fn dot<'a>(&self, rows: impl Iterator<Item = &'a [Block]>, out: &mut [i32]) {
        if has_vnni() {
            // SAFETY: the features were detected.
            unsafe { self.dot_vnni(rows, out) }
        } else if is_x86_feature_detected!("avx2") {
            // SAFETY: the feature was detected.
            unsafe { self.dot_avx2(rows, out) }
        } else {
            self.dot_portable(rows, out);
        }
    }

    /// The product with each of `rows`, whose blocks hold two halves of 4 bits in each byte.
    #[cfg(not(target_arch = "x86_64"))]
    pub(super) fn dot<'a>(&self, rows: impl Iterator<Item = &'a [Block]>, out: &mut [i32]) {
        // NEON is part of every aarch64 target, so the compiler already uses it.
        self.dot_portable(rows, out);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    #[expect(unsafe_code, reason = "blocks are as long as a register and aligned to it")]
    fn dot_vnni<'a>(&self, rows: impl Iterator<Item = &'a [Block]>, out: &mut [i32]) {
        use std::arch::x86_64::{
            _mm512_add_epi32, _mm512_and_si512, _mm512_dpbusd_epi32, _mm512_load_si512,
            _mm512_reduce_add_epi32, _mm512_set1_epi8, _mm512_setzero_si512, _mm512_srli_epi16,
        };
        let half = _mm512_set1_epi8(15);
        for (row, out) in rows.zip(out) {
            // Two sums, so that an addition need not wait for the previous one.
            let (mut lower, mut upper) = (_mm512_setzero_si512(), _mm512_setzero_si512());
            for (row, factor) in row.iter().zip(&self.blocks) {
                // SAFETY: all point to 64 bytes at an address that is a multiple of 64.
                let (row, factors) = unsafe {
                    let factor = |at: usize| _mm512_load_si512(factor[at].0.as_ptr().cast());
                    (_mm512_load_si512(row.0.as_ptr().cast()), [factor(0), factor(1)])
                };
                lower = _mm512_dpbusd_epi32(lower, _mm512_and_si512(row, half), factors[0]);
                let shifted = _mm512_srli_epi16::<4>(row);
                upper = _mm512_dpbusd_epi32(upper, _mm512_and_si512(shifted, half), factors[1]);
            }
            *out = _mm512_reduce_add_epi32(_mm512_add_epi32(lower, upper));
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn dot_avx2<'a>(&self, rows: impl Iterator<Item = &'a [Block]>, out: &mut [i32]) {
        self.dot_portable(rows, out);
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "must be compiled with the features of its caller")]
    fn dot_portable<'a>(&self, rows: impl Iterator<Item = &'a [Block]>, out: &mut [i32]) {
        let product = |half: u8, factor: i8| i32::from(i16::from(half) * i16::from(factor));
        for (row, out) in rows.zip(out) {
            let mut sum = 0;
            for (row, [lower, upper]) in row.iter().zip(&self.blocks) {
                sum +=
                    row.0.iter().zip(&lower.0).map(|(&row, &factor)| product(row & 15, factor)).sum::<i32>();
                sum +=
                    row.0.iter().zip(&upper.0).map(|(&row, &factor)| product(row >> 4, factor)).sum::<i32>();
            }
            *out = sum;
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn has_vnni() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vnni")
}

/// The product of two rows of shifted codes, [`BLOCK`] in each block.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "the call is guarded by a check that the processor has the features")]
pub(super) fn dot_of_rows(a: &[Block], b: &[Block]) -> i32 {
    if has_vnni() {
        // SAFETY: the features were detected.
        unsafe { dot_of_rows_vnni(a, b) }
    } else {
        dot_of_rows_portable(a, b)
    }
}

/// The product of two rows of shifted codes, [`BLOCK`] in each block.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn dot_of_rows(a: &[Block], b: &[Block]) -> i32 {
    dot_of_rows_portable(a, b)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[expect(unsafe_code, reason = "blocks are as long as a register and aligned to it")]
fn dot_of_rows_vnni(a: &[Block], b: &[Block]) -> i32 {
    use std::arch::x86_64::{
        _mm512_dpbusd_epi32, _mm512_load_si512, _mm512_reduce_add_epi32, _mm512_set1_epi8,
        _mm512_setzero_si512, _mm512_slli_epi32, _mm512_sub_epi32, _mm512_xor_si512,
    };
    let (mut product, mut sum) = (_mm512_setzero_si512(), _mm512_setzero_si512());
    for (a, b) in a.iter().zip(b) {
        // SAFETY: both point to 64 bytes at an address that is a multiple of 64.
        let (a, b) =
            unsafe { (_mm512_load_si512(a.0.as_ptr().cast()), _mm512_load_si512(b.0.as_ptr().cast())) };
        let b = _mm512_xor_si512(b, _mm512_set1_epi8(i8::MIN));
        product = _mm512_dpbusd_epi32(product, a, b);
        sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi8(1), b);
    }
    // Subtracts what the shift of one side by 128 has added.
    _mm512_reduce_add_epi32(_mm512_sub_epi32(product, _mm512_slli_epi32::<7>(sum)))
}

fn dot_of_rows_portable(a: &[Block], b: &[Block]) -> i32 {
    let unshift = |code: u8| i32::from(i16::from(code) - 128);
    let pairs = a
        .iter()
        .zip(b)
        .map(|(a, b)| a.0.iter().zip(&b.0).map(|(&a, &b)| unshift(a) * unshift(b)).sum::<i32>());
    pairs.sum()
}

/// Asks the processor to prefetch `items`, which will be read soon.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "a prefetch is a hint; it reads nothing that the program can see")]
pub(super) fn prefetch<T>(items: &[T]) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    for line in items.chunks(64 / size_of::<T>()) {
        // SAFETY: the instruction is part of every x86_64 and accepts any address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) }
    }
}

/// Does nothing: stable Rust has no prefetch for this processor.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn prefetch<T>(_items: &[T]) {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Codes in shifted blocks.
    fn blocks(codes: &[i8]) -> Vec<Block> {
        let mut blocks = vec![Block([SHIFT; BLOCK]); codes.len().div_ceil(BLOCK)];
        for (at, &code) in codes.iter().enumerate() {
            blocks[at / BLOCK].0[at % BLOCK] = code.cast_unsigned() ^ SHIFT;
        }
        blocks
    }

    /// A plane of the lower four bits of `codes`.
    fn plane(codes: &[i8]) -> Vec<Block> {
        let mut blocks = vec![Block([0; BLOCK]); codes.len().div_ceil(2 * BLOCK)];
        for (at, &code) in codes.iter().enumerate() {
            let byte = &mut blocks[at / (2 * BLOCK)].0[at % BLOCK];
            *byte |= (code.cast_unsigned() & 15) << if at % (2 * BLOCK) < BLOCK { 0 } else { 4 };
        }
        blocks
    }

    fn reference(a: &[i8], b: &[i8]) -> i32 {
        a.iter().zip(b).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum()
    }

    proptest! {
        #[test]
        fn every_form_gives_the_same_integer(
            pairs in prop::collection::vec((-127..=127_i8, -127..=127_i8), 1..600)
        ) {
            let (a, b): (Vec<i8>, Vec<i8>) = pairs.into_iter().unzip();
            let halves: Vec<i8> = b.iter().map(|code| code & 15).collect();
            let factor = Factor::new(blocks(&a).into_iter());
            prop_assert_eq!(factor.sum(), a.iter().map(|&code| i32::from(code)).sum::<i32>());
            let mut out = [0; 4];
            let rows = || [plane(&b), plane(&b)];
            factor.dot(rows().iter().map(|row| &row[..]), &mut out[..2]);
            factor.dot_portable(rows().iter().map(|row| &row[..]), &mut out[2..]);
            prop_assert_eq!(out, [reference(&a, &halves); 4]);

            let expected = reference(&a, &b);
            prop_assert_eq!(dot_of_rows(&blocks(&a), &blocks(&b)), expected);
            prop_assert_eq!(dot_of_rows_portable(&blocks(&a), &blocks(&b)), expected);
        }
    }

    #[test]
    fn the_extremes_do_not_overflow() {
        let most = i32::try_from(crate::embedding::MAX_DIMENSIONS).unwrap();
        for (a, b) in [(127, 127), (127, -127), (-127, -127)] {
            let blocks = |code| blocks(&vec![code; crate::embedding::MAX_DIMENSIONS]);
            assert_eq!(dot_of_rows(&blocks(a), &blocks(b)), i32::from(a) * i32::from(b) * most);
        }
    }

    #[test]
    fn rows_are_taken_in_order() {
        let rows = [plane(&[1, 0]), plane(&[0, 1]), plane(&[1, 1])];
        let mut out = [0; 3];
        Factor::new(blocks(&[1, 2]).into_iter()).dot(rows.iter().map(|row| &row[..]), &mut out);
        assert_eq!(out, [1, 2, 3]);
    }
}

//! What the system is asked to do with memory. All of it is advice, and does nothing where the system knows none of it.

/// Gives memory that is free back to the system. A build frees some hundreds of bytes for each row, in pieces between
/// which others live on; the C library of Linux keeps the pages of those unless it is asked.
pub(super) fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(unsafe_code, reason = "a call that takes no pointers and touches nothing that is allocated")]
    // SAFETY: it may be called at any time from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Puts `items` into pages of 2 MiB, as far as they fill some. A walk through a large graph reads a few lines here and
/// there, and finding the page of each takes as long as reading it if the pages are many.
#[cfg_attr(
    not(all(target_os = "linux", target_env = "gnu")),
    expect(unused_variables, reason = "known on Linux only")
)]
pub(super) fn in_large_pages<T>(items: &[T]) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const PAGE: usize = 2 << 20;
        let range = items.as_ptr_range();
        let (begin, end) = (range.start.addr().next_multiple_of(PAGE), range.end.addr() / PAGE * PAGE);
        if begin < end {
            let begin_at = range.start.with_addr(begin).cast_mut().cast();
            #[expect(unsafe_code, reason = "the content and the addresses stay as they are")]
            // SAFETY: the range is part of `items`, which is allocated.
            unsafe {
                libc::madvise(begin_at, end - begin, libc::MADV_COLLAPSE);
            }
        }
    }
}

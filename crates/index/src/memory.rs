//! Requests to the system about memory. All are hints; on a system that does not support one, it does
//! nothing.

/// Returns free memory to the system. A build frees some hundreds of bytes for each row, in pieces between
/// memory that is still in use; the C library of Linux keeps those pages unless it is asked.
pub(super) fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(unsafe_code, reason = "a call that takes no pointers and touches nothing that is allocated")]
    // SAFETY: the function may be called at any time from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Puts `items` into pages of 2 MiB, where they fill whole ones. A walk through a large graph reads a few
/// lines here and there. With many small pages, finding each line's page takes as long as reading the line.
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

//! What becomes of memory that a step has freed.
//!
//! Owns one setting of the C library. Knows no tensor.

/// Lets the process keep the memory that tensors free, instead of giving it back to the system after every operation.
///
/// A training step allocates and frees the same hundred big tensors again and again. By default the GNU C library maps
/// each of them afresh and the system clears every page of it. The price is that the process stays as big as its biggest step.
/// To be called before the first tensor is made; elsewhere than on GNU systems it does nothing.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        #![expect(unsafe_code, reason = "a call of the C library")]
        // SAFETY: both calls set a number of the allocator under its lock. A refusal is harmless.
        unsafe {
            libc::mallopt(libc::M_MMAP_MAX, 0);
            // Never: -1 is the greatest number of bytes.
            libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
        }
    }
}

//! Keeps the memory of freed tensors in the process. Refuses to know tensors.

/// Room asked for beyond each growth of the heap, in bytes.
const TOP_PAD: i32 = 256 << 20;

/// Tells glibc's malloc to reuse large blocks instead of giving them back to the system at every free: a batch's
/// activations are mapped, zeroed and unmapped per operation otherwise, which costs more than the operation. To be
/// called once, before other threads start. Says whether malloc agreed to all of it; where it did not, work is only slower.
#[must_use]
pub fn keep() -> bool {
    #[cfg(target_env = "gnu")]
    {
        let wishes = [
            (libc::M_MMAP_MAX, 0),
            (libc::M_TRIM_THRESHOLD, i32::MAX),
            (libc::M_TOP_PAD, TOP_PAD),
            (libc::M_ARENA_MAX, 1),
        ];
        // SAFETY: mallopt takes plain integers and sets malloc's own parameters under its own lock.
        wishes.into_iter().all(|(parameter, value)| unsafe { libc::mallopt(parameter, value) } == 1)
    }
    #[cfg(not(target_env = "gnu"))]
    false
}

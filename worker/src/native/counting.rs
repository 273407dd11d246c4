//! How much is asked of libtorch: what can be held against a limit in a test, as a time cannot. Refuses to know what is asked.

use super::abi::{self, RawCount, take_text};
use std::{marker::PhantomData, ptr};

/// Of one thread. Cards have their own memory, which is not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Operations, those among them that others are made of.
    pub(crate) operations: i64,
    /// Pieces of memory that were taken, and their bytes, whether they were given back or not.
    pub(crate) pieces: i64,
    pub(crate) bytes: i64,
}

/// Does `work`, and counts what it asks of libtorch on this thread.
pub(crate) fn counted<T>(work: impl FnOnce() -> T) -> (T, Counts) {
    let counting = Counting::begin();
    let done = work();
    (done, counting.end())
}

/// Null where libtorch had no memory for it.
struct Counting {
    raw: *mut RawCount,
    /// It belongs to its thread.
    _here: PhantomData<*const ()>,
}

impl Counting {
    fn begin() -> Self {
        let mut raw = ptr::null_mut();
        // SAFETY: `raw` is valid for one pointer. It has no way to fail but memory, and is null then.
        unsafe { drop(take_text(abi::sumac_count_begin(&raw mut raw))) };
        Self { raw, _here: PhantomData }
    }

    fn end(mut self) -> Counts {
        self.stop()
    }

    fn stop(&mut self) -> Counts {
        let (raw, mut counts) = (std::mem::replace(&mut self.raw, ptr::null_mut()), [0; 3]);
        if !raw.is_null() {
            // SAFETY: begun on this thread, since it is not Send, and ended once; `counts` has room for three.
            unsafe { drop(take_text(abi::sumac_count_end(raw, counts.as_mut_ptr()))) };
        }
        let [operations, pieces, bytes] = counts;
        Counts { operations, pieces, bytes }
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind, Tensor};

    #[test]
    fn an_operation_counts_with_the_memory_of_its_result() {
        let one = Tensor::ones([1024], (Kind::Float, Device::Cpu));
        let (_, counts) = counted(|| one.neg());
        assert_eq!(counts, Counts { operations: 1, pieces: 1, bytes: 4096 });
        let (_, nothing) = counted(|| one.size());
        assert_eq!(nothing, Counts::default());
    }
}

//! A set of ranks that are connected to each other, and what they do together. Every call returns at once with a
//! [`Work`] to poll. Refuses to know what the tensors mean and what to do when a call fails.

use std::{
    ffi::c_int,
    net::IpAddr,
    ptr::{self, NonNull},
    thread,
};

use tch::{Device, Tensor};

use super::{
    Medium, NativeError, Work,
    abi::{self, Fault, RawGroup, RawWork, check, lend},
};

/// A worker's place in a group. `host` is the address of this machine that the other ranks connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    pub rank: usize,
    pub size: usize,
    pub host: IpAddr,
}

impl Seat {
    // A size beyond i32 is refused by c10d as out of range, whatever it is clamped to.
    pub(super) fn c_rank(self) -> c_int {
        c_int::try_from(self.rank).unwrap_or(c_int::MAX)
    }

    pub(super) fn c_size(self) -> c_int {
        c_int::try_from(self.size).unwrap_or(c_int::MAX)
    }
}

/// All ranks make the same collectives in the same order, with tensors of the same length and kind; a length that
/// differs between ranks is not noticed by c10d and ends in a broken group.
///
/// After any error the group is of no more use. Drop it at once: that closes its connections, and frees peers which wait
/// for somebody who waits no more. Dropping takes some ten milliseconds, [`abandon`](Self::abandon) one or two.
#[derive(Debug)]
pub struct Group {
    raw: NonNull<RawGroup>,
    seat: Seat,
    medium: Medium,
}

// SAFETY: c10d's backends are called from any thread, one at a time; a Group is not Sync, so there is one at a time.
unsafe impl Send for Group {}

impl Drop for Group {
    fn drop(&mut self) {
        // Cut first: freeing joins the group's threads, which would wait for a call in flight until its patience is over.
        self.cut();
        // SAFETY: made by the shim; freed only here, after the last use.
        unsafe { abi::sumac_group_free(self.raw.as_ptr()) };
    }
}

impl Group {
    pub(super) fn own(raw: *mut RawGroup, seat: Seat, medium: Medium) -> Self {
        Self { raw: NonNull::new(raw).expect("the shim sets `out` whenever it reports no fault"), seat, medium }
    }

    /// Where its tensors lie.
    #[must_use]
    pub fn device(&self) -> Device {
        self.medium.device()
    }

    #[must_use]
    pub fn seat(&self) -> Seat {
        self.seat
    }

    /// Slice r of `input` goes to rank r, and slice r of `output` comes from there. Both are `[size * n, …]`, cut into
    /// `size` equal slices along the first dimension.
    ///
    /// # Errors
    /// [`NativeError::Tensor`], [`NativeError::Shapes`], or what c10d says of a broken group.
    pub fn all_to_all(&self, output: &Tensor, input: &Tensor) -> Result<Work, NativeError> {
        const ATTEMPT: &str = "all-to-all";
        let fits = output.size() == input.size() && self.slices(input).is_some();
        self.must_fit(ATTEMPT, fits, output, input)?;
        // SAFETY: `collective` calls back with this group's pointer and tensors that live through the call.
        self.collective(ATTEMPT, &[output, input], |out| unsafe {
            abi::sumac_group_all_to_all(self.raw.as_ptr(), lend(output), lend(input), out)
        })
    }

    /// Slice r of `output`, `[size * n, …]`, becomes rank r's `input`, `[n, …]`.
    ///
    /// # Errors
    /// [`NativeError::Tensor`], [`NativeError::Shapes`], or what c10d says of a broken group.
    pub fn all_gather(&self, output: &Tensor, input: &Tensor) -> Result<Work, NativeError> {
        const ATTEMPT: &str = "all-gather";
        self.must_fit(ATTEMPT, self.slices(output).as_ref() == Some(&input.size()), output, input)?;
        // SAFETY: as in `all_to_all`.
        self.collective(ATTEMPT, &[output, input], |out| unsafe {
            abi::sumac_group_all_gather(self.raw.as_ptr(), lend(output), lend(input), out)
        })
    }

    /// `tensor` becomes rank `root`'s, everywhere.
    ///
    /// # Errors
    /// [`NativeError::Tensor`], or what c10d says to a root outside the group.
    pub fn broadcast(&self, tensor: &Tensor, root: usize) -> Result<Work, NativeError> {
        const ATTEMPT: &str = "broadcast";
        let root = c_int::try_from(root).unwrap_or(c_int::MAX);
        // SAFETY: as in `all_to_all`.
        self.collective(ATTEMPT, &[tensor], |out| unsafe {
            abi::sumac_group_broadcast(self.raw.as_ptr(), lend(tensor), root, out)
        })
    }

    /// Ends when every rank has come.
    ///
    /// # Errors
    /// What c10d says of a broken group.
    pub fn barrier(&self) -> Result<Work, NativeError> {
        // SAFETY: as in `all_to_all`.
        self.collective("barrier", &[], |out| unsafe { abi::sumac_group_barrier(self.raw.as_ptr(), out) })
    }

    /// Sends `tensor` to rank `to`, which receives it under the same tag. Ends when the bytes have been handed to the
    /// system, not when they have arrived.
    ///
    /// # Errors
    /// [`NativeError::Rank`], [`NativeError::Tensor`], [`NativeError::Thread`], or what c10d says of a broken group.
    pub fn send(&self, tensor: &Tensor, to: usize, tag: u16) -> Result<Work, NativeError> {
        const ATTEMPT: &str = "send";
        let to = self.peer(ATTEMPT, to)?;
        // SAFETY: as in `all_to_all`; the rank was checked, which Gloo does not do.
        self.single(ATTEMPT, tensor, |out| unsafe {
            abi::sumac_group_send(self.raw.as_ptr(), lend(tensor), to, c_int::from(tag), out)
        })
    }

    /// Fills `tensor` with what rank `from` sends under the same tag. Its length must be the sender's.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn recv(&self, tensor: &Tensor, from: usize, tag: u16) -> Result<Work, NativeError> {
        const ATTEMPT: &str = "receive";
        let from = self.peer(ATTEMPT, from)?;
        // SAFETY: as in `send`.
        self.single(ATTEMPT, tensor, |out| unsafe {
            abi::sumac_group_recv(self.raw.as_ptr(), lend(tensor), from, c_int::from(tag), out)
        })
    }

    /// Closes its connections.
    fn cut(&self) {
        // SAFETY: made by the shim, and freed only on drop. A fault means that there was nothing left to cut.
        unsafe { drop(abi::take_text(abi::sumac_group_cut(self.raw.as_ptr()))) };
    }

    /// Closes the group's connections, and does not wait for its threads. Calls in flight end with an error, here and at the peers,
    /// some milliseconds later; until its [`Work`] says so, a tensor may still be written to.
    pub fn abandon(self) {
        // NCCL's abort may take its time; where the thread begins, dropping the group cuts it.
        if self.medium == Medium::Gloo {
            self.cut();
        }
        // Should no thread start, the closure is dropped on this one, and the group with it.
        drop(thread::Builder::new().name("sumac-abandon".into()).spawn(move || drop(self)));
    }

    fn collective(
        &self,
        attempt: &'static str,
        tensors: &[&Tensor],
        start: impl FnOnce(*mut *mut RawWork) -> Fault,
    ) -> Result<Work, NativeError> {
        let raw = self.begin(attempt, tensors, start)?;
        Ok(Work::of_collective(attempt, raw, tensors))
    }

    fn single(
        &self,
        attempt: &'static str,
        tensor: &Tensor,
        start: impl FnOnce(*mut *mut RawWork) -> Fault,
    ) -> Result<Work, NativeError> {
        let raw = self.begin(attempt, &[tensor], start)?;
        Work::of_single(attempt, raw, tensor)
    }

    /// The shape of one rank's slice of `tensor`; None if it has no equal slices.
    fn slices(&self, tensor: &Tensor) -> Option<Vec<i64>> {
        let mut shape = tensor.size();
        let size = i64::try_from(self.seat.size).ok()?;
        let first = shape.first_mut().filter(|first| **first % size == 0)?;
        *first /= size;
        Some(shape)
    }

    /// Gloo reads and writes past the end of a tensor that is too short.
    fn must_fit(&self, attempt: &'static str, fits: bool, output: &Tensor, input: &Tensor) -> Result<(), NativeError> {
        if fits && output.kind() == input.kind() {
            return Ok(());
        }
        let describe = |tensor: &Tensor| format!("{:?} {:?}", tensor.size(), tensor.kind());
        Err(NativeError::Shapes { attempt, size: self.seat.size, input: describe(input), output: describe(output) })
    }

    fn peer(&self, attempt: &'static str, rank: usize) -> Result<c_int, NativeError> {
        let Seat { rank: own, size, .. } = self.seat;
        if rank >= size || rank == own {
            return Err(NativeError::Rank { attempt, rank, own, size });
        }
        Ok(c_int::try_from(rank).expect("below the size, which c10d took as a c_int"))
    }

    fn begin(
        &self,
        attempt: &'static str,
        tensors: &[&Tensor],
        start: impl FnOnce(*mut *mut RawWork) -> Fault,
    ) -> Result<*mut RawWork, NativeError> {
        for tensor in tensors {
            // Gloo sends and fills memory from the first element on, whatever the strides.
            if !tensor.defined() || tensor.device() != self.device() || !tensor.is_contiguous() {
                let got = format!("{tensor:?} with strides {:?}", tensor.stride());
                return Err(NativeError::Tensor { attempt, got });
            }
        }
        let mut raw = ptr::null_mut();
        check(attempt, start(&raw mut raw))?;
        Ok(raw)
    }
}

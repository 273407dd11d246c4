//! A call in flight: polled, never waited for without a limit. Refuses to know what it was for.

use std::{
    ffi::c_int,
    ptr::NonNull,
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use tch::Tensor;

use super::{
    NativeError,
    abi::{self, RawWork, check, milliseconds},
};

/// Holds references to its tensors until it is dropped. Dropped before its end it cancels nothing: c10d holds references
/// of its own and goes on; only closing the group ends the call.
#[derive(Debug)]
pub struct Work {
    course: Course,
    _tensors: Vec<Tensor>,
}

#[derive(Debug)]
enum Course {
    Collective { attempt: &'static str, call: Call },
    Single(Receiver<Result<(), NativeError>>),
    Ended(Result<(), NativeError>),
}

impl Work {
    /// None while in flight, then how it ended, and the same again when asked again.
    ///
    /// # Errors
    /// Why the call failed: its patience ran out, a peer's connection closed, or the group was closed here. The group
    /// is broken then, and what the call was to fill holds anything.
    pub fn poll(&mut self) -> Option<Result<(), NativeError>> {
        self.wait_up_to(Duration::ZERO)
    }

    /// Like [`poll`](Self::poll), but sleeps until the call has ended, at most for `time`; a call still in flight then
    /// takes no harm. Times below a millisecond count as zero.
    ///
    /// # Errors
    /// As [`poll`](Self::poll).
    pub fn wait_up_to(&mut self, time: Duration) -> Option<Result<(), NativeError>> {
        let outcome = match &mut self.course {
            Course::Collective { attempt, call } => call.wait_up_to(attempt, time)?,
            Course::Single(result) => match result.recv_timeout(time) {
                Ok(outcome) => outcome,
                Err(RecvTimeoutError::Timeout) => return None,
                Err(RecvTimeoutError::Disconnected) => Err(NativeError::Vanished { purpose: PURPOSE }),
            },
            Course::Ended(outcome) => return Some(outcome.clone()),
        };
        self.course = Course::Ended(outcome.clone());
        Some(outcome)
    }

    pub(super) fn of_collective(attempt: &'static str, raw: *mut RawWork, tensors: &[&Tensor]) -> Self {
        Self {
            course: Course::Collective { attempt, call: Call::own(raw) },
            _tensors: tensors.iter().map(|tensor| tensor.shallow_clone()).collect(),
        }
    }

    /// c10d completes a send or receive only inside its wait, and takes a wait that runs out for a failure of the whole
    /// group. So a thread waits, with the group's own patience, and we poll the thread.
    pub(super) fn of_single(attempt: &'static str, raw: *mut RawWork, tensor: &Tensor) -> Result<Self, NativeError> {
        let (call, held) = (Call::own(raw), tensor.shallow_clone());
        let (tell, result) = mpsc::channel();
        thread::Builder::new()
            .name("sumac-transfer".into())
            .spawn(move || {
                let outcome = call.wait(attempt);
                drop((call, held));
                // Nobody may be listening any more; then the outcome is of no interest.
                drop(tell.send(outcome));
            })
            .map_err(|source| NativeError::Thread { purpose: PURPOSE, source: Arc::new(source) })?;
        Ok(Self { course: Course::Single(result), _tensors: vec![tensor.shallow_clone()] })
    }
}

const PURPOSE: &str = "wait for a transfer";

/// Owns a c10d work.
#[derive(Debug)]
struct Call(NonNull<RawWork>);

// SAFETY: c10d's works are made to be waited for on any thread; their state is behind a mutex.
unsafe impl Send for Call {}

impl Drop for Call {
    fn drop(&mut self) {
        // SAFETY: made by the shim, freed only here. c10d's own reference outlives ours while the call is in flight.
        unsafe { abi::sumac_work_free(self.0.as_ptr()) }
    }
}

impl Call {
    fn own(raw: *mut RawWork) -> Self {
        Self(NonNull::new(raw).expect("the shim sets `out` whenever it reports no fault"))
    }

    fn wait_up_to(&self, attempt: &'static str, time: Duration) -> Option<Result<(), NativeError>> {
        let at_most = if time < Duration::from_millis(1) { 0 } else { milliseconds(time) };
        let mut ended: c_int = 0;
        // SAFETY: the work is ours and alive.
        let fault = unsafe { abi::sumac_work_wait(self.0.as_ptr(), at_most, &raw mut ended) };
        let outcome = check(attempt, fault);
        (ended != 0).then_some(outcome)
    }

    fn wait(&self, attempt: &'static str) -> Result<(), NativeError> {
        let mut ended: c_int = 0;
        // SAFETY: the work is ours and alive.
        check(attempt, unsafe { abi::sumac_work_wait(self.0.as_ptr(), -1, &raw mut ended) })
    }
}

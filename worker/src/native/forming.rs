//! How a group comes about: c10d's constructor blocks until everybody is there, so it runs on a thread of its own and is
//! polled. Refuses to know why a group forms, and who is to blame when it does not.

use std::{
    ffi::c_int,
    net::SocketAddr,
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError, TryRecvError},
    },
    thread,
    time::Duration,
};

use tch::Device;

use super::{
    Group, NativeError, Seat, Store,
    abi::{self, check, milliseconds},
    cuda,
    store::host_name,
};

const PURPOSE: &str = "form a group";

/// Where the ranks of one group meet. Two groups never share a prefix at one store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meeting {
    pub store: SocketAddr,
    pub prefix: String,
}

/// What carries a group's calls, and where their tensors lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// TCP, between the memories of machines. Sends and receives, too.
    Gloo,
    /// NCCL, between cards; this rank has the one of this number. Collectives alone.
    Nccl(u32),
}

impl Medium {
    pub(super) fn device(self) -> Device {
        match self {
            Self::Gloo => Device::Cpu,
            Self::Nccl(card) => Device::Cuda(card as usize),
        }
    }
}

/// How long to wait for others; both are at least a millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For reaching the store, and then again for all ranks to come and be connected.
    pub forming: Duration,
    /// For one collective, send or receive, once formed. A call that runs out of it breaks the group.
    pub call: Duration,
}

/// A group on its way. Dropped before it is ready it is abandoned: its thread ends by its own patience, and a group that
/// came about all the same is closed again.
#[derive(Debug)]
pub struct Forming {
    result: Option<Receiver<Result<Group, NativeError>>>,
}

impl Group {
    /// Starts forming; returns at once. Every rank calls it with the same meeting and size, and its own seat.
    ///
    /// # Errors
    /// [`NativeError::Thread`] when no thread could be started.
    pub fn form(meeting: Meeting, seat: Seat, medium: Medium, patience: Patience) -> Result<Forming, NativeError> {
        let (tell, result) = mpsc::channel();
        thread::Builder::new()
            .name("sumac-forming".into())
            // Nobody may be listening any more: then the group is dropped here, which closes it.
            .spawn(move || drop(tell.send(connect_all(&meeting, seat, medium, patience))))
            .map_err(|source| NativeError::Thread { purpose: PURPOSE, source: Arc::new(source) })?;
        Ok(Forming { result: Some(result) })
    }
}

impl Forming {
    /// The group or why there is none, once; None before and after.
    ///
    /// # Errors
    /// [`NativeError::Meet`] when the store was not reached, [`NativeError::Form`] when not everybody came.
    pub fn poll(&mut self) -> Option<Result<Group, NativeError>> {
        self.wait_up_to(Duration::ZERO)
    }

    /// Like [`poll`](Self::poll), but sleeps until there is an answer, at most for `time`.
    ///
    /// # Errors
    /// As [`poll`](Self::poll).
    pub fn wait_up_to(&mut self, time: Duration) -> Option<Result<Group, NativeError>> {
        let result = self.result.as_ref()?;
        let answer = match result.try_recv() {
            Err(TryRecvError::Empty) if !time.is_zero() => result.recv_timeout(time),
            Err(TryRecvError::Empty) => Err(RecvTimeoutError::Timeout),
            Err(TryRecvError::Disconnected) => Err(RecvTimeoutError::Disconnected),
            Ok(answer) => Ok(answer),
        };
        let answer = match answer {
            Err(RecvTimeoutError::Timeout) => return None,
            Err(RecvTimeoutError::Disconnected) => Err(NativeError::Vanished { purpose: PURPOSE }),
            Ok(answer) => answer,
        };
        self.result = None;
        Some(answer)
    }
}

fn connect_all(meeting: &Meeting, seat: Seat, medium: Medium, patience: Patience) -> Result<Group, NativeError> {
    let Seat { rank, size, host } = seat;
    let unreached = |error: NativeError| NativeError::Meet {
        rank,
        size,
        store: meeting.store,
        patience: patience.forming,
        reason: error.to_string(),
    };
    let store = Store::connect(meeting.store, patience.forming).map_err(unreached)?;
    let store = store.prefix(&meeting.prefix).map_err(unreached)?;
    // Gloo says only that it has waited long enough; with these keys we can say for whom.
    store.set(&here(rank), b"1").map_err(unreached)?;

    let host = host_name(host);
    let (forming, call) = (milliseconds(patience.forming), milliseconds(patience.call));
    let (rank_there, size_there, mut raw) = (seat.c_rank(), seat.c_size(), std::ptr::null_mut());
    let fault = match medium {
        // SAFETY: store and host live through the call; c10d references the store itself. Rank and size are checked there.
        Medium::Gloo => unsafe {
            abi::sumac_group_gloo(store.raw(), rank_there, size_there, host.as_ptr(), forming, call, &raw mut raw)
        },
        Medium::Nccl(card) => {
            let plugin = cuda::plugin();
            let card = c_int::try_from(card).unwrap_or(c_int::MAX);
            // SAFETY: as above; the plugin's path lives through the call, and a file of that name that is another library lacks the function.
            unsafe {
                abi::sumac_group_nccl(
                    store.raw(),
                    rank_there,
                    size_there,
                    card,
                    plugin.as_ptr(),
                    forming,
                    call,
                    &raw mut raw,
                )
            }
        }
    };
    check(PURPOSE, fault).map_err(|error| NativeError::Form {
        rank,
        size,
        missing: (0..size).filter(|&other| matches!(store.has(&here(other)), Ok(false))).collect(),
        reason: error.to_string(),
    })?;
    Ok(Group::own(raw, seat, medium))
}

fn here(rank: usize) -> String {
    format!("here/{rank}")
}

//! The store where workers meet before they are connected: a small TCP key-value server and its clients (c10d's
//! TCPStore). Needed only while a group forms; a group lives on without it. Refuses to know who meets there.

use std::{
    ffi::{CString, c_int},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    os::fd::IntoRawFd,
    ptr::{self, NonNull},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use super::{
    NativeError,
    abi::{self, RawStore, check, milliseconds},
};

/// How long the server's own client may take to reach its server, on the same machine.
const SERVING_PATIENCE: Duration = Duration::from_secs(30);

/// Between two attempts to reach a server that is not there yet.
const RETRY: Duration = Duration::from_millis(20);

/// A server with its own client, or a client. Dropping the server closes it; groups that have formed do not mind.
#[derive(Debug)]
pub struct Store {
    raw: NonNull<RawStore>,
}

// SAFETY: c10d's stores lock around every operation and have no thread of their choosing.
unsafe impl Send for Store {}

impl Drop for Store {
    fn drop(&mut self) {
        // SAFETY: made by the shim, freed only here.
        unsafe { abi::sumac_store_free(self.raw.as_ptr()) }
    }
}

impl Store {
    /// Serves on a free port of `host` and of no other address; returns where.
    ///
    /// # Errors
    /// [`NativeError::Bind`] when `host` is not an address of this machine.
    pub fn serve(host: IpAddr) -> Result<(Self, SocketAddr), NativeError> {
        let refused = |source| NativeError::Bind { host, source: Arc::new(source) };
        // Bound here rather than by c10d, which would listen on every address of the machine.
        let listener = TcpListener::bind((host, 0)).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let name = host_name(host);
        let mut raw = ptr::null_mut();
        // SAFETY: the name lives through the call; the descriptor is open, bound and given away: c10d closes it.
        let fault = unsafe {
            abi::sumac_store_serve(
                name.as_ptr(),
                address.port(),
                listener.into_raw_fd(),
                milliseconds(SERVING_PATIENCE),
                &raw mut raw,
            )
        };
        check("serve a store", fault)?;
        Ok((Self::own(raw), address))
    }

    /// Connects to the server at `address`, trying again until `patience` is over; later waits have the same patience.
    /// Blocks, so a caller that must not goes through [`Group::form`](super::Group::form).
    ///
    /// # Errors
    /// [`NativeError::Call`] when nobody answered in time.
    pub fn connect(address: SocketAddr, patience: Duration) -> Result<Self, NativeError> {
        await_server(address, patience)?;
        let name = host_name(address.ip());
        let mut raw = ptr::null_mut();
        // SAFETY: the name lives through the call.
        let fault =
            unsafe { abi::sumac_store_connect(name.as_ptr(), address.port(), milliseconds(patience), &raw mut raw) };
        check("connect to a store", fault)?;
        Ok(Self::own(raw))
    }

    /// The same store with every key under `prefix`.
    ///
    /// # Errors
    /// [`NativeError::Call`] when libtorch refuses.
    pub fn prefix(&self, prefix: &str) -> Result<Self, NativeError> {
        let prefix = key_text(prefix);
        let mut raw = ptr::null_mut();
        // SAFETY: store and text live through the call; c10d references the store itself.
        let fault = unsafe { abi::sumac_store_prefix(self.raw.as_ptr(), prefix.as_ptr(), &raw mut raw) };
        check("prefix a store", fault)?;
        Ok(Self::own(raw))
    }

    /// Buffered: Ok does not mean that the server has it.
    ///
    /// # Errors
    /// [`NativeError::Call`] when the connection is known to be broken.
    pub fn set(&self, key: &str, value: &[u8]) -> Result<(), NativeError> {
        let key = key_text(key);
        // SAFETY: all three live through the call; c10d copies the value.
        check("set a key in the store", unsafe {
            abi::sumac_store_set(self.raw.as_ptr(), key.as_ptr(), value.as_ptr(), value.len())
        })
    }

    /// Whether somebody has set `key`. Asks the server, does not wait for the key.
    ///
    /// # Errors
    /// [`NativeError::Call`] when the server does not answer.
    pub fn has(&self, key: &str) -> Result<bool, NativeError> {
        let key = key_text(key);
        let mut found: c_int = 0;
        // SAFETY: both live through the call.
        let fault = unsafe { abi::sumac_store_has(self.raw.as_ptr(), key.as_ptr(), &raw mut found) };
        check("look for a key in the store", fault)?;
        Ok(found != 0)
    }

    pub(super) fn raw(&self) -> *mut RawStore {
        self.raw.as_ptr()
    }

    fn own(raw: *mut RawStore) -> Self {
        Self { raw: NonNull::new(raw).expect("the shim sets `out` whenever it reports no fault") }
    }
}

/// c10d's own client, refused once, lets nearly the whole of its patience pass before it tries again.
fn await_server(address: SocketAddr, patience: Duration) -> Result<(), NativeError> {
    let deadline = Instant::now() + patience;
    loop {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        match TcpStream::connect_timeout(&address, left) {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() >= deadline => {
                return Err(NativeError::Call { attempt: "connect to a store", reason: error.to_string() });
            }
            Err(_) => thread::sleep(RETRY.min(left)),
        }
    }
}

pub(super) fn host_name(host: IpAddr) -> CString {
    CString::new(host.to_string()).expect("an address in digits has no zero byte")
}

/// Keys are ours, made of words and numbers; a zero byte would end one early, so it is left out.
fn key_text(key: &str) -> CString {
    CString::new(key.replace('\0', "")).expect("zero bytes were just taken out")
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_store_answers_on_its_own_address_only() {
        let (_server, address) = Store::serve(Ipv4Addr::LOCALHOST.into()).unwrap();
        assert!(TcpStream::connect(address).is_ok());
        let elsewhere = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), address.port()));
        assert!(TcpStream::connect(elsewhere).is_err(), "also listens on {elsewhere}");
    }

    #[test]
    fn an_address_of_another_machine_is_refused_with_its_name() {
        let foreign = IpAddr::from(Ipv4Addr::new(192, 0, 2, 1));
        let refusal = Store::serve(foreign).unwrap_err().to_string();
        assert!(refusal.contains("192.0.2.1"), "{refusal}");
    }

    #[test]
    fn a_server_that_is_not_there_is_given_up_when_patience_is_over() {
        let (server, address) = Store::serve(Ipv4Addr::LOCALHOST.into()).unwrap();
        drop(server);
        let started = Instant::now();
        let refusal = Store::connect(address, Duration::from_millis(300)).unwrap_err().to_string();
        assert!(refusal.contains("refused"), "{refusal}");
        assert!((300..1_000).contains(&started.elapsed().as_millis()), "after {:?}", started.elapsed());
    }

    #[test]
    fn a_key_is_seen_under_its_prefix_only() {
        let (server, address) = Store::serve(Ipv4Addr::LOCALHOST.into()).unwrap();
        let client = Store::connect(address, Duration::from_secs(10)).unwrap();
        let (first, second) = (server.prefix("1").unwrap(), client.prefix("2").unwrap());
        first.set("here", b"x").unwrap();
        assert!(first.has("here").unwrap(), "answered on the same connection, so after the set");
        assert!(client.prefix("1").unwrap().has("here").unwrap());
        assert!(!second.has("here").unwrap());
    }
}

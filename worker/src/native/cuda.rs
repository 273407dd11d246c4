//! Cards. libtorch's half for them is a library of its own, opened where it is there: one binary serves machines with and without.
//! Refuses to know what a card is used for.

use super::{
    NativeError,
    abi::{self, check},
    facts::read_text,
};
use std::{
    env,
    ffi::{CString, c_int},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

/// Beside the program, or wherever this names it.
const PLUGIN: &str = "libsumac_nccl.so";
const PLUGIN_AT: &str = "SUMAC_NCCL_PLUGIN";

/// Opens it. To be called once, before anything else of libtorch and before other threads start: it writes to the environment, and
/// libtorch asks only once whether there are cards.
///
/// # Errors
/// [`NativeError::Call`] where there is none, or one that does not fit this libtorch.
pub fn load() -> Result<(), NativeError> {
    // SAFETY: takes nothing. What the library runs when it is opened is libtorch's own registration.
    check("open libtorch's half for cards", unsafe { abi::sumac_cuda_load() })
}

/// How many cards libtorch sees; none unless it was loaded.
///
/// # Errors
/// [`NativeError::Call`] when the driver fails.
pub fn count() -> Result<usize, NativeError> {
    let mut count: c_int = 0;
    // SAFETY: `count` is valid for one number.
    check("count cards", unsafe { abi::sumac_cuda_count(&raw mut count) })?;
    Ok(usize::try_from(count).unwrap_or_default())
}

/// What a card is, such as `NVIDIA H100 80GB HBM3`.
///
/// # Errors
/// [`NativeError::Call`] if there is no such card, or no driver.
pub fn name(card: u32) -> Result<String, NativeError> {
    let card = c_int::try_from(card).unwrap_or(c_int::MAX);
    read_text("ask what a card is", |out| {
        // SAFETY: `out` is valid for one pointer.
        unsafe { abi::sumac_cuda_name(card, out) }
    })
}

/// Where the plugin for NCCL lies, or is to lie.
pub(super) fn plugin() -> CString {
    let beside = || Some(env::current_exe().ok()?.parent()?.join(PLUGIN));
    let path = env::var_os(PLUGIN_AT).map(PathBuf::from).or_else(beside);
    let path = path.as_deref().unwrap_or(Path::new(PLUGIN));
    // A path with a zero in it is nobody's.
    CString::new(path.as_os_str().as_bytes()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where there is one, its answers are told by `benches/gpu.sh`.
    #[test]
    fn without_a_card_there_are_none_and_nobody_says_what_they_are() {
        if count().unwrap() > 0 {
            eprintln!("skipped: this machine has cards");
            return;
        }
        let error = name(0).unwrap_err().to_string();
        assert!(error.contains("card 0"), "{error}");
    }
}

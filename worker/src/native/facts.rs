//! What libtorch says of itself and of this CPU: part of a worker's numeric fingerprint. Refuses to judge what fits.

use std::ptr;

use super::{
    NativeError,
    abi::{self, Fault, check, take_text},
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Of the library that was loaded, not of the headers: `2.11.0`.
    pub libtorch: String,
    /// The instruction set that libtorch's own kernels were chosen for, such as `AVX2` or `AVX512`.
    pub cpu_capability: String,
    /// libtorch's description of its build, many lines: versions of MKL and oneDNN, flags.
    pub build: String,
}

impl Facts {
    /// # Errors
    /// [`NativeError::Call`] when libtorch does not say.
    pub fn read() -> Result<Self, NativeError> {
        let build = read_text("read libtorch's build", |out| {
            // SAFETY: `out` is valid for one pointer.
            unsafe { abi::sumac_build_config(out) }
        })?;
        let cpu_capability = read_text("read the CPU capability", |out| {
            // SAFETY: `out` is valid for one pointer.
            unsafe { abi::sumac_cpu_capability(out) }
        })?;
        let libtorch = version_in(&build).ok_or_else(|| NativeError::Call {
            attempt: "read libtorch's version",
            reason: "its build description has no TORCH_VERSION".to_owned(),
        })?;
        Ok(Self { libtorch, cpu_capability, build })
    }
}

fn version_in(build: &str) -> Option<String> {
    let (_, rest) = build.split_once("TORCH_VERSION=")?;
    let version = rest.split([',', ' ', '\n']).next()?;
    (!version.is_empty()).then(|| version.to_owned())
}

pub(super) fn read_text(
    attempt: &'static str,
    read: impl FnOnce(*mut *mut std::ffi::c_char) -> Fault,
) -> Result<String, NativeError> {
    let mut text = ptr::null_mut();
    check(attempt, read(&raw mut text))?;
    Ok(take_text(text).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loaded_libtorch_is_the_one_that_was_built_against() {
        let facts = Facts::read().unwrap();
        assert_eq!(facts.libtorch, "2.11.0");
        assert!(["DEFAULT", "AVX2", "AVX512"].contains(&facts.cpu_capability.as_str()), "{}", facts.cpu_capability);
    }

    #[test]
    fn a_build_without_a_version_has_none() {
        assert_eq!(version_in("PyTorch built with: TORCH_VERSION=2.11.0, USE_X=1").as_deref(), Some("2.11.0"));
        assert_eq!(version_in("TORCH_VERSION="), None);
        assert_eq!(version_in("PyTorch built with: GCC"), None);
    }
}

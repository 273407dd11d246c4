//! Same input, same bits: what libtorch can be told about it. Refuses to know what is computed.

use super::{
    NativeError,
    abi::{self, check},
};

/// From now on, for the whole process, an operation with only a non-deterministic implementation fails with an error
/// instead of running, and oneDNN is asked for deterministic kernels. To be called once, before the first tensor.
///
/// # Errors
/// [`NativeError::Call`] when libtorch refuses.
pub fn require() -> Result<(), NativeError> {
    // SAFETY: takes nothing; sets flags of libtorch's global context.
    check("require deterministic operations", unsafe { abi::sumac_require_determinism() })
}

//! The C functions of `shim.h`, one to one. Their comments are there.

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    time::Duration,
};

use tch::Tensor;

use super::NativeError;

#[repr(C)]
pub(super) struct RawStore {
    _opaque: [u8; 0],
}
#[repr(C)]
pub(super) struct RawGroup {
    _opaque: [u8; 0],
}
#[repr(C)]
pub(super) struct RawWork {
    _opaque: [u8; 0],
}
#[cfg(test)]
#[repr(C)]
pub(super) struct RawCount {
    _opaque: [u8; 0],
}
pub(super) type Fault = *mut c_char;
pub(super) type RawTensor = *const c_void;

unsafe extern "C" {
    fn sumac_text_free(text: *mut c_char);

    pub(super) fn sumac_store_serve(
        host: *const c_char,
        port: u16,
        listening_fd: c_int,
        timeout_ms: i64,
        out: *mut *mut RawStore,
    ) -> Fault;
    pub(super) fn sumac_store_connect(
        host: *const c_char,
        port: u16,
        timeout_ms: i64,
        out: *mut *mut RawStore,
    ) -> Fault;
    pub(super) fn sumac_store_prefix(store: *mut RawStore, prefix: *const c_char, out: *mut *mut RawStore) -> Fault;
    pub(super) fn sumac_store_set(store: *mut RawStore, key: *const c_char, value: *const u8, length: usize) -> Fault;
    pub(super) fn sumac_store_has(store: *mut RawStore, key: *const c_char, out: *mut c_int) -> Fault;
    pub(super) fn sumac_store_free(store: *mut RawStore);

    pub(super) fn sumac_group_gloo(
        store: *mut RawStore,
        rank: c_int,
        size: c_int,
        host: *const c_char,
        forming_ms: i64,
        call_ms: i64,
        out: *mut *mut RawGroup,
    ) -> Fault;
    pub(super) fn sumac_group_nccl(
        store: *mut RawStore,
        rank: c_int,
        size: c_int,
        card: c_int,
        plugin: *const c_char,
        forming_ms: i64,
        call_ms: i64,
        out: *mut *mut RawGroup,
    ) -> Fault;
    pub(super) fn sumac_group_all_to_all(
        group: *mut RawGroup,
        output: RawTensor,
        input: RawTensor,
        out: *mut *mut RawWork,
    ) -> Fault;
    pub(super) fn sumac_group_all_gather(
        group: *mut RawGroup,
        output: RawTensor,
        input: RawTensor,
        out: *mut *mut RawWork,
    ) -> Fault;
    pub(super) fn sumac_group_broadcast(
        group: *mut RawGroup,
        tensor: RawTensor,
        root: c_int,
        out: *mut *mut RawWork,
    ) -> Fault;
    pub(super) fn sumac_group_send(
        group: *mut RawGroup,
        tensor: RawTensor,
        to: c_int,
        tag: c_int,
        out: *mut *mut RawWork,
    ) -> Fault;
    pub(super) fn sumac_group_recv(
        group: *mut RawGroup,
        tensor: RawTensor,
        from: c_int,
        tag: c_int,
        out: *mut *mut RawWork,
    ) -> Fault;
    pub(super) fn sumac_group_barrier(group: *mut RawGroup, out: *mut *mut RawWork) -> Fault;
    pub(super) fn sumac_group_cut(group: *mut RawGroup) -> Fault;
    pub(super) fn sumac_group_free(group: *mut RawGroup);

    pub(super) fn sumac_work_wait(work: *mut RawWork, at_most_ms: i64, ended: *mut c_int) -> Fault;
    pub(super) fn sumac_work_free(work: *mut RawWork);

    pub(super) fn sumac_convolution_is_there() -> c_int;
    pub(super) fn sumac_convolution(
        images: RawTensor,
        weight: RawTensor,
        bias: RawTensor,
        added: RawTensor,
        rectified: c_int,
        pad: i64,
        out: *mut *mut c_void,
    ) -> Fault;
    pub(super) fn sumac_cuda_load() -> Fault;
    pub(super) fn sumac_cuda_count(out: *mut c_int) -> Fault;
    pub(super) fn sumac_cuda_name(card: c_int, out: *mut *mut c_char) -> Fault;
    pub(super) fn sumac_short_products(allowed: c_int) -> Fault;
    pub(super) fn sumac_autocast(cuda: c_int, on: c_int) -> Fault;
    #[cfg(test)]
    pub(super) fn sumac_count_begin(out: *mut *mut RawCount) -> Fault;
    #[cfg(test)]
    pub(super) fn sumac_count_end(count: *mut RawCount, out: *mut i64) -> Fault;
    pub(super) fn sumac_require_determinism() -> Fault;
    pub(super) fn sumac_cpu_capability(out: *mut *mut c_char) -> Fault;
    pub(super) fn sumac_build_config(out: *mut *mut c_char) -> Fault;
}

/// Takes over a fault: null is success.
pub(super) fn check(attempt: &'static str, fault: Fault) -> Result<(), NativeError> {
    match take_text(fault) {
        None => Ok(()),
        Some(said) => Err(NativeError::Call { attempt, reason: reason(&said) }),
    }
}

/// Takes over a text of the shim's. None for null.
pub(super) fn take_text(text: *mut c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: not null, so the shim made it with strdup and handed it over; read here, freed once, not used again.
    unsafe {
        let owned = CStr::from_ptr(text).to_string_lossy().into_owned();
        sumac_text_free(text);
        Some(owned)
    }
}

/// The `at::Tensor*` inside; valid as long as `tensor` is.
pub(super) fn lend(tensor: &Tensor) -> RawTensor {
    tensor.as_ptr().cast()
}

/// At least one millisecond: to c10d zero means for ever.
pub(super) fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX).clamp(1, 1_000 * 86_400 * 365)
}

/// The first line, without the C++ source position that Gloo puts before it.
fn reason(said: &str) -> String {
    let line = said.lines().next().unwrap_or_default().trim();
    match line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((position, text))
            if position.contains(".cc:") || position.contains(".cpp:") || position.contains(".h:") =>
        {
            text
        }
        _ => line,
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line_without_the_place_in_the_cpp_source() {
        assert_eq!(
            reason("[/a/gloo/pair.cc:538] Read error [127.0.0.1]:3: reset\nframes"),
            "Read error [127.0.0.1]:3: reset"
        );
        assert_eq!(reason("[2, 3] does not match"), "[2, 3] does not match");
    }

    #[test]
    fn no_time_is_still_a_millisecond() {
        assert_eq!(milliseconds(Duration::ZERO), 1);
        assert_eq!(milliseconds(Duration::from_secs(2)), 2_000);
    }
}

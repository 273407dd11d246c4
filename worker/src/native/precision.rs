//! In how many bits products are taken, for a while: given back when the guard is dropped, also by an error. Refuses to know what is
//! multiplied.

use super::abi::{self, take_text};
use std::marker::PhantomData;
use tch::Device;

/// Products of single precision on cards from factors of 10 bits (TF32), for all threads: a backward pass has some of its own.
#[derive(Debug)]
#[must_use = "it ends when it is dropped"]
pub struct ShortProducts(());

impl ShortProducts {
    #[expect(
        clippy::new_without_default,
        reason = "it changes something for the whole process, which a default does not"
    )]
    pub fn new() -> Self {
        // SAFETY: sets flags of libtorch's global context. It has no way to fail but memory.
        unsafe { drop(take_text(abi::sumac_short_products(1))) };
        Self(())
    }
}

impl Drop for ShortProducts {
    fn drop(&mut self) {
        // SAFETY: as in `new`.
        unsafe { drop(take_text(abi::sumac_short_products(0))) };
    }
}

/// Convolutions and products in bfloat16 on the thread that made it. For forward passes: backward ones follow by themselves.
#[derive(Debug)]
#[must_use = "it ends when it is dropped"]
pub struct Autocast {
    on_cards: bool,
    /// It belongs to its thread.
    _here: PhantomData<*const ()>,
}

impl Autocast {
    pub fn on(device: Device) -> Self {
        let on_cards = device != Device::Cpu;
        // SAFETY: sets flags of this thread. It has no way to fail but memory.
        unsafe { drop(take_text(abi::sumac_autocast(on_cards.into(), 1))) };
        Self { on_cards, _here: PhantomData }
    }
}

impl Drop for Autocast {
    fn drop(&mut self) {
        // SAFETY: as in `on`, and on the same thread, since it is not Send.
        unsafe { drop(take_text(abi::sumac_autocast(self.on_cards.into(), 0))) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Kind, Tensor};

    #[test]
    fn products_are_in_bfloat16_until_the_guard_is_dropped() {
        let one = Tensor::ones([4, 4], (Kind::Float, Device::Cpu));
        let guard = Autocast::on(Device::Cpu);
        assert_eq!(one.matmul(&one).kind(), Kind::BFloat16);
        drop(guard);
        assert_eq!(one.matmul(&one).kind(), Kind::Float);
    }
}

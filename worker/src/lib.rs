
pub mod learner;
#[cfg(feature = "torch")]
pub mod simgan;

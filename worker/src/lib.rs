
pub mod learner;
#[cfg(feature = "torch")]
pub mod native;
#[cfg(feature = "torch")]
pub mod simgan;

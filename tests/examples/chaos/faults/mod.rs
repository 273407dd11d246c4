//! The faults, one noun a file. Each plays itself as often as it is told and fills in a row.

pub(crate) mod coordinator;
pub(crate) mod cuts;
pub(crate) mod deaths;
pub(crate) mod freezes;
pub(crate) mod leaving;
pub(crate) mod refinements;
pub(crate) mod regroupings;

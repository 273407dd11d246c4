//! A job for tests of membership: what it trains does not matter, only how many lanes, steps, workers and copies it has.

use sumac_common::spec::{self, Spec};

#[derive(Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) lanes: u32,
    pub(crate) steps: u64,
    pub(crate) workers_min: u32,
    pub(crate) workers_max: u32,
    pub(crate) replicas: u32,
}

pub(crate) fn spec(wanted: Wanted) -> Box<Spec> {
    let Wanted { lanes, steps, workers_min, workers_max, replicas } = wanted;
    let job = format!(
        "name = \"test\"
        data = {{ synthetic = \"synthetic\", real = \"real\" }}
        model.preset = \"toy\"
        train = {{ batch = {batch}, lanes = {lanes}, steps = {steps}, history = {{ size = {size}, replicas = {replicas} }} }}
        workers = {{ min = {workers_min}, max = {workers_max} }}
        output.dir = \"run\"",
        batch = 16 * lanes,
        size = 64 * lanes,
    );
    Box::new(spec::read(&job, &[]).unwrap_or_else(|faults| panic!("{faults:?}")))
}

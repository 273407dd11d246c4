//! A run whose weights are one number: the fold of everything every lane ever computed. Two runs that differ anywhere differ
//! in it from there on.

use std::collections::BTreeMap;

/// Slots of one lane's history.
const SLOTS: usize = 3;

pub(crate) fn mix(a: u64, b: u64) -> u64 {
    let mut x = a.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ b.wrapping_add(0xd1b5_4a32_d192_ed03);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The replicated state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) step: u64,
    pub(crate) hash: u64,
}

/// What a lane's slots hold, in order.
pub(crate) type Slots = Vec<u64>;

/// What one worker has in its hands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) model: Model,
    pub(crate) lanes: BTreeMap<u32, Slots>,
}

/// Every second step is one of the discriminator: it writes into the history.
pub(crate) fn writes_history(step: u64) -> bool {
    step % 2 == 1
}

/// What a lane computes in a step: a function of the weights and of its slots.
pub(crate) fn subtotal(model: Model, lane: u32, slots: &Slots) -> u64 {
    slots.iter().fold(mix(model.hash, mix(lane.into(), model.step)), |sum, content| mix(sum, *content))
}

/// The image a lane stages in a step.
pub(crate) fn image(model: Model, lane: u32) -> u64 {
    mix(mix(model.step, lane.into()), model.hash)
}

/// Puts a staged image where it belongs after `step`.
pub(crate) fn keep(slots: &mut Slots, lane: u32, step: u64, image: u64) {
    if slots.len() < SLOTS {
        slots.push(image);
    } else {
        slots[(mix(lane.into(), step) % SLOTS as u64) as usize] = image;
    }
}

/// After all lanes' subtotals were added in lane order.
pub(crate) fn update(model: Model, sums: &BTreeMap<u32, u64>) -> Model {
    Model { step: model.step + 1, hash: sums.values().fold(model.hash, |hash, sum| mix(hash, *sum)) }
}

/// The whole run in one place: the state at every step from 0 to `steps`, which any run must reproduce (L-3, H-1).
pub(crate) fn alone(lanes: u32, steps: u64) -> Vec<State> {
    let mut state = State { model: Model::default(), lanes: (0..lanes).map(|lane| (lane, Slots::new())).collect() };
    let mut states = vec![state.clone()];
    for step in 0..steps {
        let before = state.model;
        let sums = state.lanes.iter().map(|(lane, slots)| (*lane, subtotal(before, *lane, slots))).collect();
        state.model = update(before, &sums);
        if writes_history(step) {
            state.lanes.iter_mut().for_each(|(lane, slots)| keep(slots, *lane, step, image(before, *lane)));
        }
        states.push(state.clone());
    }
    states
}

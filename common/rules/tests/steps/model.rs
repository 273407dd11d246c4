//! A run without images: its weights are three numbers, its gradients are hashes of what each lane was handed. Everything else
//! is real: plan, slots, order of addition, tails, vote.

use std::collections::BTreeMap;
use sumac_common::{
    ids::{ContentId, Digest, Generation, Lane, Rank, Step},
    lanes,
    losses::{Losses, Mean},
    random,
    reduce::{self, Node},
    schedule::{LanePlan, Plan, Progress, Schedule},
    spec::{History, Optimizer, OptimizerKind, Precision, Pretrain, Psi, Train},
    tail::{self, Agreed, Disagreement, LaneTail, Tail},
};

/// A job of `lanes` lanes with `half` images each in half a batch, and a history of `slots` slots per lane.
pub(crate) fn train(seed: u64, lanes: u32, half: u32, slots: u32) -> Train {
    let optimizer = Optimizer { kind: OptimizerKind::Sgd { momentum: 0.0 }, lr: 1e-3, decay: vec![] };
    Train {
        seed,
        batch: 2 * half * lanes,
        lanes,
        steps: Step(1_000),
        pretrain: Pretrain { refiner: 3, discriminator: 2 },
        k_refiner: 2,
        k_discriminator: 1,
        lambda: Some(1e-4),
        psi: Psi::Identity,
        refiner: optimizer.clone(),
        discriminator: optimizer,
        ema: None,
        shift: 0,
        precision: Precision::F32,
        history: History { size: slots * lanes, replicas: 1 },
    }
}

type Gradient = [f32; 3];

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LaneState {
    pub(crate) digest: Digest,
    /// The images in its slots, each with its place in the lane's share of the step that made it.
    pub(crate) history: Vec<(ContentId, usize)>,
}

/// The replicated state and every lane's history, as if in one place: workers only decide who computes.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) schedule: Schedule,
    pub(crate) step: Step,
    pub(crate) progress: Progress,
    pub(crate) weights: Gradient,
    pub(crate) lanes: Vec<LaneState>,
}

impl Run {
    pub(crate) fn new(schedule: Schedule) -> Self {
        let lanes = vec![LaneState::default(); schedule.lanes() as usize];
        Self { schedule, step: Step(0), progress: Progress::default(), weights: [1.0, -2.0, 0.5], lanes }
    }

    /// One step on `workers` workers; `poison` makes one gradient infinite. Commits what was agreed.
    pub(crate) fn step(&mut self, workers: usize, poison: Option<Lane>) -> Result<Agreed, Disagreement> {
        let plan = self.schedule.plan(self.step, &self.progress);
        let lanes = self.schedule.lanes();
        let mut computed = BTreeMap::new();
        let mut sent = BTreeMap::new();
        let mut gathered = Vec::new();
        let ranks = || (0..workers).map(|rank| Rank(rank as u32));
        let lanes_max = ranks().map(|rank| lanes::owned(lanes, workers, rank).len()).max().unwrap_or(0);
        for rank in ranks() {
            let range = lanes::owned(lanes, workers, rank);
            let mut tail = Tail { step: self.step, own_time_us: u64::from(rank.0), ..Tail::default() };
            let mut subtotals = BTreeMap::new();
            for lane in range.clone().map(Lane) {
                let (state, gradient, losses) = self.compute(&plan, lane, poison);
                tail.non_finite |= gradient.iter().any(|value| !value.is_finite());
                tail.lanes.push(LaneTail { lane, digest: state.digest, losses });
                subtotals.insert(lane, gradient);
                computed.insert(lane, state);
            }
            for node in reduce::subtrees(range, lanes) {
                sent.insert(node, total(node, |node| Some(*subtotals.get(&node.lane()?)?)));
            }
            gathered.push(tail.encode(lanes_max));
        }
        let tails: Vec<Tail> = gathered.iter().map(|bytes| Tail::decode(bytes).expect("encoded just now")).collect();
        let agreed = tail::agree(&tails, Generation(0), self.step, lanes)?;
        let sum = total(Node::whole(lanes), |node| sent.get(&node).copied());
        self.commit(&plan, &agreed, sum, computed);
        Ok(agreed)
    }

    /// What a lane would be after this step, and its subtotal: a function of spec, lane, step, weights and its own history.
    fn compute(&self, plan: &Plan, lane: Lane, poison: Option<Lane>) -> (LaneState, Gradient, Losses) {
        let own = &self.lanes[lane.0 as usize];
        let eaten = self.schedule.lane(plan, &self.progress, lane);
        let drawn: Vec<_> = eaten.draw.iter().map(|slot| own.history[*slot as usize]).collect();
        let handed = format!("{} {:?} {eaten:?} {drawn:?}", plan.step, self.weights.map(f32::to_bits));
        let digest = own.digest.then(handed.as_bytes());
        let value = |i: usize| f32::from(digest.0[i]) * 1.37e-3 + f32::from(digest.0[i + 1]) * 11.3;
        let mut gradient = [value(0), value(2), value(4)];
        if poison == Some(lane) {
            gradient[1] = f32::INFINITY;
        }
        let loss = Mean::of(f64::from(value(6)) / 3.0, eaten.synthetic.len() as u64);
        let losses = Losses { realism: loss, ..Losses::default() };
        (LaneState { digest, history: replaced(&own.history, &eaten, plan.step) }, gradient, losses)
    }

    fn commit(&mut self, plan: &Plan, agreed: &Agreed, sum: Gradient, computed: BTreeMap<Lane, LaneState>) {
        for (lane, state) in computed {
            let own = &mut self.lanes[lane.0 as usize];
            own.digest = state.digest;
            if !agreed.skipped {
                own.history = state.history;
            }
        }
        if !agreed.skipped {
            self.weights = std::array::from_fn(|i| self.weights[i] - 1e-3 * sum[i]);
        }
        self.progress = self.progress.after(plan, agreed.skipped);
        self.step = self.step.next();
    }
}

fn replaced(history: &[(ContentId, usize)], eaten: &LanePlan, step: Step) -> Vec<(ContentId, usize)> {
    let mut history = history.to_vec();
    for (place, (&slot, &sample)) in eaten.replace.iter().zip(&eaten.synthetic).enumerate() {
        let image = (ContentId { sample, step }, place);
        match history.get_mut(slot as usize) {
            Some(taken) => *taken = image,
            None => {
                assert_eq!(slot as usize, history.len(), "free slots fill in order");
                history.push(image);
            }
        }
    }
    history
}

fn total(node: Node, sum: impl Fn(Node) -> Option<Gradient>) -> Gradient {
    let added: Result<_, std::convert::Infallible> =
        reduce::fold(node, &mut |node| Ok(sum(node)), &mut |a: Gradient, b: Gradient| {
            Ok(std::array::from_fn(|i| a[i] + b[i]))
        });
    let Ok(sum) = added;
    sum
}

/// A worker count, and whether the attempt is thrown away, as a seeded story of churn tells it.
pub(crate) fn churn(seed: u64, steps: u64, workers_max: usize) -> Vec<(usize, bool)> {
    let mut rng = random::stream(seed, random::Stream::Init, Lane(0), Step(0));
    (0..steps)
        .map(|_| (1 + random::below(&mut rng, workers_max as u64) as usize, random::below(&mut rng, 4) == 0))
        .collect()
}

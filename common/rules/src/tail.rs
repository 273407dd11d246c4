//! What members tell each other in each reduction, and when they agree (C-4).
//!
//! Every worker's tail travels beside the gradients and is *gathered*, not added: integers, doubles and hashes arrive as they
//! were sent. From the same tails every member reaches the same verdict on its own. Knows nothing of sockets, and of
//! gradients only whether they were finite.

use crate::{
    ids::{Digest, Generation, Lane, Rank, Step},
    losses::{Losses, Mean},
};

/// Every so many steps the tails carry the hash of the replicated state.
const COMPARED_EVERY: u64 = 100;

/// Whether the tails of this step carry the hash of the replicated state, which costs a pass over all of it.
#[must_use]
pub fn compares_states(step: Step) -> bool {
    step.0.is_multiple_of(COMPARED_EVERY)
}

/// What one worker says in one reduction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tail {
    pub generation: Generation,
    /// The step being reduced.
    pub step: Step,
    /// The lanes it has computed.
    pub lanes: Vec<LaneTail>,
    /// Hash of the replicated state before this step: now and then, at steps that all members know.
    pub state: Option<Digest>,
    /// One of its subtotals holds a value that is not finite.
    pub non_finite: bool,
    /// Time it worked on this step, waiting for others left out, in microseconds. For people; decides nothing.
    pub own_time_us: u64,
    pub wishes: Wishes,
    /// Its part of the checkpoint of this step is durable.
    pub durable: Option<Step>,
    /// Its part of the checkpoint under way could not be written.
    pub unsaved: bool,
}

/// What one lane did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LaneTail {
    pub lane: Lane,
    /// Running digest of what the lane was handed: its trace (L-2).
    pub digest: Digest,
    pub losses: Losses,
}

/// What members want to happen after this step. A wish of one is a wish of all, and takes effect between the same two steps for
/// everybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Save the state after this step, and leave.
    pub park: bool,
    /// Leave this generation after this step: somebody joins or goes.
    pub regroup: bool,
    /// Save the state after this step.
    pub snapshot: bool,
}

impl Wishes {
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            park: self.park || other.park,
            regroup: self.regroup || other.regroup,
            snapshot: self.snapshot || other.snapshot,
        }
    }
}

/// What the members of a generation agree on in one step.
#[derive(Clone, Debug, PartialEq)]
pub struct Agreed {
    /// Some gradient is not finite: the step is committed without an update.
    pub skipped: bool,
    /// By lane.
    pub digests: Vec<Digest>,
    /// Added in lane order, so the same for any number of workers.
    pub losses: Losses,
    pub wishes: Wishes,
    /// Every part of the checkpoint of this step is durable.
    pub durable: Option<Step>,
    /// The checkpoint under way comes to nothing: nobody is writing any more, and some part could not be written.
    pub unsaved: bool,
    /// What each member worked, by rank, in microseconds.
    pub own_us: Vec<u64>,
}

/// Why nobody applies a step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Disagreement {
    #[error("no tail was gathered for step {step}")]
    Silence { step: Step },
    #[error("rank {rank} is in generation {theirs}, this is generation {ours}")]
    Generation { rank: Rank, theirs: Generation, ours: Generation },
    #[error("rank {rank} is at step {theirs}, this is step {ours}")]
    Step { rank: Rank, theirs: Step, ours: Step },
    #[error("rank {rank} computed lane {lane} in step {step}, but the run has {lanes} lanes")]
    UnknownLane { rank: Rank, lane: Lane, lanes: u32, step: Step },
    #[error("lane {lane} was computed twice in step {step}, by rank {first} and rank {second}")]
    LaneTwice { lane: Lane, first: Rank, second: Rank, step: Step },
    #[error("nobody computed lane {lane} in step {step}")]
    LaneMissing { lane: Lane, step: Step },
    #[error(
        "the states before step {step} differ: rank {first} holds {}, rank {second} holds {}; submit the job again to go on from its newest checkpoint",
        theirs.0.short(), theirs.1.short()
    )]
    State { first: Rank, second: Rank, theirs: Box<(Digest, Digest)>, step: Step },
}

impl Disagreement {
    /// Whether it is the run that is over, and not this generation alone: states that have drifted apart are as far apart in
    /// the next one, while everything else may come from one message or one member.
    #[must_use]
    pub fn ends_the_run(&self) -> bool {
        match self {
            Self::State { .. } => true,
            Self::Silence { .. }
            | Self::Generation { .. }
            | Self::Step { .. }
            | Self::UnknownLane { .. }
            | Self::LaneTwice { .. }
            | Self::LaneMissing { .. } => false,
        }
    }
}

/// The vote: `tails` by rank, all of this generation and step, all `lanes` computed once, all given states equal; or the first
/// reason why not.
pub fn agree(tails: &[Tail], generation: Generation, step: Step, lanes: u32) -> Result<Agreed, Disagreement> {
    let ranked = || tails.iter().enumerate().map(|(rank, tail)| (Rank(rank as u32), tail));
    for (rank, tail) in ranked() {
        if tail.generation != generation {
            return Err(Disagreement::Generation { rank, theirs: tail.generation, ours: generation });
        }
        if tail.step != step {
            return Err(Disagreement::Step { rank, theirs: tail.step, ours: step });
        }
    }
    same_state(tails, step)?;
    let done = lanes_done(tails, step, lanes)?;
    if tails.is_empty() {
        return Err(Disagreement::Silence { step });
    }
    let durable = tails.first().and_then(|first| first.durable);
    let nobody_writes = tails.iter().all(|tail| tail.unsaved || tail.durable.is_some());
    Ok(Agreed {
        skipped: tails.iter().any(|tail| tail.non_finite),
        digests: done.iter().map(|lane| lane.digest).collect(),
        losses: done.iter().map(|lane| lane.losses).fold(Losses::default(), |sum, losses| sum + losses),
        wishes: tails.iter().fold(Wishes::default(), |all, tail| all.or(tail.wishes)),
        durable: durable.filter(|_| tails.iter().all(|tail| tail.durable == durable)),
        unsaved: nobody_writes && tails.iter().any(|tail| tail.unsaved),
        own_us: tails.iter().map(|tail| tail.own_time_us).collect(),
    })
}

fn same_state(tails: &[Tail], step: Step) -> Result<(), Disagreement> {
    let mut given = tails.iter().enumerate().filter_map(|(rank, tail)| Some((Rank(rank as u32), tail.state?)));
    let Some((first, state)) = given.next() else { return Ok(()) };
    match given.find(|(_, other)| *other != state) {
        Some((second, other)) => Err(Disagreement::State { first, second, theirs: Box::new((state, other)), step }),
        None => Ok(()),
    }
}

/// The lanes in lane order, each of them once.
fn lanes_done(tails: &[Tail], step: Step, lanes: u32) -> Result<Vec<&LaneTail>, Disagreement> {
    let mut done = vec![None; lanes as usize];
    for (rank, tail) in tails.iter().enumerate() {
        let rank = Rank(rank as u32);
        for lane_tail in &tail.lanes {
            let lane = lane_tail.lane;
            let Some(place) = done.get_mut(lane.0 as usize) else {
                return Err(Disagreement::UnknownLane { rank, lane, lanes, step });
            };
            if let Some((first, _)) = place.replace((rank, lane_tail)) {
                return Err(Disagreement::LaneTwice { lane, first, second: rank, step });
            }
        }
    }
    let by_lane = done.into_iter().enumerate();
    by_lane
        .map(|(lane, done)| match done {
            Some((_, tail)) => Ok(tail),
            None => Err(Disagreement::LaneMissing { lane: Lane(lane as u32), step }),
        })
        .collect()
}

/// Why bytes are not a tail.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTail {
    #[error("a tail of {bytes} bytes does not hold a whole number of lanes")]
    Length { bytes: usize },
    #[error("the bytes of a tail do not match their checksum")]
    Checksum,
    #[error("a tail begins with {found:#010x}, not with {MARK:#010x}: its sender runs another version of sumac")]
    Mark { found: u32 },
    #[error("a tail names {lanes} lanes, but has room for {room}")]
    Room { lanes: u32, room: usize },
    #[error("a tail raises flags {flags:#x} that nobody knows: its sender runs another version of sumac")]
    Flags { flags: u32 },
}

/// First word of every tail; its last byte is the version of the layout.
const MARK: u32 = 0x7a11_0002;
const PARK: u32 = 1;
const REGROUP: u32 = 1 << 1;
const SNAPSHOT: u32 = 1 << 2;
const NON_FINITE: u32 = 1 << 3;
const STATE: u32 = 1 << 4;
const DURABLE: u32 = 1 << 5;
const UNSAVED: u32 = 1 << 6;
const ALL_FLAGS: u32 = (1 << 7) - 1;

const CHECKSUM_BYTES: usize = 8;
/// Mark, flags, lanes (u32 each); generation, step, own time, durable (u64 each); state.
const HEAD_BYTES: usize = 3 * 4 + 4 * 8 + 32;
/// Lane (u32), digest, seven sums (f64) and counts (u64).
const LANE_BYTES: usize = 4 + 32 + 7 * 16;

impl Tail {
    /// The length of every tail of a generation in which no worker computes more than `lanes_max` lanes: a multiple of 4,
    /// equal for all, as a gather wants its parts.
    #[must_use]
    pub fn bytes(lanes_max: usize) -> usize {
        HEAD_BYTES + lanes_max * LANE_BYTES + CHECKSUM_BYTES
    }

    /// Little-endian, in the order of the fields, zeros up to [`Self::bytes`], and the first 8 bytes of the SHA-256 of all that.
    ///
    /// # Panics
    /// If the tail has more than `lanes_max` lanes.
    #[must_use]
    pub fn encode(&self, lanes_max: usize) -> Vec<u8> {
        assert!(self.lanes.len() <= lanes_max, "{} lanes in a tail with room for {lanes_max}", self.lanes.len());
        let mut bytes = Vec::with_capacity(Self::bytes(lanes_max));
        bytes.extend(MARK.to_le_bytes());
        bytes.extend(self.flags().to_le_bytes());
        bytes.extend((self.lanes.len() as u32).to_le_bytes());
        for number in [self.generation.0, self.step.0, self.own_time_us, self.durable.unwrap_or_default().0] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(self.state.unwrap_or_default().0);
        for lane in &self.lanes {
            bytes.extend(lane.lane.0.to_le_bytes());
            bytes.extend(lane.digest.0);
            for mean in lane.losses.means() {
                bytes.extend(mean.sum.to_le_bytes());
                bytes.extend(mean.count.to_le_bytes());
            }
        }
        bytes.resize(Self::bytes(lanes_max) - CHECKSUM_BYTES, 0);
        bytes.extend(checksum(&bytes));
        bytes
    }

    fn flags(&self) -> u32 {
        let raised = [
            (self.wishes.park, PARK),
            (self.wishes.regroup, REGROUP),
            (self.wishes.snapshot, SNAPSHOT),
            (self.non_finite, NON_FINITE),
            (self.state.is_some(), STATE),
            (self.durable.is_some(), DURABLE),
            (self.unsaved, UNSAVED),
        ];
        raised.into_iter().filter(|(up, _)| *up).map(|(_, flag)| flag).sum()
    }

    /// The tail that was encoded, or why there is none. Any change to the bytes is noticed.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadTail> {
        let room = bytes.len().checked_sub(Self::bytes(0)).filter(|room| room.is_multiple_of(LANE_BYTES));
        let room = room.ok_or(BadTail::Length { bytes: bytes.len() })? / LANE_BYTES;
        let (body, sum) = bytes.split_at(bytes.len() - CHECKSUM_BYTES);
        if checksum(body) != sum {
            return Err(BadTail::Checksum);
        }
        let mut words = Words(body);
        let (mark, flags, lanes) = (words.u32(), words.u32(), words.u32());
        if mark != MARK {
            return Err(BadTail::Mark { found: mark });
        }
        if flags & !ALL_FLAGS != 0 {
            return Err(BadTail::Flags { flags: flags & !ALL_FLAGS });
        }
        if lanes as usize > room {
            return Err(BadTail::Room { lanes, room });
        }
        let raised = |flag: u32| flags & flag != 0;
        let (generation, step, own_time_us) = (Generation(words.u64()), Step(words.u64()), words.u64());
        let durable = Step(words.u64());
        let state = words.digest();
        Ok(Self {
            generation,
            step,
            lanes: (0..lanes).map(|_| words.lane()).collect(),
            state: raised(STATE).then_some(state),
            non_finite: raised(NON_FINITE),
            own_time_us,
            wishes: Wishes { park: raised(PARK), regroup: raised(REGROUP), snapshot: raised(SNAPSHOT) },
            durable: raised(DURABLE).then_some(durable),
            unsaved: raised(UNSAVED),
        })
    }
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM_BYTES] {
    std::array::from_fn({
        let digest = Digest::of(body);
        move |i| digest.0[i]
    })
}

/// Bytes yet to be read, known to be enough.
struct Words<'a>(&'a [u8]);

impl Words<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (word, rest) = self.0.split_first_chunk().expect("the length was checked before the first word was read");
        self.0 = rest;
        *word
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    fn digest(&mut self) -> Digest {
        Digest(self.take())
    }

    fn lane(&mut self) -> LaneTail {
        LaneTail {
            lane: Lane(self.u32()),
            digest: self.digest(),
            losses: Losses::from_means(std::array::from_fn(|_| Mean {
                sum: f64::from_le_bytes(self.take()),
                count: self.u64(),
            })),
        }
    }
}

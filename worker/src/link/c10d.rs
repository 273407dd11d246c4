//! Links over libtorch's c10d: what stands between the loop's words and its collectives.
//!
//! Every link has a group over Gloo; where gradients lie on cards a second one over NCCL carries them, and the tails with them. The
//! sum is exact and nobody sends more than some gradients: an all-to-all brings each member everybody's subtrees of its slice of the parameters, it adds
//! them in the one order, an all-gather brings the slices and the tails back. It refuses to know what the numbers mean, and why a
//! generation begins or ends.

use super::{Alone, Broken, Dial, Ear, Finite, Flat, Link, Reduced, add_up};
use crate::{
    learner::Sum,
    native::{Group, Medium, Meeting, NativeError, Patience, Seat, Work},
    simgan::Gradient,
};
use std::{
    net::{IpAddr, TcpStream},
    ops::Deref,
    thread,
    time::{Duration, Instant},
};
use sumac_common::{
    conversation::{Leaving, Opening, Place},
    device::Device,
    ids::{Rank, WorkerId},
    reduce,
};
use tch::{IndexOp, Kind, Tensor};

/// For reaching each other. Everybody was ready when the generation was opened.
const FORMING: Duration = Duration::from_secs(10);
/// For an answer of somebody who did not come: only whether there is one counts.
const ANSWER: Duration = Duration::from_secs(2);
/// The last line against a peer that hangs: its silence is the coordinator's business long before.
const CALL: Duration = Duration::from_secs(600);
/// Between two looks at the coordinator's word.
const GLANCE: Duration = Duration::from_millis(2);

/// A gradient that can be seen as one contiguous f32 tensor `[n]`.
pub trait AsTensor: Flat {
    fn tensor(&self) -> Tensor;
    fn of(tensor: Tensor) -> Self;
}

impl AsTensor for Vec<f32> {
    fn tensor(&self) -> Tensor {
        Tensor::from_slice(self)
    }

    fn of(tensor: Tensor) -> Self {
        Self::try_from(tensor.to_device(tch::Device::Cpu)).expect("a contiguous f32 tensor on the CPU is a vector")
    }
}

impl Flat for Gradient {
    fn finite(&self) -> Finite {
        finite(&self.0)
    }
}

impl AsTensor for Gradient {
    fn tensor(&self) -> Tensor {
        self.0.shallow_clone()
    }

    fn of(tensor: Tensor) -> Self {
        Self(tensor)
    }
}

fn finite(tensor: &Tensor) -> Finite {
    if tensor.numel() == 0 {
        return Finite::Yes;
    }
    // In one pass and without another tensor: what is no number is both the least and the largest.
    let (least, largest) = tensor.aminmax(None::<i64>, false);
    let ends = [least, largest].map(|end| end.double_value(&[]));
    if ends.iter().all(|end| end.is_finite()) { Finite::Yes } else { Finite::No }
}

/// Gradients `[n]` of one length into `[workers, widest, slice]`: of each the slice of every worker, in order. What they do not fill
/// and is added up is zero.
fn lay(parts: &[Tensor], sliced: &Tensor) {
    let [workers, _, slice] = sliced.size()[..] else { return };
    for (at, part) in (0..).zip(parts) {
        let part = part.to_device(sliced.device());
        let (length, rows) = (part.numel() as i64, part.numel() as i64 / slice.max(1));
        let whole = part.narrow(0, 0, rows * slice).view([rows, slice]);
        sliced.narrow(0, 0, rows).select(1, at).copy_(&whole);
        if rows < workers {
            let (last, rest) = (sliced.narrow(0, rows, workers - rows).select(1, at), length - rows * slice);
            let _ = last.shallow_clone().zero_();
            last.i(0).narrow(0, 0, rest).copy_(&part.narrow(0, rows * slice, rest));
        }
    }
}

/// A slice of a gradient, in memory that nobody else reads.
struct Slice(Tensor);

impl Sum for Slice {
    fn plus(self, other: Self) -> Self {
        let Self(mut sum) = self;
        let _ = sum.f_add_(&other.0).expect("slices of one length can be added");
        Self(sum)
    }
}

pub struct GroupDial {
    /// This machine's address on the way to the coordinator: the others reach it there.
    host: IpAddr,
    /// Where gradients lie.
    device: Device,
}

impl GroupDial {
    #[must_use]
    pub fn at(host: IpAddr, device: Device) -> Self {
        Self { host, device }
    }
}

impl<S: AsTensor> Dial<S> for GroupDial {
    fn form(&mut self, opening: &Opening, me: &WorkerId, ear: &dyn Ear) -> Result<Box<dyn Link<S>>, Leaving> {
        let member = |rank: usize| opening.roster.get(rank).map(|place| place.worker.clone());
        let unformed = |error: NativeError| {
            let unreached = match &error {
                NativeError::Form { missing, .. } if !missing.is_empty() => {
                    missing.iter().filter_map(|rank| member(*rank)).collect()
                }
                NativeError::Meet { .. } => member(0).into_iter().collect(),
                _ => unanswered(opening, me),
            };
            Leaving::Unformed { unreached, why: error.to_string() }
        };
        let Some(rank) = opening.roster.iter().position(|place| place.worker == *me) else {
            return Err(Leaving::Unformed { unreached: vec![], why: format!("{me} is not in the roster it was sent") });
        };
        if opening.roster.len() == 1 {
            return Ok(Box::new(Alone));
        }
        let seat = Seat { rank, size: opening.roster.len(), host: self.host };
        let formed = |medium: Medium| -> Result<Abandoned, Leaving> {
            let store = opening.roster[0].store;
            // Two groups never meet under one prefix.
            let prefix = format!("{}/{}/{}", opening.job, opening.generation, name_of(medium));
            let patience = Patience { forming: FORMING, call: CALL };
            let mut forming = Group::form(Meeting { store, prefix }, seat, medium, patience).map_err(unformed)?;
            let begun = Instant::now();
            loop {
                match forming.wait_up_to(GLANCE) {
                    Some(Ok(group)) => return Ok(Abandoned(Some(group))),
                    Some(Err(error)) => return Err(unformed(error)),
                    None if ear.called() => return Err(Leaving::Told),
                    // Gloo dials each of them several times, with this patience each time.
                    None if begun.elapsed() > FORMING + ANSWER => {
                        let why = format!("not connected after {} s", begun.elapsed().as_secs());
                        return Err(Leaving::Unformed { unreached: unanswered(opening, me), why });
                    }
                    None => {}
                }
            }
        };
        let group = formed(Medium::Gloo)?;
        let cards = match self.device {
            Device::Cpu => None,
            Device::Cuda(card) => Some(formed(Medium::Nccl(card))?),
        };
        Ok(Box::new(GroupLink { group, cards, seat }))
    }
}

fn name_of(medium: Medium) -> &'static str {
    match medium {
        Medium::Gloo => "gloo",
        Medium::Nccl(_) => "nccl",
    }
}

/// The members whose rendezvous stores do not answer a knock from here.
fn unanswered(opening: &Opening, me: &WorkerId) -> Vec<WorkerId> {
    let others: Vec<&Place> = opening.roster.iter().filter(|place| place.worker != *me).collect();
    let knock = |place: &Place| TcpStream::connect_timeout(&place.store, ANSWER).is_err();
    thread::scope(|scope| {
        let knocks: Vec<_> = others.iter().map(|place| scope.spawn(move || knock(place))).collect();
        others
            .iter()
            .zip(knocks)
            .filter_map(|(place, knock)| knock.join().ok()?.then(|| place.worker.clone()))
            .collect()
    })
}

struct GroupLink {
    /// Between the memories of the machines.
    group: Abandoned,
    /// Between cards, where gradients lie there.
    cards: Option<Abandoned>,
    seat: Seat,
}

/// A group that is let go without waiting when it is dropped: freeing it joins its threads, and a call whose peer died in the
/// midst of a message ends by its patience, which is long.
struct Abandoned(Option<Group>);

impl Deref for Abandoned {
    type Target = Group;

    fn deref(&self) -> &Group {
        self.0.as_ref().expect("it is taken only where it is dropped")
    }
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        if let Some(group) = self.0.take() {
            group.abandon();
        }
    }
}

fn failed(attempt: &'static str) -> impl Fn(NativeError) -> Broken {
    move |error| Broken::Failed { attempt, reason: error.to_string() }
}

/// Polls a call to its end. On any error the link is dropped by its owner, which closes the group and ends the call.
fn wait(attempt: &'static str, work: Result<Work, NativeError>, ear: &dyn Ear) -> Result<(), Broken> {
    let mut work = work.map_err(failed(attempt))?;
    loop {
        match work.wait_up_to(GLANCE) {
            Some(outcome) => return outcome.map_err(failed(attempt)),
            None if ear.called() => return Err(Broken::Called),
            None => {}
        }
    }
}

fn bytes_of(tensor: &Tensor) -> Vec<u8> {
    Vec::try_from(tensor).expect("a contiguous u8 tensor on the CPU is a vector")
}

fn lengths_of(tensor: &Tensor) -> Vec<i64> {
    Vec::try_from(tensor).expect("a contiguous i64 tensor on the CPU is a vector")
}

const CPU: (Kind, tch::Device) = (Kind::Uint8, tch::Device::Cpu);

fn empty(attempt: &'static str, n: i64) -> Result<Tensor, Broken> {
    if !(0..=1 << 40).contains(&n) {
        return Err(Broken::Failed { attempt, reason: format!("{n} bytes were announced") });
    }
    Ok(Tensor::zeros([n], CPU))
}

impl GroupLink {
    fn size(&self) -> i64 {
        self.seat.size as i64
    }

    fn peer(&self, offset: usize) -> usize {
        (self.seat.rank + offset) % self.seat.size
    }

    fn send_to(&self, to: usize, bytes: &[u8], ear: &dyn Ear) -> Result<(), Broken> {
        wait("send", self.group.send(&Tensor::from_slice(&[bytes.len() as i64]), to, 0), ear)?;
        if bytes.is_empty() { Ok(()) } else { wait("send", self.group.send(&Tensor::from_slice(bytes), to, 0), ear) }
    }

    fn receive_from(&self, from: usize, ear: &dyn Ear) -> Result<Vec<u8>, Broken> {
        const ATTEMPT: &str = "receive";
        let length = Tensor::from_slice(&[0i64]);
        wait(ATTEMPT, self.group.recv(&length, from, 0), ear)?;
        let payload = empty(ATTEMPT, lengths_of(&length)[0])?;
        if payload.numel() > 0 {
            wait(ATTEMPT, self.group.recv(&payload, from, 0), ear)?;
        }
        Ok(bytes_of(&payload))
    }
}

impl<S: AsTensor> Link<S> for GroupLink {
    fn rank(&self) -> Rank {
        Rank(self.seat.rank as u32)
    }

    fn size(&self) -> usize {
        self.seat.size
    }

    fn reduce(
        &mut self,
        lanes: u32,
        parts: Vec<S>,
        tail: &mut dyn FnMut(Finite) -> Vec<u8>,
        ear: &dyn Ear,
    ) -> Result<Reduced<S>, Broken> {
        const ATTEMPT: &str = "reduce";
        let workers = self.size();
        let parts: Vec<Tensor> = parts.iter().map(AsTensor::tensor).collect();
        let length = parts.first().map_or(0, |part| part.numel() as i64);
        // Only equal splits are proved: slices are padded to one length, and everybody to the most subtrees of anybody.
        let slice = (length + workers - 1) / workers;
        let widest = reduce::widest(lanes, self.seat.size) as i64;
        let group = self.cards.as_ref().unwrap_or(&self.group);
        let real = (Kind::Float, group.device());
        let mine = Tensor::empty([workers, widest, slice], real);
        lay(&parts, &mine);
        let theirs = Tensor::empty([workers, widest, slice], real);
        wait(ATTEMPT, group.all_to_all(&theirs, &mine), ear)?;

        let subtrees = |rank: i64| {
            let range = sumac_common::lanes::owned(lanes, self.seat.size, Rank(rank as u32));
            let n = reduce::subtrees(range, lanes).len() as i64;
            (0..n).map(|at| Slice(theirs.i((rank, at)))).collect::<Vec<_>>()
        };
        let Slice(sum) = add_up(lanes, (0..workers).map(subtrees).collect());
        let sum = sum.contiguous();
        let tail = tail(finite(&sum));
        let (number, said) = (slice * 4, tail.len() as i64);
        let mine = Tensor::cat(&[sum.view_dtype(Kind::Uint8), Tensor::from_slice(&tail).to_device(group.device())], 0);
        let all = Tensor::empty([workers * (number + said)], (Kind::Uint8, group.device()));
        wait(ATTEMPT, group.all_gather(&all, &mine), ear)?;
        let all = all.view([workers, number + said]);
        let gradient = all.narrow(1, 0, number).contiguous().view([-1]).view_dtype(Kind::Float);
        let said_by_all = all.narrow(1, number, said).to_device(tch::Device::Cpu);
        let tails = (0..workers).map(|rank| bytes_of(&said_by_all.i(rank).contiguous())).collect();
        Ok(Reduced { gradient: S::of(gradient.narrow(0, 0, length).contiguous()), tails })
    }

    fn pass_on(&mut self, bytes: &[u8], ear: &dyn Ear) -> Result<Vec<u8>, Broken> {
        const ATTEMPT: &str = "pass on";
        let (next, before) = (self.peer(1), self.peer(self.seat.size - 1));
        let (mine, theirs) = (Tensor::from_slice(&[bytes.len() as i64]), Tensor::from_slice(&[0i64]));
        let sending = self.group.send(&mine, next, 0);
        wait(ATTEMPT, self.group.recv(&theirs, before, 0), ear)?;
        wait(ATTEMPT, sending, ear)?;
        let theirs = empty(ATTEMPT, lengths_of(&theirs)[0])?;
        let mine = Tensor::from_slice(bytes);
        let sending = (!bytes.is_empty()).then(|| self.group.send(&mine, next, 0));
        if theirs.numel() > 0 {
            wait(ATTEMPT, self.group.recv(&theirs, before, 0), ear)?;
        }
        if let Some(sending) = sending {
            wait(ATTEMPT, sending, ear)?;
        }
        Ok(bytes_of(&theirs))
    }

    fn gather(&mut self, bytes: &[u8], ear: &dyn Ear) -> Result<Vec<Vec<u8>>, Broken> {
        const ATTEMPT: &str = "gather";
        let workers = self.size();
        let lengths = Tensor::zeros([workers], (Kind::Int64, tch::Device::Cpu));
        wait(ATTEMPT, self.group.all_gather(&lengths, &Tensor::from_slice(&[bytes.len() as i64])), ear)?;
        let lengths = lengths_of(&lengths);
        let longest = lengths.iter().copied().max().unwrap_or(0).max(1);
        let mine = empty(ATTEMPT, longest)?;
        mine.narrow(0, 0, bytes.len() as i64).copy_(&Tensor::from_slice(bytes));
        let all = empty(ATTEMPT, workers * longest)?;
        wait(ATTEMPT, self.group.all_gather(&all, &mine), ear)?;
        let all = all.view([workers, longest]);
        Ok((0..)
            .zip(&lengths)
            .map(|(rank, length)| bytes_of(&all.i(rank).narrow(0, 0, *length).contiguous()))
            .collect())
    }

    fn broadcast(&mut self, from: Rank, bytes: Option<&[u8]>, ear: &dyn Ear) -> Result<Vec<u8>, Broken> {
        const ATTEMPT: &str = "broadcast";
        let length = Tensor::from_slice(&[bytes.map_or(0, |bytes| bytes.len() as i64)]);
        wait(ATTEMPT, self.group.broadcast(&length, from.index()), ear)?;
        let payload = match bytes {
            Some(bytes) => Tensor::from_slice(bytes),
            None => empty(ATTEMPT, lengths_of(&length)[0])?,
        };
        if payload.numel() > 0 {
            wait(ATTEMPT, self.group.broadcast(&payload, from.index()), ear)?;
        }
        Ok(bytes_of(&payload))
    }

    fn send(&mut self, to: Rank, bytes: &[u8], ear: &dyn Ear) -> Result<(), Broken> {
        self.send_to(to.index(), bytes, ear)
    }

    fn receive(&mut self, from: Rank, ear: &dyn Ear) -> Result<Vec<u8>, Broken> {
        self.receive_from(from.index(), ear)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(values: &[f32]) -> Tensor {
        Tensor::from_slice(values)
    }

    #[test]
    fn a_gradient_that_does_not_divide_ends_in_zeros() {
        let sliced = Tensor::full([3, 2, 2], f64::NAN, (Kind::Float, tch::Device::Cpu));
        lay(&[vector(&[1.0, 2.0, 3.0, 4.0, 5.0]), vector(&[6.0, 7.0, 8.0, 9.0, 10.0])], &sliced);
        let laid: Vec<f32> = Vec::try_from(sliced.view([-1])).unwrap();
        assert_eq!(laid, [1.0, 2.0, 6.0, 7.0, 3.0, 4.0, 8.0, 9.0, 5.0, 0.0, 10.0, 0.0]);
    }

    #[test]
    fn fewer_values_than_workers_leave_some_with_zeros() {
        let sliced = Tensor::full([4, 1, 1], f64::NAN, (Kind::Float, tch::Device::Cpu));
        lay(&[vector(&[1.0, 2.0])], &sliced);
        assert_eq!(Vec::<f32>::try_from(sliced.view([-1])).unwrap(), [1.0, 2.0, 0.0, 0.0]);
    }

    #[test]
    fn what_is_no_number_and_what_is_beyond_all_is_not_finite() {
        assert_eq!(finite(&vector(&[0.0, -3.0, f32::MAX])), Finite::Yes);
        assert_eq!(finite(&vector(&[])), Finite::Yes);
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(finite(&vector(&[0.0, odd, 1.0])), Finite::No, "{odd}");
            let mut long = vec![0.5; 1_000];
            long[777] = odd;
            assert_eq!(finite(&vector(&long)), Finite::No, "{odd}");
        }
    }
}

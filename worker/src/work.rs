//! From one job to the next: waits for orders, picks the learner that the job names, and runs it until it is released; or
//! refines. Refuses to know what a step is.

#[cfg(test)]
mod tests;

use crate::{
    learner::Learner,
    link::{Dial, Flat},
    piecework::work_off,
    toy::Toy,
    train::{Desk, Make, Prepared, Run, Trouble},
};
use sumac_common::{
    conversation::Order,
    member::{Event, Member, Next},
    spec::{Spec, model::Preset},
    workbench,
};
use tracing::{info, info_span, warn};

/// Makes links for either learner.
#[cfg(feature = "torch")]
type Dialler = crate::link::c10d::GroupDial;

/// Works until the mailbox closes.
#[cfg(feature = "torch")]
pub fn work(desk: &Desk<'_>, host: std::net::IpAddr) {
    use crate::simgan::SimGan;
    let dial = || Dialler::at(host, desk.device);
    let train = |member: &mut Member, job, spec: Spec| match spec.what.model.preset {
        Preset::Toy => train::<Toy, _>(desk, member, job, spec, |_, _, _| Ok(Toy::default()), dial()),
        _ => train::<SimGan, _>(desk, member, job, spec, SimGan::with, dial()),
    };
    each_job(desk, train);
}

/// Works until the mailbox closes, on toys only: this build has no tensors.
pub fn work_on_toys<D: Dial<Vec<f32>>>(desk: &Desk<'_>, dial: impl Fn() -> D) {
    let train = |member: &mut Member, job, spec: Spec| match spec.what.model.preset {
        Preset::Toy => train::<Toy, _>(desk, member, job, spec, |_, _, _| Ok(Toy::default()), dial()),
        other => {
            let why = format!("model.preset {other:?} needs a worker built with libtorch");
            let reports = member.step(Event::Unprepared(why));
            desk.mailbox.report(reports, member.standing());
        }
    };
    each_job(desk, train);
}

/// What came in since the last time.
pub(crate) fn events(desk: &Desk<'_>) -> Vec<Event> {
    let mut events: Vec<Event> = desk.mailbox.orders().into_iter().map(Event::Told).collect();
    for event in &events {
        // Who is turned away looks into the log of its worker for the reason.
        if let Event::Told(Order::Release { job, why: Some(why) }) = event {
            warn!(%job, why, "not fit for this job");
        }
    }
    if desk.mailbox.goodbye() {
        events.push(Event::Goodbye);
    }
    events
}

fn each_job(desk: &Desk<'_>, mut train: impl FnMut(&mut Member, sumac_common::ids::JobId, Spec)) {
    let mut member = Member::new(desk.me.clone());
    while !desk.mailbox.closed() && !member.may_go() {
        for event in events(desk) {
            let reports = member.step(event);
            desk.mailbox.report(reports, member.standing());
        }
        match member.next() {
            Next::Prepare { job, spec } => {
                let (job, spec) = (job.clone(), spec.clone());
                info!(%job, "preparing");
                train(&mut member, job, spec);
                desk.mailbox.beat(None);
            }
            Next::Bench(bench) if bench.next() == workbench::Next::Prepare => {
                info!(job = %bench.job(), kind = bench.work().kind(), "preparing");
                work_off(desk, &mut member);
                desk.mailbox.beat(None);
            }
            _ if member.may_go() => {}
            _ => desk.mailbox.wait(),
        }
    }
}

fn train<L, D>(desk: &Desk<'_>, member: &mut Member, job: sumac_common::ids::JobId, spec: Spec, make: Make<L>, dial: D)
where
    L: Learner,
    L::Sum: Flat,
    D: Dial<L::Sum>,
{
    let _span = info_span!("job", %job).entered();
    let is_released = |order: &Order| matches!(order, Order::Release { job: theirs, .. } if *theirs == job);
    let wanted = || !desk.mailbox.closed() && !desk.mailbox.any(is_released);
    match Prepared::of(desk, &spec, make, &wanted) {
        Ok(prepared) => {
            let readiness = prepared.readiness();
            info!(%job, data = %readiness.data.short(), "ready");
            let mut run = Run::new(desk, member, job, make, dial, prepared);
            run.tell(Event::Prepared(readiness));
            run.train();
        }
        Err(Trouble::Failed(why)) => {
            let reports = member.step(Event::Unprepared(why));
            desk.mailbox.report(reports, member.standing());
        }
        // Nobody wants it any more, and what told us so is in the mailbox.
        Err(Trouble::Left(_)) => {}
    }
}

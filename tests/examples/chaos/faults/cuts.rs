//! Cut links: a host that vanishes without a word, and two workers that do not reach each other though everybody else does.

use crate::{
    campaign::Campaign,
    dice::Dice,
    network::Network,
    row::Row,
    stage::{Model, Stage, room, wait_a_moment},
};
use std::time::{Duration, Instant};
use sumac_tests::Cluster;

/// On this host, and on two others.
const WORKERS: [(&str, Option<u8>); 3] = [("w0", None), ("w1", Some(2)), ("w2", Some(3))];

/// Of the last host, from everybody. No connection is reset.
pub(crate) fn of_a_host(campaign: &mut Campaign, model: Model, n: u64) -> Row {
    let mut row = Row::new("host cut off, healed", model.name());
    let mut healed = Vec::new();
    let played = play(campaign, &mut row, model, n, |network, stage, row, dice| {
        let Some(before) = stage.whole(WORKERS.len()) else { return Ok(false) };
        wait_a_moment(dice);
        let since = Instant::now();
        network.cut(3)?;
        let (times, entered) = stage.mended(since, before.generation);
        let healing = Instant::now();
        network.heal(3)?;
        row.time(times);
        if entered.is_none() || stage.whole(WORKERS.len()).is_none() {
            return Ok(false);
        }
        healed.push(healing.elapsed().as_secs_f64());
        Ok(true)
    });
    if !played {
        return row;
    }
    let slowest = healed.iter().copied().fold(0.0, f64::max);
    row.notes.push(format!("{} times back among the others, at most {slowest:.1} s after the link was", healed.len()));
    row.demand_detection(Duration::from_secs(6));
    row.demand_recovery(Duration::from_secs(15), Duration::from_secs(15));
    row
}

/// What the second worker sends to the third is lost; the coordinator hears all of them. One of the two is left out.
pub(crate) fn of_one_way(campaign: &mut Campaign, model: Model, n: u64) -> Row {
    let mut row = Row::new("one way between two workers cut", model.name());
    let played = play(campaign, &mut row, model, n, |network, stage, row, dice| {
        let Some(before) = stage.whole(WORKERS.len()) else { return Ok(false) };
        wait_a_moment(dice);
        let since = Instant::now();
        network.part(2, 3)?;
        let (times, entered) = stage.went_on(since, before.generation);
        network.join(2, 3)?;
        row.time(times);
        let Some(entered) = entered else { return Ok(false) };
        let left_out = WORKERS.iter().find(|(name, _)| !entered.roster.iter().any(|member| member == name));
        let Some((name, host)) = left_out else { return Err(format!("{:?} went on", entered.roster)) };
        // Who dials anew is asked again at once.
        stage.cluster.kill(name);
        join(network, &mut stage.cluster, name, *host)?;
        Ok(stage.whole(WORKERS.len()).is_some())
    });
    if !played {
        return row;
    }
    row.demand_recovery(Duration::from_secs(45), Duration::from_secs(45));
    row
}

/// `false` where there can be no such network.
fn play(
    campaign: &mut Campaign,
    row: &mut Row,
    model: Model,
    n: u64,
    mut fault: impl FnMut(&Network, &mut Stage, &mut Row, &mut Dice) -> Result<bool, String>,
) -> bool {
    let network = match Network::new() {
        Ok(network) => network,
        Err(why) => {
            row.notes.push(format!("skipped: {why}"));
            return false;
        }
    };
    let undisturbed = campaign.references.of(model).clone();
    let (mut dice, n) = (campaign.dice(row), campaign.times(n));
    let mut cluster = Cluster::start_at(room(), &format!("{}:0", network.here()));
    let joined = WORKERS.iter().try_for_each(|(name, host)| join(&network, &mut cluster, name, *host));
    let mut stage = Stage::on(cluster, model, model.job("cut").at_most(WORKERS.len() as u32));
    let mut played = 0;
    let mut outcome = joined.map(|()| true);
    while outcome == Ok(true) && played < n && stage.has_time() {
        outcome = fault(&network, &mut stage, row, &mut dice);
        if outcome == Ok(true) {
            played += 1;
            eprint!("\r  {}: {played}/{n} ", row.fault);
        }
    }
    eprintln!();
    if let Err(why) = outcome {
        row.missed.push(why);
    }
    let verdict = stage.end(&undisturbed);
    row.judge(played, &verdict);
    row.redone_max = verdict.redone;
    row.demand(played == n, || format!("played {played} of {n} times before the run ended"));
    true
}

fn join(network: &Network, cluster: &mut Cluster, name: &str, host: Option<u8>) -> Result<(), String> {
    match host {
        None => cluster.join(name),
        Some(host) => {
            let prefix = network.on(host)?;
            cluster.join_behind(name, &prefix.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }
    Ok(())
}

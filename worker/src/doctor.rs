//! `sumac-worker doctor`: what is found of this machine, without a coordinator. It measures nothing itself and judges nothing.

use super::{Ending, NOT_AS_IT_IS, OnDevice, USAGE, ending, engine, roots_of};
use clap::ValueEnum;
use serde::Serialize;
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use sumac_common::{
    examination::{self, Finding, Grade},
    ids::NodeId,
    spec::{self, Data, Precision, Spec},
};
use sumac_data::{freeze::cache_folder, storage::absolute};
use sumac_worker::{
    examining::{Examiner, host_name},
    fingerprint,
};

/// Something that was looked at is as it must not be.
const FAILED: u8 = 1;

#[derive(clap::Args)]
pub(super) struct DoctorArgs {
    /// Look at the data sets and the output folder of this job, too; `-` reads it from stdin.
    #[arg(long, value_name = "FILE")]
    job: Option<PathBuf>,

    #[command(flatten)]
    device: OnDevice,

    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,

    /// Where decoded data sets are kept on this machine.
    #[arg(long, env = "SUMAC_CACHE", value_name = "DIR")]
    cache: Option<PathBuf>,

    /// As of `run`: folders that jobs may have it read and write.
    #[arg(long = "data-root", env = "SUMAC_DATA_ROOT", value_name = "DIR", value_delimiter = ',')]
    data_roots: Vec<PathBuf>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    #[default]
    Table,
    Json,
}

/// What is found, as `sumac doctor` reads it.
#[derive(Serialize)]
struct Found {
    findings: Vec<Finding>,
}

pub(super) fn run(args: DoctorArgs) -> Result<(), Ending> {
    let as_it_is = ending(NOT_AS_IT_IS);
    let roots = roots_of(&args.data_roots)?;
    let job = args.job.as_deref().map(read_job).transpose()?;
    let device = engine::set_up(args.device.device)?;
    let examiner = Examiner { node: NodeId(host_name()), cache: args.cache.unwrap_or_else(cache_folder), roots };
    let mut findings = examiner.machine();
    let found = || fingerprint::on(device, 1, Precision::F32);
    let twice = found().and_then(|one| Ok((one, found()?)));
    findings.push(examination::computes(twice.map_err(|error| error.to_string())));
    findings.extend(job.iter().flat_map(|job| examiner.job(job, None)));
    let failed = findings.iter().filter(|finding| finding.grade == Grade::Bad).count();
    match args.output {
        Output::Table => findings.iter().for_each(|finding| println!("{finding}")),
        Output::Json => {
            println!("{}", serde_json::to_string(&Found { findings }).map_err(|error| as_it_is(&error))?);
        }
    }
    match failed {
        0 => Ok(()),
        failed => Err(ending(FAILED)(&format!("{failed} of the above failed"))),
    }
}

fn read_job(file: &Path) -> Result<Spec, Ending> {
    let usage = ending(USAGE);
    let is_stdin = file == Path::new("-");
    let text = if is_stdin { io::read_to_string(io::stdin()) } else { fs::read_to_string(file) };
    let text = text.map_err(|error| usage(&format!("cannot read the job file {}: {error}", file.display())))?;
    let mut spec = spec::read(&text, &[]).map_err(|faults| usage(&format!("{}: {faults}", file.display())))?;
    let Data { synthetic, real, .. } = &mut spec.what.data;
    for path in [synthetic, real, &mut spec.how.output.dir] {
        *path = absolute(path).map_err(|error| usage(&error))?;
    }
    Ok(spec)
}

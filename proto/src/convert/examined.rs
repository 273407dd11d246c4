//! What `doctor` asks, and what is answered.

use super::{
    BadWire,
    observed::{time, wire_time},
    parts::{address, worker},
    present,
};
use crate::v1;
use std::{path::PathBuf, time::SystemTime};
use sumac_common::{
    examination::{Answer, Examination, Finding, Grade, Peer},
    ids::NodeId,
    spec,
};

impl From<Grade> for v1::Grade {
    fn from(grade: Grade) -> Self {
        match grade {
            Grade::Good => Self::Good,
            Grade::Odd => Self::Odd,
            Grade::Bad => Self::Bad,
        }
    }
}

impl From<Finding> for v1::Finding {
    fn from(Finding { grade, what, remedy }: Finding) -> Self {
        Self { grade: v1::Grade::from(grade).into(), what, remedy }
    }
}

impl TryFrom<v1::Finding> for Finding {
    type Error = BadWire;

    fn try_from(v1::Finding { grade, what, remedy }: v1::Finding) -> Result<Self, BadWire> {
        let grade = match v1::Grade::try_from(grade) {
            Ok(v1::Grade::Good) => Grade::Good,
            Ok(v1::Grade::Odd) => Grade::Odd,
            Ok(v1::Grade::Bad) => Grade::Bad,
            Ok(v1::Grade::Unspecified) | Err(_) => {
                return Err(BadWire::Unknown { message: "Finding", field: "grade", value: grade });
            }
        };
        Ok(Self { grade, what, remedy })
    }
}

pub(super) fn wire_answer(number: u64, at: SystemTime, Answer { engine, findings }: Answer) -> v1::Examined {
    let findings = findings.into_iter().map(Into::into).collect();
    v1::Examined { number, at: Some(wire_time(at)), engine, findings }
}

pub(super) fn answer(examined: v1::Examined) -> Result<(u64, SystemTime, Answer), BadWire> {
    let at = time(present(examined.at, "Examined", "at")?);
    let findings = examined.findings.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?;
    Ok((examined.number, at, Answer { engine: examined.engine, findings }))
}

impl From<Examination> for v1::examine::What {
    fn from(what: Examination) -> Self {
        match what {
            Examination::Look { peers, job, token } => {
                let peer = |Peer { worker, node, store }: Peer| v1::Peer {
                    worker: worker.0,
                    node: node.0,
                    store: store.to_string(),
                };
                let peers = peers.into_iter().map(peer).collect();
                Self::Look(v1::examine::Look { peers, spec_toml: job.map(|spec| spec.to_toml()), token })
            }
            Examination::Compare { output, token, nodes } => Self::Compare(v1::examine::Compare {
                output_dir: output.to_string_lossy().into_owned(),
                token,
                nodes: nodes.into_iter().map(|node| node.0).collect(),
            }),
            Examination::Clear { output, token } => {
                Self::Clear(v1::examine::Clear { output_dir: output.to_string_lossy().into_owned(), token })
            }
        }
    }
}

impl TryFrom<v1::examine::What> for Examination {
    type Error = BadWire;

    fn try_from(what: v1::examine::What) -> Result<Self, BadWire> {
        let node = |name: String| match name.is_empty() {
            true => Err(BadWire::Missing { message: "Examine", field: "node" }),
            false => Ok(NodeId(name)),
        };
        Ok(match what {
            v1::examine::What::Look(v1::examine::Look { peers, spec_toml, token }) => {
                let peer = |v1::Peer { worker: name, node: its, store }: v1::Peer| {
                    let store = address(&store, "Peer", "store")?;
                    Ok(Peer { worker: worker(name, "Peer")?, node: node(its)?, store })
                };
                let job = spec_toml.map(|text| {
                    let read = spec::read(&text, &[]).map(Box::new);
                    read.map_err(|faults| BadWire::BadSpec { message: "Examine", faults })
                });
                let peers = peers.into_iter().map(peer).collect::<Result<_, BadWire>>()?;
                Self::Look { peers, job: job.transpose()?, token }
            }
            v1::examine::What::Compare(v1::examine::Compare { output_dir, token, nodes }) => Self::Compare {
                output: PathBuf::from(output_dir),
                token,
                nodes: nodes.into_iter().map(node).collect::<Result<_, _>>()?,
            },
            v1::examine::What::Clear(v1::examine::Clear { output_dir, token }) => {
                Self::Clear { output: PathBuf::from(output_dir), token }
            }
        })
    }
}

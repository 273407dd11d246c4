//! What a finished run left, and what it was trained on. Knows nothing of figures.

use super::Args;
use anyhow::{Context, ensure};
use std::{fs, path::Path};
use sumac_common::{
    evaluation::JUDGE_NET,
    ids::{ContentId, SampleId},
    spec::{self, Spec},
};
use sumac_data::{Label, Source, freeze, freeze::Terms};
use sumac_worker::{
    downstream::{Pictures, Targets},
    learner::{Images, Learner},
    simgan::SimGan,
};
use tch::Tensor;

/// What a finished run left, and what it was trained on.
pub(crate) struct Run {
    pub(crate) spec: Spec,
    pub(crate) steps: u64,
    pub(crate) summary: serde_json::Value,
    refiner: SimGan,
    pub(crate) synthetic: Pictures,
    pub(crate) real: Pictures,
}

impl Run {
    pub(crate) fn open(args: &Args) -> anyhow::Result<Self> {
        let file = |name: &str| {
            let path = args.run.join(name);
            fs::read(&path).with_context(|| format!("reading `{}`: is the run finished?", path.display()))
        };
        let text = String::from_utf8(file("spec.toml")?).context("spec.toml is not text")?;
        let mut spec = spec::read(&text, &[]).map_err(|faults| anyhow::anyhow!("spec.toml: {:?}", faults.0))?;
        spec.what.data.synthetic = args.synthetic.clone().unwrap_or(spec.what.data.synthetic);
        spec.what.data.real = args.real.clone().unwrap_or(spec.what.data.real);
        let (image, side_min) = (spec.what.data.image, JUDGE_NET.side_min());
        ensure!(
            image.height.min(image.width) >= side_min,
            "images of {}x{} pixels are too small for the judging classifier, which needs {side_min}x{side_min}",
            image.height,
            image.width
        );
        let summary: serde_json::Value =
            serde_json::from_slice(&file("summary.json")?).context("summary.json is not JSON")?;
        let data = &spec.what.data;
        Ok(Self {
            steps: summary["steps"].as_u64().context("summary.json names no steps")?,
            summary,
            refiner: SimGan::of_exported(&spec, &file("refiner.safetensors")?)?,
            synthetic: read("synthetic", &data.synthetic, Terms::synthetic(data), &args.cache)?,
            real: read("real", &data.real, Terms::real(data), &args.cache)?,
            spec,
        })
    }

    pub(crate) fn refined(&self) -> anyhow::Result<Tensor> {
        let ids = vec![ContentId::default(); self.synthetic.len()];
        let pixels = Vec::try_from(self.synthetic.nchw.contiguous().view([-1]))?;
        let refined = self.refiner.refine(&Images { ids, pixels })?;
        Ok(Tensor::from_slice(&refined.pixels).view_as(&self.synthetic.nchw))
    }
}

/// All of the data set at `path`, frozen in `cache`; with its classes where every image has one.
fn read(which: &str, path: &Path, terms: Terms, cache: &Path) -> anyhow::Result<Pictures> {
    let wanted = || format!("reading the {which} images of `{}`", path.display());
    let source = Source::look(path).with_context(wanted)?;
    let frozen = freeze(&source, terms, cache, &|_, _| {}).with_context(wanted)?;
    let ids: Vec<SampleId> = (0..frozen.len() as u64).map(SampleId).collect();
    let mut pixels = Vec::new();
    frozen.read(&ids, &mut pixels).with_context(wanted)?;
    let keys = frozen.manifest().samples.iter().map(|sample| sample.key.clone()).collect();
    let class = |id: &SampleId| match frozen.label(*id) {
        Some(Label::Class { index, .. }) => Some(i64::from(*index)),
        _ => None,
    };
    let of: Option<Vec<i64>> = ids.iter().map(class).collect();
    let targets = of.map(|of| Targets::Classes { count: of.iter().max().map_or(0, |most| most + 1), of });
    Ok(Pictures { targets, ..Pictures::new(&pixels, frozen.shape(), keys)? })
}

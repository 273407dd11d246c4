//! `export`: a trained refiner for use elsewhere: its weights, a PyTorch module that loads them, and the job it comes from.

use super::{
    args,
    failure::{Exit, Failure},
    outcome::here,
    refiner,
    render::{grouped, say},
};
use serde::Serialize;
use std::{fs, path::Path};
use sumac_common::spec::model;

/// The module, for whoever has Python.
const LOADER: &str = include_str!("export/refiner.py");

/// What the module is built from.
#[derive(Serialize)]
struct Shape<'a> {
    channels: u32,
    #[serde(flatten)]
    refiner: &'a model::Refiner,
}

pub(super) async fn export(args: args::Export) -> Result<Exit, Failure> {
    let trained = refiner::find(&args.which, &args.reach).await?;
    let what = &trained.spec.what;
    let shape = Shape { channels: what.data.image.channels, refiner: &what.model.refiner };
    let shape = serde_json::to_vec_pretty(&shape).map_err(|error| Failure::of(Exit::Failed, &error))?;
    let folder = &args.folder;
    fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
    let spec = trained.spec.to_toml();
    let files = [
        ("refiner.safetensors", trained.file.as_slice(), "its weights"),
        ("refiner.json", shape.as_slice(), "its shape"),
        ("refiner.py", LOADER.as_bytes(), "a PyTorch module: `from refiner import load`"),
        ("spec.toml", spec.as_bytes(), "the job it comes from"),
    ];
    let is_another =
        |(name, bytes, _): &&(&str, &[u8], &str)| fs::read(folder.join(name)).is_ok_and(|there| there != *bytes);
    if let Some((name, ..)) = files.iter().find(is_another) {
        let what = format!("{} is there already, and another", here(&folder.join(name)).display());
        return Err(Failure::new(Exit::Usage, what).hint("name a new or an empty folder"));
    }
    for (name, bytes, what) in files {
        let file = folder.join(name);
        fs::write(&file, bytes).map_err(|error| unwritable(&file, &error))?;
        say("wrote", format!("{}   {what}", here(&file).display()));
    }
    say("refiner", format!("{} at step {}", trained.run, grouped(trained.step)));
    Ok(Exit::Done)
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("cannot write {}", path.display())).because(Some(error))
}

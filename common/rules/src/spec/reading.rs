//! From a job file to a [`Spec`], or to all of its faults at once.
//!
//! Knows every field, its default and its range. Does not look whether what it names exists.

use super::{
    Data, Device, How, ImageShape, Labels, Output, Resize, Spec, What, Workers,
    document::{Value, lay_out},
    fault::{Faults, any_of},
    model::{Activation, Discriminator, Layer, Matching, Model, Noise, Padding, Preset, Refiner, RefinerOutput},
    presets::Recipe,
    quantity,
    section::{Findings, Section, Whole},
    training,
    words::Choice as _,
};
use std::{path::PathBuf, time::Duration};

/// The largest side of an image, in pixels.
const SIDE_MOST: u32 = 4_096;
/// Maps of a convolution.
const MAPS_MOST: u32 = 1_024;
/// Side of a convolution's kernel, in pixels.
const KERNEL_MOST: u32 = 31;

/// Reads a job file, as TOML, with `--set` overrides (path, value) laid over it.
///
/// # Errors
/// Everything that is wrong, sorted by line; a text that is not TOML has that one fault alone.
pub fn read(text: &str, overrides: &[(String, String)]) -> Result<Spec, Faults> {
    let (fields, faults) = lay_out(text, overrides)?;
    let findings = Findings::default();
    faults.into_iter().for_each(|fault| findings.note(fault));
    let spec = job(&Section::root(&fields, &findings), &findings);
    findings.close(&fields)?;
    Ok(spec)
}

/// A field that was refused stands here with its default: `read` does not let such a spec out.
fn job(root: &Section<'_>, findings: &Findings) -> Spec {
    kind(root);
    let name = name(root);
    let [networks, training] = ["model", "train"].map(|table| root.section(table));
    let (preset, recipe) = preset(&networks, findings);
    let data = data(&root.section("data"), preset, &recipe);
    let model = model(&networks, preset, &recipe);
    let image = root.sound(&["data.image"]).then_some(data.image);
    let train = training::train(&training, &recipe, image);
    let (workers, threads) = workers(&root.section("workers"), &training, train.lanes);
    let output = output(&root.section("output"), &name);
    Spec { name, what: What { data, model, train, threads }, how: How { workers, output } }
}

/// Refining and evaluating are commands, whose files are read by whoever knows their options.
fn kind(root: &Section<'_>) {
    match root.text("kind") {
        None | Some("train") => {}
        Some("refine" | "evaluate") => root.refuse("kind", "must be `train` here", "name a job that trains"),
        Some(_) => root.refuse("kind", "is no kind of job", "one of train, refine, evaluate"),
    }
}

/// It names folders and jobs, so it has to be fit for both.
fn name(root: &Section<'_>) -> String {
    const WANTED: &str = "must be 1 to 40 small letters, digits, `-` or `_`, a letter or digit first";
    let Some(name) = root.text("name") else {
        if !root.says("name") {
            root.refuse("name", "is missing", "say what the job is called, such as name = \"eyes\"");
        }
        return String::new();
    };
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fits = name.len() <= 40 && name.starts_with(plain) && name.chars().all(|c| plain(c) || c == '-' || c == '_');
    if !fits {
        root.refuse("name", WANTED, "such as \"eyes-2\"");
    }
    name.to_owned()
}

/// Without a preset the rest is still read, so that its own faults are found as well.
fn preset(model: &Section<'_>, findings: &Findings) -> (Preset, Recipe) {
    if !model.says("preset") {
        let presets = any_of(&Preset::words());
        model.refuse("preset", "is missing", format!("say which networks to train: {presets}"));
    }
    let preset = model.choice("preset").unwrap_or_else(|| {
        findings.distrust_defaults();
        Preset::PaperEyes
    });
    (preset, preset.recipe())
}

fn data(data: &Section<'_>, preset: Preset, recipe: &Recipe) -> Data {
    let folder = |field: &str, what: &str| -> PathBuf {
        // The toy makes up its own images.
        if preset == Preset::Toy {
            return data.text(field).unwrap_or_default().into();
        }
        if !data.says(field) {
            data.refuse(field, "is missing", format!("say where the {what} images are"));
        }
        data.filled(field).unwrap_or_default().into()
    };
    let image = data.section("image");
    let [height, width] =
        image.pair("size", ["height", "width"], 1..=SIDE_MOST).unwrap_or([recipe.image.height, recipe.image.width]);
    Data {
        synthetic: folder("synthetic", "labelled synthetic"),
        real: folder("real", "unlabelled real"),
        image: ImageShape { channels: image.whole("channels", 1..=16).unwrap_or(recipe.image.channels), height, width },
        resize: data.choice("resize").unwrap_or(Resize::Exact),
        max_bad: max_bad(data).unwrap_or(0.001),
        labels: data.choice("labels").unwrap_or(Labels::Optional),
    }
}

/// A share of the images, as a number or as a percentage.
fn max_bad(data: &Section<'_>) -> Option<f64> {
    data.value("max_bad", |value| {
        let share = match value {
            Value::Text(text) => quantity::percentage(text),
            Value::Real(share) => Some(*share),
            Value::Whole(share) => Some(*share as f64),
            _ => None,
        };
        let refusal = || {
            let problem = "must be a share from 0 to 1, or a percentage in quotes".to_owned();
            (problem, "such as 0.001 or \"0.1%\"".to_owned())
        };
        share.filter(|share| (0.0..=1.0).contains(share)).ok_or_else(refusal)
    })
}

fn model(model: &Section<'_>, preset: Preset, recipe: &Recipe) -> Model {
    let (refiner, discriminator) = (model.section("refiner"), model.section("discriminator"));
    let noise = refiner.section("noise");
    Model {
        preset,
        refiner: Refiner {
            width: refiner.whole("width", 1..=MAPS_MOST).unwrap_or(recipe.refiner.width),
            blocks: refiner.whole("blocks", 0..=64).unwrap_or(recipe.refiner.blocks),
            kernel: odd(&refiner, "kernel").unwrap_or(recipe.refiner.kernel),
            output: refiner.choice::<RefinerOutput>("output").unwrap_or(recipe.refiner.output),
            padding: refiner.choice::<Padding>("padding").unwrap_or(recipe.refiner.padding),
            noise: Noise {
                image: noise.whole("image", 0..=64).unwrap_or(recipe.refiner.noise.image),
                pixel: noise.whole("pixel", 0..=64).unwrap_or(recipe.refiner.noise.pixel),
            },
            light: refiner.flag("light").unwrap_or(recipe.refiner.light),
            matching: refiner.choice::<Matching>("match").unwrap_or(recipe.refiner.matching),
        },
        discriminator: Discriminator {
            layers: layers(&discriminator).unwrap_or_else(|| recipe.discriminator.layers.clone()),
            activation: discriminator.choice::<Activation>("activation").unwrap_or(recipe.discriminator.activation),
            spectral_norm: discriminator.flag("spectral_norm").unwrap_or(recipe.discriminator.spectral_norm),
        },
    }
}

/// A kernel has a middle, or an image would move under it.
fn odd(section: &Section<'_>, field: &str) -> Option<u32> {
    let kernel = section.whole(field, 1..=KERNEL_MOST)?;
    if kernel.is_multiple_of(2) {
        section.refuse(field, "must be odd", format!("nearest are {} and {}", kernel - 1, kernel + 1));
        return None;
    }
    Some(kernel)
}

fn layers(discriminator: &Section<'_>) -> Option<Vec<Layer>> {
    let sections = discriminator.sections("layers", "[{ conv = 3, stride = 2, maps = 96 }, { pool = 3 }]")?;
    let layers: Vec<Layer> = sections.iter().filter_map(layer).collect();
    // Only where every layer could be read is it known which one is last.
    let ends_in_two_maps = matches!(layers.last(), Some(Layer::Conv { maps: 2, .. }));
    if layers.len() == sections.len() && !ends_in_two_maps {
        let remedy = "end with { conv = 1, maps = 2 }";
        discriminator.refuse("layers", "must end in a convolution with two maps, real and refined", remedy);
    }
    if sections.len() > 64 {
        discriminator.refuse("layers", "must be at most 64 layers", "");
    }
    Some(layers)
}

/// `{ conv = 3, stride = 2, maps = 96 }` or `{ pool = 3, stride = 1 }`; a stride not given is 1.
fn layer(section: &Section<'_>) -> Option<Layer> {
    let stride = section.whole("stride", 1..=16).unwrap_or(1);
    let says_maps = section.says("maps");
    match (section.says("conv"), section.says("pool")) {
        (true, false) => {
            let kernel = odd(section, "conv");
            if !says_maps {
                section.refuse("maps", "is missing", "say how many maps the convolution makes");
            }
            let maps = section.whole("maps", 1..=MAPS_MOST);
            Some(Layer::Conv { kernel: kernel?, stride, maps: maps? })
        }
        (false, true) => {
            if says_maps {
                section.refuse("maps", "does not belong to a pool", "it keeps the maps it is given");
            }
            Some(Layer::MaxPool { kernel: odd(section, "pool")?, stride })
        }
        (both, _) => {
            let problem = if both { "has a pool beside it" } else { "is missing, and so is a pool" };
            section.refuse("conv", problem, "a layer is one of the two, with its kernel's side as value");
            None
        }
    }
}

/// And the threads of each, which belong to what a run is.
fn workers(section: &Section<'_>, train: &Section<'_>, lanes: u32) -> (Workers, u32) {
    let min = section.whole("min", 1..=u32::MOST).unwrap_or(1);
    let max = section.whole("max", 1..=u32::MOST);
    let lanes_known = train.sound(&["lanes", "batch"]);
    if lanes_known && max.is_some_and(|max| max > lanes) {
        let problem = format!("is more workers than train.lanes = {lanes} can occupy");
        let remedy = format!("write at most {lanes}, or raise train.lanes");
        section.refuse("max", problem, remedy);
    }
    let most = max.unwrap_or(lanes);
    if section.sound(&["min", "max"]) && lanes_known && min > most {
        let limit = if max.is_some() { "workers.max" } else { "train.lanes" };
        section.refuse("min", format!("must not be above {limit} = {most}"), format!("write at most {most}"));
    }
    let workers = Workers { min, max: most, device: section.choice("device").unwrap_or(Device::Auto) };
    (workers, section.whole("threads", 1..=256).unwrap_or(1))
}

fn output(section: &Section<'_>, name: &str) -> Output {
    Output {
        dir: section.filled("dir").map_or_else(|| PathBuf::from(format!("runs/{name}")), PathBuf::from),
        checkpoint_every: interval(section, "checkpoint_every").unwrap_or(Duration::from_secs(5 * 60)),
        checkpoint_steps: section.whole("checkpoint_steps", 1..=u64::MOST),
        // One alone would leave nothing to go back to while it is found to be damaged.
        keep: section.whole("keep", 2..=1_000).unwrap_or(2),
        keep_every: section.whole("keep_every", 1..=u64::MOST),
        samples_every: section.whole("samples_every", 1..=u64::MOST).unwrap_or(250),
    }
}

fn interval(section: &Section<'_>, field: &str) -> Option<Duration> {
    section.value(field, |value| {
        let interval = match value {
            Value::Text(text) => quantity::duration(text),
            _ => None,
        };
        let month = Duration::from_secs(31 * 24 * 60 * 60);
        let refusal = || {
            let problem = "must be a duration with its unit, in quotes, from 1ms to 31d".to_owned();
            (problem, "such as \"5m\", \"30s\" or \"250ms\"".to_owned())
        };
        interval.filter(|interval| !interval.is_zero() && *interval <= month).ok_or_else(refusal)
    })
}

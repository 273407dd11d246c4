//! `init`: a commented job file from a look at two data sets. It proposes a first run; whoever knows more edits the file.

use super::{
    args::Init,
    data::{not_known, word},
    destination::blocking,
    failure::{Exit, Failure, print_hint},
    job_file,
    outcome::here,
    render::{counted, grouped, say},
};
use std::{
    fs::OpenOptions,
    io::{self, ErrorKind, Write as _},
    path::{Path, PathBuf},
};
use sumac_common::spec::{default_lanes, model::Preset};
use sumac_data::{
    Source,
    source::{Inspection, SizeCount},
};

/// Headers that are read of each set: enough to know what is usual.
const HEADERS_MAX: usize = 2_000;
/// Above so many pixels a side, training on two cores takes hours: a first run is proposed on smaller images.
const SIDE_AMPLE: u32 = 128;
/// How large the longer side then is.
const SIDE_FIRST: u32 = 64;
/// Updates of a first run, after pre-training.
const STEPS: u64 = 950;

pub(super) async fn init(asked: Init) -> Result<Exit, Failure> {
    let Init { file, synthetic, real, name, preset } = asked;
    let is_printed = file == Path::new("-");
    if !is_printed && file.exists() {
        return Err(is_there(&file));
    }
    let [synthetic_seen, real_seen] = [look(synthetic.clone()).await?, look(real.clone()).await?];
    let name = name.unwrap_or_else(|| named_after(&file));
    let draft = Draft::of(name, [(&synthetic, &synthetic_seen), (&real, &real_seen)], preset);
    let text = draft.text();
    // What is wrong with it is wrong with the name or with the images: its other lines are always the same.
    let spec = job_file::check(&file.display().to_string(), &text, &[], None)?;
    if is_printed {
        anstream::print!("{text}");
        return Ok(Exit::Done);
    }
    write_new(&file, &text)?;
    let file = here(&file).display().to_string();
    say("written", &file);
    say("synthetic", draft.synthetic.in_words());
    say("real", draft.real.in_words());
    spec.summary().iter().for_each(|line| anstream::println!("  {line}"));
    job_file::warn(&spec);
    print_hint(&format!("`sumac up {file}` runs it here, `sumac submit {file} --follow` on a cluster"));
    Ok(Exit::Done)
}

async fn look(path: PathBuf) -> Result<Inspection, Failure> {
    let inspected = {
        let path = path.clone();
        blocking(move || Source::look(&path).map(|source| source.inspect(Some(HEADERS_MAX)))).await?
    };
    let inspection = inspected.map_err(|error| not_known(&error))?;
    if inspection.sizes.is_empty() {
        let failure = Failure::new(Exit::Failed, format!("no image in {} can be read", here(&path).display()));
        return Err(failure.hint(format!("sumac data validate {}", here(&path).display())));
    }
    Ok(inspection)
}

fn is_there(file: &Path) -> Failure {
    Failure::new(Exit::Usage, format!("{} is there already, and stays as it is", file.display()))
        .hint("name another file, or `-` to print the job")
}

/// Never over one that somebody else has written meanwhile.
fn write_new(file: &Path, text: &str) -> Result<(), Failure> {
    let written = OpenOptions::new().write(true).create_new(true).open(file).and_then(|mut to| {
        to.write_all(text.as_bytes())?;
        to.sync_all()
    });
    written.map_err(|error: io::Error| match error.kind() {
        ErrorKind::AlreadyExists => is_there(file),
        _ => Failure::new(Exit::Failed, format!("cannot write {}", file.display())).because(Some(&error)),
    })
}

/// What a job may be called that stands in this file.
fn named_after(file: &Path) -> String {
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().to_lowercase()).unwrap_or_default();
    let plain = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' { c } else { '-' };
    let name: String = stem.chars().map(plain).take(40).collect();
    let name = name.trim_start_matches(['-', '_']);
    if name.is_empty() { "job".to_owned() } else { name.to_owned() }
}

/// A proposal.
#[derive(Debug)]
struct Draft {
    name: String,
    synthetic: Seen,
    real: Seen,
    /// Height and width.
    size: [u32; 2],
    channels: u32,
    preset: Preset,
}

/// One of its data sets.
#[derive(Debug)]
struct Seen {
    path: String,
    images: usize,
    /// The most frequent size, and whether there are others.
    usual: SizeCount,
    has_others: bool,
    /// What the labels are, if there are any, and whether each image has one.
    labels: Option<(String, bool)>,
}

impl Seen {
    fn of(path: &Path, seen: &Inspection) -> Self {
        let labels = seen.labels.kind.as_ref().map(|kind| (word(kind), seen.labels.missing == 0));
        let nothing = SizeCount { width: 1, height: 1, channels: 1, bits: 8, images: 0 };
        Self {
            path: path.display().to_string(),
            images: seen.images,
            usual: seen.sizes.first().cloned().unwrap_or(nothing),
            has_others: seen.sizes.len() > 1,
            labels,
        }
    }

    fn is_colour(&self) -> bool {
        self.usual.channels >= 3
    }

    fn in_words(&self) -> String {
        let SizeCount { height, width, .. } = self.usual;
        let colour = if self.is_colour() { "colour" } else { "grey" };
        let others = if self.has_others { ", and other sizes" } else { "" };
        let labels = match &self.labels {
            None => "no labels".to_owned(),
            Some((kind, true)) => format!("labels: {kind}"),
            Some((kind, false)) => format!("labels: {kind}, not for all"),
        };
        format!("{}, {height}x{width} {colour}{others}, {labels}", counted(self.images as u64, "image"))
    }
}

impl Draft {
    fn of(name: String, [synthetic, real]: [(&Path, &Inspection); 2], preset: Option<Preset>) -> Self {
        let [synthetic, real] = [synthetic, real].map(|(path, seen)| Seen::of(path, seen));
        let is_colour = synthetic.is_colour() && real.is_colour();
        let usual = if is_colour { Preset::SmallColour } else { Preset::Digits };
        let size = first_size([&synthetic.usual, &real.usual]);
        Self { name, size, channels: if is_colour { 3 } else { 1 }, preset: preset.unwrap_or(usual), synthetic, real }
    }

    fn needs_resizing(&self) -> bool {
        let differs = |seen: &Seen| seen.has_others || [seen.usual.height, seen.usual.width] != self.size;
        differs(&self.synthetic) || differs(&self.real)
    }

    fn text(&self) -> String {
        let Self { name, synthetic, real, size: [height, width], channels, preset } = self;
        let quoted = |text: &str| toml::Value::from(text).to_string();
        let (resize, why) = if self.needs_resizing() {
            ("\"area\" ", "other sizes are brought to this one by averaging; \"crop\" cuts out the middle")
        } else {
            ("\"exact\"", "an image of another size is a bad image; \"area\" brings it to this one")
        };
        let (labels, whether) = match synthetic.labels {
            Some((_, true)) => ("\"required\"", "a synthetic image without a label is a mistake"),
            _ => ("\"optional\"", "\"required\" refuses synthetic images without labels"),
        };
        let recipe = preset.recipe();
        let lanes = default_lanes(recipe.batch);
        let before = recipe.pretrain.refiner + recipe.pretrain.discriminator;
        format!(
            "# A first job, written by `sumac init` from a look at the images. What is not here has a default:
# `sumac submit --dry-run` with the name of this file prints all of it. Paths are relative to where the command runs.

name = {name}
kind = \"train\"

[data]
synthetic = {synthetic}   # {of_synthetic}
real      = {real}   # {of_real}
image     = {{ size = [{height}, {width}], channels = {channels} }}   # height, width; 1 grey, 3 colour
resize    = {resize}   # {why}
labels    = {labels}   # {whether}

[model]
preset = {called}   # {networks}

[train]
seed   = 7              # the same seed gives the same weights, bit for bit
batch  = {batch}             # images of an update, of all workers together
lanes  = {lanes}              # shares of the batch that workers carry: the most workers there can be
steps  = {steps}          # updates of either network; look at the samples before taking more, longer is not always better
lambda = \"calibrated\"   # how much a refined image is held to its synthetic one: found before step 0, or a number

# How it runs, not what it is: free to change, the weights stay the same.
[workers]
min = 1
max = {lanes}

[output]
dir = {output}
checkpoint_every = \"1m\"
samples_every    = 50   # steps
",
            name = quoted(name),
            synthetic = quoted(&synthetic.path),
            real = quoted(&real.path),
            of_synthetic = synthetic.in_words(),
            of_real = real.in_words(),
            called = quoted(&word(preset)),
            networks = networks(*preset),
            batch = recipe.batch,
            output = quoted(&format!("runs/{name}")),
            steps = grouped(before + STEPS).replace(',', "_"),
        )
    }
}

/// What somebody who does not know it may want to know of it, and what else there is.
fn networks(preset: Preset) -> &'static str {
    match preset {
        Preset::Digits => "narrow, minutes on two cores; \"paper-eyes\" has the paper's networks, for patience",
        Preset::SmallColour => {
            "for varied light; \"small-colour-matched\" lights each image as a real one before it refines"
        }
        Preset::SmallColourMatched => {
            "lights each image as a real one, then refines; \"small-colour\" leaves light to the refiner"
        }
        Preset::PaperEyes | Preset::PaperHands => "the paper's networks; \"digits\" is narrow, minutes on two cores",
        Preset::Toy => "no images to speak of: for tests",
    }
}

/// That of the smaller images; of large ones a smaller version, in their proportions.
fn first_size(usual: [&SizeCount; 2]) -> [u32; 2] {
    let area = |size: &&SizeCount| u64::from(size.height) * u64::from(size.width);
    let [one, other] = usual;
    let smaller = if area(&one) < area(&other) { one } else { other };
    let [height, width] = [smaller.height, smaller.width];
    let longer = height.max(width);
    if longer <= SIDE_AMPLE {
        return [height, width];
    }
    // At most SIDE_FIRST, so each fits again.
    [height, width].map(|side| (u64::from(side) * u64::from(SIDE_FIRST)).div_ceil(u64::from(longer)) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args;
    use sumac_common::spec::{self, Labels, Resize};
    use sumac_data::{
        label::LabelKind,
        source::{Kind, LabelSummary},
    };

    fn seen(height: u32, width: u32, channels: u32) -> Inspection {
        Inspection {
            path: PathBuf::from("somewhere"),
            kind: Kind::Folder,
            images: 1_200,
            looked_into: 1_200,
            sizes: vec![SizeCount { width, height, channels, bits: 8, images: 1_200 }],
            labels: LabelSummary { kind: None, present: 0, missing: 1_200 },
            classes: Vec::new(),
            examples: Vec::new(),
            bad: Vec::new(),
        }
    }

    fn draft(synthetic: &Inspection, real: &Inspection) -> Draft {
        let (one, other) = (Path::new("data/\"simulated\""), Path::new("data/camera"));
        Draft::of("eyes".to_owned(), [(one, synthetic), (other, real)], None)
    }

    fn read(draft: &Draft) -> spec::Spec {
        let text = draft.text();
        spec::read(&text, &[]).unwrap_or_else(|faults| panic!("{faults}\n{text}"))
    }

    #[test]
    fn equal_images_are_taken_as_they_are() {
        let spec = read(&draft(&seen(35, 55, 1), &seen(35, 55, 1)));
        let image = spec.what.data.image;
        assert_eq!((image.height, image.width, image.channels), (35, 55, 1));
        assert_eq!((spec.what.data.resize, spec.what.data.labels), (Resize::Exact, Labels::Optional));
        assert_eq!(spec.what.data.synthetic, Path::new("data/\"simulated\""));
        assert_eq!(spec.warnings(), Vec::<String>::new());
    }

    #[test]
    fn photographs_are_proposed_smaller_in_their_proportions() {
        let spec = read(&draft(&seen(480, 640, 3), &seen(1_080, 1_440, 4)));
        let image = spec.what.data.image;
        assert_eq!((image.height, image.width, image.channels), (48, 64, 3));
        assert_eq!(spec.what.data.resize, Resize::Area);
    }

    #[test]
    fn where_one_set_is_grey_both_are_taken_as_grey() {
        let spec = read(&draft(&seen(32, 32, 3), &seen(40, 40, 1)));
        let image = spec.what.data.image;
        assert_eq!((image.height, image.channels), (32, 1));
        assert_eq!(spec.what.data.resize, Resize::Area);
    }

    #[test]
    fn labels_are_required_where_every_image_has_one() {
        let mut labelled = seen(28, 28, 1);
        labelled.labels = LabelSummary { kind: Some(LabelKind::Class), present: 1_200, missing: 0 };
        assert_eq!(read(&draft(&labelled, &seen(28, 28, 1))).what.data.labels, Labels::Required);
        labelled.labels.missing = 3;
        assert_eq!(read(&draft(&labelled, &seen(28, 28, 1))).what.data.labels, Labels::Optional);
    }

    #[test]
    fn every_preset_gives_a_job_that_checks() {
        let [one, other] = [seen(64, 64, 3), seen(80, 96, 3)];
        for preset in ["digits", "small-colour", "small-colour-matched", "paper-eyes", "paper-hands"] {
            let preset = args::preset(preset).unwrap();
            let sets = [(Path::new("a"), &one), (Path::new("b"), &other)];
            let spec = read(&Draft::of("any".to_owned(), sets, Some(preset)));
            assert_eq!(spec.what.model.preset, preset);
            assert!(!spec.warnings().iter().any(|warning| warning.contains("pre-training")), "{:?}", spec.warnings());
        }
    }

    #[test]
    fn a_job_is_called_as_its_file_or_as_jobs_may_be_called() {
        assert_eq!(named_after(Path::new("runs/Eyes 2.toml")), "eyes-2");
        assert_eq!(named_after(Path::new("-")), "job");
        assert_eq!(named_after(Path::new("_x.toml")), "x");
    }
}

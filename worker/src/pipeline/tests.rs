//! Each test tells one situation, on small images in a folder of its own.

use super::*;
use crate::learner::LearnError;
use image::{GrayImage, Luma};
use std::{
    cell::Cell,
    collections::BTreeMap,
    fs,
    ops::Range,
    path::{Path, PathBuf},
    sync::OnceLock,
};
use sumac_common::{
    device::Device as OnDevice,
    refinement::{Format, How, Layout, Origin, Trained, What as Job},
    spec::{
        Device, Resize, Workers,
        model::{Matching, Noise, Padding, Preset, Refiner, RefinerOutput},
    },
};
use sumac_data::Source;
use tempfile::TempDir;

const SHARD_SAMPLES: u32 = 10;

/// Images to be refined, and where to.
struct Site {
    folder: TempDir,
}

impl Site {
    /// So many grey images, each with a sidecar; every third is of another size.
    fn with(images: u32) -> Self {
        let site = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(site.source()).unwrap();
        for at in 0..images {
            let (width, height) = if at % 3 == 1 { (5, 9) } else { (8, 6) };
            let draw = |x, y| Luma([(37 * at + 11 * x + 29 * y) as u8]);
            GrayImage::from_fn(width, height, draw).save(site.image(at)).unwrap();
            fs::write(site.image(at).with_extension("json"), format!("{{\"at\":{at}}}")).unwrap();
        }
        site
    }

    fn source(&self) -> PathBuf {
        self.folder.path().join("source")
    }

    fn image(&self, at: u32) -> PathBuf {
        self.source().join(format!("{at:03}.png"))
    }

    /// Frozen, into a destination of this name.
    fn order(&self, destination: &str, change: impl FnOnce(&mut Job)) -> Refinement {
        let destination = self.folder.path().join(destination);
        let mut order = Refinement {
            name: "negatives".to_owned(),
            what: Job {
                input: Default::default(),
                samples: 0,
                shard_samples: SHARD_SAMPLES,
                refiner: Some(Trained {
                    weights: Default::default(),
                    net: Refiner {
                        width: 2,
                        blocks: 1,
                        kernel: 3,
                        output: RefinerOutput::Tanh,
                        padding: Padding::Zeros,
                        noise: Noise::NONE,
                        light: false,
                        matching: Matching::None,
                    },
                    threads: 1,
                    origin: Origin { run: "run".to_owned(), step: 7, lambda: 0.5, seed: 1 },
                }),
                image: ImageShape { channels: 1, height: 6, width: 8 },
                fit: None,
                layout: Layout::Mirror,
                format: Format::Png,
                max_bad: 0.5,
            },
            how: How { source: self.source(), destination, workers: Workers { min: 1, max: 1, device: Device::Cpu } },
        };
        change(&mut order.what);
        let source = Source::look(&self.source()).unwrap();
        let frozen = Input::freeze(source.into(), order.what.shard_samples, &order.work()).unwrap();
        (order.what.input, order.what.samples) = (frozen.digest, frozen.samples);
        order
    }
}

const ROOMY: Limits = Limits { images: 64, bytes: 1 << 24 };
const FEW: Crew = Crew { decoders: 1, encoders: 1 };
const MANY: Crew = Crew { decoders: 4, encoders: 4 };

fn pipeline<R: Refines>(order: &Refinement, net: R, limits: Limits, crew: Crew) -> (Pipeline<R>, Feed) {
    Pipeline::new(order.clone(), Input::open(&order.work()).unwrap(), net, limits, crew).unwrap()
}

/// Everything about these shards, to the end.
fn through<R: Refines>(order: &Refinement, net: R, (limits, crew): (Limits, Crew), shards: Range<u32>) -> Vec<News> {
    let (mut pipeline, feed) = pipeline(order, net, limits, crew);
    shards.for_each(|shard| assert!(feed.give(Shard(shard), "a".to_owned())));
    drop(feed);
    let mut all = Vec::new();
    while let Some(news) = pipeline.next_news().unwrap() {
        all.push(news);
    }
    let peak = pipeline.peak();
    assert!(peak.images <= limits.images && peak.bytes <= limits.bytes, "{peak:?} within {limits:?}");
    let stopped = pipeline.stop().unwrap();
    assert!(stopped.unfinished.is_empty() && stopped.news.is_empty(), "{stopped:?}");
    all
}

/// Relative paths and bytes of all that was written by attempts.
fn written(order: &Refinement) -> BTreeMap<PathBuf, Vec<u8>> {
    fn collect(folder: &Path, root: &Path, all: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => collect(&path, root, all),
                false => drop(all.insert(path.strip_prefix(root).unwrap().to_owned(), fs::read(&path).unwrap())),
            }
        }
    }
    let mut all = BTreeMap::new();
    let attempts = order.work().join("attempts");
    collect(&attempts, &attempts, &mut all);
    all
}

fn receipt(order: &Refinement, shard: u32) -> String {
    let mut receipts = written(order).into_iter().filter(|(path, _)| path.ends_with("receipt.jsonl"));
    let (_, bytes) = receipts.find(|(path, _)| path.starts_with(format!("{shard:06}.a"))).unwrap();
    String::from_utf8(bytes).unwrap()
}

fn counts(news: &News) -> (u32, u64, u64) {
    match news {
        News::Done { shard, whole, .. } => (shard.0, whole.refined, whole.bad),
        News::Failed { shard, why, .. } => panic!("shard {shard} failed: {why}"),
    }
}

fn attempt(order: &Refinement, shard: u32) -> PathBuf {
    order.work().join(format!("attempts/{shard:06}.a"))
}

/// Until this shard is being written.
fn until_begun(order: &Refinement, shard: u32) {
    let begun = std::time::Instant::now();
    while !attempt(order, shard).exists() {
        assert!(begun.elapsed().as_secs() < 60, "nothing of shard {shard} was written");
        thread::yield_now();
    }
}

/// The third sitting of shard 1: shard 0 takes six, and after the second of shard 1 its first images can be written.
const IN_SHARD_1: u32 = 9;

const GREY: Negative = Negative { channels: 1 };

#[test]
fn every_image_comes_out_as_the_refiner_made_it_beside_its_label() {
    let site = Site::with(14);
    let order = site.order("out", |_| ());
    let news = through(&order, GREY, (ROOMY, MANY), 0..2);
    assert_eq!(news.iter().map(counts).collect::<Vec<_>>(), [(0, 10, 0), (1, 4, 0)]);
    let written = written(&order);
    for at in 0..14 {
        let folder = PathBuf::from(format!("{:06}.a/out", at / SHARD_SAMPLES));
        let refined = image::load_from_memory(&written[&folder.join(format!("{at:03}.png"))]).unwrap().into_luma8();
        let original = image::open(site.image(at)).unwrap().into_luma8();
        assert_eq!(refined.dimensions(), original.dimensions());
        assert!(refined.pixels().zip(original.pixels()).all(|(refined, original)| refined[0] == 255 - original[0]));
        assert_eq!(written[&folder.join(format!("{at:03}.json"))], format!("{{\"at\":{at}}}").into_bytes());
    }
}

#[test]
fn neither_threads_nor_limits_change_a_byte() {
    let site = Site::with(34);
    fs::write(site.image(3), b"no image").unwrap();
    let setups = [(ROOMY, FEW), (ROOMY, MANY)]
        .into_iter()
        .chain([1, 2, 3, 7].map(|images| (Limits { images, ..ROOMY }, MANY)))
        .chain([3_000, 6_000].map(|bytes| (Limits { bytes, ..ROOMY }, MANY)));
    let outputs: Vec<_> = setups
        .enumerate()
        .map(|(number, setup)| {
            let order = site.order(&format!("out-{number}"), |_| ());
            let news = through(&order, GREY, setup, 0..4);
            assert_eq!(news.iter().map(counts).collect::<Vec<_>>(), [(0, 9, 1), (1, 10, 0), (2, 10, 0), (3, 4, 0)]);
            written(&order)
        })
        .collect();
    assert_eq!(outputs[0].len(), 33 * 2 + 4, "{:?}", outputs[0].keys());
    for output in &outputs[1..] {
        assert!(*output == outputs[0]);
    }
}

#[test]
fn shards_back_to_back_are_written_as_one_by_one() {
    let site = Site::with(34);
    let (together, apart) = (site.order("together", |_| ()), site.order("apart", |_| ()));
    through(&together, GREY, (ROOMY, MANY), 0..4);
    for shard in [2, 0, 3, 1] {
        through(&apart, GREY, (ROOMY, MANY), shard..shard + 1);
    }
    assert!(written(&together) == written(&apart));
}

#[test]
fn a_truncated_jpeg_is_listed_with_its_reason() {
    let site = Site::with(3);
    let jpeg = site.source().join("002.jpg");
    fs::remove_file(site.image(2)).unwrap();
    GrayImage::from_pixel(64, 64, Luma([9])).save(&jpeg).unwrap();
    let whole = fs::read(&jpeg).unwrap();
    fs::write(&jpeg, &whole[..whole.len() / 2]).unwrap();
    let order = site.order("out", |_| ());
    assert_eq!(through(&order, GREY, (ROOMY, MANY), 0..1).iter().map(counts).collect::<Vec<_>>(), [(0, 2, 1)]);
    let receipt = receipt(&order, 0);
    let row = receipt.lines().find(|line| line.contains("002.jpg")).unwrap();
    assert!(row.contains("cut short") || row.contains("cannot be decoded"), "{row}");
}

#[test]
fn an_image_of_another_size_is_bad_where_all_are_to_have_one() {
    let site = Site::with(3);
    let order = site.order("out", |what| what.fit = Some(Resize::Exact));
    assert_eq!(through(&order, GREY, (ROOMY, MANY), 0..1).iter().map(counts).collect::<Vec<_>>(), [(0, 2, 1)]);
    assert!(receipt(&order, 0).contains("it is 5x9 pixels, not 8x6"), "{}", receipt(&order, 0));
}

/// What a test's refiner does instead of refining.
struct Odd<F>(F);

impl<F: Fn(&mut [f32], &dyn Fn() -> bool) -> Result<Option<()>, LearnError>> Refines for Odd<F> {
    fn channels(&self) -> u32 {
        1
    }

    fn sitting(&self, _: ImageShape) -> usize {
        2
    }

    fn refine(
        &self,
        pixels: &[f32],
        _: ImageShape,
        _: &[u64],
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<f32>>, LearnError> {
        let mut refined = pixels.to_vec();
        Ok((self.0)(&mut refined, go_on)?.map(|()| refined))
    }
}

#[test]
fn an_image_refined_to_no_number_is_listed_with_its_reason() {
    let site = Site::with(3);
    let order = site.order("out", |_| ());
    let net = Odd(|refined: &mut [f32], _: &dyn Fn() -> bool| {
        // The smaller one is alone.
        if refined.len() == 45 {
            refined[7] = f32::NAN;
        }
        Ok(Some(()))
    });
    assert_eq!(through(&order, net, (ROOMY, MANY), 0..1).iter().map(counts).collect::<Vec<_>>(), [(0, 2, 1)]);
    assert!(receipt(&order, 0).contains("refined, 1 of its 45 values are no finite numbers"), "{}", receipt(&order, 0));
}

#[test]
fn a_refiner_that_fails_fails_its_shard_and_no_other() {
    let site = Site::with(30);
    let order = site.order("out", |_| ());
    let sittings = Cell::new(0);
    let net = Odd(|_: &mut [f32], _: &dyn Fn() -> bool| {
        sittings.set(sittings.get() + 1);
        if sittings.get() == IN_SHARD_1 {
            until_begun(&order, 1);
            return Err(LearnError::Engine { attempt: "refining images", reason: "out of memory".to_owned() });
        }
        Ok(Some(()))
    });
    let news = through(&order, net, (ROOMY, MANY), 0..3);
    assert_eq!([counts(&news[0]), counts(&news[2])], [(0, 10, 0), (2, 10, 0)]);
    let News::Failed { shard: Shard(1), why, .. } = &news[1] else { panic!("{:?}", news[1]) };
    assert_eq!(why, "refining images: out of memory");
    assert!(!attempt(&order, 1).exists(), "what failed is deleted");
}

#[test]
fn an_image_that_is_gone_fails_its_shard_and_names_it() {
    let site = Site::with(20);
    let order = site.order("out", |_| ());
    fs::remove_file(site.image(5)).unwrap();
    let news = through(&order, GREY, (ROOMY, MANY), 0..2);
    let News::Failed { shard: Shard(0), why, .. } = &news[0] else { panic!("{:?}", news[0]) };
    assert!(why.contains("005.png` could not be read"), "{why}");
    assert_eq!(counts(&news[1]), (1, 10, 0));
    assert!(!attempt(&order, 0).exists(), "what failed is deleted");
}

#[test]
fn a_shard_that_is_not_in_the_input_fails() {
    let site = Site::with(3);
    let news = through(&site.order("out", |_| ()), GREY, (ROOMY, MANY), 0..2);
    assert_eq!(counts(&news[0]), (0, 3, 0));
    assert!(matches!(&news[1], News::Failed { shard: Shard(1), .. }), "{:?}", news[1]);
}

#[test]
fn what_is_stopped_is_given_back_and_leaves_nothing() {
    let site = Site::with(40);
    let order = site.order("out", |_| ());
    let stop: OnceLock<Feed> = OnceLock::new();
    let sittings = Cell::new(0);
    let net = Odd(|_: &mut [f32], go_on: &dyn Fn() -> bool| {
        sittings.set(sittings.get() + 1);
        if sittings.get() == IN_SHARD_1 {
            until_begun(&order, 1);
            stop.get().unwrap().stop();
        }
        Ok(go_on().then_some(()))
    });
    let (mut pipeline, feed) = pipeline(&order, net, ROOMY, MANY);
    assert!(stop.set(feed.clone()).is_ok());
    (0..4).for_each(|shard| assert!(feed.give(Shard(shard), "a".to_owned())));
    let mut out = Vec::new();
    while let Some(news) = pipeline.next_news().unwrap() {
        out.push(counts(&news).0);
    }
    assert!(!feed.give(Shard(0), "b".to_owned()), "a stopped pipeline takes nothing");
    let Stopped { unfinished, news } = pipeline.stop().unwrap();
    out.extend(news.iter().map(|news| counts(news).0));
    let unfinished: Vec<u32> = unfinished.iter().map(|(shard, _)| shard.0).collect();
    assert_eq!((out, unfinished), (vec![0], vec![1, 2, 3]));
    assert!(attempt(&order, 0).exists() && !attempt(&order, 1).exists());
}

#[test]
fn the_next_shards_are_read_and_decoded_while_one_is_refined() {
    let site = Site::with(40);
    let order = site.order("out", |what| what.shard_samples = 2);
    let gauge: OnceLock<Arc<Common>> = OnceLock::new();
    let net = Odd(|_: &mut [f32], _: &dyn Fn() -> bool| {
        let begun = std::time::Instant::now();
        while gauge.get().unwrap().room.peak().images < 8 {
            assert!(begun.elapsed().as_secs() < 60, "nothing was read ahead: {:?}", gauge.get().unwrap().room.peak());
            thread::yield_now();
        }
        Ok(Some(()))
    });
    let (mut pipeline, feed) = pipeline(&order, net, Limits { images: 8, ..ROOMY }, MANY);
    assert!(gauge.set(Arc::clone(&pipeline.common)).is_ok());
    (0..20).for_each(|shard| assert!(feed.give(Shard(shard), "a".to_owned())));
    drop(feed);
    for shard in 0..20 {
        assert_eq!(counts(&pipeline.next_news().unwrap().unwrap()), (shard, 2, 0));
    }
    assert!(pipeline.next_news().unwrap().is_none());
}

#[test]
fn a_gauge_counts_what_came_out_and_names_the_busiest_stage() {
    let site = Site::with(10);
    let (mut pipeline, feed) = pipeline(&site.order("out", |_| ()), GREY, ROOMY, FEW);
    let mut gauge = pipeline.gauge();
    assert!(feed.give(Shard(0), "a".to_owned()));
    drop(feed);
    while pipeline.next_news().unwrap().is_some() {}
    let shares = gauge.look();
    assert!(Stage::ALL.into_iter().all(|stage| shares.of(stage) > 0.0 && shares.of(stage) <= 1.0), "{shares:?}");
    assert!(shares.images_per_second > 0.0, "{shares:?}");
    assert_eq!(gauge.look().images_per_second, 0.0);
    let busy = [0.1, 0.9, 0.3, 0.2, 0.5];
    assert_eq!(Shares { busy, images_per_second: 1.0 }.bottleneck(), Stage::Decode);
}

#[test]
fn a_pipeline_that_is_dropped_ends() {
    let site = Site::with(30);
    let order = site.order("out", |_| ());
    let (pipeline, feed) = pipeline(&order, GREY, Limits { images: 2, ..ROOMY }, MANY);
    assert!(feed.give(Shard(0), "a".to_owned()));
    drop(pipeline);
    assert!(!feed.give(Shard(1), "a".to_owned()));
    assert!(written(&order).is_empty());
}

#[test]
fn the_toys_refiner_is_a_stand_in_and_another_needs_its_file() {
    let pixels = [0.25, -1.0];
    let shape = ImageShape { channels: 1, height: 1, width: 2 };
    let refined = load(&Preset::Toy.recipe().refiner, 1, b"", OnDevice::Cpu)
        .unwrap()
        .refine(&pixels, shape, &[0], &|| true)
        .unwrap();
    assert_eq!(refined, Some(vec![-0.25, 1.0]));
    assert!(load(&Preset::Digits.recipe().refiner, 1, b"", OnDevice::Cpu).is_err());
}

#[cfg(feature = "torch")]
mod with_libtorch {
    use super::*;
    use safetensors::{Dtype, serialize, tensor::TensorView};
    use std::time::Instant;

    /// An exported refiner; the values of each tensor by its name and fan-in.
    fn exported(refiner: &Refiner, value: impl Fn(&str, usize, usize) -> f32) -> Vec<u8> {
        let tensors: Vec<_> = refiner.tensors(1);
        let bytes: Vec<Vec<u8>> = tensors
            .iter()
            .map(|it| (0..it.len()).flat_map(|at| value(&it.name, it.fan_in, at).to_le_bytes()).collect())
            .collect();
        let views = tensors.iter().zip(&bytes).map(|(tensor, bytes)| {
            (tensor.name.clone(), TensorView::new(Dtype::F32, tensor.shape.clone(), bytes).unwrap())
        });
        serialize(views, Some([("format".to_owned(), "pt".to_owned())].into())).unwrap()
    }

    fn net(order: &Refinement) -> &Refiner {
        &order.what.refiner.as_ref().unwrap().net
    }

    fn load_with(order: &Refinement, value: impl Fn(&str, usize, usize) -> f32) -> Box<dyn Refines + Send> {
        load(net(order), 1, &exported(net(order), value), OnDevice::Cpu).unwrap()
    }

    /// Of both signs, small enough that tanh is not at its ends.
    fn waves(_: &str, fan_in: usize, at: usize) -> f32 {
        (at as f32 * 1.7).sin() / (fan_in as f32).sqrt()
    }

    #[test]
    fn weights_that_are_no_numbers_make_every_image_bad_with_its_reason() {
        let site = Site::with(3);
        let order = site.order("out", |_| ());
        let nan = |name: &str, _: usize, _: usize| if name == "conv_out.bias" { f32::NAN } else { 0.0 };
        let net = load_with(&order, nan);
        assert_eq!(through(&order, net, (ROOMY, MANY), 0..1).iter().map(counts).collect::<Vec<_>>(), [(0, 0, 3)]);
        assert!(receipt(&order, 0).contains("refined, 48 of its 48 values are no finite numbers"));
    }

    #[test]
    fn a_network_refines_alike_in_any_shards_and_company() {
        let site = Site::with(34);
        let outputs = [(ROOMY, FEW), (Limits { images: 5, ..ROOMY }, MANY)].map(|setup| {
            let order = site.order(&format!("out-{}", setup.0.images), |_| ());
            let net = load_with(&order, waves);
            through(&order, net, setup, 0..4);
            written(&order)
        });
        assert!(outputs[0] == outputs[1]);
        let order = site.order("other-shards", |what| what.shard_samples = 34);
        through(&order, load_with(&order, waves), (ROOMY, MANY), 0..1);
        let images = |written: &BTreeMap<PathBuf, Vec<u8>>| {
            let images = written.iter().filter(|(path, _)| path.extension().is_some_and(|ending| ending == "png"));
            images
                .map(|(path, bytes)| (path.file_name().unwrap().to_owned(), bytes.clone()))
                .collect::<BTreeMap<_, _>>()
        };
        assert_eq!(images(&written(&order)).len(), 34);
        assert!(images(&written(&order)) == images(&outputs[0]));
    }

    /// Images per second of the pipeline beside the refiner alone, on one thread, at 35 x 55.
    #[test]
    #[ignore = "measures"]
    fn rates() {
        let _ = crate::native::memory::keep();
        let n = 512;
        let site = Site::with(0);
        for at in 0..n {
            let draw = |x, y| Luma([(37 * at + 11 * x + 29 * y) as u8]);
            GrayImage::from_fn(55, 35, draw).save(site.image(at)).unwrap();
        }
        let eyes = Preset::PaperEyes.recipe();
        for round in 0..3 {
            let order = site.order(&format!("out-{round}"), |what| {
                what.refiner.as_mut().unwrap().net = eyes.refiner.clone();
                (what.image, what.shard_samples) = (eyes.image, 128);
                what.layout = Layout::Shards;
            });
            let net = load_with(&order, waves);
            let pixels = vec![0.1; 256 * eyes.image.len()];
            net.refine(&pixels, eyes.image, &[0; 256], &|| true).unwrap();
            let begun = Instant::now();
            net.refine(&pixels, eyes.image, &[0; 256], &|| true).unwrap();
            println!("alone    {:.2} images/s", 256.0 / begun.elapsed().as_secs_f64());
            let (mut pipeline, feed) = pipeline(&order, net, Limits::default(), FEW);
            let mut gauge = pipeline.gauge();
            let begun = Instant::now();
            (0..4).for_each(|shard| assert!(feed.give(Shard(shard), "a".to_owned())));
            drop(feed);
            while let Some(news) = pipeline.next_news().unwrap() {
                counts(&news);
            }
            println!("pipeline {:.2} images/s {:?}", f64::from(n) / begun.elapsed().as_secs_f64(), gauge.look());
        }
    }
}

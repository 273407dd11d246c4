//! The real image packs, where this machine has them; skipped elsewhere.

use crate::shelf::{Shelf, pack, terms};
use std::path::Path;
use sumac_common::{
    ids::SampleId,
    spec::{ImageShape, Labels, Resize},
};
use sumac_data::{Frozen, Label, Source, freeze, freeze::Terms, label::LabelKind, source::Kind};

fn frozen(path: &Path, terms: Terms) -> Frozen {
    freeze(&Source::look(path).unwrap(), terms, &Shelf::new().path("cache"), &|_, _| {}).unwrap()
}

fn square(channels: u32, side: u32) -> Terms {
    let shape = ImageShape { channels, height: side, width: side };
    Terms { shape, labels: Labels::Required, ..terms() }
}

#[test]
fn printed_digits_are_ten_class_folders() {
    let Some(path) = pack("digits/synthetic-fonts") else { return };
    let digits = frozen(&path, square(1, 28));
    assert_eq!(digits.len(), 3_000);
    let classes = (0..3_000).filter_map(|id| match digits.label(SampleId(id))? {
        Label::Class { index, .. } => Some(*index),
        _ => None,
    });
    assert_eq!(classes.collect::<std::collections::BTreeSet<u32>>(), (0..10).collect());
}

#[test]
fn handwritten_digits_come_out_of_a_gzipped_idx_with_labels() {
    let Some(path) = pack("digits/real-mnist/train-images-idx3-ubyte.gz") else { return };
    let digits = frozen(&path, square(1, 28));
    assert_eq!(digits.len(), 8_000);
    let mut pixels = Vec::new();
    digits.read(&(0..100).map(SampleId).collect::<Vec<_>>(), &mut pixels).unwrap();
    let dark = pixels.iter().filter(|&&value| value == -1.0).count() as f64 / pixels.len() as f64;
    assert!((0.7..0.9).contains(&dark), "white on black, mostly black: {dark}");
}

#[test]
fn a_folder_of_two_mnist_stacks_is_not_guessed_at() {
    let Some(path) = pack("digits/real-mnist") else { return };
    let error = Source::look(&path).unwrap_err().to_string();
    assert!(
        error.contains("several stacks of images (t10k-images-idx3-ubyte.gz, train-images-idx3-ubyte.gz)"),
        "{error}"
    );
}

#[test]
fn traffic_signs_are_class_folders_and_a_table_beside_its_folder() {
    let Some(path) = pack("traffic-signs") else { return };
    let signs = Source::look(&path.join("synthetic")).unwrap();
    assert_eq!(
        (signs.kind(), signs.samples().len(), signs.inspect(Some(1)).classes.len()),
        (Kind::ClassFolders, 2_150, 43)
    );
    let test = frozen(&path.join("real-test-labels.csv"), square(3, 32));
    assert_eq!(test.len(), 1_600);
    assert_eq!(test.label(SampleId(0)).unwrap().field("class_id"), Some("41"));
}

#[test]
fn eyes_come_with_a_json_each_and_shrink_to_the_size_of_the_paper() {
    let Some(path) = pack("eyes/unityeyes-style-folder") else { return };
    let shape = ImageShape { channels: 1, height: 35, width: 55 };
    let eyes = frozen(&path, Terms { shape, resize: Resize::Area, labels: Labels::Required, max_bad: 0.0 });
    assert_eq!((eyes.len(), eyes.label(SampleId(0)).unwrap().kind()), (300, LabelKind::Sidecar));
    assert!(eyes.sidecars(SampleId(0))[0].ends_with("1.json"));
}

#[test]
fn frames_of_a_simulated_donkeycar_come_with_their_steering() {
    let Some(path) = pack("driving/sim-donkey-tub") else { return };
    let drive = Source::look(&path).unwrap();
    assert_eq!((drive.kind(), drive.samples().len(), drive.bad().len()), (Kind::Tub, 420, 0));
    let catalog = std::fs::read_to_string(path.join("catalog_0.catalog")).unwrap();
    for (at, sample) in drive.samples().iter().enumerate() {
        let angle: f64 = sample.label.as_ref().unwrap().field("user/angle").unwrap().parse().unwrap();
        assert!((-1.0..=1.0).contains(&angle), "{}", sample.key);
        let line = drive.label_pieces(at).unwrap().remove(0).bytes;
        assert!(catalog.lines().any(|there| there.as_bytes() == line), "{}", sample.key);
    }
}

#[test]
fn eyes_carry_the_bytes_of_their_json() {
    let Some(path) = pack("eyes/unityeyes-style-folder") else { return };
    let eyes = Source::look(&path).unwrap();
    for at in 0..eyes.samples().len() {
        let file = eyes.file_of(at).unwrap();
        let pieces = eyes.label_pieces(at).unwrap();
        assert_eq!((pieces.len(), pieces[0].ending.as_str()), (1, "json"));
        assert_eq!(pieces[0].bytes, std::fs::read(file.with_extension("json")).unwrap());
        assert_eq!(eyes.original(at).unwrap().bytes, std::fs::read(file).unwrap());
    }
}

//! What is drawn over a run's synthetic samples, and over the same images refined: what their labels say of them.
//!
//! A run does not tell what its labels mean. So a point is what has the form of one and lies inside of every image that is shown,
//! and the page says which names were taken for points; all else is text. Reads what workers wrote (`data::captions`), and no
//! data set.

use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};
use sumac_common::spec::{ImageShape, Resize};
use sumac_data::captions::{Caption, Captions, FILE};

/// More is none of ours.
const BYTES_MAX: u64 = 4 << 20;
/// With more values than these a label is no text for a picture.
const DRAWN_MAX: usize = 2;
/// Characters of a text, drawn or not.
const TEXT_MAX: usize = 300;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct LabelsView {
    /// The names that were taken for points.
    points: Vec<String>,
    /// In the order of the sheet's rows.
    images: Vec<ImageView>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
struct ImageView {
    /// What is short enough to be drawn.
    text: Option<String>,
    /// All that is no point.
    said: String,
    /// x and y as shares of the image's width and height, as it is shown.
    points: Vec<[f32; 2]>,
}

impl LabelsView {
    /// Of a run that writes there, whose images come to this shape so. `None` where nothing is said.
    pub(super) fn below(output: &Path, shape: ImageShape, resize: Resize) -> Option<Self> {
        let captions: Captions = serde_json::from_slice(&read(output.join(FILE)).ok()?).ok()?;
        let names = names_of_points(&captions.images);
        let view = |caption: &Caption| {
            let points: Vec<Point<'_>> =
                points_of(caption).into_iter().filter(|point| names.contains(&point.name)).collect();
            let rest = rest(caption, &points);
            let placed = points.iter().filter_map(|point| placed(point.at, caption.size, shape, resize)).collect();
            let said: String = words(&rest).chars().take(TEXT_MAX).collect();
            let text = Some(said.clone()).filter(|said| !said.is_empty() && rest.len() <= DRAWN_MAX);
            ImageView { text, said, points: placed }
        };
        let images: Vec<ImageView> = captions.images.iter().map(view).collect();
        let is_said = images.iter().any(|image| !image.said.is_empty() || !image.points.is_empty());
        is_said.then_some(Self { points: names.into_iter().collect(), images })
    }
}

fn read(path: PathBuf) -> io::Result<Vec<u8>> {
    let known = fs::metadata(&path)?;
    // Who opens a pipe waits.
    if !known.is_file() || known.len() > BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    fs::read(path)
}

/// What has the form of a point.
struct Point<'c> {
    name: String,
    /// In pixels of the image as it lies in the data set, which are counted by their middles.
    at: [f32; 2],
    fields: Vec<&'c str>,
    /// Nothing else is written so.
    is_sure: bool,
}

/// `pupil` of `pupil = [x, y]`, of `pupil_x` and `pupil_y`, of `pupil.x` and `pupil.y`; and landmarks as UnityEyes writes them.
fn points_of(caption: &Caption) -> Vec<Point<'_>> {
    let fields: BTreeMap<&str, &str> =
        caption.fields.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let points = fields
        .iter()
        .filter_map(|(&name, &text)| landmark(name, text, caption.size).or_else(|| pair(name, text, &fields)));
    points.collect()
}

/// As `iris_2d.17 = "(x, y, z)"`.
fn landmark<'c>(field: &'c str, text: &str, (_, height): (u32, u32)) -> Option<Point<'c>> {
    let (name, number) = field.rsplit_once('.')?;
    let name = name.strip_suffix("_2d").filter(|_| number.parse::<u32>().is_ok())?;
    let [x, y] = *numbers(text.strip_prefix('(')?.strip_suffix(')')?)?.first_chunk()?;
    // UnityEyes counts rows from the lowest.
    Some(Point { name: name.to_owned(), at: [x, height as f32 - y], fields: vec![field], is_sure: true })
}

fn pair<'c>(field: &'c str, text: &str, fields: &BTreeMap<&'c str, &'c str>) -> Option<Point<'c>> {
    if let Some(list) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        let at = numbers(list)?.try_into().ok()?;
        return Some(Point { name: field.to_owned(), at, fields: vec![field], is_sure: false });
    }
    let stem = field.strip_suffix('x').filter(|stem| stem.ends_with(['_', '.']))?;
    let beside = |axis: &str| fields.get_key_value(format!("{stem}{axis}").as_str());
    let (other, y) = beside("y")?;
    // What has a depth is of a world, and not of its picture.
    if beside("z").is_some() {
        return None;
    }
    let at = numbers(&format!("{text},{y}"))?.try_into().ok()?;
    Some(Point { name: stem[..stem.len() - 1].to_owned(), at, fields: vec![field, other], is_sure: false })
}

fn numbers(list: &str) -> Option<Vec<f32>> {
    list.split(',').map(|number| number.trim().parse().ok().filter(|number: &f32| number.is_finite())).collect()
}

/// Sizes, directions and shares have the form of points, too: they leave an image, or never leave its first pixel.
fn names_of_points(images: &[Caption]) -> BTreeSet<String> {
    let mut forms: BTreeMap<String, (bool, bool)> = BTreeMap::new();
    for image in images {
        let (width, height) = (image.size.0 as f32, image.size.1 as f32);
        for Point { name, at: [x, y], is_sure, .. } in points_of(image) {
            let (is_inside, is_beyond) = forms.entry(name).or_insert((true, false));
            *is_inside &= is_sure || (0.0..width).contains(&x) && (0.0..height).contains(&y);
            *is_beyond |= is_sure || x > 1.0 || y > 1.0;
        }
    }
    forms.into_iter().filter(|(_, (is_inside, is_beyond))| *is_inside && *is_beyond).map(|(name, _)| name).collect()
}

/// What is neither a point nor the image's own name.
fn rest<'c>(caption: &'c Caption, points: &[Point<'_>]) -> Vec<(&'c str, &'c str)> {
    let base = caption.key.rsplit('/').next().unwrap_or(&caption.key);
    let stem = base.rsplit_once('.').map_or(base, |(stem, _)| stem);
    let is_rest = |(name, text): &(&str, &str)| {
        let is_of_a_point = points.iter().any(|point| point.fields.contains(name));
        !is_of_a_point && ![caption.key.as_str(), base, stem].contains(text)
    };
    caption.fields.iter().map(|(name, text)| (name.as_str(), text.as_str())).filter(is_rest).collect()
}

/// A class needs no name.
fn words(fields: &[(&str, &str)]) -> String {
    let word = |(name, text): &(&str, &str)| match *name {
        "class" | "cls" => (*text).to_owned(),
        _ => format!("{name} {text}"),
    };
    fields.iter().map(word).collect::<Vec<_>>().join(", ")
}

/// As shares of the image as it is shown, if it is on it.
fn placed([x, y]: [f32; 2], (width, height): (u32, u32), shape: ImageShape, resize: Resize) -> Option<[f32; 2]> {
    let share = |at: f32, side: u32, shown: u32| match resize {
        Resize::Crop => (at + 0.5 - (side.saturating_sub(shown) / 2) as f32) / shown as f32,
        Resize::Exact | Resize::Area => (at + 0.5) / side as f32,
    };
    let at = [share(x, width, shape.width), share(y, height, shape.height)];
    at.iter().all(|share| (0.0..=1.0).contains(share)).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ImageShape = ImageShape { channels: 1, height: 30, width: 50 };

    fn caption(fields: &[(&str, &str)]) -> Caption {
        let fields = fields.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        Caption { key: "set/000001.png".to_owned(), size: (50, 30), fields }
    }

    fn seen(images: Vec<Caption>, resize: Resize) -> Option<LabelsView> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), serde_json::to_vec(&Captions { images }).unwrap()).unwrap();
        LabelsView::below(folder.path(), SHAPE, resize)
    }

    fn one(fields: &[(&str, &str)]) -> (Vec<String>, ImageView) {
        let mut view = seen(vec![caption(fields)], Resize::Exact).unwrap();
        (view.points, view.images.remove(0))
    }

    #[test]
    fn a_class_is_drawn_as_text() {
        let (points, image) = one(&[("class", "stop")]);
        assert_eq!((points.len(), image.text.as_deref(), image.said.as_str()), (0, Some("stop"), "stop"));
    }

    #[test]
    fn a_point_is_placed_by_the_middle_of_its_pixel_however_it_is_written() {
        for fields in [
            &[("pupil", "[24.5, 14.5]")][..],
            &[("pupil_x", "24.5"), ("pupil_y", "14.5")],
            &[("pupil.x", "24.5"), ("pupil.y", "14.5")],
            &[("pupil_2d.0", "(24.5, 15.5, 9.1)")],
        ] {
            let (points, image) = one(fields);
            assert_eq!(
                (points.as_slice(), image.points.as_slice()),
                (["pupil".to_owned()].as_slice(), [[0.5, 0.5]].as_slice())
            );
            assert_eq!((image.text, image.said.as_str()), (None, ""), "{fields:?}");
        }
    }

    #[test]
    fn what_only_looks_like_a_point_is_text() {
        for fields in [
            // Of a world.
            &[("gaze_x", "12"), ("gaze_y", "3"), ("gaze_z", "9")][..],
            // Shares, or a direction.
            &[("at", "[0.4, 0.9]")],
            // Degrees.
            &[("gaze", "[12.0, -4.0]")],
            &[("size", "[50, 30]")],
            &[("box", "[1, 2, 30, 20]")],
            &[("at", "[NaN, 3]")],
            &[("left_x", "12")],
        ] {
            let (points, image) = one(fields);
            assert!(points.is_empty() && image.points.is_empty() && !image.said.is_empty(), "{fields:?}: {image:?}");
        }
    }

    #[test]
    fn a_name_is_a_point_in_all_images_or_in_none() {
        let images = [[("gaze", "[12.0, 4.0]")], [("gaze", "[12.0, -4.0]")]].map(|fields| caption(&fields));
        let view = seen(images.to_vec(), Resize::Exact).unwrap();
        assert!(view.points.is_empty());
        assert_eq!(view.images[0].said, "gaze [12.0, 4.0]");
    }

    #[test]
    fn long_labels_are_said_and_not_drawn_and_the_images_own_name_is_neither() {
        let (_, image) = one(&[("file", "000001.png"), ("angle", "0.1"), ("mode", "user"), ("throttle", "0.3")]);
        assert_eq!((image.text, image.said.as_str()), (None, "angle 0.1, mode user, throttle 0.3"));
    }

    #[test]
    fn points_follow_the_image_to_its_size_and_leave_it_where_it_is_cut() {
        let of = |at: &str| vec![Caption { size: (100, 60), ..caption(&[("pupil", at)]) }];
        let points = |at: &str, resize| seen(of(at), resize).map(|view| view.images[0].points.clone());
        assert_eq!(points("[49.5, 29.5]", Resize::Area), Some(vec![[0.5, 0.5]]));
        assert_eq!(points("[49.5, 44.5]", Resize::Crop), Some(vec![[0.5, 1.0]]));
        assert_eq!(points("[2, 2]", Resize::Crop), None, "cut away, and nothing else is said");
    }

    #[test]
    fn where_nothing_is_written_nothing_is_said() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(LabelsView::below(folder.path(), SHAPE, Resize::Exact), None);
        fs::write(folder.path().join(FILE), "{").unwrap();
        assert_eq!(LabelsView::below(folder.path(), SHAPE, Resize::Exact), None);
        fs::create_dir(folder.path().join("run")).unwrap();
        fs::create_dir(folder.path().join("run").join(FILE)).unwrap();
        assert_eq!(LabelsView::below(&folder.path().join("run"), SHAPE, Resize::Exact), None);
    }
}

//! What TensorBoard reads of a run: curves, pictures and the job as text, in event files below the output.
//!
//! A file for each beginning of a generation on rank 0; it says from which step it counts, so that what a broken generation wrote
//! beyond that is not shown twice. Unlike all else that a run leaves these files hold the time of day: they are for people, and
//! nothing of a run depends on them. It refuses to know who is rank 0 and what a step is.
//!
//! The form is TFRecord around the messages of TensorFlow's `event.proto`, `summary.proto` and `tensor.proto`, as far as they are
//! needed here.

use prost::Message;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};
use sumac_common::{ids::Step, metrics::Row};

/// Below the output's folder.
pub const FOLDER: &str = "tensorboard";
const VERSION: &str = "brain.Event:2";

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
    #[prost(message, optional, tag = "7")]
    session_log: Option<SessionLog>,
}

#[derive(Clone, PartialEq, Message)]
struct SessionLog {
    /// 1: from here on, what is there of this step and later ones counts no more.
    #[prost(int32, tag = "1")]
    status: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
    #[prost(message, optional, tag = "4")]
    image: Option<Image>,
    #[prost(message, optional, tag = "8")]
    tensor: Option<Tensor>,
    #[prost(message, optional, tag = "9")]
    metadata: Option<Metadata>,
}

#[derive(Clone, PartialEq, Message)]
struct Image {
    #[prost(int32, tag = "1")]
    height: i32,
    #[prost(int32, tag = "2")]
    width: i32,
    /// Channels.
    #[prost(int32, tag = "3")]
    colorspace: i32,
    #[prost(bytes = "vec", tag = "4")]
    encoded_image_string: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Tensor {
    /// 7: strings.
    #[prost(int32, tag = "1")]
    dtype: i32,
    #[prost(message, optional, tag = "2")]
    tensor_shape: Option<Shape>,
    #[prost(bytes = "vec", repeated, tag = "8")]
    string_val: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct Shape {
    #[prost(message, repeated, tag = "2")]
    dim: Vec<Extent>,
}

#[derive(Clone, PartialEq, Message)]
struct Extent {
    #[prost(int64, tag = "1")]
    size: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Metadata {
    #[prost(message, optional, tag = "1")]
    plugin_data: Option<Plugin>,
}

#[derive(Clone, PartialEq, Message)]
struct Plugin {
    #[prost(string, tag = "1")]
    plugin_name: String,
}

/// One event file, while it is written.
pub struct Board {
    file: File,
}

impl Board {
    /// A new file below `output`, which counts from `step`. The first one tells what the job is.
    pub fn begin(output: &Path, step: Step, job: &str) -> io::Result<Self> {
        let folder = output.join(FOLDER);
        fs::create_dir_all(&folder)?;
        let before = fs::read_dir(&folder)?.count();
        let mut board = Self { file: create(&folder, before)? };
        board.put(Event { file_version: Some(VERSION.to_owned()), ..at(Step(0)) })?;
        board.put(Event { session_log: Some(SessionLog { status: 1 }), ..at(step) })?;
        if before == 0 {
            board.say(step, "job", &format!("```toml\n{job}\n```"))?;
        }
        Ok(board)
    }

    /// The figures of a step, as its row of the metrics has them.
    pub fn figures(&mut self, row: &Row) -> io::Result<()> {
        let named = [
            ("loss/refiner", row.refiner),
            ("loss/realism", row.realism),
            ("loss/regularisation", row.regularisation),
            ("loss/discriminator", row.discriminator),
            ("change", row.change),
            ("right/on_refined", row.accuracy_on_refined),
            ("right/on_real", row.accuracy_on_real),
        ];
        let value = |(tag, figure): (&str, Option<f64>)| {
            Some(Value { tag: tag.to_owned(), simple_value: Some(figure? as f32), ..Value::default() })
        };
        let value: Vec<Value> = named.into_iter().filter_map(value).collect();
        if value.is_empty() { Ok(()) } else { self.put(Event { summary: Some(Summary { value }), ..at(row.step) }) }
    }

    /// A PNG.
    pub fn picture(&mut self, step: Step, tag: &str, png: &[u8]) -> io::Result<()> {
        let side =
            |from: usize| png.get(from..from + 4).and_then(|bytes| bytes.try_into().ok()).map(i32::from_be_bytes);
        // What a PNG says of itself first: width, height.
        let (width, height) = (side(16).unwrap_or(0), side(20).unwrap_or(0));
        let image = Image { height, width, colorspace: 3, encoded_image_string: png.to_vec() };
        let value = vec![Value { tag: tag.to_owned(), image: Some(image), ..Value::default() }];
        self.put(Event { summary: Some(Summary { value }), ..at(step) })
    }

    /// Markdown.
    fn say(&mut self, step: Step, tag: &str, text: &str) -> io::Result<()> {
        let tensor_shape = Some(Shape { dim: vec![Extent { size: 1 }] });
        let tensor = Tensor { dtype: 7, tensor_shape, string_val: vec![text.as_bytes().to_vec()] };
        let metadata = Metadata { plugin_data: Some(Plugin { plugin_name: "text".to_owned() }) };
        let value = Value { tag: tag.to_owned(), tensor: Some(tensor), metadata: Some(metadata), ..Value::default() };
        self.put(Event { summary: Some(Summary { value: vec![value] }), ..at(step) })
    }

    /// Length, a checksum of that, the message, a checksum of that.
    fn put(&mut self, event: Event) -> io::Result<()> {
        let message = event.encode_to_vec();
        let length = (message.len() as u64).to_le_bytes();
        let mut record = Vec::with_capacity(message.len() + 16);
        record.extend(length);
        record.extend(masked(&length).to_le_bytes());
        record.extend(&message);
        record.extend(masked(&message).to_le_bytes());
        self.file.write_all(&record)
    }
}

/// Names in order of time, which is the order in which TensorBoard reads them. One that is there is another worker's, which took
/// itself for the first.
fn create(folder: &Path, before: usize) -> io::Result<File> {
    let mut number = before;
    loop {
        let path = folder.join(format!("events.out.tfevents.{number:010}.sumac"));
        match OpenOptions::new().append(true).create_new(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            made => return made,
        }
    }
}

fn at(step: Step) -> Event {
    let wall_time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    Event { wall_time, step: i64::try_from(step.0).unwrap_or(i64::MAX), ..Event::default() }
}

/// TFRecord's: a checksum of bytes that hold checksums says little, unless it is turned.
fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sumac_common::{
        losses::{Losses, Mean},
        schedule::Phase,
    };

    /// Every record of every file, in their order; panics at a checksum that is wrong.
    fn events(output: &Path) -> Vec<Event> {
        let mut files: Vec<_> = fs::read_dir(output.join(FOLDER)).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        let mut events = Vec::new();
        for file in files {
            let bytes = fs::read(file).unwrap();
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
                let sum = |from: usize| u32::from_le_bytes(rest[from..from + 4].try_into().unwrap());
                assert_eq!((sum(8), sum(12 + length)), (masked(&rest[..8]), masked(&rest[12..12 + length])));
                events.push(Event::decode(&rest[12..12 + length]).unwrap());
                rest = &rest[16 + length..];
            }
        }
        events
    }

    fn row(step: u64) -> Row {
        let losses = Losses { realism: Mean::of(0.7, 1), regularisation: Mean::of(0.1, 1), ..Losses::default() };
        Row::of(Step(step), Phase::Refiner, Some(0), false, &losses, 2.0)
    }

    #[test]
    fn a_checksum_is_that_of_other_programs() {
        // From RFC 3720, appendix B.4: 32 bytes of zeros.
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn a_step_is_as_many_curves_as_it_has_figures() {
        let folder = tempfile::tempdir().unwrap();
        let mut board = Board::begin(folder.path(), Step(0), "name = \"eyes\"").unwrap();
        board.figures(&row(3)).unwrap();
        let events = events(folder.path());
        assert_eq!(events[0].file_version.as_deref(), Some(VERSION));
        let last = events.last().unwrap();
        let values = &last.summary.as_ref().unwrap().value;
        let tags: Vec<&str> = values.iter().map(|value| value.tag.as_str()).collect();
        assert_eq!((last.step, tags), (3, vec!["loss/refiner", "loss/realism", "loss/regularisation"]));
        assert!((values[0].simple_value.unwrap() - 0.9).abs() < 1e-6);
    }

    #[test]
    fn a_generation_that_goes_back_says_from_where_its_figures_count() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = Board::begin(folder.path(), Step(0), "").unwrap();
        (0..6).for_each(|step| first.figures(&row(step)).unwrap());
        let mut second = Board::begin(folder.path(), Step(4), "").unwrap();
        second.figures(&row(4)).unwrap();
        let events = events(folder.path());
        let starts: Vec<i64> =
            events.iter().filter(|event| event.session_log.is_some()).map(|event| event.step).collect();
        assert_eq!(starts, [0, 4]);
        let told = events.iter().filter_map(|event| event.summary.as_ref()).flat_map(|summary| &summary.value);
        assert_eq!(told.filter(|value| value.tag == "job").count(), 1, "the job is told once");
    }

    #[test]
    fn a_picture_has_the_size_that_it_says_itself() {
        let folder = tempfile::tempdir().unwrap();
        let mut png = Vec::new();
        let image = image::GrayImage::new(30, 20);
        image.write_to(&mut io::Cursor::new(&mut png), image::ImageFormat::Png).unwrap();
        let mut board = Board::begin(folder.path(), Step(0), "").unwrap();
        board.picture(Step(50), "samples", &png).unwrap();
        let events = events(folder.path());
        let image = events.last().unwrap().summary.as_ref().unwrap().value[0].image.clone().unwrap();
        assert_eq!((image.width, image.height, image.encoded_image_string), (30, 20, png));
    }
}

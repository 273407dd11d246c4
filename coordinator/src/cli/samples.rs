//! `samples`: the pictures of a run in the terminal, two pixels in each character. Knows nothing of what they show.

use super::{
    args::{self, Reach},
    failure::{Exit, Failure},
    outcome::here,
    render::say,
    view::JobView,
};
use std::{
    env, fs,
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
};
use sumac_common::spec::{ImageShape, Resize};
use sumac_data::{
    decode::{Fault, decode},
    picture::{Picture, Pixels},
};

/// What a finished run leaves, and where those of its way are.
const LAST: &str = "grid.png";
const ON_THE_WAY: &str = "samples";
/// Characters in a line where the terminal does not say.
const WIDTH: u32 = 80;

pub(super) async fn samples(args: args::Samples) -> Result<Exit, Failure> {
    let folder = if Path::new(&args.run).is_dir() {
        PathBuf::from(&args.run)
    } else {
        job_of(&args.run, &args.reach).await?.output_dir.into()
    };
    let path = newest(&folder, args.step)?;
    let picture = read(&path)?;
    if io::stdout().is_terminal() || args.draw {
        let width = env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).unwrap_or(WIDTH);
        anstream::print!("{}", drawn(&picture, width).map_err(|error| unreadable(&path, &error))?);
    }
    say("pictures", format!("{}   synthetic, refined, real", here(&path).display()));
    Ok(Exit::Done)
}

pub(super) async fn job_of(name: &str, reach: &Reach) -> Result<JobView, Failure> {
    let mut dialled = reach.dial().await.map_err(|failure| {
        failure.hint(format!("`{name}` is no folder, so a coordinator was asked for a job of that name"))
    })?;
    let id = dialled.job_called(name).await?;
    dialled.job(id).await
}

fn unreadable(path: &Path, error: &dyn std::error::Error) -> Failure {
    Failure::new(Exit::Failed, format!("cannot show {}: {error}", path.display()))
}

pub(super) fn read(path: &Path) -> Result<Picture, Failure> {
    let bytes = fs::read(path).map_err(|error| unreadable(path, &error))?;
    decode(&bytes).map_err(|error| unreadable(path, &error))
}

/// Those of a step; else those of the end; else the last ones on the way.
pub(super) fn newest(folder: &Path, step: Option<u64>) -> Result<PathBuf, Failure> {
    let on_the_way = folder.join(ON_THE_WAY);
    let path = match step {
        Some(step) => Some(on_the_way.join(format!("step-{step:09}.png"))),
        None if folder.join(LAST).exists() => Some(folder.join(LAST)),
        None => {
            let entries = fs::read_dir(&on_the_way).into_iter().flatten().filter_map(Result::ok);
            entries
                .map(|entry| entry.path())
                .filter(|path| path.extension().is_some_and(|ending| ending == "png"))
                .max()
        }
    };
    path.filter(|path| path.exists()).ok_or_else(|| {
        if let Some(step) = step {
            return Failure::new(Exit::Failed, format!("{} has no pictures of step {step}", folder.display()))
                .hint(format!("those that are there lie in {}", on_the_way.display()));
        }
        let there = on_the_way.display();
        Failure::new(Exit::Failed, format!("there are no pictures yet in {}", folder.display()))
            .hint(format!("output.samples_every says how often they are made; those that are there lie in {there}"))
    })
}

/// Upper half blocks: the upper pixel is the letter's colour, the lower one its background.
fn drawn(picture: &Picture, width: u32) -> Result<String, Fault> {
    let mut text = String::new();
    for row in halves(picture, width)? {
        for ([r, g, b], [r2, g2, b2]) in row {
            text.push_str(&format!("\x1b[38;2;{r};{g};{b};48;2;{r2};{g2};{b2}m▀"));
        }
        text.push_str("\x1b[0m\n");
    }
    Ok(text)
}

/// A character: its upper and its lower pixel.
pub(super) type Half = ([u8; 3], [u8; 3]);

/// Rows of characters; at most so many in a row, and at most as many as the picture is wide.
pub(super) fn halves(picture: &Picture, width: u32) -> Result<Vec<Vec<Half>>, Fault> {
    let width = width.clamp(1, picture.width);
    // Two pixels in a character, which is about twice as high as wide.
    let height = (picture.height * width / picture.width).max(2) & !1;
    let small = picture.converted(ImageShape { channels: 3, height, width }, Resize::Area)?;
    let Pixels::U8(values) = &small.pixels else { return Ok(Vec::new()) };
    let row = 3 * width as usize;
    let pairs = values.chunks_exact(2 * row).map(|pair| {
        let (upper, lower) = pair.split_at(row);
        upper.as_chunks::<3>().0.iter().copied().zip(lower.as_chunks::<3>().0.iter().copied()).collect()
    });
    Ok(pairs.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_rows_of_pixels_become_one_of_characters() {
        let picture =
            Picture { width: 2, height: 2, channels: 1, pixels: Pixels::U8(vec![0, 255, 10, 20]), alpha: None };
        let text = drawn(&picture, 80).unwrap();
        assert_eq!(text, "\x1b[38;2;0;0;0;48;2;10;10;10m▀\x1b[38;2;255;255;255;48;2;20;20;20m▀\x1b[0m\n");
    }

    #[test]
    fn a_wide_picture_is_made_as_wide_as_the_terminal() {
        let picture =
            Picture { width: 200, height: 100, channels: 1, pixels: Pixels::U8(vec![7; 20_000]), alpha: None };
        let text = drawn(&picture, 40).unwrap();
        assert_eq!((text.lines().count(), text.matches('▀').count()), (10, 400));
    }
}

//! The dashboard over HTTP: one page, what it is told as that changes, and the pictures of a run. Only read, only from this machine.
//!
//! * `board`: what is told at the moment, part by part; whoever watches a cluster writes on it
//! * `guard`: who is let in, and what a browser may do with what it gets
//! * `telling`: the parts as server-sent events
//!
//! It refuses to know coordinators, jobs and the wire: parts are JSON that others made (`cli/dashboard`).

mod board;
mod guard;
mod telling;

pub use board::{Board, Looking, Part};

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderName, StatusCode, header},
    middleware,
    response::{IntoResponse as _, Response},
    routing::get,
};
use std::{io, path::PathBuf, sync::Arc};

const PAGE: &str = include_str!("dashboard/page.html");
const STYLE: &str = include_str!("dashboard/page.css");
const SCRIPT: &str = include_str!("dashboard/page.js");
const MARK: &str = include_str!("dashboard/mark.svg");

/// What a run leaves at its end, and where those of its way are.
const LAST: &str = "grid.png";
const ON_THE_WAY: &str = "samples";
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
/// More is no sheet of samples.
const PICTURE_MAX: u64 = 64 << 20;

/// The page, what it is told, and the pictures. They can be merged into a larger router.
pub fn routes(board: Arc<Board>) -> Router {
    Router::new()
        .route("/", get(|| async { text("text/html; charset=utf-8", PAGE) }))
        .route("/page.css", get(|| async { text("text/css; charset=utf-8", STYLE) }))
        .route("/page.js", get(|| async { text("text/javascript; charset=utf-8", SCRIPT) }))
        .route("/mark.svg", get(|| async { text("image/svg+xml", MARK) }))
        .route("/told", get(telling::cluster))
        .route("/told/{job}", get(telling::job))
        .route("/pictures/{job}/{file}", get(picture))
        .layer(middleware::from_fn(guard::guard))
        .with_state(board)
}

fn text(kind: &'static str, text: &'static str) -> ([(HeaderName, &'static str); 1], &'static str) {
    ([(header::CONTENT_TYPE, kind)], text)
}

async fn picture(State(board): State<Arc<Board>>, Path((job, file)): Path<(String, String)>) -> Response {
    let not_there = || (StatusCode::NOT_FOUND, "there is no such picture\n").into_response();
    let Some(path) = board.folder(&job).and_then(|folder| within(folder, &file)) else { return not_there() };
    match read(path).await {
        Ok(png) if png.starts_with(PNG) => ([(header::CONTENT_TYPE, "image/png")], png).into_response(),
        _ => not_there(),
    }
}

/// Only the names that runs give their pictures.
fn within(folder: PathBuf, file: &str) -> Option<PathBuf> {
    if file == LAST {
        return Some(folder.join(LAST));
    }
    let step = file.strip_prefix("step-")?.strip_suffix(".png")?;
    let is_number = (9..=20).contains(&step.len()) && step.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| folder.join(ON_THE_WAY).join(file))
}

async fn read(path: PathBuf) -> io::Result<Vec<u8>> {
    let known = tokio::fs::metadata(&path).await?;
    // Who opens a pipe waits.
    if !known.is_file() || known.len() > PICTURE_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    tokio::fs::read(path).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pictures_of_runs_have_a_place() {
        let of = |file: &str| within(PathBuf::from("/runs/eyes"), file);
        assert_eq!(of("grid.png"), Some(PathBuf::from("/runs/eyes/grid.png")));
        assert_eq!(of("step-000000050.png"), Some(PathBuf::from("/runs/eyes/samples/step-000000050.png")));
        for other in ["", "..", "../grid.png", "step-.png", "step-../../0.png", "step-00000005x.png", "spec.toml"] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}

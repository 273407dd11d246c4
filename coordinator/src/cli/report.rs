//! The report of an evaluation: one file for a browser, which needs no network. Computes nothing but where bars end.

use super::{
    evaluation::{IMAGE_HEADS, cells, heads, images, score, sentences, tabled},
    failure::{Exit, Failure},
    render::grouped,
};
use std::{fmt::Write as _, fs, path::PathBuf};
use sumac_common::evaluation::{
    Cell,
    figures::Figures,
    table::{Mean, Row, Table},
};
use sumac_data::evaluated::Evaluated;

const REPORT: &str = "report.html";

/// Writes it beside the figures.
pub(super) fn write(found: &Evaluated) -> Result<PathBuf, Failure> {
    let path = found.evaluation.how.destination.join(REPORT);
    fs::write(&path, html(found)).map_err(|error| {
        Failure::new(Exit::Failed, format!("cannot write {}", path.display())).because(Some(&error))
    })?;
    Ok(path)
}

const STYLE: &str = "
:root { color-scheme: light dark; --line: #8886; --bar: #4a7dbd; --base: #999; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--line); }
th { font-weight: 600; font-size: .8rem; text-transform: uppercase; letter-spacing: .03em; }
img { image-rendering: pixelated; max-width: 100%; }
pre { overflow: auto; padding: 1rem; border: 1px solid var(--line); font-size: .8rem; }
.bar { fill: var(--bar); } .base { fill: var(--base); } .whisker { stroke: currentColor; stroke-width: 1.5; }
svg text { fill: currentColor; font-size: 13px; }
.note { color: #888; font-size: .9rem; }
";

fn html(found: &Evaluated) -> String {
    let (table, what) = (tabled(found), &found.evaluation.what);
    let mut page = String::from("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n");
    let name = escaped(&found.evaluation.name);
    // Writing to a String cannot fail.
    let _ = write!(
        page,
        "<title>{name}: does it help?</title>\n<style>{STYLE}</style></head><body>\n<h1>{name}: does it help?</h1>\n"
    );
    for line in sentences(&table) {
        let _ = writeln!(page, "<p>{}</p>", escaped(&line));
    }
    let test = found.evaluation.how.test.images.display().to_string();
    let _ = writeln!(
        page,
        "<p class=\"note\">Each row: the same model, {} updates, trained with {} seeds and tested on {}. ± is the 95% interval of \
         the mean; differences are taken seed by seed.</p>",
        grouped(what.model.updates),
        what.seeds,
        escaped(&test)
    );
    page.push_str(&bars(&table));
    let rows: Vec<Vec<String>> = table.rows.iter().map(|row| cells(row, &table)).collect();
    page.push_str(&html_table(&heads(&table), &rows));
    page.push_str(&the_images(found, &table));
    page.push_str(&by_class(found));
    let _ = write!(
        page,
        "<h2>What was run</h2>\n<p class=\"note\">sumac {}</p>\n<pre>{}</pre>\n</body></html>\n",
        escaped(&found.sumac),
        escaped(&serde_json::to_string_pretty(&found.evaluation).unwrap_or_default())
    );
    page
}

fn html_table(heads: &[impl AsRef<str>], rows: &[Vec<String>]) -> String {
    let head: String = heads.iter().map(|head| format!("<th>{}</th>", escaped(head.as_ref()))).collect();
    let row = |cells: &Vec<String>| {
        let cells: String = cells.iter().map(|cell| format!("<td>{}</td>", escaped(cell))).collect();
        format!("<tr>{cells}</tr>\n")
    };
    format!("<table>\n<tr>{head}</tr>\n{}</table>\n", rows.iter().map(row).collect::<String>())
}

/// A bar for each arm, with its interval.
fn bars(table: &Table) -> String {
    const LEFT: f64 = 320.0;
    const WIDE: f64 = 480.0;
    const HIGH: f64 = 24.0;
    let end = |row: &Row| row.score.mean + row.score.half.unwrap_or_default();
    let most = table.rows.iter().map(end).fold(f64::MIN_POSITIVE, f64::max);
    let at = |value: f64| LEFT + WIDE * (value / most).clamp(0.0, 1.0);
    let height = HIGH * table.rows.len() as f64;
    let mut svg =
        format!("<svg viewBox=\"0 0 {} {height}\" role=\"img\" aria-label=\"scores by arm\">\n", LEFT + WIDE + 110.0);
    for (place, row) in table.rows.iter().enumerate() {
        let (top, middle) = (HIGH * place as f64, HIGH * (place as f64 + 0.5));
        let class = if place == table.base { "base" } else { "bar" };
        let (mean, half) = (row.score.mean, row.score.half.unwrap_or_default());
        let (low, high) = (at(mean - half), at(mean + half));
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\
             <rect class=\"{class}\" x=\"{LEFT}\" y=\"{}\" width=\"{}\" height=\"{}\"/>\
             <line class=\"whisker\" x1=\"{low}\" x2=\"{high}\" y1=\"{middle}\" y2=\"{middle}\"/>\
             <text x=\"{}\" y=\"{}\">{}</text>",
            LEFT - 8.0,
            middle + 4.0,
            escaped(&row.arm),
            top + 4.0,
            at(mean) - LEFT,
            HIGH - 8.0,
            high + 6.0,
            middle + 4.0,
            escaped(&score(row.score, table.measure)),
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn the_images(found: &Evaluated, table: &Table) -> String {
    let rows = images(table);
    if rows.is_empty() {
        return String::new();
    }
    let mut part = String::from("<h2>The images</h2>\n");
    part.push_str(&html_table(&IMAGE_HEADS, &rows));
    for (cell, outcome) in found.evaluation.what.cells().iter().zip(&found.cells) {
        let Cell::Images { arm } = cell else { continue };
        let _ = writeln!(
            part,
            "<h3>{0}</h3>\n<p class=\"note\">synthetic, {0}, what changed, real</p>\n\
             <img alt=\"{0} beside synthetic and real images\" src=\"data:image/png;base64,{1}\">",
            escaped(&table.rows[*arm].arm),
            escaped(&outcome.picture)
        );
    }
    part
}

/// Which classes are recognised from each single kind of images: mean over seeds.
fn by_class(found: &Evaluated) -> String {
    let what = &found.evaluation.what;
    if what.classes.is_empty() {
        return String::new();
    }
    let cells: Vec<(Cell, &Figures)> =
        what.cells().into_iter().zip(found.cells.iter().map(|cell| &cell.figures)).collect();
    let recognised = |arm: usize| -> Vec<&[Option<f64>]> {
        let of_arm = cells.iter().filter(|(cell, _)| matches!(cell, Cell::Model { arm: other, .. } if *other == arm));
        of_arm
            .filter_map(|(_, figures)| match figures {
                Figures::Classes(classes) => Some(&classes.recognised[..]),
                _ => None,
            })
            .collect()
    };
    let arms = what.arms.iter().enumerate().filter(|(_, arm)| arm.parts.len() == 1);
    let (names, seeds): (Vec<&str>, Vec<_>) = arms.map(|(at, arm)| (arm.name.as_str(), recognised(at))).unzip();
    let mean = |seeds: &[&[Option<f64>]], class: usize| {
        let shares: Vec<f64> = seeds.iter().filter_map(|shares| *shares.get(class)?).collect();
        if shares.is_empty() { "-".to_owned() } else { format!("{:.0}%", 100.0 * Mean::of(&shares).mean) }
    };
    let row = |(class, name): (usize, &String)| {
        std::iter::once(name.clone()).chain(seeds.iter().map(|seeds| mean(seeds, class))).collect()
    };
    let heads: Vec<&str> = std::iter::once("class").chain(names).collect();
    let rows: Vec<Vec<String>> = what.classes.iter().enumerate().map(row).collect();
    format!("<h2>Class by class</h2>\n<p class=\"note\">share recognised</p>\n{}", html_table(&heads, &rows))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

//! What an evaluation found out, for people: a table on the terminal, and a report of one file that needs no network. Computes
//! nothing but widths.

use super::{
    args::{Output, Read},
    failure::{Exit, Failure},
    outcome::here,
    render::{Cell, grouped, print_item, say, table as text_table},
};
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};
use sumac_common::evaluation::{
    Measure,
    figures::{Figures, Images},
    table::{self, Mean, Row, Table},
};
use sumac_data::evaluated::{self, Evaluated};

/// Beside the figures.
const REPORT: &str = "report.html";

pub(super) fn show(into: &Path, read: &Read) -> Result<Exit, Failure> {
    let failed = |error: evaluated::EvaluatedError| Failure::of(Exit::Failed, &error);
    let Some(found) = evaluated::evaluated(into).map_err(failed)? else {
        return match evaluated::order(into).map_err(failed)? {
            Some(order) => {
                let (done, all) = (evaluated::published(into).map_err(failed)?, order.what.cells().len());
                say("evaluating", format!("{}   {done} of {all} cells", here(into).display()));
                Ok(Exit::Done)
            }
            None => Err(Failure::new(Exit::Failed, format!("{} is no evaluation", into.display()))
                .hint("name the folder that `sumac evaluate` was given as --into")),
        };
    };
    match read.output {
        Output::Json => print_item(&found),
        Output::Table => print(&found),
    }
    Ok(Exit::Done)
}

fn tabled(found: &Evaluated) -> Table {
    let figures: Vec<Option<&Figures>> = found.cells.iter().map(|cell| Some(&cell.figures)).collect();
    table::table(&found.evaluation.what, &figures)
}

// === on the terminal ===

pub(super) fn print(found: &Evaluated) {
    let table = tabled(found);
    let heads = heads(&table);
    let rows: Vec<Vec<Cell>> =
        table.rows.iter().map(|row| cells(row, &table).into_iter().map(Cell::from).collect()).collect();
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    anstream::print!("{}", text_table(&heads, &rows));
    let images: Vec<(&str, &Images)> =
        table.rows.iter().filter_map(|row| Some((row.arm.as_str(), row.images.as_ref()?))).collect();
    if !images.is_empty() {
        let heads =
            ["IMAGES", "CHANGE", "LABELS KEPT", "FRECHET", "WASSERSTEIN", "BRIGHTNESS", "TOLD FROM REAL", "FLAT"];
        let rows: Vec<Vec<Cell>> = images
            .iter()
            .map(|(arm, images)| described(arm, images).into_iter().map(Cell::from).collect())
            .chain(images.first().map(|(_, images)| floor(images).into_iter().map(Cell::from).collect()))
            .collect();
        anstream::println!();
        anstream::print!("{}", text_table(&heads, &rows));
    }
    for line in verdicts(&table) {
        anstream::println!("\n{line}");
    }
}

fn heads(table: &Table) -> Vec<String> {
    let measure = match table.measure {
        Measure::Accuracy => "ACCURACY %",
        Measure::BalancedAccuracy => "BALANCED %",
        Measure::Error => "MEAN ERROR",
    };
    let over = |row: usize| format!("OVER {}", table.rows[row].arm.to_uppercase());
    let mut heads = vec!["LEARNED FROM".to_owned(), measure.to_owned(), over(table.base)];
    heads.extend(table.rival.map(over));
    heads.extend(table.ceiling.map(|_| "GAP CLOSED".to_owned()));
    if table.rows.iter().any(|row| row.information.is_some()) {
        heads.push("INFORMATION".to_owned());
    }
    heads
}

fn cells(row: &Row, table: &Table) -> Vec<String> {
    let none = || "-".to_owned();
    let mut cells = vec![row.arm.clone(), score(row.score, table.measure)];
    cells.push(row.over_base.map_or_else(none, |over| difference(over, table.measure)));
    if table.rival.is_some() {
        cells.push(row.over_rival.map_or_else(none, |over| difference(over, table.measure)));
    }
    if table.ceiling.is_some() {
        cells.push(row.closed.map_or_else(none, |share| format!("{:.0}%", 100.0 * share)));
    }
    if table.rows.iter().any(|row| row.information.is_some()) {
        cells.push(row.information.map_or_else(none, |information| format!("{information:.2}")));
    }
    cells
}

fn unit(measure: Measure) -> f64 {
    if measure == Measure::Error { 1.0 } else { 100.0 }
}

fn score(mean: Mean, measure: Measure) -> String {
    let digits = if measure == Measure::Error { 3 } else { 1 };
    let half = mean.half.map_or_else(String::new, |half| format!(" ± {:.digits$}", unit(measure) * half));
    format!("{:.digits$}{half}", unit(measure) * mean.mean)
}

fn difference(mean: Mean, measure: Measure) -> String {
    let sign = if mean.mean >= 0.0 { "+" } else { "" };
    format!("{sign}{}", score(mean, measure))
}

fn described(arm: &str, images: &Images) -> Vec<String> {
    vec![
        arm.to_owned(),
        format!("{:.3}", images.change),
        format!("{:.1}%", 100.0 * images.agreement),
        format!("{:.3}", images.frechet),
        levels(&images.wasserstein),
        format!("{:.3}", images.brightness_spread),
        format!("{:.1}%", 100.0 * images.told_from_real),
        grouped(images.flat),
    ]
}

/// What real images are from real ones: nothing can be expected to be nearer.
fn floor(images: &Images) -> Vec<String> {
    vec![
        "real beside real".to_owned(),
        "-".to_owned(),
        "-".to_owned(),
        format!("{:.3}", images.frechet_floor),
        levels(&images.wasserstein_floor),
        format!("{:.3}", images.brightness_spread_real),
        format!("{:.1}%", 100.0 * images.told_from_real_floor),
        "-".to_owned(),
    ]
}

fn levels(levels: &[f64]) -> String {
    levels.iter().map(|level| format!("{level:.0}")).collect::<Vec<_>>().join("/")
}

/// The sentences that the table is made for: what each refiner is worth, and whether that is more than chance.
fn verdicts(table: &Table) -> Vec<String> {
    let (base, rival) = (&table.rows[table.base].arm, table.rival.map(|rival| &table.rows[rival].arm));
    let said = |row: &Row| {
        let against = |over: Mean, of: &str| {
            let what = if over.is_above_zero() {
                "better than"
            } else if (Mean { mean: -over.mean, ..over }).is_above_zero() {
                "worse than"
            } else {
                "not told apart from"
            };
            format!("{what} {of} ({})", difference(over, table.measure))
        };
        let mut parts = Vec::new();
        parts.extend(row.over_base.map(|over| against(over, base)));
        parts.extend(row.over_rival.zip(rival).map(|(over, rival)| against(over, rival)));
        (!parts.is_empty()).then(|| format!("{}: {}", row.arm, parts.join(", ")))
    };
    let refined = table.rows.iter().filter(|row| row.arm.starts_with("refined by") && !row.arm.contains(" + "));
    refined.filter_map(said).collect()
}

// === in a browser ===

/// Writes the report beside the figures.
pub(super) fn report(found: &Evaluated) -> Result<PathBuf, Failure> {
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
    for line in verdicts(&table) {
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
    page.push_str(&pictures(found, &table));
    page.push_str(&by_class(found));
    let _ = write!(
        page,
        "<h2>What was run</h2>\n<p class=\"note\">sumac {}</p>\n<pre>{}</pre>\n</body></html>\n",
        escaped(&found.sumac),
        escaped(&serde_json::to_string_pretty(&found.evaluation).unwrap_or_default())
    );
    page
}

fn html_table(heads: &[String], rows: &[Vec<String>]) -> String {
    let line = |tag: &str, cells: &[String]| {
        let cells: String = cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell))).collect();
        format!("<tr>{cells}</tr>\n")
    };
    let rows: String = rows.iter().map(|row| line("td", row)).collect();
    format!("<table>\n{}{rows}</table>\n", line("th", heads))
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

fn pictures(found: &Evaluated, table: &Table) -> String {
    let heads = ["images", "change", "labels kept", "Fréchet", "Wasserstein", "brightness", "told from real", "flat"];
    let images: Vec<(&str, &Images)> =
        table.rows.iter().filter_map(|row| Some((row.arm.as_str(), row.images.as_ref()?))).collect();
    let Some((_, first)) = images.first() else { return String::new() };
    let rows: Vec<Vec<String>> =
        images.iter().map(|(arm, images)| described(arm, images)).chain([floor(first)]).collect();
    let mut part = String::from("<h2>The images</h2>\n");
    part.push_str(&html_table(&heads.map(str::to_owned), &rows));
    let drawn = found.cells.iter().filter(|cell| !cell.picture.is_empty());
    for ((arm, _), cell) in images.iter().zip(drawn) {
        let _ = writeln!(
            part,
            "<h3>{0}</h3>\n<p class=\"note\">synthetic, {0}, what changed, real</p>\n\
             <img alt=\"{0} beside synthetic and real images\" src=\"data:image/png;base64,{1}\">",
            escaped(arm),
            escaped(&cell.picture)
        );
    }
    part
}

/// Which classes are recognised, arm by arm: mean over seeds.
fn by_class(found: &Evaluated) -> String {
    let what = &found.evaluation.what;
    if what.classes.is_empty() {
        return String::new();
    }
    let of_arm = |arm: usize| -> Vec<&Vec<Option<f64>>> {
        what.cells()
            .iter()
            .zip(&found.cells)
            .filter_map(|(cell, outcome)| match (cell, &outcome.figures) {
                (sumac_common::evaluation::Cell::Model { arm: other, .. }, Figures::Classes(classes))
                    if *other == arm =>
                {
                    Some(&classes.recognised)
                }
                _ => None,
            })
            .collect()
    };
    let arms: Vec<usize> = (0..what.arms.len()).filter(|arm| what.arms[*arm].parts.len() == 1).collect();
    let heads: Vec<String> =
        std::iter::once("class".to_owned()).chain(arms.iter().map(|arm| what.arms[*arm].name.clone())).collect();
    let rows: Vec<Vec<String>> = what
        .classes
        .iter()
        .enumerate()
        .map(|(class, name)| {
            let mean = |arm: &usize| {
                let shares: Vec<f64> = of_arm(*arm).iter().filter_map(|recognised| *recognised.get(class)?).collect();
                if shares.is_empty() { "-".to_owned() } else { format!("{:.0}%", 100.0 * Mean::of(&shares).mean) }
            };
            std::iter::once(name.clone()).chain(arms.iter().map(mean)).collect()
        })
        .collect();
    format!("<h2>Class by class</h2>\n<p class=\"note\">share recognised</p>\n{}", html_table(&heads, &rows))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

//! The report of an evaluation: one file for a browser, which needs no network. Computes nothing but where bars end.

use super::{
    evaluation::{IMAGE_HEADS, cells, footing, heads, images, score, sentences, tabled},
    failure::{Exit, Failure},
    render::{counted, grouped},
};
use std::{fmt::Write as _, fs, path::PathBuf};
use sumac_common::{
    evaluation::{
        Cell, Evaluation, Measure,
        figures::{Figures, Images},
        table::{self, Mean, Table},
    },
    metrics::{self, Row},
    spec::ImageShape,
};
use sumac_data::{evaluated::Evaluated, grid::Sheet};

const REPORT: &str = "report.html";

/// Writes it beside the figures.
pub(super) fn write(found: &Evaluated) -> Result<PathBuf, Failure> {
    let path = found.evaluation.how.destination.join(REPORT);
    fs::write(&path, html(found)).map_err(|error| {
        Failure::new(Exit::Failed, format!("cannot write {}", path.display())).because(Some(&error))
    })?;
    Ok(path)
}

/// It needs nothing but itself, and runs nothing.
const POLICY: &str = "<meta http-equiv=\"Content-Security-Policy\" \
                      content=\"default-src 'none'; img-src data:; style-src 'nonce-sumac'\">\n\
                      <meta name=\"viewport\" content=\"width=device-width\">\n";
/// Synthetic, made of it, what changed, real.
const COLUMNS: usize = 4;
/// Points of a curve: each is the mean of what lies around it.
const POINTS: usize = 80;

const STYLE: &str = "
:root { color-scheme: light dark; --line: #8886; --bar: #4a7dbd; --base: #999; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--line); }
details { margin: .5rem 0 1.5rem; } summary { cursor: pointer; } dt { font-weight: 600; } dd { margin: 0 0 .5rem; }
th { font-weight: 600; font-size: .8rem; text-transform: uppercase; letter-spacing: .03em; }
.sheet { max-width: 100%; height: auto; image-rendering: pixelated; }
svg .label { fill: #fff; stroke: #000; stroke-width: 2.5; paint-order: stroke; font-size: 12px; }
.point { fill: none; stroke: #f33; stroke-width: 1.5; }
.curves { display: flex; flex-wrap: wrap; gap: 1.5rem; } .curves figure { margin: 0; width: 20rem; }
.first, .second { fill: none; stroke-width: 1.5; } .first { stroke: var(--bar); } .second { stroke: #c77d2e; }
.axis { stroke: var(--line); }
pre { overflow: auto; padding: 1rem; border: 1px solid var(--line); font-size: .8rem; }
.bar { fill: var(--bar); } .base { fill: var(--base); } .whisker { stroke: currentColor; stroke-width: 1.5; }
svg text { fill: currentColor; font-size: 13px; }
.note { color: #888; font-size: .9rem; }
";

const WHAT_ARMS_SAY: &str = "<details><summary>What the columns say</summary><dl>\
<dt>over synthetic, over image-match</dt><dd>By how much it is better than a model that learned from synthetic images as they are, and \
than one whose images each had the light of one real image, without any learning.</dd>\
<dt>gap closed</dt><dd>Of the way from synthetic images to real labels. Only where real labels are known to give more.</dd>\
<dt>information</dt><dd>What predictions on unlabelled real images tell, in nats: large where they are sure and varied.</dd>\
</dl></details>\n";
const WHAT_IMAGES_SAY: &str = "<details><summary>What the columns say</summary><dl>\
<dt>change</dt><dd>Mean difference of a pixel from the synthetic image; pixels lie in [-1, 1].</dd>\
<dt>moved</dt><dd>Pixels by which contours moved, and what lies around the points that labels name.</dd>\
<dt>labels kept</dt><dd>Share of images that a model takes for the same class before and after; of numbers, how far apart it takes \
them to be, in deviations.</dd>\
<dt>Fréchet</dt><dd>Distance of the features of that model from those of real images; to be held against the last row.</dd>\
<dt>Wasserstein</dt><dd>Sliced distance of patches from real ones, fine ones first, times 1,000.</dd>\
<dt>brightness</dt><dd>How much the mean brightness varies from image to image: much less than that of real ones is one light for all.</dd>\
<dt>told from real</dt><dd>Accuracy of a fresh classifier that tells them from real ones; 50% is chance, and small sets soon reach 100%.</dd>\
<dt>flat</dt><dd>Images that show nothing.</dd>\
</dl></details>\n";

fn html(found: &Evaluated) -> String {
    let (table, what) = (tabled(found), &found.evaluation.what);
    let mut page = String::from("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n");
    page.push_str(POLICY);
    let name = escaped(&found.evaluation.name);
    // Writing to a String cannot fail.
    let _ = write!(
        page,
        "<title>{name}: does it help?</title>\n<style nonce=\"sumac\">{STYLE}</style></head><body>\n<h1>{name}: does it help?</h1>\n"
    );
    for line in sentences(&table) {
        let _ = writeln!(page, "<p>{}</p>", escaped(&line));
    }
    let test = found.evaluation.how.test.images.display().to_string();
    let _ = writeln!(
        page,
        "<p class=\"note\">Each row: the same model, {} updates, trained with {} and tested on {}; differences are taken seed \
         by seed, and + is better. {}.{}</p>",
        grouped(what.model.updates),
        counted(u64::from(what.seeds), "seed"),
        escaped(&test),
        escaped(&footing(found)),
        if table.measure == Measure::Error { " Of errors less is better: the shorter bar." } else { "" }
    );
    page.push_str(&bars(&table));
    let rows: Vec<Vec<String>> = table.rows.iter().map(|row| cells(row, &table)).collect();
    page.push_str(&html_table(&heads(&table), &rows));
    page.push_str(WHAT_ARMS_SAY);
    page.push_str(&by_class(found));
    page.push_str(&curves(found));
    page.push_str(&the_images(found, &table));
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
    let end = |row: &table::Row| row.score.mean + row.score.half.unwrap_or_default();
    let most = table.rows.iter().map(end).fold(f64::MIN_POSITIVE, f64::max);
    let share = |value: f64| if value.is_nan() { 0.0 } else { (value / most).clamp(0.0, 1.0) };
    let at = |value: f64| LEFT + WIDE * share(value);
    let height = HIGH * table.rows.len() as f64;
    let mut svg =
        format!("<svg viewBox=\"0 0 {} {height}\" role=\"img\" aria-label=\"scores by arm\">\n", LEFT + WIDE + 170.0);
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
    part.push_str(WHAT_IMAGES_SAY);
    for (cell, outcome) in found.evaluation.what.cells().iter().zip(&found.cells) {
        let Cell::Images { arm } = cell else { continue };
        // Beside themselves there is nothing to see.
        if *arm == table.base {
            continue;
        }
        let Figures::Images(images) = &outcome.figures else { continue };
        let arm = escaped(&table.rows[*arm].arm);
        let _ = writeln!(
            part,
            "<h3>{arm}</h3>\n<p class=\"note\">synthetic, {arm}, what changed, real; over the first two what they are labelled</p>\n{}",
            picture(&arm, found.evaluation.what.image, images, &outcome.picture)
        );
    }
    part
}

/// The images side by side, with their labels over both.
fn picture(arm: &str, image: ImageShape, images: &Images, png: &str) -> String {
    let sheet = Sheet::of(image, COLUMNS, images.shown.len());
    let mut svg = format!(
        "<svg class=\"sheet\" width=\"{0}\" viewBox=\"0 0 {0} {1}\" role=\"img\" aria-label=\"{arm} beside synthetic and real \
         images\"><image width=\"{0}\" height=\"{1}\" href=\"data:image/png;base64,{2}\"/>\n",
        sheet.width,
        sheet.height,
        escaped(png)
    );
    for (row, column) in (0..images.shown.len()).flat_map(|row| [(row, 0), (row, 1)]) {
        let (left, top) = sheet.corner(column, row);
        if let Some(label) = images.labels.get(row) {
            let (_, below) = sheet.corner(column, row + 1);
            let _ =
                write!(svg, "<text class=\"label\" x=\"{}\" y=\"{}\">{}</text>", left + 3, below - 6, escaped(label));
        }
        if let Some([x, y]) = images.points.get(row) {
            // Pixels are counted by their middles.
            let at = |side: f32, from: usize| from as f32 + (side + 0.5) * sheet.scale as f32;
            let _ = write!(svg, "<circle class=\"point\" cx=\"{}\" cy=\"{}\" r=\"4\"/>", at(*x, left), at(*y, top));
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// How the refiners were trained, where their runs can be reached.
fn curves(found: &Evaluated) -> String {
    let Evaluation { what, how, .. } = &found.evaluation;
    let drawn: String = what
        .refiners
        .iter()
        .zip(&how.runs)
        .filter_map(|(refiner, run)| {
            let rows = metrics::rows(&fs::read_to_string(run.as_ref()?.join(metrics::FILE)).ok()?);
            Some(format!(
                "<figure><figcaption>{}</figcaption>{}{}</figure>\n",
                escaped(&refiner.name),
                curve(
                    "discriminator right on refined, on real",
                    1.0,
                    &[|row| row.accuracy_on_refined, |row| row.accuracy_on_real],
                    &rows
                ),
                curve("mean change of a pixel", 0.0, &[|row| row.change], &rows),
            ))
        })
        .collect();
    if drawn.is_empty() { drawn } else { format!("<h2>The runs</h2>\n<div class=\"curves\">\n{drawn}</div>\n") }
}

/// Of a step.
type Figure = fn(&Row) -> Option<f64>;

/// Over the steps; up to `most`, or as high as it goes.
fn curve(name: &str, most: f64, lines: &[Figure], rows: &[Row]) -> String {
    const WIDE: f64 = 320.0;
    const HIGH: f64 = 90.0;
    let smooth = |of: &Figure| -> Vec<f64> {
        let values: Vec<f64> = rows.iter().filter_map(of).filter(|value| value.is_finite()).collect();
        values.chunks(values.len().div_ceil(POINTS).max(1)).map(|some| Mean::of(some).mean).collect()
    };
    let lines: Vec<Vec<f64>> = lines.iter().map(smooth).collect();
    let top = lines.iter().flatten().copied().fold(most.max(f64::MIN_POSITIVE), f64::max);
    let line = |(points, class): (&Vec<f64>, &&str)| {
        let point = |(at, value): (usize, &f64)| {
            let along = if points.len() > 1 { at as f64 / (points.len() - 1) as f64 } else { 0.5 };
            format!("{:.1},{:.1}", WIDE * along, HIGH * (1.0 - value / top))
        };
        let points: Vec<String> = points.iter().enumerate().map(point).collect();
        format!("<polyline class=\"{class}\" points=\"{}\"/>", points.join(" "))
    };
    let drawn: String = lines.iter().zip(&["first", "second"]).map(line).collect();
    format!(
        "<svg viewBox=\"0 -16 {WIDE} {}\" role=\"img\" aria-label=\"{name}\"><text x=\"0\" y=\"-4\">{name}, 0 to {top:.2}</text>\
         <line class=\"axis\" x1=\"0\" x2=\"{WIDE}\" y1=\"{HIGH}\" y2=\"{HIGH}\"/>{drawn}</svg>\n",
        HIGH + 20.0
    )
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

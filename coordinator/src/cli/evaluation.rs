//! What an evaluation found out, for people on a terminal: tables, and the sentences they are made for. Computes nothing; the
//! [`report`](super::report) says the same in a browser.

use super::{
    args::{Output, Read},
    failure::{Exit, Failure},
    outcome::here,
    render::{Cell, counted, grouped, print_item, say, table as text_table},
};
use std::path::Path;
use sumac_common::evaluation::{
    Measure,
    choice::{By, Veto, choice},
    figures::{Figures, Images, Kept},
    table::{self, Mean, Row, Table, Verdict},
};
use sumac_data::evaluated::{self, Evaluated};

pub(super) const IMAGE_HEADS: [&str; 9] =
    ["IMAGES", "CHANGE", "MOVED", "LABELS KEPT", "FRECHET", "WASSERSTEIN", "BRIGHTNESS", "TOLD FROM REAL", "FLAT"];

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

pub(super) fn tabled(found: &Evaluated) -> Table {
    let figures: Vec<Option<&Figures>> = found.cells.iter().map(|cell| Some(&cell.figures)).collect();
    table::table(&found.evaluation.what, &figures)
}

pub(super) fn print(found: &Evaluated) {
    let table = tabled(found);
    let heads = heads(&table);
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    let plain = |rows: Vec<Vec<String>>| -> Vec<Vec<Cell>> {
        rows.into_iter().map(|row| row.into_iter().map(Cell::from).collect()).collect()
    };
    anstream::print!("{}", text_table(&heads, &plain(table.rows.iter().map(|row| cells(row, &table)).collect())));
    let images = images(&table);
    if !images.is_empty() {
        anstream::println!();
        anstream::print!("{}", text_table(&IMAGE_HEADS, &plain(images)));
    }
    for line in sentences(&table) {
        anstream::println!("\n{line}");
    }
}

pub(super) fn heads(table: &Table) -> Vec<String> {
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

pub(super) fn cells(row: &Row, table: &Table) -> Vec<String> {
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

pub(super) fn score(mean: Mean, measure: Measure) -> String {
    let digits = if measure == Measure::Error { 3 } else { 1 };
    let half = mean.half.map_or_else(String::new, |half| format!(" ± {:.digits$}", unit(measure) * half));
    format!("{:.digits$}{half}", unit(measure) * mean.mean)
}

fn difference(mean: Mean, measure: Measure) -> String {
    let sign = if mean.mean >= 0.0 { "+" } else { "" };
    format!("{sign}{}", score(mean, measure))
}

fn moved(images: &Images) -> String {
    let at_points = images.point_moved.map_or_else(String::new, |moved| format!(", points {moved:.2}"));
    format!("{:.2} px{at_points}", images.moved)
}

/// Of classes a share; of numbers a difference, which is to be small.
fn kept(kept: Kept) -> String {
    match kept {
        Kept::Classes(share) => format!("{:.1}%", 100.0 * share),
        Kept::Numbers(difference) => format!("to {difference:.2} sd"),
    }
}

/// Of each arm that has images of its own; the last row is what real images are from real ones, and nothing can be expected to
/// be nearer.
pub(super) fn images(table: &Table) -> Vec<Vec<String>> {
    let described = |row: &Row| Some(described(&row.arm, row.images.as_ref()?));
    let floor = table.rows.iter().find_map(|row| row.images.as_ref()).map(floor);
    table.rows.iter().filter_map(described).chain(floor).collect()
}

fn described(arm: &str, images: &Images) -> Vec<String> {
    vec![
        arm.to_owned(),
        format!("{:.3}", images.change),
        moved(images),
        kept(images.kept),
        format!("{:.3}", images.frechet),
        levels(&images.wasserstein),
        format!("{:.3}", images.brightness_spread),
        format!("{:.1}%", 100.0 * images.told_from_real),
        grouped(images.flat),
    ]
}

fn floor(images: &Images) -> Vec<String> {
    vec![
        "real beside real".to_owned(),
        "-".to_owned(),
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

/// What each refiner is worth, and whether that is more than chance.
pub(super) fn sentences(table: &Table) -> Vec<String> {
    let (base, rival) = (&table.rows[table.base].arm, table.rival.map(|rival| &table.rows[rival].arm));
    let against = |over: Mean, of: &str| {
        let what = match over.verdict() {
            Verdict::Better => "better than",
            Verdict::Worse => "worse than",
            Verdict::Open => "not told apart from",
        };
        format!("{what} {of} ({})", difference(over, table.measure))
    };
    let said = |row: &Row| {
        let by = [
            row.over_base.map(|over| against(over, base)),
            row.over_rival.zip(rival).map(|(over, of)| against(over, of)),
        ];
        let by: Vec<String> = by.into_iter().flatten().collect();
        (!by.is_empty()).then(|| format!("{}: {}", row.arm, by.join(", ")))
    };
    let worth = table.rows.iter().filter(|row| row.refined_by.is_some()).filter_map(said);
    worth.chain(chosen(table)).collect()
}

/// Among several refiners, the one to take by what needs no label of a real image.
fn chosen(table: &Table) -> Vec<String> {
    let choice = choice(table);
    let arm = |at: usize| &table.rows[at].arm;
    let out = choice.out.iter().map(|(at, veto)| match veto {
        Veto::LabelsLost(lost) => {
            format!("{} is out: its labels are lost to a model (kept: {})", arm(*at), kept(*lost))
        }
        Veto::Flat { images } => format!("{} is out: {} show nothing", arm(*at), counted(*images, "image")),
        Veto::OneLight { share } => {
            format!("{} is out: its brightness varies by {:.0}% of what real images' does", arm(*at), 100.0 * share)
        }
    });
    let several = table.rows.iter().filter(|row| row.refined_by.is_some()).count() > 1;
    let taken = choice.taken.filter(|_| several).map(|at| {
        let row = &table.rows[at];
        let informs = row.information.map_or_else(String::new, |nats| format!("information {nats:.3}, "));
        let near = row.images.as_ref().map_or_else(String::new, |images| format!("Fréchet {:.3}", images.frechet));
        match (choice.by, row.validation) {
            (By::Validation, Some(on)) => {
                let on = Mean { mean: on, half: None };
                format!("by the validation images, take: {} ({} on them)", row.arm, score(on, table.measure))
            }
            _ => format!("without any label of a real image, take: {} ({informs}{near})", row.arm),
        }
    });
    out.chain(taken).collect()
}

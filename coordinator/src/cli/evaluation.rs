//! What an evaluation found out, for people on a terminal: tables, and the sentences they are made for. Computes nothing; the
//! [`report`](super::report) says the same in a browser.

use super::{
    args::{Output, Read},
    failure::{Exit, Failure},
    outcome::here,
    render::{Cell, counted, grouped, print_item, say, table as text_table},
};
use serde::Serialize;
use std::path::Path;
use sumac_common::evaluation::{
    Evaluation, Measure,
    choice::{By, Veto, choice},
    figures::{Figures, Images, Kept},
    table::{self, Mean, Row, Table, Verdict},
};
use sumac_data::evaluated::{self, Evaluated};

pub(super) const IMAGE_HEADS: [&str; 9] =
    ["IMAGES", "CHANGE", "MOVED", "LABELS KEPT", "FRECHET", "WASSERSTEIN", "BRIGHTNESS", "TOLD FROM REAL", "FLAT"];

/// Below so many images of a test, and seeds, a difference says less than it seems to.
const TESTED_FEW: u64 = 200;
const SEEDS_FEW: u32 = 4;

pub(super) fn show(into: &Path, read: &Read) -> Result<Exit, Failure> {
    let failed = |error: evaluated::EvaluatedError| Failure::of(Exit::Failed, &error);
    let Some(found) = evaluated::evaluated(into).map_err(failed)? else {
        return match evaluated::order(into).map_err(failed)? {
            Some(order) => {
                under_way(into, &order, read)?;
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

#[derive(Serialize)]
struct UnderWay<'a> {
    done: usize,
    cells: usize,
    /// As far as they are there.
    figures: &'a [Option<Figures>],
}

/// What there is to be seen before the last cell is done.
fn under_way(into: &Path, order: &Evaluation, read: &Read) -> Result<(), Failure> {
    let figures = evaluated::published(order).map_err(|error| Failure::of(Exit::Failed, &error))?;
    let (done, cells) = (figures.iter().flatten().count(), figures.len());
    match read.output {
        Output::Json => print_item(&UnderWay { done, cells, figures: &figures }),
        Output::Table => {
            let so_far: Vec<Option<&Figures>> = figures.iter().map(Option::as_ref).collect();
            print_table(&table::table(&order.what, &so_far));
            anstream::println!();
            say("evaluating", format!("{}   {done} of {cells} cells", here(into).display()));
        }
    }
    Ok(())
}

pub(super) fn tabled(found: &Evaluated) -> Table {
    let figures: Vec<Option<&Figures>> = found.cells.iter().map(|cell| Some(&cell.figures)).collect();
    table::table(&found.evaluation.what, &figures)
}

pub(super) fn print(found: &Evaluated) {
    let table = tabled(found);
    print_table(&table);
    for line in sentences(&table) {
        anstream::println!("\n{line}");
    }
    anstream::println!("\n{}", footing(found));
}

fn print_table(table: &Table) {
    let heads = heads(table);
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    let plain = |rows: Vec<Vec<String>>| -> Vec<Vec<Cell>> {
        rows.into_iter().map(|row| row.into_iter().map(Cell::from).collect()).collect()
    };
    anstream::print!("{}", text_table(&heads, &plain(table.rows.iter().map(|row| cells(row, table)).collect())));
    let images = images(table);
    if !images.is_empty() {
        anstream::println!();
        anstream::print!("{}", text_table(&IMAGE_HEADS, &plain(images)));
    }
}

/// What the figures stand on.
pub(super) fn footing(found: &Evaluated) -> String {
    let what = &found.evaluation.what;
    let tested = match what.tested {
        0 => String::new(),
        images => format!("tested on {}; ", counted(images, "image")),
    };
    let few = if what.tested > 0 && what.tested < TESTED_FEW {
        ", which are few: another test of that size may say otherwise"
    } else {
        ""
    };
    if what.seeds == 1 {
        return format!("{tested}by one seed of the model, which tells nothing apart: --seeds N takes more{few}");
    }
    let seeds = if what.seeds < SEEDS_FEW { "; with so few seeds it is wide" } else { "" };
    format!(
        "{tested}± is the 95% interval over {} of the model, not over other refiners and other tests{few}{seeds}",
        counted(u64::from(what.seeds), "seed")
    )
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
    if mean.mean.is_nan() {
        return "-".to_owned();
    }
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
            Verdict::Open if over.half.is_none() => "by one seed not told apart from",
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
        Veto::LabelsLost(lost) => format!(
            "{}: not to be taken, its labels are lost to a model (kept: {}): raise train.lambda, or train it for less long",
            arm(*at),
            kept(*lost)
        ),
        Veto::Flat { images } => format!(
            "{}: not to be taken, {} of it show nothing: raise train.lambda, or take an earlier checkpoint",
            arm(*at),
            counted(*images, "image")
        ),
        Veto::OneLight { share } => format!(
            "{}: not to be taken, all its images have nearly one light (its brightness varies by {:.0}% of what real images' does): give \
             it noise (model.refiner.noise) or matched images (model.refiner.match)",
            arm(*at),
            100.0 * share
        ),
    });
    let refined = table.rows.iter().filter(|row| row.refined_by.is_some()).count();
    let several = refined > 1;
    let none = (several && choice.out.len() == refined).then(|| "none of the refiners is to be taken".to_owned());
    let open = (choice.open > 0).then(|| {
        format!(
            "which of the {} runs to take cannot be said without labels where these are numbers: give a few labelled real images, with \
             --real-validation",
            choice.open
        )
    });
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
    out.chain(taken).chain(none).chain(open).collect()
}

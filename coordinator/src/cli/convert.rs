//! `data convert`: a labelled data set in another form, written by this process alone. Knows nothing of workers.

use super::{
    args::{FitWord, Shape, Written},
    data::bar,
    destination::{Laid, Plan, blocking, fit, tidy, word},
    failure::{Exit, Failure},
    outcome::{here, pasted},
    render::{grouped, say},
};
use std::path::Path;
use sumac_common::spec::ImageShape;
use sumac_data::refined::{self, ERRORS};

/// Where no shape is asked for, and every image keeps its own.
const ANY: ImageShape = ImageShape { channels: 1, height: 1, width: 1 };

pub(super) async fn convert(
    source: &Path,
    destination: &Path,
    image: Option<Shape>,
    how: FitWord,
    written: &Written,
) -> Result<Exit, Failure> {
    let plan = Plan {
        source,
        destination,
        written,
        refiner: None,
        image: image.map_or(ANY, |Shape(shape)| shape),
        fit: image.map(|_| fit(how)),
        name: None,
        workers: None,
    };
    let Laid::ToDo(order) = plan.lay_down().await? else { return Ok(Exit::Done) };
    let converted = {
        let order = order.clone();
        blocking(move || {
            let bar = bar();
            let converted = refined::convert(&order, &|done, total| {
                bar.set_length(total);
                bar.set_position(done);
            });
            bar.finish_and_clear();
            converted
        })
    };
    let manifest = converted.await?.map_err(|error| Failure::of(Exit::Failed, &error))?;
    tidy(&order)?;
    let written = here(&order.how.destination);
    say("finished", format!("{}   {}", written.display(), word(order.what.layout)));
    say("images", format!("{} converted, {} bad", grouped(manifest.images), grouped(manifest.bad)));
    if manifest.bad > 0 {
        say("bad", format!("{}   each with its reason", written.join(ERRORS).display()));
    }
    say("check", format!("sumac verify {} --source {}", pasted(&written), pasted(&order.how.source)));
    Ok(Exit::Done)
}

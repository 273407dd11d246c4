//! The dashboard's page in a real browser, beside played workers: what it shows, by which keys, how wide, how dark.

use crate::{
    browser::Browser,
    command_line::beat,
    dashboard::{dashboard, leave_labels, leave_metrics, leave_samples},
    play::{Played, Sumac, coordinator, job_when, operator, place, settings, spec, submit},
    refining::{self, begins, receipt, refinement},
};
use sumac::serve::{Coordinator, Place};
use sumac_common::{conversation::Report, leases::Shard};
use sumac_proto::v1;
use tempfile::tempdir;

const NOT_WIDER: &str = "document.documentElement.scrollWidth <= innerWidth";

#[tokio::test]
async fn the_page_of_a_run_lives_and_is_used_by_keyboard_in_any_width_and_in_the_dark() {
    let (state, output, sumac) = (tempdir().unwrap(), tempdir().unwrap(), Sumac::new());
    let coordinator = coordinator(state.path()).await;
    let url = coordinator.url();
    let mut a = Played::joins(&url, "local-0").await;
    let (_, job) = submit(&url, &spec(output.path())).await;
    a.takes_part(0).await;
    a.says(beat(&job.id, 120)).await;
    job_when(&url, &job.id, |job| job.step == 120).await;
    leave_metrics(output.path(), 120);
    leave_samples(output.path(), 50);
    let (_running, address) = dashboard(&sumac, &url).await;
    let Some(mut browser) = Browser::opens(&format!("http://{address}/")).await else { return };

    // By keyboard from the top to the job.
    browser.sees("document.querySelector('.worker .name')?.textContent === 'local-0'").await;
    browser.sees(&format!("document.querySelector('.row .name')?.textContent === '{}'", job.id)).await;
    browser.presses("Tab").await;
    browser
        .sees("document.activeElement.className === 'skip' && document.activeElement.getBoundingClientRect().top >= 0")
        .await;
    browser.tabs_to("at.className === 'row'").await;
    let ring = browser.finds("getComputedStyle(document.activeElement).outlineStyle").await;
    assert_eq!(ring, "solid", "the focus is seen");
    browser.presses("Enter").await;
    browser.sees(&format!("document.querySelector('h1').textContent === '{}'", job.id)).await;
    browser.sees("document.activeElement.id === 'job-title' && document.title.startsWith('20% ')").await;

    // What it says of the run.
    browser.sees("document.querySelectorAll('.chart').length === 6").await;
    browser.sees("document.querySelectorAll('.chart polyline').length === 7").await;
    browser
        .sees("[...document.querySelectorAll('.chart svg')].every((svg) => svg.getAttribute('aria-label').length > 40)")
        .await;
    browser.sees("document.body.innerText.includes('generation 1')").await;
    browser.sees("document.querySelectorAll('#lanes .bar').length === 1").await;
    a.says(beat(&job.id, 300)).await;
    browser.sees("document.querySelector('#progress-said').textContent.includes('300 / 600') && document.title.startsWith('50% ')").await;
    leave_metrics(output.path(), 301);
    browser.sees("document.querySelector('.chart svg').getAttribute('aria-label').includes('steps 0 to 300')").await;

    // The divider: black samples on its left, white ones on its right.
    browser.sees("document.querySelectorAll('#pairs canvas').length === 3 && document.querySelectorAll('#reals canvas').length === 3").await;
    let tone = |x: u32| {
        format!(
            "((sample) => {{ const read = document.createElement('canvas').getContext('2d', {{ willReadFrequently: true }}); \
             read.drawImage(sample, 0, 0); return read.getImageData({x}, 10, 1, 1).data[0]; \
             }})(document.querySelector('#pairs canvas'))"
        )
    };
    assert_eq!((browser.finds(&tone(20)).await, browser.finds(&tone(90)).await), (0.into(), 255.into()));
    browser.tabs_to("at.id === 'divider'").await;
    browser.presses("Home").await;
    browser.sees(&format!("{} === 255 && {} === 255", tone(20), tone(90))).await;
    browser.presses("End").await;
    browser.sees(&format!("{} === 0 && {} === 0", tone(20), tone(90))).await;
    browser.presses("ArrowLeft").await;
    browser.sees("document.querySelector('#divider').value === '99'").await;
    leave_samples(output.path(), 100);
    browser.sees("document.querySelectorAll('#sheet option').length === 3").await;

    let nameless = "[...document.querySelectorAll('a, input, select, progress, canvas, [role=img]')].filter((one) => \
                    one.checkVisibility() && !one.getAttribute('aria-label') && !one.getAttribute('aria-labelledby') && \
                    !one.labels?.length && !one.textContent.trim()).map((one) => one.outerHTML).join()";
    assert_eq!(browser.finds(nameless).await, "", "all that is used or drawn has a name");

    // A death.
    operator(&url).await.died(v1::DiedRequest { worker: "local-0".to_owned(), incarnation: 1 }).await.unwrap();
    browser.sees("document.querySelector('.worker.bad .state')?.textContent === 'lost'").await;
    browser.sees("document.querySelector('.worker .cause').textContent === 'its process ended'").await;
    let mut b = Played::joins(&url, "local-1").await;
    b.takes_part(0).await;
    browser.sees("document.querySelectorAll('#lanes .incident').length === 1").await;
    browser.sees("document.querySelectorAll('#lanes .bar').length === 2").await;

    // Narrow, then dark.
    browser.is_wide(400, 800).await;
    browser.sees(NOT_WIDER).await;
    browser.prefers("prefers-color-scheme", "dark").await;
    let tones = "getComputedStyle(document.documentElement)[property].match(/[0-9]+/g).slice(0, 3).every(test)";
    browser.sees(&format!("((property, test) => {tones})('backgroundColor', (tone) => tone < 60)")).await;
    browser.sees(&format!("((property, test) => {tones})('color', (tone) => tone > 180)")).await;
    browser.prefers("prefers-reduced-motion", "reduce").await;
    browser.sees("getComputedStyle(document.querySelector('#job-progress progress'), '::-webkit-progress-value').transitionProperty !== 'inline-size'").await;
    browser.finds("location.hash = '#/'").await;
    browser.sees(&format!("!document.querySelector('#overview').hidden && {NOT_WIDER}")).await;
    browser.has_no_complaints();
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn labels_lie_over_both_sides_of_the_divider_and_can_be_put_away() {
    let (state, output, sumac) = (tempdir().unwrap(), tempdir().unwrap(), Sumac::new());
    let coordinator = coordinator(state.path()).await;
    let url = coordinator.url();
    let mut a = Played::joins(&url, "local-0").await;
    let (_, job) = submit(&url, &spec(output.path())).await;
    a.takes_part(0).await;
    leave_samples(output.path(), 50);
    let (_running, address) = dashboard(&sumac, &url).await;
    let Some(mut browser) = Browser::opens(&format!("http://{address}/#/job/{}", job.id)).await else { return };
    browser.sees("document.querySelectorAll('#pairs canvas').length === 3").await;
    assert_eq!(browser.finds("document.querySelector('#labels-choice').hidden").await, true, "nothing is labelled yet");

    leave_labels(output.path());
    browser.sees("document.querySelectorAll('#pairs circle').length === 3").await;
    browser.sees("[...document.querySelectorAll('#pairs text')].map((text) => text.textContent).join() === 'lid open,lid <b>shut</b>,lid half'").await;
    browser.sees("document.querySelector('#marked').innerText === 'Marked where the label has it: pupil.'").await;
    browser
        .sees("document.querySelector('#pairs canvas').getAttribute('aria-label').endsWith(', labelled lid open')")
        .await;

    // Where the label has it, on the picture as it is shown, whatever side of the divider that is.
    let middle = "((mark, picture) => [(mark.x + mark.width / 2 - picture.x) / picture.width, (mark.y + mark.height / 2 - picture.y) / \
                  picture.height].map((share) => Math.round(share * 100)).join())(document.querySelector('#pairs \
                  circle').getBoundingClientRect(), document.querySelector('#pairs canvas').getBoundingClientRect())";
    for place in ["Home", "End"] {
        browser.finds("document.querySelector('#divider').focus()").await;
        browser.presses(place).await;
        assert_eq!(browser.finds(middle).await, "25,50");
    }

    // By keyboard: a box to be reached, and a key wherever one is among the pictures.
    browser.presses("l").await;
    browser.sees("!document.querySelector('#pairs circle') && !document.querySelector('#pairs text') && document.querySelector('#marked').hidden").await;
    browser.finds("document.querySelector('h1').focus()").await;
    browser.presses("l").await;
    assert_eq!(browser.finds("document.querySelector('#labels').checked").await, false, "elsewhere it is a letter");
    browser.tabs_to("at.id === 'labels'").await;
    browser.presses(" ").await;
    browser
        .sees("document.querySelectorAll('#pairs circle').length === 3 && document.querySelector('#labels').checked")
        .await;
    // The mark takes no pointer from the divider.
    let taken = "((canvas) => document.elementFromPoint(canvas.x + canvas.width / 4, canvas.y + canvas.height / 2).tagName)(document\
                 .querySelector('#pairs canvas').getBoundingClientRect())";
    assert_eq!(browser.finds(taken).await, "CANVAS");

    browser.is_wide(400, 800).await;
    browser.sees(NOT_WIDER).await;
    browser.prefers("prefers-color-scheme", "dark").await;
    assert_eq!(browser.finds(middle).await, "25,50");
    browser.has_no_complaints();
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn the_page_says_that_the_coordinator_is_away_and_goes_on_by_itself() {
    let (state, sumac) = (tempdir().unwrap(), Sumac::new());
    let first = coordinator(state.path()).await;
    let (listen, url) = (first.address(), first.url());
    let (_running, address) = dashboard(&sumac, &url).await;
    let Some(mut browser) = Browser::opens(&format!("http://{address}/")).await else { return };
    browser.sees("document.querySelector('#coordinator').textContent.includes('term 1') && document.querySelector('#away').hidden").await;
    first.stop().await.unwrap();
    browser.sees("/away since [0-9:]{8}, for [0-9]+s/.test(document.querySelector('#away').innerText)").await;
    let second = Coordinator::start(Place { listen, ..place(state.path()) }, settings()).await.unwrap();
    browser.sees("document.querySelector('#coordinator').textContent.includes('term 2') && document.querySelector('#away').hidden").await;
    browser.has_no_complaints();
    second.stop().await.unwrap();
}

#[tokio::test]
async fn a_refinement_is_a_map_of_its_shards_and_its_name_is_text() {
    let (state, output, sumac) = (tempdir().unwrap(), tempdir().unwrap(), Sumac::new());
    let coordinator = coordinator(state.path()).await;
    let url = coordinator.url();
    let mut wanted = refinement(8, output.path());
    wanted.name = "<script>alert(1)</script><img src=x onerror=alert(2)>".to_owned();
    let (_, job) = refining::submit(&url, &wanted).await;
    assert!(job.id.starts_with("<script>"), "{}", job.id);
    let mut a = Played::joins(&url, "<b>a</b>").await;
    let (id, attempt, shards) = begins(&mut a, &wanted).await;
    a.says(Report::Wrote { job: id, attempt, shard: shards[0], receipt: receipt(Shard(shards[0].0)) }).await;
    job_when(&url, &job.id, |job| job.pieces.as_ref().is_some_and(|known| known.committed == 1)).await;
    let (_running, address) = dashboard(&sumac, &url).await;
    let Some(mut browser) = Browser::opens(&format!("http://{address}/")).await else { return };
    browser.sees("document.querySelector('.row .name')?.textContent.startsWith('<script>alert(1)</script><img')").await;
    browser.sees("document.querySelector('.worker .name')?.textContent === '<b>a</b>'").await;
    browser.finds("document.querySelector('.row').click()").await;
    browser.sees("document.querySelector('h1').textContent.startsWith('<script>')").await;
    browser.sees("document.querySelectorAll('#map .cell').length === 8 && document.querySelectorAll('#map .committed').length === 1").await;
    browser
        .sees("document.querySelector('#map').getAttribute('aria-label').startsWith('Of 8 shards: 1 committed')")
        .await;
    browser.is_wide(400, 800).await;
    browser.sees(NOT_WIDER).await;
    assert_eq!(browser.finds("document.scripts.length").await, 1);
    assert_eq!(browser.finds("document.querySelectorAll('img').length").await, 1, "its own mark and nothing else");
    browser.has_no_complaints();
    coordinator.stop().await.unwrap();
}

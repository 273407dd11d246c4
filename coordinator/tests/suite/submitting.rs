//! What a submitted run becomes.

use crate::play::{Played, coordinator, job_when, operator, spec, submit};
use sumac_common::{conversation::Ending, ids::Step, spec::Spec};
use sumac_proto::v1::{self, submit_refused::Why, submit_reply::Answer};
use tempfile::tempdir;

#[tokio::test]
async fn the_same_run_into_the_same_output_is_the_same_job() {
    let (state, output) = (tempdir().unwrap(), tempdir().unwrap());
    let coordinator = coordinator(state.path()).await;
    let (first, job) = submit(&coordinator.url(), &spec(output.path())).await;
    let (second, again) = submit(&coordinator.url(), &spec(output.path())).await;
    assert_eq!((first, second), (v1::Admission::New, v1::Admission::AlreadyThere));
    assert_eq!(job.id, again.id);
    assert!(job.id.starts_with("eyes-") && job.id.len() == "eyes-7f3".len(), "{}", job.id);
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn the_same_run_into_another_output_is_another_job() {
    let (state, one, other) = (tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap());
    let coordinator = coordinator(state.path()).await;
    let (_, first) = submit(&coordinator.url(), &spec(one.path())).await;
    let (admission, second) = submit(&coordinator.url(), &spec(other.path())).await;
    assert_eq!(admission, v1::Admission::New);
    assert_ne!(first.id, second.id);
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn another_run_into_an_output_in_use_is_refused_with_the_job_that_has_it() {
    let (state, output) = (tempdir().unwrap(), tempdir().unwrap());
    let coordinator = coordinator(state.path()).await;
    let (_, job) = submit(&coordinator.url(), &spec(output.path())).await;
    let mut other: Spec = spec(output.path());
    other.what.train.seed += 1;
    let request = v1::SubmitRequest { spec_toml: other.to_toml() };
    let answer = operator(&coordinator.url()).await.submit(request).await.unwrap().into_inner().answer;
    let Some(Answer::Refused(v1::SubmitRefused { why: Some(Why::OutputTaken(taken)) })) = answer else {
        panic!("not refused: {answer:?}")
    };
    assert_eq!(taken.job, job.id);
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn a_paused_run_goes_on_as_the_same_job_with_more_steps() {
    let (state, output) = (tempdir().unwrap(), tempdir().unwrap());
    let coordinator = coordinator(state.path()).await;
    let url = coordinator.url();
    let mut a = Played::joins(&url, "a").await;
    let (_, job) = submit(&url, &spec(output.path())).await;
    let opening = a.takes_part(0).await;
    operator(&url).await.pause(v1::PauseRequest { job: job.id.clone() }).await.unwrap();
    a.ends(&opening, 131, Ending::Parked).await;
    job_when(&url, &job.id, |job| job.state() == v1::JobState::Paused).await;

    let mut longer = spec(output.path());
    longer.what.train.steps = Step(700);
    let (admission, again) = submit(&url, &longer).await;
    assert_eq!((admission, &again.id), (v1::Admission::GoesOn, &job.id));
    assert_eq!((again.saved, again.steps), (Some(131), 700));
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn a_finished_run_submitted_again_is_a_new_job() {
    let (state, output) = (tempdir().unwrap(), tempdir().unwrap());
    let coordinator = coordinator(state.path()).await;
    let url = coordinator.url();
    let mut a = Played::joins(&url, "a").await;
    let (_, job) = submit(&url, &spec(output.path())).await;
    let opening = a.takes_part(0).await;
    a.ends(&opening, 600, Ending::Finished).await;
    job_when(&url, &job.id, |job| job.state() == v1::JobState::Finished).await;
    let (admission, again) = submit(&url, &spec(output.path())).await;
    assert_eq!(admission, v1::Admission::New);
    assert_ne!(again.id, job.id);
    coordinator.stop().await.unwrap();
}

#[tokio::test]
async fn a_spec_that_does_not_check_is_refused_with_its_faults() {
    let state = tempdir().unwrap();
    let coordinator = coordinator(state.path()).await;
    let request = v1::SubmitRequest { spec_toml: "[train]\nlamda = 0.5".to_owned() };
    let answer = operator(&coordinator.url()).await.submit(request).await.unwrap().into_inner().answer;
    let Some(Answer::Refused(v1::SubmitRefused { why: Some(Why::BadSpec(bad)) })) = answer else {
        panic!("not refused: {answer:?}")
    };
    assert!(bad.faults.contains("lamda"), "{}", bad.faults);
    coordinator.stop().await.unwrap();
}

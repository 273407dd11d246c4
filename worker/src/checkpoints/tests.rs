//! Toys are saved, damaged, and the world ended at every moment in between.

use super::*;
use crate::{
    durable::crash::{self, Torn},
    history::{Staged, Write as SlotWrite},
    learner::Images,
    toy::Toy,
};
use std::time::Duration;
use sumac_common::{
    conversation::Fingerprint,
    ids::{ContentId, SampleId},
};

const LANES: u32 = 2;

fn run() -> RunId {
    let fingerprint = Fingerprint {
        libtorch: String::new(),
        device: "cpu".into(),
        instructions: String::new(),
        threads: 1,
        canary: Digest::default(),
    };
    RunId { spec: Digest::of(b"spec"), data: Digest::of(b"data"), fingerprint }
}

fn state(step: u64) -> State<Toy> {
    let mut state = State::start(Toy::default(), LANES);
    state.counters.step = Step(step);
    let ids = vec![ContentId { sample: SampleId(step), step: Step(step) }];
    let write = |lane| SlotWrite {
        lane: Lane(lane),
        slots: vec![0],
        images: Images { ids: ids.clone(), pixels: vec![0.5; 4] },
    };
    state.write(&Staged { step: Step(step), writes: vec![write(0), write(1)] });
    state
}

fn output() -> Output {
    let checkpoint_every = Duration::from_secs(300);
    Output { dir: "run".into(), checkpoint_every, checkpoint_steps: None, keep: 2, keep_every: None, samples_every: 0 }
}

fn completion(step: u64, workers: usize) -> Completion {
    let ticket = Ticket { generation: Generation(1), step: Step(step) };
    Completion { ticket, workers, lanes: LANES, run: run(), output: output() }
}

/// As two workers do it, a lane each, up to the manifest; stops where something fails.
fn try_save(checkpoints: &Checkpoints, state: &State<Toy>) -> Result<Completed, CheckpointError> {
    for rank in 0..2 {
        let snapshot = Snapshot::of(state, Generation(1), Rank(rank), [Lane(rank)])?;
        checkpoints.write(&snapshot, || ())?;
    }
    checkpoints.complete(&completion(state.counters.step.0, 2))
}

fn save(checkpoints: &Checkpoints, step: u64) -> Manifest {
    try_save(checkpoints, &state(step)).unwrap().manifest
}

fn load(checkpoints: &Checkpoints, step: u64) -> State<Toy> {
    let mut loaded = State::start(Toy::default(), LANES);
    checkpoints.load(Step(step), &[Lane(0), Lane(1)], &mut loaded).unwrap();
    loaded
}

fn steps(checkpoints: &Checkpoints) -> Vec<u64> {
    checkpoints.listed().unwrap().iter().map(|(step, _)| step.0).collect()
}

/// The step of the newest checkpoint, which must load as what was saved at that step.
#[track_caller]
fn newest_is_whole(checkpoints: &Checkpoints, moment: &str) -> u64 {
    let newest = checkpoints.newest(&run(), Step(99)).unwrap_or_else(|error| panic!("{moment}: {error}"));
    let step = newest.unwrap_or_else(|| panic!("{moment}: no checkpoint")).step.0;
    let (loaded, saved) = (load(checkpoints, step), state(step));
    assert_eq!(loaded.pack().unwrap(), saved.pack().unwrap(), "{moment}");
    assert_eq!(loaded.lanes, saved.lanes, "{moment}");
    step
}

#[test]
fn what_was_saved_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::of(folder.path());
    let manifest = save(&checkpoints, 7);
    assert_eq!(checkpoints.newest(&run(), Step(9)).unwrap(), Some(manifest));
    assert_eq!(newest_is_whole(&checkpoints, "saved"), 7);
}

#[test]
fn a_checkpoint_is_the_same_whoever_wrote_which_part() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::of(folder.path());
    let by_two = save(&checkpoints, 7);
    let alone = Snapshot::of(&state(7), Generation(1), Rank(0), [Lane(0), Lane(1)]).unwrap();
    checkpoints.write(&alone, || ()).unwrap();
    assert_eq!(checkpoints.complete(&completion(7, 1)).unwrap().manifest, by_two);
    let slots = [Lane(0), Lane(1)].map(|lane| state(7).lanes[&lane].digest());
    let hash = whole(Digest::of(&state(7).pack().unwrap()), slots);
    assert_eq!(by_two.state_sha256, hash, "not the hash of the state (L-3)");
}

#[test]
fn without_a_manifest_there_is_no_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::of(folder.path());
    let alone = Snapshot::of(&state(7), Generation(1), Rank(0), [Lane(0), Lane(1)]).unwrap();
    checkpoints.write(&alone, || ()).unwrap();
    assert_eq!(checkpoints.newest(&run(), Step(9)).unwrap(), None);
}

/// K-1. Two are there, so that the third takes the oldest away: all that a save does to the disk happens here.
#[test]
fn whenever_the_world_ends_the_newest_checkpoint_loads_and_the_next_save_succeeds() {
    for torn in Torn::ALL {
        let mut newest_before = 0;
        for deeds in 0.. {
            let moment = format!("the world ended after {deeds} deeds, the next write {torn:?}");
            let folder = tempfile::tempdir().unwrap();
            let checkpoints = Checkpoints::of(folder.path());
            save(&checkpoints, 3);
            save(&checkpoints, 7);
            let (saved, ended) = crash::after(deeds, torn, || try_save(&checkpoints, &state(9)));
            let newest = newest_is_whole(&checkpoints, &moment);
            assert!(newest == 7 || newest == 9, "{moment}: at {newest}");
            assert!(newest >= newest_before, "{moment}: a checkpoint that was there is gone");
            assert!(newest == 9 || saved.is_err(), "{moment}: it is said to be saved, and is not");
            newest_before = newest;

            save(&checkpoints, 9);
            assert_eq!(newest_is_whole(&checkpoints, &moment), 9);
            save(&checkpoints, 11);
            assert_eq!(steps(&checkpoints), [9, 11], "{moment}");
            let lies_around =
                checkpoints.folders().unwrap().into_iter().flat_map(|(_, folder)| fs::read_dir(folder).unwrap());
            assert_eq!(lies_around.count(), 2 * (2 + LANES as usize + 1), "{moment}: something was left behind");
            if !ended {
                assert!(deeds > 30, "a save of {deeds} deeds is not the one there is");
                break;
            }
        }
        assert_eq!(newest_before, 9);
    }
}

/// K-1, for disks that promise more than they keep.
#[test]
fn whatever_file_is_cut_short_wherever_the_checkpoint_before_loads() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::of(folder.path());
    save(&checkpoints, 7);
    save(&checkpoints, 9);
    let files = durable::list(&checkpoints.at(Step(9))).unwrap();
    assert_eq!(files.len(), 2 + LANES as usize + 1);
    for file in files {
        let bytes = fs::read(&file).unwrap();
        for torn in Torn::ALL {
            match torn.of(bytes.len()) {
                Some(len) => fs::write(&file, &bytes[..len]).unwrap(),
                None => fs::remove_file(&file).unwrap(),
            }
            let step = newest_is_whole(&checkpoints, &format!("{} {torn:?}", file.display()));
            assert_eq!(step, if torn == Torn::All { 9 } else { 7 }, "{} {torn:?}", file.display());
            fs::write(&file, &bytes).unwrap();
        }
    }
}

#[test]
fn a_damaged_checkpoint_is_passed_over_for_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::of(folder.path());
    save(&checkpoints, 7);
    save(&checkpoints, 9);
    let path = checkpoints.at(Step(9)).join(lane_file(Lane(1)));
    let mut bytes = fs::read(&path).unwrap();
    bytes[20] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert_eq!(newest_is_whole(&checkpoints, "damaged"), 7);
}

#[test]
fn a_manifest_changed_by_hand_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::of(folder.path());
    save(&checkpoints, 7);
    let path = checkpoints.at(Step(7)).join(MANIFEST);
    let json = fs::read_to_string(&path).unwrap().replace("\"step\": 7", "\"step\": 8");
    fs::write(&path, json).unwrap();
    let error = checkpoints.newest(&run(), Step(20)).unwrap_err().to_string();
    assert!(error.contains("manifest.json is not what its manifest says (its content gives the checksum"), "{error}");
}

#[test]
fn when_every_checkpoint_is_damaged_the_run_does_not_quietly_start_over() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::of(folder.path());
    save(&checkpoints, 7);
    fs::write(checkpoints.at(Step(7)).join(MODEL), b"short").unwrap();
    let error = checkpoints.newest(&run(), Step(20)).unwrap_err().to_string();
    assert!(error.contains("none of the 1 checkpoints") && error.contains("5 bytes of"), "{error}");
}

#[test]
fn a_checkpoint_of_another_run_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::of(folder.path());
    save(&checkpoints, 7);
    let other = RunId { spec: Digest::of(b"other"), ..run() };
    let error = checkpoints.newest(&other, Step(20)).unwrap_err().to_string();
    assert!(error.contains("another run"), "{error}");
}

#[test]
fn workers_that_write_into_different_folders_are_found_out() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let checkpoints = Checkpoints::of(ours.path());
    let first = Snapshot::of(&state(7), Generation(1), Rank(0), [Lane(0)]).unwrap();
    let second = Snapshot::of(&state(7), Generation(1), Rank(1), [Lane(1)]).unwrap();
    checkpoints.write(&first, || ()).unwrap();
    Checkpoints::of(theirs.path()).write(&second, || ()).unwrap();
    let error = checkpoints.complete(&completion(7, 2)).unwrap_err().to_string();
    assert!(error.contains("receipt-g000001-r001.json") && error.contains("from every worker"), "{error}");

    let receipt = receipt_file(second.ticket, Rank(1));
    let elsewhere = Checkpoints::of(theirs.path()).at(Step(7)).join(&receipt);
    fs::copy(elsewhere, checkpoints.at(Step(7)).join(&receipt)).unwrap();
    let error = checkpoints.complete(&completion(7, 2)).unwrap_err().to_string();
    assert!(error.contains("is not as rank 1 wrote it") && error.contains("one and the same folder"), "{error}");
}

#[test]
fn what_others_wrote_for_an_attempt_that_was_given_up_is_not_counted() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::of(folder.path());
    for rank in 0..2 {
        let given_up = Snapshot::of(&state(7), Generation(4), Rank(rank), [Lane(rank)]).unwrap();
        checkpoints.write(&given_up, || ()).unwrap();
    }
    let anew = Snapshot::of(&state(7), Generation(5), Rank(0), [Lane(0)]).unwrap();
    checkpoints.write(&anew, || ()).unwrap();
    let mut early = completion(7, 2);
    early.ticket.generation = Generation(5);
    let error = checkpoints.complete(&early).unwrap_err().to_string();
    assert!(error.contains("receipt-g000005-r001.json"), "{error}");
}

#[test]
fn only_the_newest_are_kept_and_what_came_to_nothing_goes() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::of(folder.path());
    for step in [3, 5] {
        save(&checkpoints, step);
    }
    let given_up = Snapshot::of(&state(6), Generation(1), Rank(0), [Lane(0)]).unwrap();
    checkpoints.write(&given_up, || ()).unwrap();
    let there = try_save(&checkpoints, &state(8)).unwrap().there;
    assert_eq!(steps(&checkpoints), [5, 8]);
    assert_eq!(checkpoints.folders().unwrap().len(), 2);
    assert_eq!(there.iter().map(|saved| saved.step.0).collect::<Vec<_>>(), [5, 8]);
    let manifest = checkpoints.newest(&run(), Step(9)).unwrap().unwrap();
    assert_eq!(there[1].bytes, manifest.parts.iter().map(|part| part.bytes).sum::<u64>());
}

#[test]
fn milestones_are_kept_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::of(folder.path());
    let output = Output { keep_every: Some(10), ..output() };
    for step in [4, 8, 12, 16, 20, 24, 28] {
        let alone = Snapshot::of(&state(step), Generation(1), Rank(0), [Lane(0), Lane(1)]).unwrap();
        checkpoints.write(&alone, || ()).unwrap();
        checkpoints.complete(&Completion { output: output.clone(), ..completion(step, 1) }).unwrap();
    }
    assert_eq!(steps(&checkpoints), [12, 20, 24, 28]);
}

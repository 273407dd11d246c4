//! What is wrong is said in a sentence, with the exit code scripts rely on, and costs nobody else anything.

use std::{fs, net::TcpListener, path::PathBuf};
use sumac_tests::{Cluster, Fault, Job, Room};

// === job files ===

#[track_caller]
fn assert_refused(job: &Job, words: &[&str]) {
    let room = Room::new();
    let arguments = job.write(&room);
    let arguments: Vec<&str> =
        ["submit", "--dry-run"].into_iter().chain(arguments.iter().map(String::as_str)).collect();
    room.sumac(&arguments).assert(2, words);
}

#[test]
fn a_misspelt_field_is_refused_with_the_one_that_was_meant() {
    assert_refused(&Job::toy("misspelt").set("train.lamda", 0.5), &["train.lamda", "did you mean", "lambda"]);
}

#[test]
fn a_batch_that_the_lanes_do_not_divide_is_refused_with_the_nearest_that_they_do() {
    assert_refused(
        &Job::toy("uneven").set("train.batch", 36),
        &["train.batch", "multiple of 2 x lanes (16)", "32", "48"],
    );
}

#[test]
fn a_history_that_the_lanes_do_not_divide_is_refused() {
    assert_refused(
        &Job::toy("uneven").set("train.history.size", 36),
        &["train.history.size", "multiple of train.lanes = 8"],
    );
}

#[test]
fn a_history_smaller_than_the_batch_is_refused() {
    assert_refused(
        &Job::toy("small").set("train.history.size", 16),
        &["train.history.size", "at least train.batch = 32"],
    );
}

#[test]
fn all_faults_of_a_job_file_are_told_at_once() {
    let job = Job::toy("faulty").set("train.lamda", 0.5).set("train.history.size", 36).set("workers.max", 9);
    assert_refused(&job, &["train.lamda", "train.history.size", "workers.max"]);
}

#[test]
fn a_job_file_that_is_not_there_is_said_to_be_missing() {
    Room::new().sumac(&["submit", "nowhere.toml"]).assert(2, &["nowhere.toml", "hint:"]);
}

// === data sets ===

/// A job fails for its data, in these words; then one with sound data runs on the same worker.
#[track_caller]
fn assert_data_refused(spoil: impl FnOnce(&Room), job: Job, words: &[&str]) {
    let cluster = Cluster::of(1);
    spoil(cluster.room());
    let id = cluster.submit(&job);
    cluster.wait(&id).assert(5, &[&[id.as_str(), "failed"], words].concat());
    let sound = Room::with_digits(40);
    let data = |set: &str| sound.at("data").join(set).display().to_string();
    let next = Job::toy("next").set("data.synthetic", data("synthetic")).set("data.real", data("real"));
    assert_eq!(cluster.run(&next).count("/steps"), 40);
}

fn images(room: &Room, set: &str) -> Vec<PathBuf> {
    let mut folders = vec![room.at("data").join(set)];
    let mut images = vec![];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "png") {
                images.push(path);
            }
        }
    }
    images.sort();
    images
}

fn change(path: &PathBuf, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    let changed = fs::read(path).map(change).and_then(|bytes| fs::write(path, bytes));
    changed.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

#[test]
fn a_missing_folder_fails_the_job_by_its_name() {
    let job = Job::toy("missing").set("data.real", "data/elsewhere");
    assert_data_refused(|_| {}, job, &["data.real", "there is no file or folder", "data/elsewhere"]);
}

#[test]
fn an_empty_folder_fails_the_job() {
    let job = Job::toy("empty").set("data.real", "data/empty");
    let empty = |room: &Room| drop(room.write("data/empty/readme.txt", "nothing here"));
    assert_data_refused(empty, job, &["data.real", "holds no images", "data/empty"]);
}

#[test]
fn images_of_another_size_fail_the_job_with_both_sizes() {
    let job = Job::toy("size").set("data.image.size", "[20, 24]");
    assert_data_refused(|_| {}, job, &["data.synthetic", "24x20", "28x28", "data.resize"]);
}

#[test]
fn more_bad_images_than_allowed_fail_the_job() {
    let cut =
        |room: &Room| images(room, "real").iter().take(3).for_each(|path| change(path, |b| b[..b.len() / 2].to_vec()));
    assert_data_refused(cut, Job::toy("cut"), &["data.real", "3 of the 200 images", "cut short", "data.max_bad"]);
}

#[test]
fn as_many_bad_images_as_allowed_are_left_out_on_every_number_of_workers() {
    let cluster = Cluster::of(2);
    images(cluster.room(), "real")
        .iter()
        .take(3)
        .for_each(|path| change(path, |bytes| bytes[..bytes.len() / 2].to_vec()));
    let one = cluster.run(&Job::toy("one").set("data.max_bad", 0.02).exactly(1));
    let two = cluster.run(&Job::toy("two").set("data.max_bad", 0.02).exactly(2));
    two.assert_same_run(&one, "without three images");
}

#[test]
fn missing_labels_fail_a_job_that_requires_them() {
    let bare = |room: &Room| {
        for (n, path) in images(room, "synthetic").iter().take(50).enumerate() {
            let copied = fs::create_dir_all(room.at("data/bare"))
                .and_then(|()| fs::copy(path, room.at(&format!("data/bare/{n}.png"))));
            copied.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    };
    let job = Job::toy("bare").set("data.synthetic", "data/bare").set("data.labels", "required");
    assert_data_refused(bare, job, &["data.synthetic", "50 of the 50 images", "have no label"]);
}

// === places ===

/// An address at which nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let address = listener.unwrap_or_else(|error| panic!("no free port: {error}"));
    format!("http://{address}")
}

#[test]
fn a_coordinator_that_cannot_be_reached_is_exit_code_3() {
    let nobody = nobody();
    Room::new()
        .sumac(&["jobs", "--coordinator", &nobody])
        .assert(3, &["cannot reach the coordinator", &nobody, "hint:"]);
}

#[test]
fn a_worker_without_a_coordinator_asks_to_be_restarted() {
    let (room, nobody) = (Room::new(), nobody());
    let mut command = room.command(&sumac_tests::binaries().worker);
    command.args(["run", "--coordinator", &nobody, "--patience", "0"]);
    let ended = sumac_tests::Process::start("worker", &mut command).finish();
    ended.assert(75, &["no coordinator at", &nobody, "sumac serve"]);
}

#[test]
fn a_worker_that_waits_for_a_coordinator_says_so_at_once_and_ends_when_it_is_told() {
    let (room, nobody) = (Room::new(), nobody());
    let mut command = room.command(&sumac_tests::binaries().worker);
    command.args(["run", "--coordinator", &nobody]);
    let worker = sumac_tests::Process::start("worker", &mut command);
    worker.says("no coordinator there yet", 1);
    worker.terminate();
    worker.finish().assert(0, &[]);
}

#[test]
fn a_worker_is_told_how_the_address_of_a_coordinator_looks() {
    let room = Room::new();
    let mut command = room.command(&sumac_tests::binaries().worker);
    command.args(["run", "--coordinator", "localhost:7070"]);
    sumac_tests::Process::start("worker", &mut command).finish().assert(78, &["localhost:7070", "http://HOST:PORT"]);
}

#[test]
fn a_port_that_is_taken_is_named() {
    let cluster = Cluster::digits();
    let listen = cluster.address().trim_start_matches("http://").to_owned();
    let ended = cluster.room().sumac(&["serve", "--listen", &listen, "--state", "other"]);
    ended.assert(1, &["is taken", "hint:"]);
}

#[test]
fn a_state_directory_has_one_coordinator() {
    let cluster = Cluster::digits();
    let ended = cluster.room().sumac(&["serve", "--listen", "127.0.0.1:0", "--state", "state"]);
    ended.assert(1, &["another coordinator is using the state directory"]);
}

// === workers that do not fit ===

#[test]
fn a_worker_whose_numbers_would_differ_is_turned_away_and_the_run_is_not_touched() {
    let mut cluster = Cluster::digits();
    let peace = Job::toy("peace").exactly(1);
    cluster.join_faulty("w0", &Fault::hold("after-backward", 17));
    let job = Job::toy("mixed").at_most(2);
    let id = cluster.submit(&job);
    cluster.stands("w0");
    cluster.join_with("w1", &[("ATEN_CPU_CAPABILITY", "default")]);
    let why = cluster.worker("w1").says("not fit for this job", 1);
    assert!(why.contains("its numbers would differ from the run's"), "{why}");
    cluster.release("w0");
    let mixed = cluster.finished(&id, &job);
    assert_eq!(mixed.count("/workers_seen"), 1);
    mixed.assert_same_run(&cluster.run(&peace), "beside a worker of another kind");
}

#[test]
fn a_worker_with_other_images_is_turned_away() {
    let mut cluster = Cluster::digits();
    cluster.join_faulty("w0", &Fault::hold("after-backward", 17));
    let id = cluster.submit(&Job::toy("mixed").at_most(2));
    cluster.stands("w0");
    // The second worker finds another image where the first found its own.
    let reals = images(cluster.room(), "real");
    fs::copy(&reals[1], &reals[0]).unwrap_or_else(|error| panic!("{}: {error}", reals[0].display()));
    let elsewhere = cluster.room().at("elsewhere").display().to_string();
    cluster.join_with("w1", &[("SUMAC_CACHE", &elsewhere)]);
    let why = cluster.worker("w1").says("not fit for this job", 1);
    assert!(why.contains("its images are not the ones the run began with"), "{why}");
    cluster.release("w0");
    cluster.wait(&id).assert(0, &["finished"]);
}

// === numbers ===

#[test]
fn a_run_whose_gradients_are_not_finite_skips_ten_steps_and_fails() {
    let cluster = Cluster::of(2);
    let id = cluster.submit(&Job::simgan("huge").set("train.optimizer.lr", "1e30"));
    cluster.wait(&id).assert(5, &["failed", "10 steps in a row", "not finite", "lower the learning rate"]);
}

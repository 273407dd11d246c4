//! The programs themselves, with a bucket where a folder would be: trained from it, refined out of it and into it.
#![allow(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

use std::{fs, path::Path};
use sumac_tests::{Job, Room, TALKATIVE, Tree, kill, workers};
use sumac_tests_s3::Bucket;

/// Every file of a folder becomes an object.
fn put(bucket: &Bucket, folder: &Path, key: &str) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let key = format!("{key}/{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() { put(bucket, &path, &key) } else { bucket.put(&key, fs::read(&path).unwrap()) }
    }
}

#[test]
fn a_bucket_gives_the_run_and_the_refined_set_that_a_folder_gives() {
    Bucket::of("a_bucket_gives_the_run_and_the_refined_set_that_a_folder_gives", |bucket| {
        let room = Room::with_digits(200);
        put(bucket, &room.at("data"), "data");
        let job = Job::simgan("net").set("train.steps", 6);
        let train = |words: &[&str]| {
            room.train(&job, words);
            ["refiner.safetensors", "metrics.jsonl"].map(|name| room.read(&format!("{}/{name}", job.output())))
        };
        let here = train(&[]);
        fs::remove_dir_all(room.at(&job.output())).unwrap();
        fs::remove_dir_all(room.at("cache")).unwrap();
        let synthetic = format!("data.synthetic={}", bucket.named("data/synthetic").display());
        let real = format!("data.real={}", bucket.named("data/real").display());
        assert_eq!(train(&["--state", "other", "--set", &synthetic, "--set", &real]), here, "trained from a bucket");

        let run = job.output();
        let refine = |source: &str, destination: &str| {
            room.start_sumac(&["refine", source, destination, "--checkpoint", &run, "--workers", "2"], &[TALKATIVE])
        };
        refine("data/synthetic", "peace").finish().assert(0, &["finished"]);
        let (source, refined) = (bucket.named("data/synthetic"), bucket.named("refined"));
        let (source, refined) = (source.to_str().unwrap(), refined.to_str().unwrap());
        let mut command = refine(source, refined);
        command.says("Publish", 3);
        command.kill();
        room.sumac(&["refine", "status", refined]).assert(0, &["refining"]);
        let command = refine(source, refined);
        command.says("Publish", 2);
        kill(workers(command.pid())[0]);
        command.finish().assert(0, &["goes on", "finished", "200 refined, 0 bad"]);
        Tree::at(&bucket.kept("refined")).assert_same(&Tree::of(&room, "peace"), "refined in a bucket");
        room.sumac(&["verify", refined, "--source", source]).assert(0, &["200 there", "whole"]);
        refine(source, refined).finish().assert(0, &["nothing to do"]);
        refine(source, source).finish().assert(2, &["lie in each other"]);
    });
}

//! Data sets in a bucket read as they do from a folder.
#![allow(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

use std::{fs, path::Path};
use sumac_common::leases::Shard;
use sumac_data::{
    Source,
    refined::Input,
    source::{Kind, Roll},
};
use sumac_tests_s3::{Bucket, npy, png};

fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, *content).unwrap();
    }
    tar.into_inner().unwrap()
}

/// The same objects in the bucket and in a folder.
fn put(bucket: &Bucket, files: &[(&str, Vec<u8>)]) {
    files.iter().for_each(|(name, bytes)| bucket.put_both(name, bytes));
}

/// What is named so is read alike from both, by a whole listing and by frozen shards.
fn reads_alike(bucket: &Bucket, name: &str, kind: Kind, samples: usize) {
    let (here, there) = (Source::look(&bucket.here(name)).unwrap(), Source::look(&bucket.named(name)).unwrap());
    assert_eq!((there.kind(), there.samples().len()), (kind, samples), "{name}");
    Input::freeze(Roll::look(&bucket.named(name)).unwrap(), 2, &bucket.here("work")).unwrap();
    let input = Input::open(&bucket.here("work")).unwrap();
    for at in 0..samples {
        assert_eq!(there.samples()[at].key, here.samples()[at].key, "{name}");
        let shard = input.shard(2, Shard(at as u32 / 2)).unwrap();
        for (source, at) in [(&there, at), (&shard, at % 2)] {
            let here_at = here.samples().iter().position(|it| it.key == source.samples()[at].key).unwrap();
            assert_eq!(source.original(at).unwrap(), here.original(here_at).unwrap(), "{name}");
            assert_eq!(source.label_pieces(at).unwrap(), here.label_pieces(here_at).unwrap(), "{name}");
            assert_eq!(source.picture(at).unwrap(), here.picture(here_at).unwrap(), "{name}");
        }
    }
    fs::remove_dir_all(bucket.here("work")).unwrap();
}

#[test]
fn a_folder_of_images_with_files_of_their_stem_reads_as_from_a_disk() {
    Bucket::of("a_folder_of_images_with_files_of_their_stem_reads_as_from_a_disk", |bucket| {
        put(
            bucket,
            &[
                ("set/1.png", png(1)),
                ("set/1.json", b"{\"look\": [1, 2]}".to_vec()),
                ("set/deep er/\u{e9}2.png", png(2)),
                ("set/deep er/\u{e9}2.json", b"{}".to_vec()),
                ("set/noending", png(3)),
                ("set/notes.md", b"of nobody".to_vec()),
            ],
        );
        reads_alike(bucket, "set", Kind::Folder, 3);
    });
}

#[test]
fn class_folders_and_a_table_read_as_from_a_disk() {
    Bucket::of("class_folders_and_a_table_read_as_from_a_disk", |bucket| {
        put(
            bucket,
            &[
                ("classes/cat/1.png", png(1)),
                ("classes/dog/2.png", png(2)),
                ("rows/a.png", png(1)),
                ("rows/b.png", png(2)),
                ("rows.csv", b"file_name,angle\na.png,0.5\nb.png,-1\n".to_vec()),
            ],
        );
        reads_alike(bucket, "classes", Kind::ClassFolders, 2);
        reads_alike(bucket, "rows.csv", Kind::Table, 2);
    });
}

#[test]
fn tars_are_read_in_place_by_pattern_and_by_folder() {
    Bucket::of("tars_are_read_in_place_by_pattern_and_by_folder", |bucket| {
        let member = |tone| tar(&[("a.png", &png(tone)), ("a.json", b"{}"), ("b.png", &png(tone + 1))]);
        put(bucket, &[("set/train-0.tar", member(1)), ("set/train-1.tar", member(5))]);
        reads_alike(bucket, "set", Kind::Tar, 4);
        reads_alike(bucket, "set/train-{0..1}.tar", Kind::Tar, 4);
        reads_alike(bucket, "set/train-*.tar", Kind::Tar, 4);
        reads_alike(bucket, "set/train-1.tar", Kind::Tar, 2);
    });
}

#[test]
fn stacks_are_read_record_by_record() {
    Bucket::of("stacks_are_read_record_by_record", |bucket| {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../common/data/tests/files");
        put(
            bucket,
            &[
                ("images.npy", npy("(3, 4, 6)", &(0..72).collect::<Vec<u8>>())),
                ("labels.npy", npy("(3,)", &[2, 0, 1])),
                ("gaze.h5", fs::read(file.join("groups.h5")).unwrap()),
                ("classes.h5", fs::read(file.join("classes.h5")).unwrap()),
            ],
        );
        reads_alike(bucket, "images.npy", Kind::Npy, 3);
        reads_alike(bucket, "gaze.h5", Kind::Hdf5, 3);
        reads_alike(bucket, "gaze.h5/image", Kind::Hdf5, 3);
        reads_alike(bucket, "classes.h5", Kind::Hdf5, 5);
    });
}

#[test]
fn parquet_files_are_read_page_by_page() {
    Bucket::of("parquet_files_are_read_page_by_page", |bucket| {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../common/data/tests/files");
        let read = |name: &str| fs::read(file.join(name)).unwrap();
        put(
            bucket,
            &[
                ("set/train-0.parquet", read("classes.parquet")),
                ("set/train-1.parquet", read("classes.parquet")),
                ("two.parquet", read("two.parquet")),
                ("plain", read("plain.parquet")),
            ],
        );
        reads_alike(bucket, "set", Kind::Parquet, 14);
        reads_alike(bucket, "set/train-{0..1}.parquet", Kind::Parquet, 14);
        reads_alike(bucket, "set/train-1.parquet", Kind::Parquet, 7);
        reads_alike(bucket, "set/image", Kind::Parquet, 14);
        reads_alike(bucket, "two.parquet/left", Kind::Parquet, 3);
        reads_alike(bucket, "plain", Kind::Parquet, 4);
    });
}

#[test]
fn an_object_that_was_written_anew_after_it_was_listed_is_not_read() {
    Bucket::of("an_object_that_was_written_anew_after_it_was_listed_is_not_read", |bucket| {
        bucket.put("set/1.png", png(1));
        let source = Source::look(&bucket.named("set")).unwrap();
        bucket.put("set/1.png", [png(1), vec![0]].concat());
        let error = format!("{:?}", source.original(0).unwrap_err());
        assert!(error.contains("it was changed after it was listed"), "{error}");
    });
}

#[test]
fn what_is_not_there_is_said_to_be_missing() {
    Bucket::of("what_is_not_there_is_said_to_be_missing", |bucket| {
        let error = Source::look(&bucket.named("nothing/here")).unwrap_err().to_string();
        assert!(error.contains("there is no file or folder `s3://data/nothing/here`"), "{error}");
    });
}

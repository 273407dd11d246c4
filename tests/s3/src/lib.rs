//! A server that speaks the S3 protocol over a folder, and a process of its own for each test that talks to it.
//!
//! Whose a bucket is comes from the environment, which only a new process can be given. Knows nothing of Sumac.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use image::{GrayImage, ImageFormat, Luma};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use s3s_fs::FileSystem;
use std::{
    env, fs,
    io::Cursor,
    path::{Path, PathBuf},
    process::Command,
    thread,
};
use tempfile::TempDir;
use tokio::{net::TcpListener, runtime::Runtime};

const ROOM: &str = "SUMAC_TEST_BUCKET";
const KEY: (&str, &str) = ("key-of-a-test", "secret-of-a-test");

/// The bucket `data`, and beside it a folder of this machine.
#[derive(Debug)]
pub struct Bucket {
    room: PathBuf,
}

impl Bucket {
    /// Runs the test `name` in a process that finds a server of its own in its environment.
    pub fn of(name: &str, test: impl FnOnce(&Self)) {
        if let Some(room) = env::var_os(ROOM) {
            return test(&Self { room: room.into() });
        }
        let room = TempDir::new().unwrap();
        fs::create_dir_all(room.path().join("s3/data")).unwrap();
        fs::create_dir_all(room.path().join("here")).unwrap();
        let endpoint = serve(&room.path().join("s3"));
        let ran = Command::new(env::current_exe().unwrap())
            .args([name, "--exact", "--nocapture"])
            .env(ROOM, room.path())
            .env("AWS_ENDPOINT_URL", endpoint)
            .env("AWS_ALLOW_HTTP", "true")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", KEY.0)
            .env("AWS_SECRET_ACCESS_KEY", KEY.1)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success() && said.contains("1 passed"), "{said}");
    }

    /// What names an object, or a folder of them.
    #[must_use]
    pub fn named(&self, key: &str) -> PathBuf {
        PathBuf::from(format!("s3://data/{key}"))
    }

    /// The file in which the server keeps an object.
    #[must_use]
    pub fn kept(&self, key: &str) -> PathBuf {
        self.room.join("s3/data").join(key)
    }

    /// A path of this machine.
    #[must_use]
    pub fn here(&self, name: &str) -> PathBuf {
        self.room.join("here").join(name)
    }

    /// The same bytes in the bucket and in a file of this machine.
    pub fn put_both(&self, key: &str, bytes: impl AsRef<[u8]>) {
        let here = self.here(key);
        fs::create_dir_all(here.parent().unwrap()).unwrap();
        fs::write(here, &bytes).unwrap();
        self.put(key, bytes);
    }

    /// An object that somebody else wrote.
    pub fn put(&self, key: &str, bytes: impl AsRef<[u8]>) {
        let path = self.kept(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// 4x3 grey pixels, all different.
#[must_use]
pub fn png(tone: u8) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let image = GrayImage::from_fn(4, 3, |x, y| Luma([tone + 10 * (x + 4 * y) as u8]));
    image.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// An npy file of bytes.
#[must_use]
pub fn npy(shape: &str, values: &[u8]) -> Vec<u8> {
    let text = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}");
    let text = format!("{text:<117}\n");
    [b"\x93NUMPY\x01\x00", &(text.len() as u16).to_le_bytes()[..], text.as_bytes(), values].concat()
}

/// Serves the folder until the process ends; where it is served.
fn serve(folder: &Path) -> String {
    let mut service = S3ServiceBuilder::new(FileSystem::new(folder).unwrap());
    service.set_auth(SimpleAuth::from_single(KEY.0, KEY.1));
    let service = service.build();
    let runtime = Runtime::new().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        runtime.block_on(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let builder = Builder::new(TokioExecutor::new());
                let service = service.clone();
                // Whoever talks to it fails by its own words if this does.
                tokio::spawn(async move { builder.serve_connection(TokioIo::new(socket), service).await.ok() });
            }
        });
    });
    endpoint
}

//! A worker's days without a coordinator: orders are put into the mailbox where the loop comes by, on its own thread.

use super::*;
use crate::{
    faults::Faults,
    link::{Ear, Link},
    mailbox::Mailbox,
};
use image::GrayImage;
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};
use sumac_common::{
    conversation::{Basis, Fingerprint, Leaving, Opening, Place, Report, SoFar},
    device::Device,
    ids::{Digest, Generation, JobId, WorkerId},
    spec::{self, Precision},
};
use sumac_data::storage::Roots;

/// The end of what is waited for: a loop that takes longer waits for a word that never comes.
const PATIENCE: Duration = Duration::from_secs(60);

const TOY: &str = r#"
kind = "train"
name = "toy"
[data]
synthetic = "synthetic"
real = "real"
image = { size = [8, 8], channels = 1 }
[model]
preset = "toy"
[train]
batch = 16
lanes = 2
steps = 4
history.size = 16
"#;

/// The toy over images in `folder`, on so many threads, which is what tells one submission from another.
fn spec(folder: &Path, threads: u32) -> Box<Spec> {
    let at = |name: &str| folder.join(name).display().to_string();
    let sets = [
        ("data.synthetic", at("synthetic")),
        ("data.real", at("real")),
        ("output.dir", at("run")),
        ("workers.threads", threads.to_string()),
    ];
    let sets: Vec<_> = sets.into_iter().map(|(path, value)| (path.to_owned(), value)).collect();
    Box::new(spec::read(TOY, &sets).unwrap())
}

fn draw(folder: &Path) {
    for which in ["synthetic", "real"] {
        fs::create_dir(folder.join(which)).unwrap();
        for shade in 0..20 {
            let image = GrayImage::from_pixel(8, 8, image::Luma([shade]));
            image.save(folder.join(which).join(format!("{shade:02}.png"))).unwrap();
        }
    }
}

fn me() -> WorkerId {
    WorkerId("me".to_owned())
}

fn job() -> JobId {
    JobId::from("job")
}

/// The first generation of the job, with nobody else in it.
fn opening() -> Order {
    Order::Open(Box::new(Opening {
        job: job(),
        generation: Generation(1),
        roster: vec![Place { worker: me(), store: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)) }],
        basis: Basis::Saved,
        so_far: SoFar::default(),
    }))
}

/// Forms nothing: instead these orders come in, all of them before the loop looks into its mailbox again.
struct Meanwhile {
    mailbox: Arc<Mailbox>,
    orders: Vec<Order>,
}

impl Dial<Vec<f32>> for Meanwhile {
    fn form(&mut self, _: &Opening, _: &WorkerId, _: &dyn Ear) -> Result<Box<dyn Link<Vec<f32>>>, Leaving> {
        self.orders.drain(..).for_each(|order| self.mailbox.deliver(order));
        Err(Leaving::Told)
    }
}

/// Whatever is in `folder`, with work only in `root`: what the worker reports of being given the toy there.
fn told_of_the_toy(folder: &Path, root: &Path) -> Vec<Report> {
    let mailbox = Arc::new(Mailbox::default());
    mailbox.deliver(Order::Prepare { job: job(), spec: spec(folder, 1) });
    let fingerprint = |threads: u32, _: Precision| {
        mailbox.close();
        let [libtorch, device, instructions] = ["none", "cpu", "none"].map(str::to_owned);
        Ok(Fingerprint { libtorch, device, instructions, threads, canary: Digest::default() })
    };
    let roots = Roots::new(&[root.to_owned()]).unwrap();
    let (faults, cache) = (Faults::default(), folder.join("cache"));
    let desk =
        Desk { me: me(), device: Device::Cpu, mailbox: &mailbox, faults, cache, roots, fingerprint: &fingerprint };
    let mut member = Member::new(me());
    for event in events(&desk) {
        member.step(event);
    }
    let no_links = Meanwhile { mailbox: Arc::clone(&mailbox), orders: Vec::new() };
    train::<Toy, _>(&desk, &mut member, job(), *spec(folder, 1), |_, _, _| Ok(Toy::default()), no_links);
    mailbox.reports()
}

#[test]
fn a_job_whose_paths_lie_outside_the_data_roots_is_refused_before_anything_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    draw(folder.path());
    let other = tempfile::tempdir().unwrap();
    let refused = told_of_the_toy(folder.path(), other.path());
    let [Report::Unable { why, .. }] = &refused[..] else { panic!("{refused:#?}") };
    assert!(why.contains("synthetic` lies in none of this worker's data roots"), "{why}");
    assert!(!folder.path().join("run").exists() && !folder.path().join("cache").exists());
    let taken = told_of_the_toy(folder.path(), folder.path());
    assert!(matches!(taken[..], [Report::Ready { .. }, ..]), "{taken:#?}");
}

/// A job that is submitted again as soon as it was cancelled keeps its name; that there was a release in between is seen in
/// nothing but the order of the orders.
#[test]
fn a_job_released_and_given_again_in_one_breath_is_prepared_anew() {
    let folder = tempfile::tempdir().unwrap();
    draw(folder.path());
    let mailbox = Arc::new(Mailbox::default());
    let prepared = Arc::new(Mutex::new(Vec::new()));
    let (first, second) = (spec(folder.path(), 1), spec(folder.path(), 2));
    mailbox.deliver(Order::Prepare { job: job(), spec: first });

    let (ended, end) = mpsc::channel();
    let worker = {
        let (mailbox, prepared, cache) = (Arc::clone(&mailbox), Arc::clone(&prepared), folder.path().join("cache"));
        thread::spawn(move || {
            // The last thing that is asked for before a worker is ready.
            let fingerprint = |threads: u32, _: Precision| {
                prepared.lock().unwrap().push(threads);
                match threads {
                    1 => mailbox.deliver(opening()),
                    _ => mailbox.close(),
                }
                let [libtorch, device, instructions] = ["none", "cpu", "none"].map(str::to_owned);
                Ok(Fingerprint { libtorch, device, instructions, threads, canary: Digest::default() })
            };
            let desk = Desk {
                me: me(),
                device: Device::Cpu,
                mailbox: &mailbox,
                faults: Faults::default(),
                cache,
                roots: Roots::default(),
                fingerprint: &fingerprint,
            };
            let again =
                || vec![Order::Release { job: job(), why: None }, Order::Prepare { job: job(), spec: second.clone() }];
            work_on_toys(&desk, || Meanwhile { mailbox: Arc::clone(&mailbox), orders: again() });
            let _ = ended.send(());
        })
    };
    let in_time = end.recv_timeout(PATIENCE);
    // Whoever still waits is let go.
    mailbox.close();
    worker.join().unwrap();

    let reports = mailbox.reports();
    let ready = reports.iter().filter_map(|report| match report {
        Report::Ready { readiness, .. } => Some(readiness.fingerprint.threads),
        _ => None,
    });
    assert_eq!(ready.collect::<Vec<_>>(), [1, 2], "{reports:#?}");
    assert_eq!(*prepared.lock().unwrap(), [1, 2]);
    assert!(in_time.is_ok(), "the loop did not end");
}

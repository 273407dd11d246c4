//! Groups of real processes: what every collective does, and what happens when somebody is slow, dead or given up.
//!
//! The parent, a test, serves the store and holds both ends of each conversation; a child is this same executable, in
//! the one test `child`, and takes its part from the environment. Nothing sleeps: each waits for the other's next line.
#![cfg(all(feature = "torch", not(feature = "doc-only")))]
#![allow(clippy::unwrap_used)] // a test that cannot go on says so by panicking

use std::{
    env, fs,
    io::{BufRead, BufReader, Write, stdin},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use sumac_worker::native::{Forming, Group, Medium, Meeting, NativeError, Patience, Seat, Store, Work};
use tch::{Device, Kind, Tensor};

const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Far more than anything here takes: only a hang reaches it.
const LONG: Duration = Duration::from_secs(60);
/// What "at once" means on a busy machine: two orders above what was measured, one below any patience.
const SOON: Duration = Duration::from_secs(5);

// ---- The claims ----

#[test]
fn a_group_of_cards_names_the_plugin_that_it_lacks() {
    let (_server, store) = serve();
    let seat = Seat { rank: 0, size: 1, host: HOST };
    let meeting = Meeting { store, prefix: "cards".into() };
    let mut forming = Group::form(meeting, seat, Medium::Nccl(0), Patience { forming: LONG, call: LONG }).unwrap();
    let refused = forming.wait_up_to(LONG).unwrap().unwrap_err().to_string();
    assert!(refused.contains("libsumac_nccl.so"), "{refused}");
}

#[test]
fn every_collective_is_right_on_one_two_and_three_processes() {
    for size in 1..=3 {
        finish(cast("collectives", size));
    }
}

#[test]
fn a_lone_call_fails_when_its_patience_is_over() {
    let mut peers = cast("lone_call", 2);
    let waited: u64 = peers[0].hear("failed after").parse().unwrap();
    assert!((700..5_000).contains(&waited), "patience of 700 ms, failed after {waited} ms");
    peers[1].say("go home");
    finish(peers);
}

#[test]
fn survivors_of_a_killed_peer_hear_of_it_soon_and_form_a_smaller_group() {
    let mut peers = cast("survive", 3);
    for peer in &mut peers {
        peer.hear("busy");
    }
    let mut killed = peers.pop().unwrap();
    killed.child.kill().unwrap();
    let kill = Instant::now();
    for peer in &mut peers {
        peer.hear("broken");
    }
    let heard = kill.elapsed();
    assert!(heard < SOON, "the last survivor heard of it after {heard:?}");
    for peer in &mut peers {
        peer.hear("formed again");
    }
    eprintln!("killed: all survivors knew after {heard:?}, a smaller group worked after {:?}", kill.elapsed());
    finish(peers);
}

#[test]
fn an_abandoned_call_ends_at_once_everywhere_and_its_buffer_is_left_alone() {
    let mut peers = cast("abandon", 3);
    peers[0].hear("in flight");
    peers[1].hear("in flight");
    peers[0].say("abandon");
    let abandoned = Instant::now();
    peers[0].hear("mine ended");
    let mine = abandoned.elapsed();
    peers[1].hear("mine ended");
    let theirs = abandoned.elapsed();
    assert!(theirs < SOON, "the peer of an abandoned group heard of it after {theirs:?}");
    for peer in &mut peers[..2] {
        eprintln!("abandoned: {}", peer.hear("formed again"));
    }
    eprintln!("abandoned: call ended here after {mine:?}, at the peer after {theirs:?}");
    peers[2].hear("mine ended");
    finish(peers);
}

#[test]
fn a_group_forgotten_with_a_call_in_flight_harms_neither_the_next_group_nor_the_exit() {
    let mut peers = cast("forget", 3);
    peers[0].hear("in flight");
    peers[1].hear("in flight");
    for peer in &mut peers[..2] {
        peer.say("forget");
    }
    for peer in &mut peers[..2] {
        eprintln!("forgotten: {}", peer.hear("formed again"));
    }
    let two = peers.drain(..2).collect();
    let leaving = Instant::now();
    finish(two);
    assert!(leaving.elapsed() < SOON, "exit took {:?}", leaving.elapsed());
    peers[0].say("go home");
    finish(peers);
}

#[test]
fn a_frozen_peer_is_left_behind_at_once() {
    let mut peers = cast("freeze", 3);
    for peer in &mut peers {
        peer.hear("busy");
    }
    peers[2].signal("STOP");
    for peer in &mut peers[..2] {
        peer.say("abandon");
    }
    let told = Instant::now();
    for peer in &mut peers[..2] {
        peer.hear("broken");
    }
    let broken = told.elapsed();
    for peer in &mut peers[..2] {
        peer.hear("formed again");
    }
    eprintln!("frozen: both calls ended after {broken:?}, a smaller group worked after {:?}", told.elapsed());
    assert!(told.elapsed() < SOON, "took {:?}", told.elapsed());
    peers[2].signal("CONT");
    peers[2].hear("broken");
    finish(peers);
}

#[test]
fn a_group_dropped_with_a_call_in_flight_does_not_wait_for_it() {
    let mut peers = cast("drop", 2);
    let took: u64 = peers[0].hear("dropped after").parse().unwrap();
    assert!(u128::from(took) < SOON.as_millis(), "dropping took {took} ms");
    peers[1].say("go home");
    finish(peers);
}

#[test]
fn a_transfer_may_take_longer_than_forming_the_group_was_allowed_to() {
    let mut peers = cast("late_transfer", 2);
    peers[0].hear("still waits");
    peers[1].say("send");
    finish(peers);
}

#[test]
fn transfers_in_flight_end_when_the_group_is_abandoned() {
    let mut peers = cast("abandon_transfers", 2);
    peers[0].hear("both ended");
    peers[1].say("go home");
    finish(peers);
}

#[test]
fn a_forming_group_is_given_up_without_waiting_for_the_missing_rank() {
    // Rank 1 of 2 never comes; the process must be able to go on, and to exit, while libtorch still waits for it.
    let (_server, store) = serve();
    let mut peers = vec![Peer::start("give_up", 0, 2, "here", store)];
    peers[0].hear("gave up");
    let leaving = Instant::now();
    finish(peers);
    assert!(leaving.elapsed() < SOON, "exit took {:?}", leaving.elapsed());
}

#[test]
fn a_failed_forming_names_the_rank_that_never_came() {
    let (_server, store) = serve();
    let patience = Patience { forming: Duration::from_millis(500), call: LONG };
    let seat = Seat { rank: 0, size: 2, host: HOST };
    let mut forming = Group::form(Meeting { store, prefix: "1".into() }, seat, Medium::Gloo, patience).unwrap();
    match forming.wait_up_to(LONG).expect("forming ends by its patience") {
        Err(NativeError::Form { missing, .. }) => assert_eq!(missing, [1]),
        other => panic!("{other:?}"),
    }
    assert!(forming.poll().is_none(), "a forming answers once");
}

#[test]
fn a_store_that_nobody_serves_is_named() {
    let (server, store) = serve();
    drop(server);
    let patience = Patience { forming: Duration::from_millis(500), call: LONG };
    let seat = Seat { rank: 0, size: 1, host: HOST };
    let mut forming = Group::form(Meeting { store, prefix: "1".into() }, seat, Medium::Gloo, patience).unwrap();
    let error = forming.wait_up_to(LONG).expect("forming ends by its patience").unwrap_err();
    assert!(matches!(error, NativeError::Meet { .. }), "{error:?}");
    assert!(error.to_string().contains(&store.to_string()), "{error}");
}

#[test]
fn a_group_outlives_its_store() {
    let (server, store) = serve();
    let group = alone(store, "1");
    drop(server);
    let (from, to) = (numbers(0.0, 4), numbers(9.0, 4));
    settle(group.all_gather(&to, &from).unwrap()).unwrap();
    assert_eq!(values(&to), values(&from));
}

#[test]
fn tensors_that_do_not_fit_and_ranks_outside_the_group_are_refused() {
    let (_server, store) = serve();
    let group = alone(store, "1");
    let whole = numbers(0.0, 8).view([2, 4]);
    let gaps = whole.narrow(1, 0, 2);
    assert!(matches!(group.broadcast(&gaps, 0), Err(NativeError::Tensor { .. })));
    assert!(matches!(group.send(&whole, 0, 0), Err(NativeError::Rank { rank: 0, .. })));
    assert!(matches!(group.recv(&whole, 5, 0), Err(NativeError::Rank { rank: 5, .. })));
    assert!(matches!(group.broadcast(&whole, 5), Err(NativeError::Call { .. })));
    assert!(matches!(group.all_to_all(&numbers(0.0, 3), &whole), Err(NativeError::Shapes { .. })));
    assert!(matches!(group.all_gather(&numbers(0.0, 3), &whole), Err(NativeError::Shapes { .. })));
    let doubles = whole.to_kind(Kind::Double);
    assert!(matches!(group.all_gather(&doubles, &whole), Err(NativeError::Shapes { .. })));
}

#[test]
fn groups_that_come_and_go_leave_no_threads_and_no_files_behind() {
    let (_server, store) = serve();
    // Other tests of this process come and go, so it is a child that counts.
    let mut peers = vec![Peer::start("come_and_go", 0, 1, "here", store)];
    let left = peers[0].hear("left behind");
    assert_eq!(left, "threads 0 files 0");
    finish(peers);
}

// ---- What the children do ----

/// Not a claim of its own: with a part in the environment this process is a child of one of the tests above.
#[test]
fn child() {
    let Ok(part) = env::var("SUMAC_TEST_PART") else { return };
    let number = |name: &str| env::var(name).unwrap().parse::<usize>().unwrap();
    let me = Me {
        rank: number("SUMAC_TEST_RANK"),
        size: number("SUMAC_TEST_SIZE"),
        store: env::var("SUMAC_TEST_STORE").unwrap().parse().unwrap(),
        prefix: env::var("SUMAC_TEST_PREFIX").unwrap(),
    };
    match part.as_str() {
        "collectives" => me.collectives(),
        "lone_call" => me.lone_call(),
        "survive" => me.survive(),
        "abandon" => me.abandon(),
        "forget" => me.forget(),
        "freeze" => me.freeze(),
        "drop" => me.drop_in_flight(),
        "abandon_transfers" => me.abandon_transfers(),
        "late_transfer" => me.late_transfer(),
        "give_up" => me.give_up(),
        "come_and_go" => me.come_and_go(),
        unknown => panic!("no part is called {unknown}"),
    }
}

struct Me {
    rank: usize,
    size: usize,
    store: SocketAddr,
    prefix: String,
}

impl Me {
    fn collectives(&self) {
        let (rank, size) = (self.rank, self.size);
        let group = self.group(self.size, "1", LONG);
        let n = 1_000;

        // Rank r sends the value 10 r + s to rank s.
        let input = Tensor::cat(&(0..size).map(|s| filled(10.0 * rank as f32 + s as f32, n)).collect::<Vec<_>>(), 0);
        let output = filled(-1.0, n * size as i64);
        settle(group.all_to_all(&output, &input).unwrap()).unwrap();
        let expected = Tensor::cat(&(0..size).map(|s| filled(10.0 * s as f32 + rank as f32, n)).collect::<Vec<_>>(), 0);
        assert_eq!(output, expected);

        for kind in [Kind::Float, Kind::Double, Kind::Uint8, Kind::Int64] {
            let output = Tensor::zeros([3 * size as i64], (kind, Device::Cpu));
            let input = (Tensor::from_slice(&[1i64, 2, 3]) + 7 * rank as i64).to_kind(kind);
            settle(group.all_gather(&output, &input).unwrap()).unwrap();
            let expected = Tensor::cat(
                &(0..size)
                    .map(|r| (Tensor::from_slice(&[1i64, 2, 3]) + 7 * r as i64).to_kind(kind))
                    .collect::<Vec<_>>(),
                0,
            );
            assert_eq!(output, expected, "{kind:?}");
        }

        for kind in [Kind::Float, Kind::Uint8] {
            let tensor = (Tensor::from_slice(&[5i64, 6]) + rank as i64).to_kind(kind);
            settle(group.broadcast(&tensor, size - 1).unwrap()).unwrap();
            let expected = (Tensor::from_slice(&[5i64, 6]) + (size - 1) as i64).to_kind(kind);
            assert_eq!(tensor, expected, "{kind:?}");
        }

        // Round the ring, both ways at once, with tags that must not be confused. A view of a larger tensor is filled
        // in place.
        if size > 1 {
            let (next, last) = ((rank + 1) % size, (rank + size - 1) % size);
            let whole = filled(0.0, 4);
            let (by_next, by_last) = (whole.narrow(0, 0, 2), whole.narrow(0, 2, 2));
            let mut transfers = [
                group.recv(&by_next, next, 1).unwrap(),
                group.recv(&by_last, last, 2).unwrap(),
                group.send(&filled(100.0 + rank as f32, 2), next, 2).unwrap(),
                group.send(&filled(200.0 + rank as f32, 2), last, 1).unwrap(),
            ];
            for transfer in &mut transfers {
                transfer.wait_up_to(LONG).expect("ends").unwrap();
                transfer.poll().expect("has ended").unwrap();
            }
            let (next, last) = (next as f32, last as f32);
            assert_eq!(values(&whole), [200.0 + next, 200.0 + next, 100.0 + last, 100.0 + last]);
        }
        settle(group.barrier().unwrap()).unwrap();
    }

    fn lone_call(&self) {
        let group = self.group(2, "1", Duration::from_millis(700));
        if self.rank == 1 {
            return await_word("go home");
        }
        let (from, to) = (numbers(0.0, 2), numbers(0.0, 2));
        let started = Instant::now();
        let mut work = group.all_to_all(&to, &from).unwrap();
        assert!(work.poll().is_none(), "ended without its peer");
        assert!(work.wait_up_to(Duration::from_millis(20)).is_none(), "ended without its peer");
        let error = work.wait_up_to(LONG).expect("ends by its patience").unwrap_err();
        tell("failed after", started.elapsed().as_millis());
        assert!(error.to_string().starts_with("all-to-all: "), "{error}");
        assert!(!error.to_string().contains('\n'), "{error}");
        assert!(work.poll().expect("has ended").is_err(), "a failed call goes on saying so");
        assert!(group.barrier().and_then(settle).is_err(), "a broken group is of no more use");
    }

    fn late_transfer(&self) {
        let forming = Duration::from_secs(1);
        let meeting = Meeting { store: self.store, prefix: self.prefix.clone() };
        let seat = Seat { rank: self.rank, size: 2, host: HOST };
        let mut group = Group::form(meeting, seat, Medium::Gloo, Patience { forming, call: LONG }).unwrap();
        let group = group.wait_up_to(LONG).expect("forms").unwrap();
        let tensor = filled(self.rank as f32, 2);
        if self.rank == 1 {
            await_word("send");
            return settle(group.send(&tensor, 0, 0).unwrap()).unwrap();
        }
        let mut transfer = group.recv(&tensor, 1, 0).unwrap();
        assert!(transfer.wait_up_to(forming * 2).is_none(), "ended without its peer");
        tell("still waits", "");
        settle(transfer).unwrap();
        assert_eq!(values(&tensor), [1.0, 1.0]);
    }

    fn survive(&self) {
        let group = self.group(3, "1", LONG);
        let (from, to) = (filled(self.rank as f32, 1 << 20), filled(0.0, 3 << 20));
        for round in 0.. {
            match group.all_gather(&to, &from).and_then(settle) {
                Ok(()) if round == 3 => tell("busy", ""),
                Ok(()) => {}
                Err(error) => {
                    tell("broken", error);
                    break;
                }
            }
        }
        drop(group);
        self.works(&self.group(2, "2", LONG), 2);
        tell("formed again", "");
    }

    fn abandon(&self) {
        let group = self.group(3, "1", LONG);
        if self.rank == 2 {
            // Has a receive open that nobody answers: it must end too, once the others have left.
            let mut work = group.recv(&numbers(0.0, 1), 0, 9).unwrap();
            work.wait_up_to(LONG).expect("ends when all peers have left").unwrap_err();
            return tell("mine ended", "");
        }
        let (mut work, output) = self.in_flight(&group);
        let before = (count("task"), count("fd"));
        tell("in flight", "");
        // Rank 0 gives up; rank 1 only hears of it by the closing connection.
        let held = if self.rank == 0 {
            await_word("abandon");
            group.abandon();
            None
        } else {
            Some(group)
        };
        work.wait_up_to(LONG).expect("ends once abandoned").unwrap_err();
        tell("mine ended", "");
        drop(held);
        let left = output.copy();
        let report = self.go_on(before);
        assert_eq!(output, left, "a call that had ended wrote to its buffer");
        tell("formed again", report);
    }

    fn forget(&self) {
        let group = self.group(3, "1", LONG);
        if self.rank == 2 {
            return await_word("go home");
        }
        let (work, output) = self.in_flight(&group);
        let before = (count("task"), count("fd"));
        tell("in flight", "");
        await_word("forget");
        std::mem::forget((group, work));
        let address = output.data_ptr() as usize;
        let length = output.numel() as i64;
        drop(output);
        let report = self.go_on(before);
        let fresh: Vec<Tensor> = (0..4).map(|_| filled(0.0, length)).collect();
        assert!(fresh.iter().all(|tensor| tensor.data_ptr() as usize != address), "the old buffer was given out again");
        tell("formed again", report);
    }

    /// Rounds without end; rank 2 is frozen in one of them, and the others are told so.
    fn freeze(&self) {
        let group = self.group(3, "1", LONG);
        let (tell_us, told) = mpsc::channel();
        thread::spawn(move || tell_us.send(hear_word()));
        // Small enough to arrive whole: who is frozen in the midst of a message is only noticed by patience (`native`).
        let (from, to) = (filled(self.rank as f32, 1 << 10), filled(0.0, 3 << 10));
        let mut work = group.all_gather(&to, &from).unwrap();
        for round in 0.. {
            let outcome = loop {
                if let Some(outcome) = work.wait_up_to(Duration::from_millis(5)) {
                    break Some(outcome);
                }
                if told.try_recv().is_ok_and(|word| word == "abandon") {
                    break None;
                }
            };
            match outcome {
                Some(Ok(())) if round == 3 => tell("busy", ""),
                Some(Ok(())) => {}
                Some(Err(_)) => {
                    tell("broken", "");
                    break;
                }
                None => {
                    group.abandon();
                    // With an error, unless what it waited for had come just before.
                    let _ended = work.wait_up_to(LONG).expect("ends once abandoned");
                    tell("broken", "");
                    self.works(&self.group(2, "2", LONG), 2);
                    return tell("formed again", "");
                }
            }
            work = match group.all_gather(&to, &from) {
                Ok(work) => work,
                Err(_) => return tell("broken", ""),
            };
        }
        drop(group);
        if self.rank < 2 {
            self.works(&self.group(2, "2", LONG), 2);
            tell("formed again", "");
        }
    }

    /// A call that rank 2 of 3 does not join, and what it fills; large enough not to fit the sockets' buffers.
    fn in_flight(&self, group: &Group) -> (Work, Tensor) {
        let (from, to) = (filled(self.rank as f32 + 1.0, 1 << 20), filled(0.0, 3 << 20));
        let mut work = group.all_gather(&to, &from).unwrap();
        assert!(work.wait_up_to(Duration::from_millis(50)).is_none(), "ended without its peer");
        (work, to)
    }

    /// A new group of the first two, and what the process holds now, compared with `(threads, files)` before.
    fn go_on(&self, before: (usize, usize)) -> String {
        let group = self.group(2, "2", LONG);
        self.works(&group, 2);
        let (threads, files) = (count("task"), count("fd"));
        format!("threads {} -> {threads}, files {} -> {files}, each with one group in use", before.0, before.1)
    }

    fn drop_in_flight(&self) {
        let group = self.group(2, "1", LONG);
        if self.rank == 1 {
            return await_word("go home");
        }
        let (from, to) = (filled(1.0, 1 << 20), filled(0.0, 2 << 20));
        let mut work = group.all_gather(&to, &from).unwrap();
        assert!(work.poll().is_none(), "ended without its peer");
        let started = Instant::now();
        drop(group);
        tell("dropped after", started.elapsed().as_millis());
        work.poll().expect("has ended with its group").unwrap_err();
    }

    fn abandon_transfers(&self) {
        let group = self.group(2, "1", LONG);
        if self.rank == 1 {
            return await_word("go home");
        }
        // Too large for the sockets' buffers, so the send is in flight as well.
        let mut sent = group.send(&filled(1.0, 1 << 24), 1, 1).unwrap();
        let mut received = group.recv(&filled(0.0, 1), 1, 2).unwrap();
        assert!(sent.poll().is_none() && received.poll().is_none(), "ended without its peer");
        group.abandon();
        sent.wait_up_to(LONG).expect("ends once abandoned").unwrap_err();
        received.wait_up_to(LONG).expect("ends once abandoned").unwrap_err();
        tell("both ended", "");
    }

    fn give_up(&self) {
        let started = Instant::now();
        let mut forming = self.forming(2, "1", LONG);
        assert!(forming.poll().is_none(), "formed without rank 1");
        assert!(forming.wait_up_to(Duration::from_millis(200)).is_none(), "formed without rank 1");
        drop(forming);
        self.works(&self.group(1, "2", LONG), 1);
        assert!(started.elapsed() < SOON, "took {:?}", started.elapsed());
        tell("gave up", "");
    }

    fn come_and_go(&self) {
        // The first brings libtorch's lasting threads with it.
        self.works(&self.group(1, "first", LONG), 1);
        settle_threads();
        let before = (count("task"), count("fd"));
        for round in 0..20 {
            let group = self.group(1, &format!("round {round}"), LONG);
            self.works(&group, 1);
        }
        settle_threads();
        let after = (count("task"), count("fd"));
        tell(
            "left behind",
            format!("threads {} files {}", after.0 as i64 - before.0 as i64, after.1 as i64 - before.1 as i64),
        );
    }

    fn works(&self, group: &Group, size: usize) {
        let (from, to) = (filled(self.rank as f32 + 1.0, 64), filled(0.0, 64 * size as i64));
        settle(group.all_gather(&to, &from).unwrap()).unwrap();
        let expected = Tensor::cat(&(0..size).map(|rank| filled(rank as f32 + 1.0, 64)).collect::<Vec<_>>(), 0);
        assert_eq!(to, expected);
    }

    fn forming(&self, size: usize, generation: &str, call: Duration) -> Forming {
        let meeting = Meeting { store: self.store, prefix: format!("{}/{generation}", self.prefix) };
        let seat = Seat { rank: self.rank, size, host: HOST };
        Group::form(meeting, seat, Medium::Gloo, Patience { forming: LONG, call }).unwrap()
    }

    fn group(&self, size: usize, generation: &str, call: Duration) -> Group {
        self.forming(size, generation, call).wait_up_to(LONG).expect("forms in time").unwrap()
    }
}

// ---- The conversation ----

struct Peer {
    part: String,
    child: Child,
    lines: Receiver<String>,
}

/// One child per rank, and the store they meet at; it lives in this process until the test ends.
fn cast(part: &str, size: usize) -> Vec<Peer> {
    let (server, store) = serve();
    // Children outlive no test, and the store must outlive the children.
    std::mem::forget(server);
    (0..size).map(|rank| Peer::start(part, rank, size, part, store)).collect()
}

impl Peer {
    fn start(part: &str, rank: usize, size: usize, prefix: &str, store: SocketAddr) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env("SUMAC_TEST_PART", part)
            .env("SUMAC_TEST_RANK", rank.to_string())
            .env("SUMAC_TEST_SIZE", size.to_string())
            .env("SUMAC_TEST_PREFIX", prefix)
            .env("SUMAC_TEST_STORE", store.to_string())
            .env("OMP_NUM_THREADS", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (tell, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // The harness of the child's own test prints beside us, sometimes before us on the same line.
                if let Some((_, word)) = line.split_once("@ ") {
                    let _ = tell.send(word.to_owned());
                }
            }
        });
        Self { part: format!("{part}, rank {rank}"), child, lines }
    }

    /// The rest of the child's next line, which must begin with `word`.
    fn hear(&mut self, word: &str) -> String {
        match self.lines.recv_timeout(LONG) {
            Ok(line) => match line.strip_prefix(word) {
                Some(rest) => rest.trim().to_owned(),
                None => panic!("{}: waited for {word:?}, heard {line:?}", self.part),
            },
            Err(_) => panic!("{}: waited for {word:?}, heard nothing", self.part),
        }
    }

    fn say(&mut self, word: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{word}").unwrap();
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(status.success(), "kill -{name}: {status}");
    }

    fn exit(&mut self) -> ExitStatus {
        // The lines end when the child does; one that hangs is killed, and reported by its status.
        while self.lines.recv_timeout(LONG).is_ok() {}
        if self.child.try_wait().unwrap().is_none()
            && self.lines.recv_timeout(SOON) == Err(mpsc::RecvTimeoutError::Timeout)
        {
            self.child.kill().unwrap();
        }
        self.child.wait().unwrap()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // A failed assertion must not leave children behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Every child ends by itself, and well: neither a failed assertion, nor a crash, nor a hang.
fn finish(peers: Vec<Peer>) {
    for mut peer in peers {
        let status = peer.exit();
        assert!(status.success(), "{}: {status}", peer.part);
    }
}

fn tell(word: &str, rest: impl std::fmt::Display) {
    println!("@ {word} {rest}");
}

fn hear_word() -> String {
    let mut line = String::new();
    stdin().read_line(&mut line).unwrap();
    line.trim().to_owned()
}

fn await_word(word: &str) {
    assert_eq!(hear_word(), word);
}

// ---- Small things ----

fn serve() -> (Store, SocketAddr) {
    Store::serve(HOST).unwrap()
}

fn alone(store: SocketAddr, prefix: &str) -> Group {
    let seat = Seat { rank: 0, size: 1, host: HOST };
    let meeting = Meeting { store, prefix: prefix.into() };
    Group::form(meeting, seat, Medium::Gloo, Patience { forming: LONG, call: LONG })
        .unwrap()
        .wait_up_to(LONG)
        .unwrap()
        .unwrap()
}

fn settle(mut work: Work) -> Result<(), NativeError> {
    work.wait_up_to(2 * LONG).expect("a call ends by its patience")
}

/// Threads that have done their work are gone from the list a moment later.
fn settle_threads() {
    let deadline = Instant::now() + SOON;
    let mut last = count("task");
    while Instant::now() < deadline {
        thread::yield_now();
        let now = count("task");
        if now >= last {
            return;
        }
        last = now;
    }
}

fn count(what: &str) -> usize {
    fs::read_dir(format!("/proc/self/{what}")).unwrap().count()
}

fn numbers(first: f32, n: i64) -> Tensor {
    Tensor::arange(n, (Kind::Float, Device::Cpu)) + f64::from(first)
}

fn filled(value: f32, n: i64) -> Tensor {
    Tensor::full([n], f64::from(value), (Kind::Float, Device::Cpu))
}

fn values(tensor: &Tensor) -> Vec<f32> {
    Vec::try_from(tensor).unwrap()
}

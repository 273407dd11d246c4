//! What has to survive: jobs, the term, the journal. One SQLite file, written by one thread.
//!
//! A saved job is on the disk when [`Store::save`] returns (WAL, `synchronous = FULL`). One state directory has one living
//! owner. Knows nothing of what a job means.

use crate::picture::Noted;
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use sumac_common::{
    cluster::{Fact, Job, Leasing},
    ids::{JobId, Term},
    leases::{Fate, Kept, Shard},
};
use tokio::sync::oneshot;

/// Version of the schema, in SQLite's `user_version`.
const SCHEMA: i64 = 4;
const TABLES: &str = "
    CREATE TABLE term (only INTEGER PRIMARY KEY CHECK (only = 0), term INTEGER NOT NULL);
    INSERT INTO term VALUES (0, 0);
    CREATE TABLE jobs (
        submission INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        submitted_ms INTEGER NOT NULL,
        record TEXT NOT NULL
    );
    CREATE TABLE journal (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        at_ms INTEGER NOT NULL,
        term INTEGER NOT NULL,
        class TEXT NOT NULL,
        job TEXT,
        worker TEXT,
        what TEXT NOT NULL,
        fact TEXT NOT NULL
    );
    CREATE INDEX journal_of_job ON journal (job, number);
    PRAGMA user_version = 1;
";
/// From each schema to the next.
const CHANGES: [&str; 3] = [
    "CREATE TABLE drains (name TEXT PRIMARY KEY);
     PRAGMA user_version = 2;",
    // A refinement has the number of the submissions before it in its own record.
    "CREATE TABLE refinements (
         submission INTEGER PRIMARY KEY AUTOINCREMENT,
         id TEXT NOT NULL UNIQUE,
         submitted_ms INTEGER NOT NULL,
         record TEXT NOT NULL
     );
     CREATE TABLE shards (
         job TEXT NOT NULL,
         shard INTEGER NOT NULL,
         fate TEXT NOT NULL,
         PRIMARY KEY (job, shard)
     ) WITHOUT ROWID;
     PRAGMA user_version = 3;",
    // There are other jobs in pieces than refinements.
    "ALTER TABLE refinements RENAME TO piecework;
     UPDATE piecework SET record = json_set(record, '$.spec', json_object('refine', json_extract(record, '$.spec')));
     PRAGMA user_version = 4;",
];
/// Facts read back at the start, for people.
const FACTS_REMEMBERED: i64 = 2_000;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the state directory {} cannot be used", dir.display())]
    NoDirectory {
        dir: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("another coordinator is using the state directory {}: the same command may be under way already; else stop it, or (up, serve, sweep) name another directory with --state", .0.display())]
    Held(PathBuf),
    #[error("{} was written by a newer sumac (schema {found}, this one knows {SCHEMA}): use that version", file.display())]
    Newer { file: PathBuf, found: i64 },
    #[error("the state file {} failed", file.display())]
    Sqlite {
        file: PathBuf,
        #[source]
        source: rusqlite::Error,
    },
    #[error("job {job} in {} cannot be read back", file.display())]
    BadRecord {
        file: PathBuf,
        job: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("the thread that writes the state has ended")]
    Gone,
}

/// What the last coordinator left, and the term of this one.
#[derive(Debug)]
pub struct Remembered {
    pub term: Term,
    /// In order of submission.
    pub jobs: Vec<(Job, SystemTime)>,
    /// In order of submission.
    pub leasings: Vec<(Leasing, Kept, SystemTime)>,
    /// Workers and nodes that are to be given no work.
    pub drains: Vec<String>,
    /// The latest ones, oldest first.
    pub facts: Vec<Noted>,
}

/// The writing end. Dropping it lets the thread finish what was asked and give the directory back.
pub struct Store {
    requests: Option<mpsc::Sender<Request>>,
    thread: Option<thread::JoinHandle<()>>,
}

struct Request {
    what: What,
    done: oneshot::Sender<Result<(), StoreError>>,
}

enum What {
    Save(Box<Job>, SystemTime),
    SaveLeasing(Box<Leasing>, SystemTime),
    Keep(Vec<Ended>),
    Pardon(JobId),
    Probe,
    SaveDrains(Vec<String>),
    Note(Vec<Noted>),
}

/// A piece of a job that is over.
#[derive(Clone, Debug)]
pub struct Ended {
    pub job: JobId,
    pub shard: Shard,
    pub fate: Fate,
}

impl Store {
    /// Takes the directory, raises the term, and reads what is there. The new term is durable before this returns (C-2).
    ///
    /// # Errors
    /// If the directory cannot be made or locked, another coordinator holds it, or the file in it cannot be read.
    pub fn open(dir: &Path) -> Result<(Self, Remembered), StoreError> {
        let lock = hold(dir)?;
        let mut ledger = Ledger::open(dir.join("state.db"))?;
        let remembered = ledger.read()?;
        ledger.term = remembered.term;
        let (requests, asked) = mpsc::channel();
        let thread = thread::spawn(move || {
            ledger.serve(&asked);
            drop(lock);
        });
        Ok((Self { requests: Some(requests), thread: Some(thread) }, remembered))
    }

    /// # Errors
    /// If it could not be made durable.
    pub async fn save(&self, job: Job, submitted: SystemTime) -> Result<(), StoreError> {
        self.ask(What::Save(Box::new(job), submitted)).await
    }

    /// But for its shards.
    ///
    /// # Errors
    /// If it could not be made durable.
    pub async fn save_leasing(&self, leasing: Leasing, submitted: SystemTime) -> Result<(), StoreError> {
        self.ask(What::SaveLeasing(Box::new(leasing), submitted)).await
    }

    /// All of them or none: one transaction, however many.
    ///
    /// # Errors
    /// If they could not be made durable.
    pub async fn keep(&self, ended: Vec<Ended>) -> Result<(), StoreError> {
        self.ask(What::Keep(ended)).await
    }

    /// Forgets which of its shards were quarantined.
    ///
    /// # Errors
    /// If it could not be made durable.
    pub async fn pardon(&self, job: JobId) -> Result<(), StoreError> {
        self.ask(What::Pardon(job)).await
    }

    /// Writes what is there once more, to see whether it can be.
    ///
    /// # Errors
    /// If it cannot.
    pub async fn probe(&self) -> Result<(), StoreError> {
        self.ask(What::Probe).await
    }

    /// All of them: those not named are drained no more.
    ///
    /// # Errors
    /// If it could not be made durable.
    pub async fn save_drains(&self, names: Vec<String>) -> Result<(), StoreError> {
        self.ask(What::SaveDrains(names)).await
    }

    /// All of them or none: one transaction, however many.
    ///
    /// # Errors
    /// If they could not be made durable.
    pub async fn note(&self, noted: Vec<Noted>) -> Result<(), StoreError> {
        self.ask(What::Note(noted)).await
    }

    async fn ask(&self, what: What) -> Result<(), StoreError> {
        let (done, answer) = oneshot::channel();
        let requests = self.requests.as_ref().ok_or(StoreError::Gone)?;
        requests.send(Request { what, done }).map_err(|_| StoreError::Gone)?;
        answer.await.map_err(|_| StoreError::Gone)?
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.requests.take();
        if let Some(thread) = self.thread.take() {
            // A panic in there was already printed; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

/// Locks the directory for as long as the file lives: the kernel lets go when the process dies, however it dies.
fn hold(dir: &Path) -> Result<File, StoreError> {
    let fails = |source| StoreError::NoDirectory { dir: dir.to_owned(), source };
    fs::create_dir_all(dir).map_err(fails)?;
    let lock = File::options().create(true).truncate(false).write(true).open(dir.join("lock")).map_err(fails)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreError::Held(dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(fails(source)),
    }
}

/// The file, on its thread.
struct Ledger {
    connection: Connection,
    file: PathBuf,
    term: Term,
}

impl Ledger {
    fn open(file: PathBuf) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Sqlite { file: file.clone(), source };
        let mut connection = Connection::open(&file).map_err(failed)?;
        connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
        let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
        if !(0..=SCHEMA).contains(&found) {
            return Err(StoreError::Newer { file, found });
        }
        let changing = connection.transaction().map_err(failed)?;
        let all = [TABLES].into_iter().chain(CHANGES);
        for change in all.skip(usize::try_from(found).unwrap_or_default()) {
            changing.execute_batch(change).map_err(failed)?;
        }
        changing.commit().map_err(failed)?;
        Ok(Self { connection, file, term: Term::default() })
    }

    fn failed(&self, source: rusqlite::Error) -> StoreError {
        StoreError::Sqlite { file: self.file.clone(), source }
    }

    fn read(&mut self) -> Result<Remembered, StoreError> {
        let term = self.raise_term().map_err(|source| self.failed(source))?;
        let mut jobs = Vec::new();
        for (id, submitted_ms, record) in self.records("jobs").map_err(|source| self.failed(source))? {
            jobs.push((self.read_back(id, &record)?, from_ms(submitted_ms)));
        }
        let mut leasings = Vec::new();
        for (id, submitted_ms, record) in self.records("piecework").map_err(|source| self.failed(source))? {
            let kept = self.kept(&id)?;
            leasings.push((self.read_back(id, &record)?, kept, from_ms(submitted_ms)));
        }
        let drains = self.drains().map_err(|source| self.failed(source))?;
        let facts = self.facts().map_err(|source| self.failed(source))?;
        Ok(Remembered { term, jobs, leasings, drains, facts })
    }

    fn read_back<T: DeserializeOwned>(&self, job: String, record: &str) -> Result<T, StoreError> {
        serde_json::from_str(record).map_err(|source| StoreError::BadRecord { file: self.file.clone(), job, source })
    }

    /// What became of a job's pieces.
    fn kept(&self, job: &str) -> Result<Kept, StoreError> {
        let rows = || -> rusqlite::Result<Vec<(u32, String)>> {
            let mut rows = self.connection.prepare("SELECT shard, fate FROM shards WHERE job = ?1")?;
            rows.query_map([job], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        };
        let rows = rows().map_err(|source| self.failed(source))?;
        rows.into_iter().map(|(shard, fate)| Ok((Shard(shard), self.read_back(job.to_owned(), &fate)?))).collect()
    }

    fn raise_term(&self) -> rusqlite::Result<Term> {
        let raised: Option<i64> = self
            .connection
            .query_row("UPDATE term SET term = term + 1 RETURNING term", [], |row| row.get(0))
            .optional()?;
        Ok(Term(raised.unwrap_or(1).unsigned_abs()))
    }

    fn records(&self, table: &str) -> rusqlite::Result<Vec<(String, i64, String)>> {
        let select = format!("SELECT id, submitted_ms, record FROM {table} ORDER BY submission");
        let mut rows = self.connection.prepare(&select)?;
        rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
    }

    fn drains(&self) -> rusqlite::Result<Vec<String>> {
        self.connection.prepare("SELECT name FROM drains ORDER BY name")?.query_map([], |row| row.get(0))?.collect()
    }

    /// A fact of another version that cannot be read is left out: it is for people, and stays in the file.
    fn facts(&self) -> rusqlite::Result<Vec<Noted>> {
        let mut rows = self.connection.prepare("SELECT at_ms, fact FROM journal ORDER BY number DESC LIMIT ?1")?;
        let read = rows.query_map([FACTS_REMEMBERED], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))?;
        let mut facts = Vec::new();
        for row in read {
            let (at_ms, fact) = row?;
            if let Ok(fact) = serde_json::from_str::<Fact>(&fact) {
                facts.push(Noted { at: from_ms(at_ms), fact });
            }
        }
        facts.reverse();
        Ok(facts)
    }

    /// Until nobody can ask any more. An answer that nobody awaits is no fault of the request.
    fn serve(&mut self, asked: &mpsc::Receiver<Request>) {
        for Request { what, done } in asked {
            let result = match what {
                What::Save(job, submitted) => self.save("jobs", &job.id, &*job, submitted),
                What::SaveLeasing(leasing, submitted) => self.save("piecework", &leasing.id, &*leasing, submitted),
                What::Keep(ended) => self.keep(&ended),
                What::Pardon(job) => self.pardon(&job),
                What::Probe => self.connection.execute("UPDATE term SET term = term", []).map(drop),
                What::SaveDrains(names) => self.save_drains(&names),
                What::Note(noted) => self.note(&noted),
            };
            let _ = done.send(result.map_err(|source| self.failed(source)));
        }
    }

    fn save(&self, table: &str, id: &JobId, job: &impl Serialize, submitted: SystemTime) -> rusqlite::Result<()> {
        let record = serde_json::to_string(job).expect("a job is plain data: its JSON cannot fail");
        let save = format!(
            "INSERT INTO {table} (id, submitted_ms, record) VALUES (?1, ?2, ?3)
             ON CONFLICT (id) DO UPDATE SET record = excluded.record"
        );
        self.connection.execute(&save, params![id.0, to_ms(submitted), record]).map(drop)
    }

    fn keep(&mut self, ended: &[Ended]) -> rusqlite::Result<()> {
        let change = self.connection.transaction()?;
        {
            // What was pardoned may end otherwise.
            let mut keep =
                change.prepare_cached("INSERT OR REPLACE INTO shards (job, shard, fate) VALUES (?1, ?2, ?3)")?;
            for Ended { job, shard, fate } in ended {
                let fate = serde_json::to_string(fate).expect("a fate is plain data: its JSON cannot fail");
                keep.execute(params![job.0, shard.0, fate])?;
            }
        }
        change.commit()
    }

    fn pardon(&self, job: &JobId) -> rusqlite::Result<()> {
        let pardon = "DELETE FROM shards WHERE job = ?1 AND fate ->> 'fate' = 'quarantined'";
        self.connection.execute(pardon, [&job.0]).map(drop)
    }

    fn save_drains(&mut self, names: &[String]) -> rusqlite::Result<()> {
        let change = self.connection.transaction()?;
        change.execute("DELETE FROM drains", [])?;
        for name in names {
            change.execute("INSERT INTO drains (name) VALUES (?1)", [name])?;
        }
        change.commit()
    }

    fn note(&mut self, noted: &[Noted]) -> rusqlite::Result<()> {
        let term = self.term.0.cast_signed();
        let change = self.connection.transaction()?;
        {
            let mut note = change.prepare_cached(
                "INSERT INTO journal (at_ms, term, class, job, worker, what, fact) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?;
            for Noted { at, fact } in noted {
                let record = serde_json::to_string(fact).expect("a fact is plain data: its JSON cannot fail");
                let (job, worker) = (fact.job().map(|job| &job.0), fact.worker().map(|worker| &worker.0));
                note.execute(params![to_ms(*at), term, fact.class(), job, worker, fact.to_string(), record])?;
            }
        }
        change.commit()
    }
}

fn to_ms(at: SystemTime) -> i64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn from_ms(ms: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(ms.max(0).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sumac_common::leases::{Attempt, Receipt};
    use tempfile::tempdir;

    #[test]
    fn each_start_has_a_higher_term() {
        let state = tempdir().unwrap();
        let terms = [(); 3].map(|()| Store::open(state.path()).unwrap().1.term);
        assert_eq!(terms, [Term(1), Term(2), Term(3)]);
    }

    #[test]
    fn a_directory_has_one_owner_until_it_lets_go() {
        let state = tempdir().unwrap();
        let (owner, _) = Store::open(state.path()).unwrap();
        assert!(matches!(Store::open(state.path()).err(), Some(StoreError::Held(dir)) if dir == state.path()));
        drop(owner);
        assert!(Store::open(state.path()).is_ok());
    }

    #[test]
    fn a_file_of_a_newer_version_is_left_alone() {
        let state = tempdir().unwrap();
        drop(Store::open(state.path()).unwrap());
        let connection = Connection::open(state.path().join("state.db")).unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
        let term = |connection: &Connection| {
            connection.query_row("SELECT term FROM term", [], |row| row.get::<_, i64>(0)).unwrap()
        };
        let before = term(&connection);
        assert!(matches!(Store::open(state.path()).err(), Some(StoreError::Newer { found: 99, .. })));
        assert_eq!(term(&connection), before);
    }

    #[tokio::test]
    async fn fates_are_remembered_but_for_those_that_were_pardoned() {
        let state = tempdir().unwrap();
        let (store, _) = Store::open(state.path()).unwrap();
        let job = JobId::from("eyes-r");
        let attempt = Attempt { term: Term(1), number: 3 };
        let committed = Fate::Committed { attempt, receipt: Receipt::default() };
        let lost = Fate::Quarantined { why: "a: no room".to_owned() };
        let ended = |shard, fate: &Fate| Ended { job: job.clone(), shard: Shard(shard), fate: fate.clone() };
        store.keep(vec![ended(0, &committed), ended(1, &lost)]).await.unwrap();
        let kept = |store: Store| {
            drop(store);
            let (store, _) = Store::open(state.path()).unwrap();
            drop(store);
            let ledger = Ledger::open(state.path().join("state.db")).unwrap();
            ledger.kept(&job.0).unwrap()
        };
        assert_eq!(kept(store), [(Shard(0), committed.clone()), (Shard(1), lost)].into());
        let (store, _) = Store::open(state.path()).unwrap();
        store.pardon(job.clone()).await.unwrap();
        assert_eq!(kept(store), [(Shard(0), committed)].into());
    }

    #[tokio::test]
    async fn facts_are_remembered_in_their_order() {
        let state = tempdir().unwrap();
        let (store, _) = Store::open(state.path()).unwrap();
        let fact = |at, worker: &str| Noted { at: from_ms(at), fact: Fact::WorkerJoined { worker: worker.into() } };
        for noted in [fact(20, "a"), fact(10, "b")] {
            store.note(vec![noted]).await.unwrap();
        }
        drop(store);
        assert_eq!(Store::open(state.path()).unwrap().1.facts, [fact(20, "a"), fact(10, "b")]);
    }
}

//! What may be wrong with this device, and the remedy.
//!
//! A check is a function that looks at one thing and returns what it found: one line
//! where all is well, else a line for each thing that is not, with what to do about
//! it. It changes nothing that lasts, sends nothing to strangers, and reads the files
//! of the system below a root that tests replace. A check may hang where the device
//! does (a dead disk, a server that is silent), so [`run`] gives each a thread and a
//! deadline.
//!
//! | file | what is looked at |
//! | --- | --- |
//! | [`clock`] | the wall clock, and who keeps it |
//! | [`names`] | whether host names can be looked up |
//! | [`ports`] | whether the ports are free, and who has them |
//! | [`files`] | descriptors |
//! | [`disk`] | folders: file system, room, wear |
//! | [`machine`] | processor, kernel, emulation, randomness |
//! | [`memory`] | memory, and what the service may have of it |
//! | [`power`] | battery, heat, a supply that is too weak |
//! | [`service`] | who starts the node, and with which rights |
//!
//! What needs the store, the identity or a running node is in `cli/doctor/`.

pub mod clock;
pub mod disk;
pub mod files;
pub mod machine;
pub mod memory;
pub mod names;
pub mod ports;
pub mod power;
pub mod service;

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Stack of a check's thread: files and texts; names may go through a C library.
const STACK: usize = 256 << 10;
/// What is read of a file of the system: those of `/proc/net` grow with the
/// connections of the whole device.
const FILE_MAX: u64 = 4 << 20;

/// How a thing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// As it should be.
    Ok,
    /// The node runs, but something is missing or at risk.
    Warning,
    /// The node does not start, or does not do its job.
    Failure,
}

impl State {
    /// In a word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Warning => "warning",
            State::Failure => "failure",
        }
    }
}

/// One line of the doctor's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Name of the check.
    pub check: &'static str,
    /// How it stands.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do; empty where nothing is to be done.
    pub remedy: String,
}

/// What a check has found so far.
#[derive(Debug)]
pub struct Report {
    check: &'static str,
    facts: Vec<String>,
    troubles: Vec<Finding>,
}

impl Report {
    /// Nothing yet.
    #[must_use]
    pub fn new(check: &'static str) -> Report {
        Report {
            check,
            facts: Vec::new(),
            troubles: Vec::new(),
        }
    }

    /// Something that is as it should be, as a phrase.
    pub fn fact(&mut self, fact: &dyn fmt::Display) {
        self.facts.push(fact.to_string());
    }

    /// The node runs, but something is missing or at risk.
    pub fn warn(&mut self, found: &dyn fmt::Display, remedy: &str) {
        self.add(State::Warning, found, remedy);
    }

    /// The node does not start, or does not do its job.
    pub fn fail(&mut self, found: &dyn fmt::Display, remedy: &str) {
        self.add(State::Failure, found, remedy);
    }

    /// Something that is not as it should be.
    pub fn add(&mut self, state: State, found: &dyn fmt::Display, remedy: &str) {
        self.troubles.push(Finding {
            check: self.check,
            state,
            found: found.to_string(),
            remedy: remedy.to_owned(),
        });
    }

    /// One line of facts, or one for each trouble.
    #[must_use]
    pub fn done(self) -> Vec<Finding> {
        if !self.troubles.is_empty() {
            return self.troubles;
        }
        vec![Finding {
            check: self.check,
            state: State::Ok,
            found: self.facts.join(", "),
            remedy: String::new(),
        }]
    }
}

/// A check that is to be made.
pub struct Job {
    /// Its name.
    pub check: &'static str,
    /// What is said when it takes too long: state and remedy.
    pub late: (State, &'static str),
    /// Looks.
    pub work: Box<dyn FnOnce() -> Vec<Finding> + Send>,
}

/// Where a thread leaves what it has found.
struct Slot<T>(Arc<Mutex<Option<T>>>);

impl<T: Send + 'static> Slot<T> {
    fn new() -> Slot<T> {
        Slot(Arc::new(Mutex::new(None)))
    }

    fn fill(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<Looking> {
        let slot = self.0.clone();
        begin(Box::new(move || {
            let found = work();
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        }))
    }

    fn take(&self) -> Option<T> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slot.take()
    }
}

/// A thread that looks at something.
type Looking = JoinHandle<()>;

fn begin(work: Box<dyn FnOnce() + Send>) -> Option<Looking> {
    let waiting = thread::current();
    let job = move || {
        work();
        waiting.unpark();
    };
    thread::Builder::new().stack_size(STACK).spawn(job).ok()
}

/// Waits until the thread has ended, in whatever way, or it is `end`.
fn wait(looking: &Looking, end: Instant) {
    /// A thread ends a moment after its work, and one that panics calls nobody.
    const MOMENT: Duration = Duration::from_millis(1);
    while !looking.is_finished() && Instant::now() < end {
        thread::park_timeout(MOMENT);
    }
}

/// Makes all checks beside each other, and returns what they found in the order of
/// the jobs. What has not ended after `most` is said to be late and left alone: its
/// thread ends with the process.
#[must_use]
pub fn run(jobs: Vec<Job>, most: Duration) -> Vec<Finding> {
    let end = Instant::now() + most;
    let begun: Vec<_> = jobs
        .into_iter()
        .map(|job| {
            let slot = Slot::new();
            let looking = slot.fill(job.work);
            (job.check, job.late, slot, looking)
        })
        .collect();
    let mut all = Vec::new();
    for (check, (state, remedy), slot, looking) in begun {
        let Some(looking) = looking else {
            let mut report = Report::new(check);
            report.fail(
                &"it cannot be looked at: no thread can be started",
                "give the device more memory, or this user more processes (ulimit -u)",
            );
            all.extend(report.done());
            continue;
        };
        wait(&looking, end);
        all.extend(slot.take().unwrap_or_else(|| {
            let mut report = Report::new(check);
            let late = format!("no answer within {} s", most.as_secs());
            report.add(state, &late, remedy);
            report.done()
        }));
    }
    all
}

/// What `work` returns, if it does so within `most`; else it is left alone.
pub fn within<T: Send + 'static>(
    most: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let slot = Slot::new();
    let looking = slot.fill(work)?;
    wait(&looking, Instant::now() + most);
    slot.take()
}

/// A file of the system as text; empty where it cannot be read.
fn text(root: &Path, file: &str) -> String {
    let mut bytes = Vec::new();
    // What cannot be read says nothing.
    let _ = File::open(root.join(file)).and_then(|f| f.take(FILE_MAX).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A file of one word or line.
fn word(root: &Path, file: &str) -> Option<String> {
    let text = text(root, file);
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Bytes as people compare them.
#[must_use]
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_048_576 => format!("{} KB", bytes >> 10),
        1_048_576..10_737_418_240 => format!("{} MB", bytes >> 20),
        _ => format!("{} GB", bytes >> 30),
    }
}

#[cfg(test)]
mod tests;

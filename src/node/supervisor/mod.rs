//! Keeps the services of a node running (OTP's supervisor, strategy
//! `rest_for_one`).
//!
//! A [`Service`] is started with everything that those before it have left in
//! the house, and gives back a future that runs as long as it does. That future
//! is a task of its own: a panic in it is caught and is one of the ways to end.
//! What happens then is [`policy`]; this file carries it out.
//!
//! | file | what |
//! | --- | --- |
//! | [`policy`] | who is restarted when, and when that is enough; no I/O |
//! | `faults.rs` | faults that tests ask for, in debug builds |

#[cfg(debug_assertions)]
pub mod faults;
pub mod policy;

pub use policy::{End, Restart, Verdict};

use super::error::NodeError;
use crate::liveness::{self, Beat, Watch};
use crate::platform::boot_timer::BootTimer;
use crate::platform::clock::on_the_second;
use crate::platform::saver;
use crate::task;
use crate::task::channel::{unbounded, Receiver, Sender};
use crate::time::{Clock, Moment};
use async_io::Timer;
use policy::Policy;
use smol::future::{self, FutureExt};
use smol::{Executor, Task};
use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a start or a stop of one service may take. Carrying a damaged store's
/// rows over is the longest of them: a minute on an SD card.
const PATIENCE: Duration = Duration::from_secs(60);

/// A tick this long can wait for the next whole second.
const MANNERS: Duration = Duration::from_secs(5);

/// Something that happens later.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A service that runs; dropping it stops it without ceremony.
pub type Running = Later<'static, End>;

/// One part of the node that can fail and be started again.
pub trait Service: Send + Sync {
    /// One word, for the log.
    fn name(&self) -> &'static str;

    /// When it is started again.
    fn restart(&self) -> Restart;

    /// Starts it. Every loop of it that can hang takes a beat from `beats`.
    ///
    /// # Errors
    /// What kept it from starting. At the start of the node this ends the node.
    fn start<'a>(&'a self, beats: &'a mut Beats) -> Later<'a, Result<Running, NodeError>>;

    /// Ends in order what [`Service::start`] began, within a second or two, and
    /// takes from the house what it left there. Called after the end of the running future as
    /// well, and harmless when nothing runs.
    fn stop(&self) -> Later<'_, ()>;
}

/// Questions to the loops of one service.
#[derive(Debug, Default)]
pub struct Beats(Vec<Watch>);

impl Beats {
    /// A beat for one more loop.
    pub fn one_more(&mut self) -> Beat {
        let (watch, beat) = liveness::pair();
        self.0.push(watch);
        beat
    }

    /// Asks all loops. False when one has not answered the last time.
    fn ask(&self) -> bool {
        // All of them, also after one that hangs: the others' chores hang on it.
        let silent = self.0.iter().filter(|watch| !watch.ask()).count();
        silent == 0
    }
}

/// Failures and restarts so far, for health and metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Services that had to be started again because they, not one before them, failed.
    pub failures: u64,
    /// The latest failure: which service, why, and when.
    pub latest: Option<(&'static str, String, Moment)>,
    /// A service that does not run at the moment, though it should.
    pub down: Option<&'static str>,
}

struct Child {
    service: Box<dyn Service>,
    beats: Arc<Beats>,
    task: Option<Task<()>>,
    /// Which start of it runs: the report of an older one is stale.
    turn: u64,
}

struct Report {
    index: usize,
    turn: u64,
    end: End,
}

/// The services of one node.
pub struct Supervisor {
    children: Vec<Child>,
    policy: Policy,
    record: Arc<Mutex<Record>>,
    reports: (Sender<Report>, Receiver<Report>),
    executor: Arc<Executor<'static>>,
    clock: Arc<dyn Clock>,
    every: Duration,
    /// The same while power is saved.
    seldom: Duration,
}

impl Supervisor {
    /// Starts all services in their order; they are asked for a sign of life
    /// `every` so often, and `seldom` while power is saved.
    ///
    /// # Errors
    /// The first that cannot be started; those before it are stopped again.
    pub async fn start(
        services: Vec<Box<dyn Service>>,
        (every, seldom): (Duration, Duration),
        executor: &Arc<Executor<'static>>,
        clock: Arc<dyn Clock>,
    ) -> Result<Supervisor, NodeError> {
        let children = services.into_iter().map(|service| Child {
            service,
            beats: Arc::default(),
            task: None,
            turn: 0,
        });
        let mut supervisor = Supervisor {
            children: children.collect(),
            policy: Policy::default(),
            record: Arc::default(),
            // A service sends one report a start, so it never waits for room.
            reports: unbounded(),
            executor: executor.clone(),
            clock,
            every,
            seldom,
        };
        for index in 0..supervisor.children.len() {
            if let Err((error, _)) = supervisor.start_one(index).await {
                supervisor.stop().await;
                return Err(error);
            }
        }
        Ok(supervisor)
    }

    /// What has failed so far; follows the supervisor.
    #[must_use]
    pub fn record(&self) -> Arc<Mutex<Record>> {
        self.record.clone()
    }

    /// Restarts what ends, for ever; resolves when that is no longer worth it.
    /// `each` is called before every round of questions. May be dropped at any time, then
    /// [`Supervisor::stop`] is due.
    pub async fn watch(&mut self, mut each: impl FnMut()) -> NodeError {
        let timer = BootTimer::new();
        let mut due = self.next_round();
        loop {
            let reports = &self.reports.1;
            let next = future::or(async { reports.recv().await.ok() }, async {
                // At the end of a sleep at once: much may be due since then.
                timer
                    .wait(due.saturating_duration_since(Instant::now()))
                    .await;
                None
            });
            let restart = match next.await {
                Some(report) => self.weigh(report),
                None => {
                    due = self.next_round();
                    each();
                    self.find_hanging().and_then(|report| self.weigh(report))
                }
            };
            if let Some((from, verdict)) = restart {
                if let Err(error) = self.carry_out(from, verdict).await {
                    return error;
                }
            }
        }
    }

    /// When to ask next: together with other timers, where that is not late.
    fn next_round(&self) -> Instant {
        let pace = if saver::is_on() {
            // This round has begun a little after its half minute: a minute from now
            // would be the half minute after the next but one.
            self.seldom.saturating_sub(Duration::from_secs(1))
        } else {
            self.every
        };
        if pace >= MANNERS {
            on_the_second(pace)
        } else {
            Instant::now() + pace
        }
    }

    /// Stops all services, the last first.
    pub async fn stop(&mut self) {
        self.stop_from(0).await;
    }

    /// What to do about a report; nothing for those of services that were
    /// stopped meanwhile.
    fn weigh(&mut self, report: Report) -> Option<(usize, Verdict)> {
        let child = self.children.get_mut(report.index)?;
        if child.turn != report.turn || child.task.is_none() {
            return None;
        }
        child.task = None;
        let name = child.service.name();
        let verdict = self
            .policy
            .judge(child.service.restart(), &report.end, self.clock.now());
        self.tell(report.index, name, &report.end, &verdict);
        (verdict != Verdict::Leave).then_some((report.index, verdict))
    }

    /// Asks everyone for a sign of life; the first who gave none the last time.
    fn find_hanging(&self) -> Option<Report> {
        let mut hanging = None;
        for (index, child) in self.children.iter().enumerate() {
            if child.task.is_some() && !child.beats.ask() && hanging.is_none() {
                hanging = Some(Report {
                    index,
                    turn: child.turn,
                    end: End::Failed(format!(
                        "it hangs: no sign of life for {} s",
                        self.every.as_secs()
                    )),
                });
            }
        }
        hanging
    }

    fn tell(&self, index: usize, name: &'static str, end: &End, verdict: &Verdict) {
        if let End::Failed(why) = end {
            let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
            record.failures = record.failures.saturating_add(1);
            record.latest = Some((name, why.clone(), self.clock.now()));
        }
        let rest: Vec<&str> = self
            .children
            .iter()
            .skip(index)
            .filter(|child| child.service.restart() != Restart::Temporary)
            .map(|child| child.service.name())
            .collect();
        match (end, verdict) {
            (End::Failed(why), Verdict::Restart { pause }) => log::error!(
                "service {name} failed: {why}; restarting {} in {} ms",
                rest.join(", "),
                pause.as_millis()
            ),
            (End::Failed(why), Verdict::Leave) => log::warn!("service {name} failed: {why}"),
            (End::Failed(why), Verdict::GiveUp) => log::error!("service {name} failed: {why}"),
            (End::Renew(why), _) => {
                log::info!("service {name}: {why}; restarting {}", rest.join(", "));
            }
            (End::Done, Verdict::Leave) => log::debug!("service {name} is done"),
            (End::Done, _) => {
                log::error!("service {name} ended; restarting {}", rest.join(", "));
            }
        }
    }

    async fn carry_out(&mut self, from: usize, verdict: Verdict) -> Result<(), NodeError> {
        let mut verdict = verdict;
        let mut from = from;
        loop {
            if verdict != Verdict::Leave {
                self.set_down(self.children.get(from).map(|child| child.service.name()));
            }
            self.stop_from(from).await;
            match verdict {
                Verdict::Leave => return Ok(()),
                Verdict::Restart { pause } => {
                    Timer::after(pause).await;
                }
                Verdict::GiveUp => {
                    let record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
                    let (service, why, _) = record.latest.clone().unwrap_or_default();
                    return Err(NodeError::GaveUp { service, why });
                }
            }
            match self.start_from(from).await {
                Ok(()) => {
                    self.set_down(None);
                    return Ok(());
                }
                Err(report) => {
                    let child = self.children.get(report.index);
                    let (name, kind) = child.map_or(("", Restart::Permanent), |child| {
                        (child.service.name(), child.service.restart())
                    });
                    verdict = self.policy.judge(kind, &report.end, self.clock.now());
                    self.tell(report.index, name, &report.end, &verdict);
                    from = report.index;
                }
            }
        }
    }

    fn set_down(&self, service: Option<&'static str>) {
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        record.down = service;
    }

    /// Starts this one and all after it, but for those that are never restarted.
    async fn start_from(&mut self, from: usize) -> Result<(), Report> {
        for index in from..self.children.len() {
            let Some(child) = self.children.get(index) else {
                break;
            };
            if child.service.restart() == Restart::Temporary {
                continue;
            }
            let name = child.service.name();
            #[cfg(debug_assertions)]
            let fault = faults::at_restart(name);
            #[cfg(not(debug_assertions))]
            let fault: Option<String> = None;
            let started = match fault {
                Some(why) => Err(why),
                None => self.start_one(index).await.map_err(|(_, why)| why),
            };
            match started {
                Ok(()) => log::info!("service {name} runs again"),
                Err(why) => {
                    return Err(Report {
                        index,
                        turn: 0,
                        end: End::Failed(format!("it cannot be started: {why}")),
                    })
                }
            }
        }
        Ok(())
    }

    async fn start_one(&mut self, index: usize) -> Result<(), (NodeError, String)> {
        let Some(child) = self.children.get_mut(index) else {
            return Ok(());
        };
        child.turn += 1;
        let turn = child.turn;
        let name = child.service.name();
        let mut beats = Beats::default();
        let started = {
            let start = AssertUnwindSafe(child.service.start(&mut beats)).catch_unwind();
            future::or(async { Some(start.await) }, async {
                Timer::after(PATIENCE).await;
                None
            })
            .await
        };
        let failed = |why: String| NodeError::Service { name, why };
        let running = match started {
            Some(Ok(outcome)) => outcome,
            Some(Err(panic)) => Err(failed(said(&*panic))),
            None => Err(failed(format!("no start within {} s", PATIENCE.as_secs()))),
        }
        .map_err(|error| {
            let why = error.to_string();
            (error, why)
        })?;
        #[cfg(debug_assertions)]
        let running = faults::while_running(name, running);
        child.beats = Arc::new(beats);
        let reports = self.reports.0.clone();
        child.task = Some(task::spawn(&self.executor, async move {
            let end = match AssertUnwindSafe(running).catch_unwind().await {
                Ok(end) => end,
                Err(panic) => End::Failed(said(&*panic)),
            };
            let _ = reports.try_send(Report { index, turn, end });
        }));
        Ok(())
    }

    async fn stop_from(&mut self, from: usize) {
        for child in self.children.iter_mut().skip(from).rev() {
            let name = child.service.name();
            let task = child.task.take();
            let service = &child.service;
            let stop = AssertUnwindSafe(async move {
                // Gone before the rest is put in order: nothing new comes in.
                if let Some(task) = task {
                    task.cancel().await;
                }
                service.stop().await;
            })
            .catch_unwind();
            let stopped = future::or(async { Some(stop.await) }, async {
                Timer::after(PATIENCE).await;
                None
            });
            match stopped.await {
                Some(Ok(())) => {}
                Some(Err(panic)) => log::error!("service {name} did not stop: {}", said(&*panic)),
                None => log::error!(
                    "service {name} did not stop within {} s",
                    PATIENCE.as_secs()
                ),
            }
        }
    }
}

/// What a panic said.
pub fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panic: {}", text.unwrap_or("without words"))
}

//! The way to the worker: how many may wait for it, and what happens without it.
//!
//! A worker that broke (its accept loop met the end of the descriptors, or it
//! does not answer in time) is dropped and started anew with the next request,
//! but not more often than [`RESTART_PAUSE`] allows. Until then calls get a
//! refusal that says why. A call that waits for the chain or the disk does not keep the
//! worker: its answer to come is left here under a number, the worker says so (202), and the
//! connection waits for it. Health and readiness are answered all the same, by the door
//! itself: a monitor that reads 503 must be able to conclude that the node fails.

use crate::task;
use crate::task::channel;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use async_io::Timer;
use smol::future;
use smol::lock::{Semaphore, SemaphoreGuard};

use super::answer::Ask;
use super::error::RpcError;
use super::head::Question;
use super::jsonrpc::Outcome;
use super::limits::{ASYNC_CALLS, ASYNC_LIMIT, LINKS, RESTART_PAUSE, SEAT_LIMIT, WORKER_LIMIT};
use super::pending::Pending;
use super::reply::{error_body, Answer, Refusal, INTERNAL_ERROR};
use super::view::NodeView;
use super::worker::{Job, Worker};

/// What the worker says of an answer to come. Clients never see it.
const TO_COME: u16 = 202;

/// Everything between a complete request and its answer.
pub(super) struct Dispatch {
    parents: Vec<PathBuf>,
    view: Arc<dyn NodeView>,
    jobs: (channel::Sender<Job>, channel::Receiver<Job>),
    state: Mutex<State>,
    seats: Semaphore,
    /// The number of the next request.
    next: AtomicU64,
    /// Requests that are with the worker, and answers to come of theirs.
    left: Mutex<Vec<(u64, Option<Pending>)>>,
    /// Calls that wait for the chain or the disk.
    calls: AtomicUsize,
}

struct State {
    worker: Option<Arc<Worker>>,
    /// Why there is no worker.
    fault: String,
    retry_at: Option<Instant>,
    stopped: bool,
}

/// A complete request's seat before the worker, given back when dropped.
pub(super) type Seat<'a> = SemaphoreGuard<'a>;

/// The place where the answer to come of one request is left; gone when dropped.
struct Left<'a> {
    dispatch: &'a Dispatch,
    number: u64,
}

impl Drop for Left<'_> {
    fn drop(&mut self) {
        self.dispatch
            .left()
            .retain(|(number, _)| *number != self.number);
    }
}

/// Calls that wait, counted until dropped.
struct Calls<'a>(&'a AtomicUsize, usize);

impl Drop for Calls<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::SeqCst);
    }
}

impl Dispatch {
    /// Nothing is started yet. `seats` complete requests may wait at a time.
    pub fn new(parents: Vec<PathBuf>, seats: usize, view: Arc<dyn NodeView>) -> Dispatch {
        Dispatch {
            parents,
            view,
            // A worker has one job under way; while one is being replaced there are two workers.
            jobs: channel::bounded(LINKS),
            state: Mutex::new(State {
                worker: None,
                fault: "rpc: the HTTP worker was not started".to_owned(),
                retry_at: None,
                stopped: false,
            }),
            seats: Semaphore::new(seats),
            next: AtomicU64::new(0),
            left: Mutex::default(),
            calls: AtomicUsize::new(0),
        }
    }

    fn left(&self) -> MutexGuard<'_, Vec<(u64, Option<Pending>)>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where requests are counted.
    pub fn calls(&self) -> Arc<super::calls::Calls> {
        self.view.calls()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a worker, in place of the present one.
    pub fn start(&self) -> Result<(), RpcError> {
        let started = Worker::start(&self.parents, self.jobs.0.clone()).map(Arc::new);
        let mut state = self.lock();
        state.retry_at = Some(Instant::now() + RESTART_PAUSE);
        let result = match started {
            // Unwanted by now: dropped below, without the lock.
            Ok(worker) if state.stopped => Err((RpcError::Stopped, Some(worker))),
            Ok(worker) => Ok(state.worker.replace(worker)),
            Err(error) => {
                state.fault = error.to_string();
                Err((error, None))
            }
        };
        drop(state);
        result.map(drop).map_err(|(error, _)| error)
    }

    /// Ends the worker and refuses from now on.
    pub fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        state.fault = RpcError::Stopped.to_string();
        let worker = state.worker.take();
        drop(state);
        drop(worker);
    }

    /// Why calls are refused; `None` while they are served.
    pub fn fault(&self) -> Option<String> {
        let state = self.lock();
        state.worker.is_none().then(|| state.fault.clone())
    }

    /// Answers what the worker's thread hands over. Runs on the executor, for ever.
    pub async fn serve_jobs(self: Arc<Self>) {
        while let Ok(job) = self.jobs.1.recv().await {
            // A defect in one answer is that request's alone.
            let outcome = catch_unwind(AssertUnwindSafe(|| job.ask.answer(&*self.view, None)));
            let answer = match outcome {
                Ok(Outcome::Now(answer)) => answer,
                Ok(Outcome::Later(pending)) => {
                    let mut left = self.left();
                    let mut places = left.iter_mut();
                    // Who asked may be gone by now; so is then what was to come.
                    if let Some((_, place)) = places.find(|(number, _)| *number == job.ask.number) {
                        *place = Some(pending);
                    }
                    Answer::json(TO_COME, Vec::new())
                }
                Err(_) => Answer::json(
                    500,
                    error_body(INTERNAL_ERROR, "a defect in the node; its log says more"),
                ),
            };
            job.reply(answer);
        }
    }

    /// Waits up to [`SEAT_LIMIT`] for a seat, so that a burst is served and only a jam is refused.
    pub async fn seat(&self) -> Option<Seat<'_>> {
        future::or(async { Some(self.seats.acquire().await) }, async {
            Timer::after(SEAT_LIMIT).await;
            None
        })
        .await
    }

    /// Asks the worker, within [`WORKER_LIMIT`].
    pub async fn ask(
        self: &Arc<Self>,
        mut ask: Ask,
        seat: Option<Seat<'_>>,
    ) -> Result<Outcome, Refusal> {
        ask.number = self.next.fetch_add(1, Ordering::Relaxed);
        let left = Left {
            dispatch: self,
            number: ask.number,
        };
        let result = match &seat {
            Some(_) => {
                self.left().push((ask.number, None));
                self.ask_worker(&ask).await
            }
            None => Err(Refusal::unavailable(
                "too many requests are waiting already; ask again",
            )),
        };
        match (result, ask.question) {
            (Err(_), Question::Health | Question::Ready) => {
                Ok(ask.answer(&*self.view, self.fault().as_deref()))
            }
            (Ok(answer), _) if answer.status == TO_COME => {
                let mut places = self.left();
                let mut places = places.iter_mut();
                let place = places.find(|(number, _)| *number == left.number);
                let pending = place.and_then(|(_, pending)| pending.take());
                pending.map(Outcome::Later).ok_or_else(|| {
                    Refusal::unavailable("the HTTP worker lost an answer; ask again")
                })
            }
            (Ok(answer), _) => Ok(Outcome::Now(answer)),
            (Err(refusal), _) => Err(refusal),
        }
    }

    /// Waits for an answer to come, at most [`ASYNC_LIMIT`].
    pub async fn wait(&self, mut pending: Pending) -> Answer {
        let count = pending.waiting();
        let calls = Calls(&self.calls, count);
        if self.calls.fetch_add(count, Ordering::SeqCst) + count > ASYNC_CALLS {
            return pending.give_up("too many calls wait for the chain or the disk; ask again");
        }
        let answer = future::or(async { Some((&mut pending).await) }, async {
            Timer::after(ASYNC_LIMIT).await;
            None
        })
        .await;
        drop(calls);
        answer.unwrap_or_else(|| pending.give_up("the chain or the disk did not answer in time"))
    }

    async fn ask_worker(self: &Arc<Self>, ask: &Ask) -> Result<Answer, Refusal> {
        let worker = self.worker().await?;
        let answer = future::or(async { worker.ask(ask).await }, async {
            Timer::after(WORKER_LIMIT).await;
            Err(std::io::ErrorKind::TimedOut.into())
        })
        .await;
        answer.map_err(|error| {
            self.retire(&worker, &error.to_string());
            Refusal::unavailable(format!("the HTTP worker broke: {error}; ask again"))
        })
    }

    /// The worker, a new one if it broke and enough time has passed.
    async fn worker(self: &Arc<Self>) -> Result<Arc<Worker>, Refusal> {
        let may_start = {
            let mut state = self.lock();
            if let Some(worker) = &state.worker {
                return Ok(worker.clone());
            }
            let now = Instant::now();
            let due = !state.stopped && state.retry_at.is_some_and(|at| at <= now);
            if due {
                // Nobody else tries meanwhile.
                state.retry_at = Some(now + WORKER_LIMIT);
            }
            due
        };
        if may_start {
            let before = self.fault();
            let this = self.clone();
            // Files and threads are made off the executor.
            let started = task::unblock(move || this.start()).await;
            match &started {
                Ok(()) => log::info!("rpc: the HTTP worker is back"),
                // Once for each cause: the attempts come every second.
                Err(error) if before.as_deref() != Some(&error.to_string()) => {
                    log::warn!("{error}");
                }
                Err(_) => {}
            }
        }
        let state = self.lock();
        match &state.worker {
            Some(worker) => Ok(worker.clone()),
            None => Err(Refusal::unavailable(state.fault.clone())),
        }
    }

    /// Takes a broken worker out of service.
    fn retire(&self, broken: &Arc<Worker>, why: &str) {
        let mut state = self.lock();
        let present = state.worker.as_ref();
        if !present.is_some_and(|worker| Arc::ptr_eq(worker, broken)) {
            return;
        }
        let worker = state.worker.take();
        state.fault = format!("rpc: the HTTP worker broke: {why}");
        state.retry_at = Some(Instant::now() + RESTART_PAUSE);
        drop(state);
        broken.close();
        log::warn!("rpc: the HTTP worker broke: {why}; a new one is started with the next request");
        drop(worker);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::asker::Asker;
    use super::super::view::fake::{Broken, Fake};
    use super::*;
    use smol::Executor;

    const CALL: &str = r#"{"jsonrpc":"2.0","method":"chr_node_info","id":1}"#;

    fn call(question: Question) -> Ask {
        let body = if question == Question::Rpc { CALL } else { "" };
        Ask {
            question,
            asker: Asker::default(),
            number: 0,
            body: body.into(),
        }
    }

    fn dispatch(parent: &std::path::Path, seats: usize, view: Arc<dyn NodeView>) -> Arc<Dispatch> {
        Arc::new(Dispatch::new(vec![parent.to_owned()], seats, view))
    }

    /// Asks while the executor serves jobs, as in the node.
    fn ask(dispatch: &Arc<Dispatch>, question: Question) -> Result<Answer, Refusal> {
        let executor = Executor::new();
        let _jobs = executor.spawn(dispatch.clone().serve_jobs());
        smol::block_on(executor.run(async {
            let seat = dispatch.seat().await;
            match dispatch.ask(call(question), seat).await? {
                Outcome::Now(answer) => Ok(answer),
                Outcome::Later(pending) => Ok(dispatch.wait(pending).await),
            }
        }))
    }

    fn text(answer: &Answer) -> String {
        String::from_utf8(answer.body.clone()).unwrap()
    }

    #[test]
    fn a_worker_that_broke_is_replaced_and_health_is_answered_meanwhile() {
        let parent = tempfile::tempdir().unwrap();
        let dispatch = dispatch(parent.path(), 4, Arc::new(Fake));
        dispatch.start().unwrap();
        assert_eq!(ask(&dispatch, Question::Rpc).unwrap().status, 200);
        dispatch.lock().worker.as_ref().unwrap().sever();
        assert_eq!(ask(&dispatch, Question::Rpc).unwrap_err().status, 503);
        let health = ask(&dispatch, Question::Health).unwrap();
        assert_eq!(health.status, 200);
        assert!(text(&health).contains(r#""status":"degraded""#));
        // Not before its time, so that a lasting cause does not keep us busy.
        assert!(ask(&dispatch, Question::Rpc).is_err());
        dispatch.lock().retry_at = Some(Instant::now());
        assert_eq!(ask(&dispatch, Question::Rpc).unwrap().status, 200);
        assert_eq!(dispatch.fault(), None);
    }

    #[test]
    fn without_a_socket_the_reason_is_told_and_nothing_else_is_lost() {
        let missing = std::path::Path::new("/nonexistent/folder");
        let dispatch = dispatch(missing, 4, Arc::new(Fake));
        let error = dispatch.start().unwrap_err().to_string();
        assert!(error.contains("/nonexistent/folder"), "{error}");
        let refusal = ask(&dispatch, Question::Rpc).unwrap_err();
        assert_eq!(refusal.status, 503);
        assert!(refusal.text.contains("/nonexistent/folder"));
        assert_eq!(ask(&dispatch, Question::Ready).unwrap().status, 200);
    }

    #[test]
    fn a_defect_in_one_answer_is_that_requests_alone() {
        let parent = tempfile::tempdir().unwrap();
        let dispatch = dispatch(parent.path(), 4, Arc::new(Broken));
        dispatch.start().unwrap();
        for _ in 0..3 {
            let answer = ask(&dispatch, Question::Rpc).unwrap();
            assert_eq!(answer.status, 500);
            assert!(text(&answer).contains("-32603"));
        }
        let ready = ask(&dispatch, Question::Ready).unwrap();
        assert_eq!(
            (ready.status, text(&ready).as_str()),
            (503, r#"{"ready":false}"#)
        );
    }

    #[test]
    fn a_jam_is_refused_in_time_but_health_is_answered() {
        let parent = tempfile::tempdir().unwrap();
        let dispatch = dispatch(parent.path(), 0, Arc::new(Fake));
        dispatch.start().unwrap();
        let refusal = ask(&dispatch, Question::Rpc).unwrap_err();
        assert_eq!((refusal.status, refusal.retry_after), (503, Some(1)));
        assert_eq!(ask(&dispatch, Question::Health).unwrap().status, 200);
    }

    #[test]
    fn stopping_does_not_wait_for_a_request_that_nobody_answers() {
        let parent = tempfile::tempdir().unwrap();
        let dispatch = dispatch(parent.path(), 4, Arc::new(Fake));
        dispatch.start().unwrap();
        // Nobody serves jobs: the worker's thread waits for an answer that never comes.
        let asking = call(Question::Rpc);
        let half_way = future::or(
            async { dispatch.ask(asking, dispatch.seat().await).await.is_ok() },
            async {
                while dispatch.jobs.1.is_empty() {
                    future::yield_now().await;
                }
                false
            },
        );
        assert!(!smol::block_on(half_way));
        dispatch.stop();
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
        assert_eq!(ask(&dispatch, Question::Rpc).unwrap_err().status, 503);
        assert!(dispatch.start().is_err());
    }
}

//! tiny_http and the one thread of ours that serves it.
//!
//! The thread takes a request, reads its body (which is there in full), hands
//! both to the executor and waits. It waits on one inbox for either the answer
//! or the word to stop, so it can be joined at any moment without a time limit.
//! What makes the process fragile in tiny_http is never reached: its accept loop
//! has nothing to do once the links stand, and every byte it reads is ours.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;

use async_io::Async;
use tiny_http::{Header, Method, Request, Response, Server};

use super::answer::Ask;
use super::error::RpcError;
use super::folder::Folder;
use super::head::Question;
use super::limits::{LINKS, MAX_BODY};
use super::link;
use super::reply::{error_body, Answer, INTERNAL_ERROR, UNAVAILABLE};
use crate::task::{self, channel, Inbox};

/// Stack of our thread, in bytes: it holds no large values and calls nothing deep.
const STACK: usize = 128 * 1024;

/// A request on its way to the executor.
pub(super) struct Job {
    /// What is asked.
    pub ask: Ask,
    inbox: Arc<Inbox<Note>>,
}

impl Job {
    /// Hands the answer to the waiting thread.
    pub fn reply(self, answer: Answer) {
        // The thread is gone only when the worker is being stopped.
        self.inbox.put(Note::Answer(answer));
    }
}

enum Note {
    Answer(Answer),
    Stop,
}

/// A connection to tiny_http.
type Link = Arc<Async<UnixStream>>;

/// One tiny_http server with its socket, its thread and the links to it. Dropping it ends all of them.
pub(super) struct Worker {
    links: Vec<Link>,
    free: (channel::Sender<Link>, channel::Receiver<Link>),
    stopping: Arc<AtomicBool>,
    /// One answer and one word to stop are all that can be under way.
    inbox: Arc<Inbox<Note>>,
    // In the order in which they have to go: tiny_http ends its accept loop by
    // connecting to its own socket, so the folder must outlive it.
    thread: Option<JoinHandle<()>>,
    server: Arc<Server>,
    _folder: Folder,
}

impl Worker {
    /// Starts a worker with its socket below the first usable of `parents`; requests go to `jobs`.
    ///
    /// # Errors
    /// When no folder can hold the socket, or threads or descriptors are lacking.
    pub fn start(parents: &[PathBuf], jobs: channel::Sender<Job>) -> Result<Worker, RpcError> {
        let (folder, listener) = Folder::open(parents)?;
        // tiny_http panics when the system refuses a thread.
        let server = catch_unwind(|| Server::from_listener(listener, None))
            .map_err(|_| RpcError::Threads(io::Error::other("the system refuses a thread")))?
            .map_err(|error| RpcError::Threads(io::Error::other(error.to_string())))?;
        let server = Arc::new(server);
        let stopping = Arc::new(AtomicBool::new(false));
        let inbox = Arc::new(Inbox::default());
        let desk = Desk {
            server: server.clone(),
            stopping: stopping.clone(),
            inbox: inbox.clone(),
            jobs,
        };
        let thread = task::thread("rpc-http", Some(STACK), Box::new(move || desk.serve()))
            .map_err(RpcError::Threads)?;
        let mut worker = Worker {
            links: Vec::with_capacity(LINKS),
            free: channel::bounded(LINKS),
            stopping,
            inbox,
            thread: Some(thread),
            server,
            _folder: folder,
        };
        worker.connect().map_err(RpcError::Link)?;
        Ok(worker)
    }

    /// All connections that tiny_http will ever see: it has no bound of its own.
    fn connect(&mut self) -> io::Result<()> {
        let path = self._folder.socket();
        for _ in 0..LINKS {
            let link = Arc::new(Async::new(UnixStream::connect(&path)?)?);
            self.links.push(link.clone());
            let _ = self.free.0.try_send(link);
        }
        Ok(())
    }

    /// Waits for a free link, asks over it and returns it. After an error the worker has to be replaced.
    pub async fn ask(&self, ask: &Ask) -> io::Result<Answer> {
        let (sender, receiver) = &self.free;
        let link = receiver.recv().await.map_err(io::Error::other)?;
        let answer = link::exchange(&link, ask).await?;
        let _ = sender.try_send(link);
        Ok(answer)
    }

    /// Lets nobody wait for a link any more; who has one may finish.
    pub fn close(&self) {
        self.free.0.close();
    }

    /// Breaks the links, as a failure of tiny_http would.
    #[cfg(test)]
    pub fn sever(&self) {
        for link in &self.links {
            let _ = link.get_ref().shutdown(std::net::Shutdown::Both);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        for link in &self.links {
            // Ends a read or a write in which a thread may be.
            let _ = link.get_ref().shutdown(std::net::Shutdown::Both);
        }
        self.inbox.put(Note::Stop);
        self.server.unblock();
        if let Some(thread) = self.thread.take() {
            if thread.join().is_err() {
                log::warn!("rpc: the worker's thread had panicked");
            }
        }
    }
}

/// The `Date` of an answer where tiny_http's own panics: without one it asks the
/// standard library, whose clock may end in 2038 on 32 bits ([`crate::time::wall`]).
#[cfg(target_pointer_width = "32")]
fn date() -> Option<Header> {
    // The words have four digits for the year.
    const LAST: std::time::Duration = std::time::Duration::from_secs(253_402_300_799);
    let now = std::time::UNIX_EPOCH.checked_add(crate::time::wall().min(LAST))?;
    Header::from_bytes("Date", httpdate::fmt_http_date(now)).ok()
}

/// tiny_http sets it.
#[cfg(not(target_pointer_width = "32"))]
fn date() -> Option<Header> {
    None
}

/// What our thread holds.
struct Desk {
    server: Arc<Server>,
    stopping: Arc<AtomicBool>,
    inbox: Arc<Inbox<Note>>,
    jobs: channel::Sender<Job>,
}

impl Desk {
    fn serve(self) {
        while let Ok(mut request) = self.server.recv() {
            if self.stopping.load(Ordering::SeqCst) {
                return;
            }
            let Some(answer) = self.answer(&mut request) else {
                return;
            };
            let length = answer.body.len();
            let kind = Header::from_bytes("Content-Type", answer.kind.mime());
            let response = Response::new(
                answer.status.into(),
                kind.into_iter().chain(date()).collect(),
                answer.body.as_slice(),
                Some(length),
                None,
            )
            // The door reads by length, so never chunked.
            .with_chunked_threshold(length + 1);
            // Panics in tiny_http end this request, not the thread.
            let sent = catch_unwind(AssertUnwindSafe(|| request.respond(response)));
            if !matches!(sent, Ok(Ok(()))) {
                log::debug!("rpc: an answer did not reach the door");
            }
        }
        if !self.stopping.load(Ordering::SeqCst) {
            log::warn!("rpc: the HTTP worker stopped; it is replaced with the next request");
        }
    }

    /// `None`: the worker is being stopped.
    fn answer(&self, request: &mut Request) -> Option<Answer> {
        let Some(ask) = read(request) else {
            return Some(failure(
                500,
                INTERNAL_ERROR,
                "the worker got a strange request",
            ));
        };
        let job = Job {
            ask,
            inbox: self.inbox.clone(),
        };
        // One thread, one job: the channel has room unless nobody takes jobs.
        if self.jobs.try_send(job).is_err() {
            return Some(failure(503, UNAVAILABLE, "the node is not answering"));
        }
        match self.inbox.wait() {
            Note::Answer(answer) => Some(answer),
            Note::Stop => None,
        }
    }
}

fn failure(status: u16, code: i32, text: &str) -> Answer {
    Answer::json(status, error_body(code, text))
}

/// What the worker is asked; the others are the door's.
const QUESTIONS: [Question; 7] = [
    Question::Health,
    Question::Ready,
    Question::Rpc,
    Question::Page,
    Question::Metrics,
    Question::Config,
    Question::ChangeConfig,
];

/// The door's request back in our own words.
fn read(request: &mut Request) -> Option<Ask> {
    let question = QUESTIONS.into_iter().find(|&question| {
        let (method, path) = link::request_line(question);
        request.url() == path && request.method().as_str() == method
    })?;
    let mut headers = request.headers().iter();
    let asker = headers.find(|header| header.field.equiv(link::ASKER))?;
    let (asker, number) = link::read_asker(asker.value.as_str())?;
    let mut body = Vec::new();
    if *request.method() == Method::Post {
        let length = request.body_length().filter(|&length| length <= MAX_BODY)?;
        body.reserve_exact(length);
        let limit = u64::try_from(length).ok()?;
        request
            .as_reader()
            .take(limit)
            .read_to_end(&mut body)
            .ok()?;
        if body.len() != length {
            return None;
        }
    }
    Some(Ask {
        question,
        asker,
        number,
        body,
    })
}

//! One session's shared half: its ports and what waits to be sent in it.
//!
//! A link has two users: the task that owns the session's socket, and whoever
//! has bytes for this session (the task of another session on a node, a program
//! on a device). Both take its lock for the length of one operation and never
//! hold two links at once.
//!
//! A port lives through: *asked* (we sent Open and wait for the answer) or
//! *asking* (the other side sent Open and we owe the answer), then *open*, where
//! each direction ends by its own Finish; it is gone when both have ended, or
//! at once by Abort. Port numbers are never used twice in a session, so a frame
//! for a number that was used is late and ignored, and one for a number that
//! never was is a violation.
//!
//! | file | what |
//! | --- | --- |
//! | `state.rs` | what is kept under the lock, and the ports' turns |
//! | `opening.rs` | how ports come about |
//! | `flow.rs` | bytes in, bytes out, credit |
//! | `ending.rs` | how ports go |
//! | `frames.rs` | the frames for all that |
//! | `waiting.rs` | the bound of what nobody reads |
//! | `guest.rs` | who is at the other end, for those who watch |

mod ending;
mod flow;
mod frames;
mod guest;
mod opening;
mod state;
mod waiting;

pub use guest::Guest;
pub use state::Publication;
pub(super) use state::{Declined, Ending, Far, Port, Stage, State};

use self::waiting::Waiting;
use super::budget::Budget;
use super::queue::Chunk;
use super::switchboard::Refusal;
use crate::identity::Address;
use crate::sorted::{self, Map};
use crate::wire::code::Code;
use crate::wire::control::{short_text, Close, Message};
use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

/// Answers that may wait for a session that does not read them. Data and credit
/// are bounded by themselves; beyond this the other side asks without listening.
pub const CONTROL_QUEUE_MAX: usize = 256 * 1024;
/// Openings of one session that may wait for their answer. Each costs a port on
/// two sessions for up to [`OPEN_TIMEOUT`].
pub const OPENINGS_MAX: usize = 256;
/// The same between two nodes, where the devices of both share one row.
pub const NODE_CONTROL_QUEUE_MAX: usize = 1024 * 1024;
/// Openings that may wait between two nodes, in each direction: those of the
/// devices of both share the row.
pub const NODE_OPENINGS_MAX: usize = 1024;
/// Openings that one other node may have waiting at one device: three quarters
/// of what the device takes, so that those of other nodes and of this one get through.
pub const NODE_SHARE: usize = OPENINGS_MAX / 4 * 3;
/// How long a publishing device may take to answer.
pub const OPEN_TIMEOUT: Duration = Duration::from_secs(20);
/// Published names a session; one for each port that it may open would be generous.
pub const PUBLISHED_MAX: usize = 256;

/// What a published name takes besides its letters and its list, in bytes.
const PUBLICATION: usize = 96;

/// What kind of link this is.
#[derive(Clone, Debug)]
pub struct LinkOptions {
    /// The address at the other end.
    pub remote: Address,
    /// This side chooses even port numbers (a node towards its devices) or odd ones.
    pub chooses_even: bool,
    /// Most ports open at once.
    pub max_ports: usize,
    /// What all links of this program may hold beyond first credits.
    pub budget: Arc<Budget>,
}

/// The other side broke a rule; the session ends with this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which rule, as a number.
    pub code: Code,
    /// Which rule, in words.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

pub(super) fn violation(code: Code, text: impl Into<String>) -> Violation {
    Violation {
        code,
        text: text.into(),
    }
}

/// Something that [`Link::poll_output`] has for the wire.
#[derive(Debug)]
pub struct Output {
    /// The port; its far end has been told that the bytes left.
    pub port: u32,
    /// The bytes of one data frame.
    pub chunk: Chunk,
}

/// See the module's text.
#[derive(Debug)]
pub struct Link {
    options: LinkOptions,
    /// The other side is a node, with many devices behind it.
    between_nodes: bool,
    register: guest::Register,
    /// The network has changed below: whether the other side is still there is to
    /// be asked at once.
    doubted: AtomicBool,
    state: Mutex<State>,
}

impl Link {
    /// A link without ports.
    #[must_use]
    pub fn new(options: LinkOptions) -> Arc<Link> {
        Link::build(options, false)
    }

    /// The same to another node, behind which there are many devices.
    #[must_use]
    pub fn between_nodes(options: LinkOptions) -> Arc<Link> {
        Link::build(options, true)
    }

    fn build(options: LinkOptions, between_nodes: bool) -> Arc<Link> {
        let local_next = if options.chooses_even { 2 } else { 1 };
        let waiting = Waiting::new(options.budget.clone());
        Arc::new(Link {
            options,
            between_nodes,
            register: guest::Register::default(),
            doubted: AtomicBool::new(false),
            state: Mutex::new(State {
                control: Vec::new(),
                waiting,
                ports: Map::new(),
                ready: VecDeque::new(),
                waker: None,
                idle: false,
                ending: None,
                published: Map::new(),
                growth: 0,
                rtt: Duration::ZERO,
                remote_high: 0,
                local_next,
                openings: VecDeque::new(),
                asked: 0,
                control_max: if between_nodes {
                    NODE_CONTROL_QUEUE_MAX
                } else {
                    CONTROL_QUEUE_MAX
                },
                searches: None,
                paused: false,
                opened: 0,
                admitted: false,
                gone: false,
            }),
        })
    }

    /// The address at the other end.
    #[must_use]
    pub fn remote(&self) -> Address {
        self.options.remote
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves counters at worst one frame off; the session goes on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names the task that drains this link. `idle`: it found nothing to send
    /// and wants to be woken by output; otherwise (its socket is full) only by
    /// the end of the session. True when an idle task should look again at once.
    #[must_use]
    pub fn attend(&self, waker: &Waker, idle: bool) -> bool {
        let mut st = self.lock();
        match &mut st.waker {
            Some(w) => w.clone_from(waker),
            None => st.waker = Some(waker.clone()),
        }
        st.idle = idle;
        idle && (!st.control.is_empty() || (!st.paused && !st.ready.is_empty()))
    }

    /// Measured round trip of the session, for the windows.
    pub fn set_rtt(&self, rtt: Duration) {
        self.lock().rtt = rtt;
    }

    /// Measured round trip of the session; zero when not measured yet.
    #[must_use]
    pub fn rtt(&self) -> Duration {
        self.lock().rtt
    }

    /// Stops or resumes data and credit (unpaid traffic). Control goes on.
    pub fn set_paused(&self, paused: bool) {
        self.change(|st| st.paused = paused);
    }

    /// Lets this session publish and open ports.
    pub fn admit(&self) {
        self.lock().admitted = true;
    }

    /// Open and opening ports.
    #[must_use]
    pub fn port_count(&self) -> usize {
        self.lock().ports.len()
    }

    /// Openings of this side that came about.
    #[must_use]
    pub fn ports_opened(&self) -> u64 {
        self.lock().opened
    }

    /// Bytes that wait in this link's out-queues.
    #[must_use]
    pub fn queued(&self) -> usize {
        let st = self.lock();
        st.waiting.unsent
            + st.control.len()
            + st.ports.values().map(|p| p.out.bytes()).sum::<usize>()
    }

    /// So many encrypted bytes wait for the kernel to take them.
    pub fn set_unsent(&self, bytes: usize) {
        let mut st = self.lock();
        st.waiting.unsent = bytes;
        let answers = st.control.len();
        st.waiting.set(answers);
    }

    /// How much of `most` is to be encrypted before the kernel has taken it: less
    /// where memory is short.
    #[must_use]
    pub fn waiting_room(&self, most: usize) -> usize {
        self.options.budget.waiting_room(most)
    }

    /// Asks the session's task to end with `close`; the first reason stays.
    pub fn end(&self, close: Close) {
        let mut st = self.lock();
        st.ending.get_or_insert(close);
        let waker = st.waker.clone();
        drop(st);
        if let Some(w) = waker {
            w.wake();
        }
    }

    /// Has the session's task look at the time: after a sleep of the device its
    /// timers are late.
    pub fn wake(&self) {
        let waker = self.lock().waker.clone();
        if let Some(w) = waker {
            w.wake();
        }
    }

    /// Has the session ask at once whether the other side is still there.
    pub fn doubt(&self) {
        self.doubted.store(true, Ordering::Relaxed);
        self.wake();
    }

    /// Whether it is to be asked; once.
    pub fn take_doubt(&self) -> bool {
        self.doubted.load(Ordering::Relaxed) && self.doubted.swap(false, Ordering::Relaxed)
    }

    /// As [`Link::end`], with the reason's parts.
    pub fn leave(&self, code: Code, text: &str) {
        self.end(Close {
            code,
            text: short_text(text),
            retry_after_ms: None,
        });
    }

    /// The reason to end, if somebody gave one.
    #[must_use]
    pub fn ending(&self) -> Option<Close> {
        self.lock().ending.clone()
    }

    /// Queues a control frame.
    pub fn push_control<M: Message>(&self, id: u32, message: &M) {
        self.change(|st| st.control(id, message));
    }

    /// Queues a request and returns its id, which shares the row of numbers with ports.
    pub fn request<M: Message>(&self, message: &M) -> u32 {
        self.change(|st| {
            let id = st.local_next;
            // At the end of the row ids repeat; ports are refused then (see `ask_remote`).
            st.local_next = id.checked_add(2).unwrap_or(id);
            st.control(id, message);
            id
        })
    }

    /// Runs `f` under the lock and wakes the session's task.
    pub(super) fn change<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        let mut st = self.lock();
        let r = f(&mut st);
        let waker = st.waker_if_idle();
        drop(st);
        if let Some(w) = waker {
            w.wake();
        }
        r
    }

    /// Replaces the list of a published name.
    ///
    /// # Errors
    /// More names than [`PUBLISHED_MAX`], or no memory for one more.
    pub fn publish(&self, name: &str, allow: Option<Vec<Address>>) -> Result<(), Refusal> {
        let mut st = self.lock();
        if st.published.len() >= PUBLISHED_MAX && !st.published.contains_key(name) {
            let text = format!("at most {PUBLISHED_MAX} ports can be published in a session");
            return Err(Refusal {
                limit: Some(PUBLISHED_MAX as u64),
                ..Refusal::new(Code::TOO_MANY_PORTS, text)
            });
        }
        let list = allow.as_ref().map_or(0, Vec::len);
        let bytes = PUBLICATION + name.len() + list * size_of::<Address>();
        let Some(kept) = self.options.budget.keep(bytes) else {
            let text = "the node has no memory for more published ports; try again later";
            return Err(Refusal {
                retry_after_ms: Some(10_000),
                ..Refusal::new(Code::TOO_MANY_PORTS, text)
            });
        };
        let allow = allow.map(|mut a| {
            sorted::sort(&mut a);
            a
        });
        let publication = Publication { allow, _kept: kept };
        st.published.insert(name.to_owned(), publication);
        Ok(())
    }

    /// Whether this id or port number was ever used in the session.
    #[must_use]
    pub fn knows(&self, number: u32) -> bool {
        self.lock().was_used(number, self.options.chooses_even)
    }

    pub(super) fn budget(&self) -> &Arc<Budget> {
        &self.options.budget
    }
}

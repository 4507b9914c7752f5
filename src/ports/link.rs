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

use super::local::{End, LocalEnd};
use super::queue::{Chunk, Queue};
use super::switchboard::Budget;
use super::window::{Window, CROWDED, INITIAL, INITIAL_CROWDED};
use crate::identity::Address;
use crate::time::Moment;
use crate::wire::code::Code;
use crate::wire::control::{
    encode, is_datagram_port, short_text, Abort, Close, Credit, ErrorAnswer, Finish, Message, Open,
    Opened,
};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

/// Answers that may wait for a session that does not read them. Data and credit
/// are bounded by themselves; beyond this the other side asks without listening.
pub const CONTROL_QUEUE_MAX: usize = 256 * 1024;
/// Openings of one session that may wait for their answer. Each costs a port on
/// two sessions for up to [`OPEN_TIMEOUT`].
pub const OPENINGS_MAX: usize = 256;
/// How long a publishing device may take to answer.
pub const OPEN_TIMEOUT: Duration = Duration::from_secs(20);
/// Published names a session; one for each port that it may open would be generous.
pub const PUBLISHED_MAX: usize = 256;

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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// We sent Open with the port's number as id.
    Asked,
    /// The other side sent Open with this id.
    Asking(u32),
    /// Data may flow.
    Open,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    No,
    /// Finish follows the last queued byte.
    Due,
    Sent,
}

/// Where the bytes that arrive on a port go.
#[derive(Debug)]
pub(super) enum Far {
    /// To a port of another session of this node.
    Relay(Arc<Link>, u32),
    /// To this program.
    Local(Box<LocalEnd>),
}

#[derive(Debug)]
pub(super) struct Port {
    pub far: Far,
    pub stage: Stage,
    pub datagrams: bool,
    pub out: Queue,
    /// Raw bytes that the other side still takes.
    pub credit: u64,
    pub ending: Ending,
    pub window: Window,
    pub received_finish: bool,
    /// The program that it belonged to has left; what is queued still goes out.
    pub let_go: bool,
    /// A datagram of which not all pieces are here.
    partial: Vec<u8>,
    listed: bool,
}

impl Port {
    /// Something of this port can go out now.
    fn sendable(&self) -> bool {
        if self.stage != Stage::Open {
            return false;
        }
        let data = !self.out.is_empty() && (self.credit > 0 || self.datagrams);
        data || (self.out.is_empty() && self.ending == Ending::Due)
    }
}

/// Who learns that bytes have left.
enum Told {
    /// The session that they came from.
    Relay(Arc<Link>, u32),
    /// The program that wrote them, if it waits for room.
    Writer(Option<Waker>),
}

/// Who may open a published port.
#[derive(Clone, Debug)]
pub struct Publication {
    /// Sorted addresses; `None`: the device is asked about everyone.
    pub allow: Option<Vec<Address>>,
}

#[derive(Debug)]
pub(super) struct State {
    control: Vec<u8>,
    pub ports: BTreeMap<u32, Port>,
    ready: VecDeque<u32>,
    /// The task that drains this link, and whether it waits for output.
    waker: Option<Waker>,
    idle: bool,
    ending: Option<Close>,
    pub published: BTreeMap<String, Publication>,
    growth: usize,
    rtt: Duration,
    remote_high: u32,
    local_next: u32,
    openings: VecDeque<(Moment, u32)>,
    paused: bool,
    /// Openings of this side that came about.
    opened: u64,
    /// May publish and open: a ticket was accepted, or none is needed.
    pub admitted: bool,
    gone: bool,
}

/// See the module's text.
#[derive(Debug)]
pub struct Link {
    options: LinkOptions,
    state: Mutex<State>,
}

impl Link {
    /// A link without ports.
    #[must_use]
    pub fn new(options: LinkOptions) -> Arc<Link> {
        let local_next = if options.chooses_even { 2 } else { 1 };
        Arc::new(Link {
            options,
            state: Mutex::new(State {
                control: Vec::new(),
                ports: BTreeMap::new(),
                ready: VecDeque::new(),
                waker: None,
                idle: false,
                ending: None,
                published: BTreeMap::new(),
                growth: 0,
                rtt: Duration::ZERO,
                remote_high: 0,
                local_next,
                openings: VecDeque::new(),
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
        st.control.len() + st.ports.values().map(|p| p.out.bytes()).sum::<usize>()
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
        let waker = st.to_wake();
        drop(st);
        if let Some(w) = waker {
            w.wake();
        }
        r
    }

    /// Replaces the list of a published name.
    ///
    /// # Errors
    /// More names than [`PUBLISHED_MAX`].
    pub fn publish(&self, name: &str, allow: Option<Vec<Address>>) -> Result<(), Violation> {
        let mut st = self.lock();
        if st.published.len() >= PUBLISHED_MAX && !st.published.contains_key(name) {
            return Err(violation(
                Code::TOO_MANY_PORTS,
                format!("at most {PUBLISHED_MAX} ports can be published in a session"),
            ));
        }
        let allow = allow.map(|mut a| {
            a.sort_unstable();
            a
        });
        st.published.insert(name.to_owned(), Publication { allow });
        Ok(())
    }

    /// Creates the port of an Open whose number [`Link::claim_remote_number`] let pass.
    pub(super) fn asked_by_remote(&self, id: u32, open: &Open, far: Far, now: Moment) {
        let mut st = self.lock();
        let window = st.first_window(&open.name, now);
        let relay = matches!(far, Far::Relay(..));
        st.ports.insert(
            open.port,
            Port::new(far, Stage::Asking(id), &open.name, open.credit, window),
        );
        if relay {
            st.openings.push_back((now + OPEN_TIMEOUT, open.port));
        }
    }

    /// Checks an Open's number and the bounds, and marks the number as used.
    pub(super) fn claim_remote_number(&self, number: u32) -> Result<Option<Code>, Violation> {
        let mut st = self.lock();
        let even = number % 2 == 0;
        if number == 0 || even == self.options.chooses_even || number <= st.remote_high {
            return Err(violation(
                Code::PROTOCOL,
                format!("port number {number} is not the next of the opening side"),
            ));
        }
        st.remote_high = number;
        if st.ports.len() >= self.options.max_ports {
            return Ok(Some(Code::TOO_MANY_PORTS));
        }
        if st.openings.len() >= OPENINGS_MAX {
            st.forget_answered();
        }
        if st.openings.len() >= OPENINGS_MAX {
            return Ok(Some(Code::TOO_MANY_OPENINGS));
        }
        Ok(None)
    }

    /// Most ports that this link may have open.
    #[must_use]
    pub fn max_ports(&self) -> usize {
        self.options.max_ports
    }

    /// Creates a port that this side opens and returns its number; Open is sent
    /// by [`Link::send_open`], once the far end knows the number.
    pub(super) fn ask_remote(
        &self,
        name: &str,
        far: Far,
        now: Moment,
    ) -> Result<u32, (Code, String)> {
        let mut st = self.lock();
        if st.gone || st.ending.is_some() {
            return Err((Code::NOT_FOUND, "the session is ending".into()));
        }
        if st.ports.len() >= self.options.max_ports {
            let text = format!("the device has {} ports open, its limit", st.ports.len());
            return Err((Code::TOO_MANY_PORTS, text));
        }
        let asked = |p: &&Port| p.stage == Stage::Asked;
        if st.ports.values().filter(asked).take(OPENINGS_MAX).count() >= OPENINGS_MAX {
            let text = "too many openings wait for the device's answer; try again shortly";
            return Err((Code::TOO_MANY_OPENINGS, text.into()));
        }
        let number = st.local_next;
        st.local_next = number.checked_add(2).ok_or((
            Code::TOO_MANY_PORTS,
            "this session has used up its port numbers; reconnect".to_owned(),
        ))?;
        let window = st.first_window(name, now);
        st.ports
            .insert(number, Port::new(far, Stage::Asked, name, 0, window));
        Ok(number)
    }

    /// Sends Open for a port made by [`Link::ask_remote`].
    pub(super) fn send_open(&self, number: u32, peer: Address, name: &str) {
        self.change(|st| {
            let Some(credit) = st.ports.get(&number).map(|p| p.window.size()) else {
                return;
            };
            let open = Open {
                port: number,
                peer,
                name: name.to_owned(),
                credit,
            };
            st.control(number, &open);
        });
    }

    /// The port that the other side asked for stands: answers its Open.
    pub(super) fn accept(&self, number: u32) {
        self.change(|st| {
            let Some(port) = st.ports.get_mut(&number) else {
                return;
            };
            if let Stage::Asking(id) = port.stage {
                port.stage = Stage::Open;
                let credit = port.window.size();
                st.control(id, &Opened { credit });
                st.list(number);
            }
        });
    }

    /// The port that the other side asked for does not come about.
    pub(super) fn refuse(&self, number: u32, code: Code, text: &str) {
        let budget = &self.options.budget;
        self.change(|st| {
            let stage = st.ports.get(&number).map(|p| p.stage);
            if let Some(Stage::Asking(id)) = stage {
                st.remove(number, budget);
                st.control(
                    id,
                    &ErrorAnswer {
                        code,
                        text: short_text(text),
                        limit: None,
                        retry_after_ms: None,
                    },
                );
            }
        });
    }

    /// The other side answered our Open with Opened. False when we never asked.
    pub fn answered(&self, id: u32, credit: u32, now: Moment) -> bool {
        let far = {
            let mut st = self.lock();
            let Some(port) = st.ports.get_mut(&id) else {
                return st.was_used(id, self.options.chooses_even);
            };
            if port.stage != Stage::Asked {
                return false;
            }
            port.stage = Stage::Open;
            port.credit = u64::from(credit);
            port.window.restart(now);
            st.opened += 1;
            let Some(port) = st.ports.get_mut(&id) else {
                return true;
            };
            let far = port.relay();
            if let Far::Local(local) = &mut port.far {
                local.wake_all();
            }
            st.list(id);
            far
        };
        if let Some((link, port)) = far {
            link.accept(port);
        }
        true
    }

    /// The other side refused our Open. False when there is no such port (any more).
    pub fn answered_no(&self, id: u32, code: Code, text: &str) -> bool {
        let budget = &self.options.budget;
        let far = {
            let mut st = self.lock();
            match st.ports.get_mut(&id) {
                None => return false,
                Some(port) if port.stage != Stage::Asked => return false,
                Some(port) => {
                    let far = port.relay();
                    if let Far::Local(local) = &mut port.far {
                        local.end(End::new(code, text));
                    } else {
                        st.remove(id, budget);
                    }
                    far
                }
            }
        };
        if let Some((link, port)) = far {
            link.refuse(port, code, text);
        }
        true
    }

    /// Whether this id or port number was ever used in the session.
    #[must_use]
    pub fn knows(&self, number: u32) -> bool {
        self.lock().was_used(number, self.options.chooses_even)
    }

    /// Bytes of a data frame arrived. Returns how many of them are port payload
    /// that was taken (none for a port that is gone).
    ///
    /// # Errors
    /// More than the credit, a number that was never used, data after Finish.
    pub fn receive(
        &self,
        number: u32,
        bytes: &[u8],
        first: bool,
        last: bool,
        now: Moment,
    ) -> Result<usize, Violation> {
        let mut whole = Vec::new();
        let mut waker = None;
        let far = {
            let mut st = self.lock();
            let Some(port) = st.ports.get_mut(&number) else {
                return st.late(number, self.options.chooses_even).map(|()| 0);
            };
            if port.received_finish {
                return Err(violation(
                    Code::PROTOCOL,
                    format!("data on port {number} after its end"),
                ));
            }
            if !port.window.receive(bytes.len()) {
                return Err(violation(
                    Code::FLOW_CONTROL,
                    format!("more data on port {number} than was granted"),
                ));
            }
            if port.datagrams && !(first && last) {
                port.partial.extend_from_slice(bytes);
                if !last {
                    return Ok(bytes.len());
                }
                whole = std::mem::take(&mut port.partial);
            }
            let payload = if whole.is_empty() { bytes } else { &whole };
            match &mut port.far {
                Far::Relay(link, far_port) => Some((link.clone(), *far_port, port.datagrams)),
                Far::Local(local) => {
                    let dropped = local.push(payload, port.datagrams, &mut waker);
                    if dropped > 0 {
                        st.drain(number, dropped, now, &self.options.budget);
                    }
                    None
                }
            }
        };
        if let Some(w) = waker {
            w.wake();
        }
        if let Some((link, far_port, datagrams)) = far {
            let payload = if whole.is_empty() { bytes } else { &whole };
            let lost = link.push(far_port, payload, datagrams);
            if lost > 0 {
                self.drained(number, lost, now);
            }
        }
        Ok(bytes.len())
    }

    /// Queues bytes for the other side. Returns those that were dropped or had
    /// no port any more.
    fn push(&self, number: u32, bytes: &[u8], datagrams: bool) -> usize {
        let mut st = self.lock();
        let Some(port) = st.ports.get_mut(&number) else {
            return bytes.len();
        };
        let lost = if datagrams {
            port.out.push_datagram(bytes)
        } else {
            port.out.push_stream(bytes);
            0
        };
        let waker = st.list(number);
        drop(st);
        if let Some(w) = waker {
            w.wake();
        }
        lost
    }

    /// `n` bytes that arrived here on `number` have left at the far end.
    pub(super) fn drained(&self, number: u32, n: usize, now: Moment) {
        let mut st = self.lock();
        let due = st.drain(number, n, now, &self.options.budget);
        let waker = if due && !st.paused { st.to_wake() } else { None };
        drop(st);
        if let Some(w) = waker {
            w.wake();
        }
    }

    /// The other side will take more.
    ///
    /// # Errors
    /// A number that was never used.
    pub fn credit(&self, number: u32, bytes: u32) -> Result<(), Violation> {
        let mut st = self.lock();
        let Some(port) = st.ports.get_mut(&number) else {
            return st.late(number, self.options.chooses_even);
        };
        port.credit = port.credit.saturating_add(u64::from(bytes));
        st.list(number);
        Ok(())
    }

    /// The other side sends no more on this port.
    ///
    /// # Errors
    /// A number that was never used, or a second Finish.
    pub fn finish(&self, number: u32) -> Result<(), Violation> {
        let far = {
            let mut st = self.lock();
            let Some(port) = st.ports.get_mut(&number) else {
                return st.late(number, self.options.chooses_even);
            };
            if port.received_finish {
                return Err(violation(
                    Code::PROTOCOL,
                    format!("port {number} was finished twice"),
                ));
            }
            port.received_finish = true;
            let far = port.relay();
            if let Far::Local(local) = &mut port.far {
                local.finish();
            }
            st.remove_if_done(number, &self.options.budget);
            far
        };
        if let Some((link, port)) = far {
            link.finish_out(port);
        }
        Ok(())
    }

    /// Sends Finish once everything queued on the port has gone.
    pub(super) fn finish_out(&self, number: u32) {
        self.change(|st| {
            if let Some(port) = st.ports.get_mut(&number) {
                if port.ending == Ending::No {
                    port.ending = Ending::Due;
                    st.list(number);
                }
            }
        });
    }

    /// The other side gave the port up.
    ///
    /// # Errors
    /// A number that was never used.
    pub fn aborted(&self, number: u32, code: Code, text: &str) -> Result<(), Violation> {
        let far = {
            let mut st = self.lock();
            let Some(port) = st.ports.get_mut(&number) else {
                return st.late(number, self.options.chooses_even);
            };
            let far = port.relay();
            if let Far::Local(local) = &mut port.far {
                local.end(End::new(code, text));
            } else {
                st.remove(number, &self.options.budget);
            }
            far
        };
        if let Some((link, port)) = far {
            link.cut(port, code, text);
        }
        Ok(())
    }

    /// Ends a port towards the other side: a refusal while it waits for the
    /// answer, Abort otherwise.
    pub(super) fn cut(&self, number: u32, code: Code, text: &str) {
        let asking = {
            let st = self.lock();
            match st.ports.get(&number) {
                None => return,
                Some(p) => matches!(p.stage, Stage::Asking(_)),
            }
        };
        if asking {
            return self.refuse(number, code, text);
        }
        let budget = &self.options.budget;
        self.change(|st| {
            st.remove(number, budget);
            st.control(
                0,
                &Abort {
                    port: number,
                    code,
                    text: short_text(text),
                },
            );
        });
    }

    /// Refuses openings whose answer is overdue; returns when to ask again.
    pub fn expire(&self, now: Moment) -> Option<Moment> {
        loop {
            let (number, far) = {
                let mut st = self.lock();
                let &(due, number) = st.openings.front()?;
                let asking = st
                    .ports
                    .get(&number)
                    .is_some_and(|p| matches!(p.stage, Stage::Asking(_)));
                if asking && due > now {
                    return Some(due);
                }
                st.openings.pop_front();
                if !asking {
                    continue;
                }
                (number, st.ports.get(&number).and_then(Port::relay))
            };
            let text = "the publishing device did not answer in time";
            self.refuse(number, Code::NO_ANSWER, text);
            if let Some((link, port)) = far {
                link.cut(port, Code::NO_ANSWER, text);
            }
        }
    }

    /// What to send next: control frames are appended to `staging`, and at most
    /// one data frame's bytes are returned. Ports take turns. `None` and an
    /// unchanged `staging` mean that nothing can be sent.
    pub fn poll_output(&self, staging: &mut Vec<u8>, now: Moment) -> Option<Output> {
        let (output, far) = {
            let mut st = self.lock();
            staging.append(&mut st.control);
            if st.control.capacity() > 4096 {
                st.control = Vec::new();
            }
            if st.paused {
                return None;
            }
            st.next_chunk(staging, &self.options.budget)?
        };
        match far {
            Told::Relay(link, port) => link.drained(port, output.chunk.len(), now),
            Told::Writer(Some(waker)) => waker.wake(),
            Told::Writer(None) => {}
        }
        Some(output)
    }

    /// Ends every port: the session is over. Called by the session's guard.
    pub fn dissolve(&self, code: Code, text: &str) {
        let ports = {
            let mut st = self.lock();
            st.gone = true;
            st.published.clear();
            st.openings.clear();
            st.ready.clear();
            st.control = Vec::new();
            st.waker = None;
            let budget = &self.options.budget;
            let mut relays = Vec::new();
            let numbers: Vec<u32> = st.ports.keys().copied().collect();
            for number in numbers {
                if let Some(port) = st.ports.get_mut(&number) {
                    if let Far::Local(local) = &mut port.far {
                        local.end(End::new(code, text));
                        continue;
                    }
                    relays.extend(port.relay().map(|far| (far, port.stage)));
                }
                st.remove(number, budget);
            }
            relays
        };
        for ((link, port), stage) in ports {
            if stage == Stage::Asked {
                link.refuse(port, Code::PEER_LOST, text);
            } else {
                link.cut(port, Code::PEER_LOST, text);
            }
        }
    }

    pub(super) fn budget(&self) -> &Arc<Budget> {
        &self.options.budget
    }
}

impl Port {
    fn new(
        far: Far,
        stage: Stage,
        name: &str,
        credit: u32,
        window: Window,
    ) -> Port {
        Port {
            let_go: matches!(far, Far::Relay(..)),
            far,
            stage,
            datagrams: is_datagram_port(name),
            out: Queue::default(),
            credit: u64::from(credit),
            ending: Ending::No,
            window,
            received_finish: false,
            partial: Vec::new(),
            listed: false,
        }
    }

    fn relay(&self) -> Option<(Arc<Link>, u32)> {
        match &self.far {
            Far::Relay(link, port) => Some((link.clone(), *port)),
            Far::Local(_) => None,
        }
    }
}

impl State {
    fn control<M: Message>(&mut self, id: u32, message: &M) {
        if self.gone {
            return;
        }
        encode(id, message, &mut self.control);
        if self.control.len() > CONTROL_QUEUE_MAX {
            self.ending.get_or_insert(Close {
                code: Code::OVERFLOW,
                text: "more answers wait than a session may have; read them".into(),
                retry_after_ms: None,
            });
        }
    }

    /// Answered openings behind one that still waits do not count: a device
    /// that hangs must not keep its opener from all others.
    fn forget_answered(&mut self) {
        let ports = &self.ports;
        self.openings.retain(|(_, number)| {
            let port = ports.get(number);
            port.is_some_and(|p| matches!(p.stage, Stage::Asking(_)))
        });
    }

    /// The first credit of a new port.
    fn first_window(&self, name: &str, now: Moment) -> Window {
        if is_datagram_port(name) {
            Window::for_datagrams(now)
        } else if self.ports.len() >= CROWDED {
            Window::new(INITIAL_CROWDED, now)
        } else {
            Window::new(INITIAL, now)
        }
    }

    /// Puts a port in the row of those with something to send; returns the task
    /// to wake, if it sleeps.
    pub(super) fn list(&mut self, number: u32) -> Option<Waker> {
        let port = self.ports.get_mut(&number)?;
        if !port.sendable() && !port.window.grant_due() {
            return None;
        }
        if !port.listed {
            port.listed = true;
            self.ready.push_back(number);
        }
        if self.paused {
            None
        } else {
            self.to_wake()
        }
    }

    /// The draining task, if it sleeps for want of output.
    fn to_wake(&mut self) -> Option<Waker> {
        if std::mem::take(&mut self.idle) {
            self.waker.clone()
        } else {
            None
        }
    }

    /// Counts drained bytes; true when credit is due.
    pub(super) fn drain(
        &mut self,
        number: u32,
        n: usize,
        now: Moment,
        budget: &Arc<Budget>,
    ) -> bool {
        let rtt = self.rtt;
        let Some(port) = self.ports.get_mut(&number) else {
            return false;
        };
        port.window.drain(n, now, rtt, &mut self.growth, budget);
        let due = port.window.grant_due() && !port.received_finish;
        if due && !port.listed {
            port.listed = true;
            self.ready.push_back(number);
        }
        due
    }

    fn next_chunk(
        &mut self,
        staging: &mut Vec<u8>,
        budget: &Arc<Budget>,
    ) -> Option<(Output, Told)> {
        while let Some(number) = self.ready.pop_front() {
            let Some(port) = self.ports.get_mut(&number) else {
                continue;
            };
            port.listed = false;
            if port.stage != Stage::Open {
                continue;
            }
            if port.window.grant_due() && !port.received_finish {
                let bytes = port.window.take_grant();
                encode(0, &Credit { port: number, bytes }, staging);
            }
            let limit = usize::try_from(port.credit).unwrap_or(usize::MAX);
            let chunk = if port.datagrams {
                port.out.pop_whole(limit)
            } else {
                port.out.pop_stream(limit)
            };
            let Some(chunk) = chunk else {
                if port.out.is_empty() && port.ending == Ending::Due {
                    port.ending = Ending::Sent;
                    encode(0, &Finish { port: number }, staging);
                    self.remove_if_done(number, budget);
                }
                continue;
            };
            port.credit -= chunk.len() as u64;
            let waiting = port.out.bytes();
            let told = match &mut port.far {
                Far::Relay(link, far_port) => Told::Relay(link.clone(), *far_port),
                Far::Local(local) => Told::Writer(local.take_writer(waiting)),
            };
            if port.sendable() {
                port.listed = true;
                self.ready.push_back(number);
            }
            return Some((Output { port: number, chunk }, told));
        }
        if self.ready.capacity() > 64 {
            self.ready = VecDeque::new();
        }
        None
    }

    fn remove_if_done(&mut self, number: u32, budget: &Arc<Budget>) {
        let done = self.ports.get(&number).is_some_and(|p| {
            // A local port stays until the program has read it and let it go.
            p.received_finish && p.ending == Ending::Sent && p.let_go
        });
        if done {
            self.remove(number, budget);
        }
    }

    pub(super) fn remove(&mut self, number: u32, budget: &Arc<Budget>) {
        if let Some(mut port) = self.ports.remove(&number) {
            port.window.dissolve(&mut self.growth, budget);
        }
    }

    fn was_used(&self, number: u32, chooses_even: bool) -> bool {
        if number == 0 {
            false
        } else if (number % 2 == 0) == chooses_even {
            number < self.local_next
        } else {
            number <= self.remote_high
        }
    }

    /// A frame for a port that is gone is late; for one that never was, wrong.
    fn late(&self, number: u32, chooses_even: bool) -> Result<(), Violation> {
        if self.was_used(number, chooses_even) {
            Ok(())
        } else {
            Err(violation(
                Code::PROTOCOL,
                format!("port {number} was never opened"),
            ))
        }
    }
}

//! What a link keeps under its lock: its ports and the order of their turns.

use super::waiting::Waiting;
use super::{violation, Link, Output, Violation};
use crate::identity::Address;
use crate::ports::budget::{Budget, Kept};
use crate::ports::local::{End, LocalEnd};
use crate::ports::queue::Queue;
use crate::ports::search::Searches;
use crate::ports::window::{Window, CROWDED, INITIAL, INITIAL_CROWDED};
use crate::sorted::Map;
use crate::time::Moment;
use crate::wire::code::Code;
use crate::wire::control::{encode, is_datagram_port, Close, Credit, Finish, Message};
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ports) enum Stage {
    /// We sent Open with the port's number as id.
    Asked,
    /// The other side sent Open with this id.
    Asking(u32),
    /// Data may flow.
    Open,
    /// The other side gave it up or refused it; the program has not let go yet.
    /// Nothing more is sent on it.
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ports) enum Ending {
    No,
    /// Finish follows the last queued byte.
    Due,
    Sent,
}

/// Where the bytes that arrive on a port go.
#[derive(Debug)]
pub(in crate::ports) enum Far {
    /// To a port of another session of this node.
    Relay(Arc<Link>, u32),
    /// To this program.
    Local(Box<LocalEnd>),
    /// Nowhere yet: the device's node is being looked for. With what the last
    /// one that was asked has said.
    Sought(Option<Box<Declined>>),
}

/// What came of asking another node for a device.
#[derive(Debug)]
pub(in crate::ports) struct Declined {
    /// The node.
    pub by: Address,
    /// It will not have the device when it is asked again.
    pub for_good: bool,
}

#[derive(Debug)]
pub(in crate::ports) struct Port {
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
    pub partial: Vec<u8>,
    pub listed: bool,
    /// The device at the other end is, or was, looked for at other nodes.
    pub sought: bool,
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
pub(super) enum Told {
    /// The session that they came from.
    Relay(Arc<Link>, u32),
    /// The program that wrote them, if it waits for room.
    Writer(Option<Waker>),
}

/// Who may open a published port.
#[derive(Debug)]
pub struct Publication {
    /// Sorted addresses; `None`: the device is asked about everyone.
    pub allow: Option<Vec<Address>>,
    pub(super) _kept: Kept,
}

#[derive(Debug)]
pub(in crate::ports) struct State {
    pub control: Vec<u8>,
    /// What the other side does not read.
    pub waiting: Waiting,
    pub ports: Map<u32, Box<Port>>,
    pub ready: VecDeque<u32>,
    /// The task that drains this link, and whether it waits for output.
    pub waker: Option<Waker>,
    pub idle: bool,
    pub ending: Option<Close>,
    pub published: Map<String, Publication>,
    pub growth: usize,
    pub rtt: Duration,
    pub remote_high: u32,
    pub local_next: u32,
    pub openings: VecDeque<(Moment, u32)>,
    /// Ports in the stage [`Stage::Asked`].
    pub asked: usize,
    /// Answers that may wait, in bytes, while there is memory.
    pub control_max: usize,
    /// Ports whose far end is looked for, by this session's own task.
    pub searches: Option<Box<Searches>>,
    pub paused: bool,
    /// Openings of this side that came about.
    pub opened: u64,
    /// May publish and open: a ticket was accepted, or none is needed.
    pub admitted: bool,
    pub gone: bool,
}

impl Port {
    pub fn new(far: Far, stage: Stage, name: &str, credit: u32, window: Window) -> Port {
        Port {
            let_go: !matches!(far, Far::Local(_)),
            sought: matches!(far, Far::Sought(_)),
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

    pub fn relay(&self) -> Option<(Arc<Link>, u32)> {
        match &self.far {
            Far::Relay(link, port) => Some((link.clone(), *port)),
            Far::Local(_) | Far::Sought(_) => None,
        }
    }
}

impl State {
    pub fn control<M: Message>(&mut self, id: u32, message: &M) {
        if self.gone {
            return;
        }
        if self.control.len() > self.waiting.room(self.control_max) {
            self.ending.get_or_insert(Close {
                code: Code::OVERFLOW,
                text: "more answers wait than a session may have; read them".into(),
                retry_after_ms: None,
            });
            // The task ends now, even if it only waits for room in its socket.
            self.idle = true;
            return;
        }
        encode(id, message, &mut self.control);
        self.waiting.set(self.control.len());
    }

    /// Openings that wait here for `from`, counted up to `most`.
    pub fn asked_for(&self, from: &Arc<Link>, most: usize) -> usize {
        if self.asked < most {
            return self.asked;
        }
        let theirs = |p: &&Port| {
            let Far::Relay(link, _) = &p.far else {
                return false;
            };
            p.stage == Stage::Asked && Arc::ptr_eq(link, from)
        };
        self.ports
            .values()
            .map(|p| &**p)
            .filter(theirs)
            .take(most)
            .count()
    }

    /// Answered openings behind one that still waits do not count: a device
    /// that hangs must not keep its opener from all others.
    pub fn forget_answered(&mut self) {
        let ports = &self.ports;
        self.openings.retain(|(_, number)| {
            let port = ports.get(number);
            port.is_some_and(|p| matches!(p.stage, Stage::Asking(_)))
        });
    }

    /// The first credit of a new port.
    pub fn first_window(&self, name: &str, now: Moment, budget: &Budget) -> Window {
        if is_datagram_port(name) {
            // A datagram is not split.
            budget.take_first(INITIAL, true);
            return Window::for_datagrams(now);
        }
        let crowded = self.ports.len() >= CROWDED;
        let wanted = if crowded { INITIAL_CROWDED } else { INITIAL };
        Window::new(budget.take_first(wanted, false), now)
    }

    /// Puts a port in the row of those with something to send, if it has
    /// something. Whether the draining task should know.
    pub fn enlist(&mut self, number: u32) -> bool {
        let Some(port) = self.ports.get_mut(&number) else {
            return false;
        };
        if !port.sendable() && !port.window.grant_due() {
            return false;
        }
        if !port.listed {
            port.listed = true;
            self.ready.push_back(number);
        }
        !self.paused
    }

    /// The same; returns the draining task, if it sleeps.
    #[must_use = "a task that is taken out and not woken sleeps on"]
    pub fn list(&mut self, number: u32) -> Option<Waker> {
        if self.enlist(number) {
            self.waker_if_idle()
        } else {
            None
        }
    }

    /// The draining task, if it sleeps for want of output.
    #[must_use = "a task that is taken out and not woken sleeps on"]
    pub fn waker_if_idle(&mut self) -> Option<Waker> {
        if std::mem::take(&mut self.idle) {
            self.waker.clone()
        } else {
            None
        }
    }

    /// Counts drained bytes; true when credit is due.
    pub fn drain(&mut self, number: u32, n: usize, now: Moment, budget: &Arc<Budget>) -> bool {
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

    pub(super) fn next_chunk(
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
                encode(
                    0,
                    &Credit {
                        port: number,
                        bytes,
                    },
                    staging,
                );
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
                // Not open, so never reached.
                Far::Sought(_) => Told::Writer(None),
            };
            if port.sendable() {
                port.listed = true;
                self.ready.push_back(number);
            }
            return Some((
                Output {
                    port: number,
                    chunk,
                },
                told,
            ));
        }
        if self.ready.capacity() > 64 {
            self.ready = VecDeque::new();
        }
        None
    }

    pub fn remove_if_done(&mut self, number: u32, budget: &Arc<Budget>) {
        let done = self.ports.get(&number).is_some_and(|p| {
            // A local port stays until the program has read it and let it go.
            p.received_finish && p.ending == Ending::Sent && p.let_go
        });
        if done {
            self.remove(number, budget);
        }
    }

    /// A port ended without us: its program is told and lets go later, or there
    /// is nobody to tell.
    pub fn give_up(&mut self, number: u32, end: End, budget: &Arc<Budget>) {
        let Some(port) = self.ports.get_mut(&number) else {
            return;
        };
        match &mut port.far {
            Far::Local(local) if !port.let_go => {
                local.end(end);
                self.asked -= usize::from(port.stage == Stage::Asked);
                port.stage = Stage::Over;
                port.out.clear();
            }
            _ => self.remove(number, budget),
        }
    }

    pub fn remove(&mut self, number: u32, budget: &Arc<Budget>) {
        if let Some(mut port) = self.ports.remove(&number) {
            self.asked -= usize::from(port.stage == Stage::Asked);
            port.window.dissolve(&mut self.growth, budget);
        }
    }

    pub fn was_used(&self, number: u32, chooses_even: bool) -> bool {
        if number == 0 {
            false
        } else if number.is_multiple_of(2) == chooses_even {
            number < self.local_next
        } else {
            number <= self.remote_high
        }
    }

    /// A frame for a port that is gone is late; for one that never was, wrong.
    pub fn late(&self, number: u32, chooses_even: bool) -> Result<(), Violation> {
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

#[cfg(test)]
impl Link {
    /// What holds between two operations, whatever they are.
    #[allow(clippy::panic)]
    pub(crate) fn audit(&self) {
        use crate::ports::window::LARGEST;
        use crate::wire::frame::DATA_BYTES_MAX;
        let st = self.lock();
        let grown: u64 = st
            .ports
            .values()
            .map(|p| u64::from(p.window.growth()))
            .sum();
        assert_eq!(st.growth as u64, grown, "growth is counted wrong");
        let asked = st.ports.values().filter(|p| p.stage == Stage::Asked);
        assert_eq!(st.asked, asked.count(), "openings are counted wrong");
        for (number, port) in &st.ports {
            assert!(port.window.held() <= LARGEST);
            assert!(
                port.out.bytes() <= LARGEST as usize,
                "port {number} holds {}",
                port.out.bytes()
            );
            assert!(port.partial.len() <= DATA_BYTES_MAX);
            assert_eq!(port.listed, st.ready.contains(number), "port {number}");
            // What can go out stands in the row.
            assert!(!port.sendable() || port.listed || port.out.bytes() as u64 > port.credit);
        }
    }
}

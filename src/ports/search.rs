//! Ports whose device has no session with this node: they wait while the
//! device's node is looked for and asked.
//!
//! A search belongs to the opener's session, whose task drives it in its turns
//! ([`Switchboard::pursue`]) and drops it at its end. The port is in the stage
//! *asking* all the while, with the bound and the time-out of any other opening.
//! A node that does not have the device, or whose link is lost before it has
//! answered, is not asked again; the next is looked for. Ports of one session
//! that wait for the same device share one lookup.

use super::link::{Far, Link, Stage};
use super::locate::{Locate, Locating};
use super::switchboard::{Refusal, Switchboard};
use crate::identity::Address;
use crate::time::Moment;
use crate::wire::code::Code;
use crate::wire::control::Open;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::task::{Context, Poll};

/// Devices that are looked for at once for one session; ports to others wait
/// their turn. Each may cost a lookup in the DHT and a dial.
pub const LOOKUPS_MAX: usize = 16;
/// The same for all sessions together: 64 sessions that do nothing else.
pub const LOOKUPS_TOTAL: usize = 1024;
/// Nodes that are asked for one port. A device names at most three; the others
/// are for links that were closed in good order just then.
const ASKED_MAX: u8 = 6;

/// How many lookups there are on a board.
#[derive(Debug, Default)]
pub(super) struct Seats(Arc<AtomicUsize>);

/// One lookup's place among them.
#[derive(Debug)]
struct Seat(Arc<AtomicUsize>);

impl Seats {
    fn take(&self) -> Option<Seat> {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
                (n < LOOKUPS_TOTAL).then_some(n + 1)
            })
            .ok()
            .map(|_| Seat(self.0.clone()))
    }

    /// Those that are taken.
    pub fn taken(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A port that waits.
#[derive(Debug)]
struct Wait {
    port: u32,
    device: Address,
    name: String,
    /// Nodes that did not have the device.
    tried: Vec<Address>,
    /// How many nodes were asked.
    asked: u8,
    /// One has been asked and has not answered.
    asking: bool,
}

/// A device that is looked for.
struct Lookup {
    device: Address,
    tried: Vec<Address>,
    answer: Locating,
    _seat: Seat,
}

/// The searches of one session.
#[derive(Default)]
pub(super) struct Searches {
    waits: Vec<Wait>,
    lookups: Vec<Lookup>,
}

impl fmt::Debug for Searches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Searches")
            .field("waits", &self.waits)
            .field("lookups", &self.lookups.len())
            .finish()
    }
}

impl Lookup {
    fn serves(&self, wait: &Wait) -> bool {
        !wait.asking && wait.device == self.device && wait.tried == self.tried
    }
}

impl Link {
    /// Learns what has come of the ports that wait, and forgets those that wait no longer.
    fn follow(&self, waits: &mut Vec<Wait>) {
        let mut st = self.lock();
        waits.retain_mut(|wait| {
            let port = st.ports.get_mut(&wait.port);
            let Some(port) = port.filter(|p| matches!(p.stage, Stage::Asking(_))) else {
                return false;
            };
            if let Far::Sought(declined) = &mut port.far {
                if let Some(declined) = declined.take() {
                    wait.asking = false;
                    if declined.for_good && !wait.tried.contains(&declined.by) {
                        wait.tried.push(declined.by);
                    }
                }
            }
            true
        });
    }

    /// Joins a port that waits to port `number` of `link`. False when it no
    /// longer waits for that.
    fn join(&self, port: u32, link: &Arc<Link>, number: u32) -> bool {
        let finished = {
            let mut st = self.lock();
            let port = st.ports.get_mut(&port);
            let waiting = |p: &&mut Box<super::link::Port>| {
                matches!(p.stage, Stage::Asking(_)) && matches!(p.far, Far::Sought(None))
            };
            let Some(port) = port.filter(waiting) else {
                return false;
            };
            port.far = Far::Relay(link.clone(), number);
            port.received_finish
        };
        if finished {
            link.finish_out(number);
        }
        true
    }
}

impl Wait {
    /// Asks the node at the other end of `link` for the port.
    fn ask(&mut self, link: &Arc<Link>, opener: &Arc<Link>, now: Moment) -> Result<(), Refusal> {
        if self.asked >= ASKED_MAX {
            let text = format!("the nodes that have device {} do not stay", self.device);
            return Err(Refusal::new(Code::NO_ANSWER, text));
        }
        self.asked += 1;
        let far = Far::Relay(opener.clone(), self.port);
        match link.ask_remote(&self.name, far, now) {
            Ok(number) => {
                self.asking = true;
                if opener.join(self.port, link, number) {
                    link.send_peer_open(number, opener.remote(), self.device, &self.name);
                } else {
                    link.unask(number);
                }
                Ok(())
            }
            // It is just being closed: another one will do.
            Err((Code::NOT_FOUND, _)) => Ok(()),
            Err((code, text)) => Err(Refusal {
                retry_after_ms: Some(1_000),
                ..Refusal::new(code, text)
            }),
        }
    }
}

impl Searches {
    /// One round; whether there may be more to do at once.
    fn go_on(
        &mut self,
        locate: Option<&Arc<dyn Locate>>,
        board: &Switchboard,
        opener: &Arc<Link>,
        cx: &mut Context<'_>,
        now: Moment,
    ) -> bool {
        let Searches { waits, lookups } = self;
        opener.follow(waits);
        lookups.retain(|l| waits.iter().any(|w| l.serves(w)));
        waits.retain(|wait| {
            let served = wait.asking || lookups.iter().any(|l| l.serves(wait));
            if served || lookups.len() >= LOOKUPS_MAX {
                return true;
            }
            let refusal = match (locate, board.seats.take()) {
                (None, _) => not_here(wait.device),
                (_, None) => too_many(),
                (Some(locate), Some(seat)) => {
                    lookups.push(Lookup {
                        device: wait.device,
                        tried: wait.tried.clone(),
                        answer: locate.locate(wait.device, &wait.tried),
                        _seat: seat,
                    });
                    return true;
                }
            };
            board.turn_away(opener, wait.port, refusal);
            false
        });
        let mut again = false;
        lookups.retain_mut(|lookup| {
            let Poll::Ready(answer) = lookup.answer.as_mut().poll(cx) else {
                return true;
            };
            again = true;
            waits.retain_mut(|wait| {
                if !lookup.serves(wait) {
                    return true;
                }
                let asked = match &answer {
                    Ok(link) => {
                        if wait.asked == 0 {
                            board.opened.fetch_add(1, Ordering::Relaxed);
                        }
                        wait.ask(link, opener, now)
                    }
                    Err(no) => Err(no.clone()),
                };
                asked
                    .map_err(|no| board.turn_away(opener, wait.port, no))
                    .is_ok()
            });
            false
        });
        again
    }
}

impl Switchboard {
    /// Begins to look for the node of a device that has no session here; or says
    /// that nobody knows how.
    pub(super) fn search(
        &self,
        opener: &Arc<Link>,
        id: u32,
        open: &Open,
        now: Moment,
    ) -> Option<Refusal> {
        if self.locator().is_none() {
            return Some(not_here(open.peer));
        }
        opener.asked_by_remote(id, open, Far::Sought(None), now);
        let wait = Wait {
            port: open.port,
            device: open.peer,
            name: open.name.clone(),
            tried: Vec::new(),
            asked: 0,
            asking: false,
        };
        let mut st = opener.lock();
        st.searches.get_or_insert_default().waits.push(wait);
        None
    }

    /// Goes on with the searches of a session, in each of its turns. `cx` is
    /// woken when there is more to do.
    pub fn pursue(&self, opener: &Arc<Link>, cx: &mut Context<'_>, now: Moment) {
        // Taken out: no lock is held while other rooms are asked.
        let Some(mut searches) = opener.lock().searches.take() else {
            return;
        };
        let locate = self.locator();
        while searches.go_on(locate.as_ref(), self, opener, cx, now) {}
        if !searches.waits.is_empty() {
            opener.lock().searches = Some(searches);
        }
    }
}

pub(super) fn not_here(device: Address) -> Refusal {
    Refusal::new(
        Code::NOT_FOUND,
        format!("device {device} is not connected to this node: start its program, or correct the address"),
    )
}

fn too_many() -> Refusal {
    Refusal {
        limit: Some(LOOKUPS_TOTAL as u64),
        retry_after_ms: Some(1_000),
        ..Refusal::new(
            Code::TOO_MANY_OPENINGS,
            "this node looks for as many devices as it may; try again shortly",
        )
    }
}

//! A session after Hello: its place on the board, its tickets and its account.

use super::finding::Finding;
use crate::edge::device::pace::{OVERSLEPT, WOKEN_TIME};
use crate::identity::Address;
use crate::ports::{Link, Registration};
use crate::session::Stop;
use crate::store::Receipt;
use crate::ticket::{Refusal, Tab, Todo};
use crate::time::Moment;
use crate::wire::code::Code;
use crate::wire::control::{
    short_text, ErrorAnswer, Ping, TicketAccepted, TicketAsk, TicketTooLow,
};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Tickets of one session whose answer may wait for the disk: far more than the
/// account lets a device send while a commit takes a second.
pub const ANSWERS_MAX: usize = 64;
/// How often accounts are looked at in a session that carries nothing: the
/// epoch moves on by itself.
const ACCOUNTS_EVERY: Duration = Duration::from_secs(60);

/// Ports are asked to come back so much later when a limit was met.
pub const RETRY_MS: u32 = 1_000;

/// How long a device waits to hear that its ticket is on the disk: a bad SD card
/// takes a second or two. After that it hears that it is not.
pub const DISK_TIME: Duration = Duration::from_secs(5);

/// A ticket that was accepted and is on its way to the disk.
pub(super) struct Storing {
    /// The request's.
    pub id: u32,
    pub receipt: Receipt,
    pub answer: TicketAccepted,
    /// The device is answered by then.
    pub due: Moment,
}

/// What a session holds from Hello to its end.
pub(super) struct Serving {
    pub registration: Registration,
    pub tab: Tab,
    /// Tells the network where the device is; `None`: one of both cannot.
    pub finding: Option<Finding>,
    pub admitted: bool,
    pub paused: bool,
    /// Tickets whose commit is awaited, with the request's id and its answer.
    pub storing: Vec<Storing>,
    /// When the accounts must be looked at, whatever is carried until then.
    pub look_at: Moment,
    /// The next step that the accounts take by time.
    pub deadline: Option<Moment>,
    pub ping: Option<(u32, Moment)>,
    /// Whether the device is still there was asked then, and nothing heard since.
    pub doubted: Option<Moment>,
    pub measured: Moment,
    /// The device is told when no ports are opened.
    pub notices: bool,
    /// It knows that none are.
    pub closed: bool,
    /// The device takes a Ping of ours for its own.
    pub rounds: bool,
    /// When it was pinged in a round.
    pub asked: Moment,
    /// Payload bytes taken from the device and not yet charged.
    pub received: u64,
    /// Payload bytes sent to it and not yet charged.
    pub sent: u64,
    /// Ports not yet charged.
    pub ports: u64,
}

impl Serving {
    /// Asks the device; its answer tells the round trip.
    pub fn ask(&mut self, link: &Link, now: Moment) {
        self.ping = Some((link.request(&Ping {}), now));
        self.measured = now;
    }

    /// Finds out whether the device is still there, if that is in doubt; when to look
    /// again.
    ///
    /// # Errors
    /// It is not.
    pub fn find_out(
        &mut self,
        link: &Link,
        heard: Moment,
        now: Moment,
    ) -> Result<Option<Moment>, Stop> {
        self.doubted = self.doubted.filter(|asked| heard <= *asked);
        let late = self.doubted.map(|asked| now.since(asked + WOKEN_TIME));
        let asked_now = link.take_doubt() && self.doubted.is_none();
        // After a sleep its answer may have come, and is still to be read.
        if asked_now || late.is_some_and(|late| late >= OVERSLEPT) {
            self.ask(link, now);
            self.doubted = Some(now);
        }
        match self.doubted.map(|asked| asked + WOKEN_TIME) {
            Some(due) if now >= due => Err(Stop::Lost("the device no longer answers".into())),
            due => Ok(due),
        }
    }

    /// Charges what was carried since the last time. True when the accounts
    /// must be looked at. The node's totals are added up here, once a turn: with
    /// several threads they would be fought over at every frame.
    pub fn settle(&mut self) -> bool {
        let received = std::mem::take(&mut self.received);
        let sent = std::mem::take(&mut self.sent);
        let bytes = received.saturating_add(sent);
        if bytes > 0 {
            let board = self.registration.board();
            board.bytes_in.fetch_add(received, Ordering::Relaxed);
            board.bytes_out.fetch_add(sent, Ordering::Relaxed);
            self.registration.link().carried(received, sent);
        }
        let ports = std::mem::take(&mut self.ports);
        (bytes > 0 || ports > 0) && self.tab.charge(bytes, ports)
    }

    /// Answers tickets whose commit is done, and those for which the disk takes
    /// too long; when to look again for these.
    pub fn await_disk(
        &mut self,
        cx: &mut Context<'_>,
        link: &Arc<Link>,
        now: Moment,
    ) -> Option<Moment> {
        if self.storing.is_empty() {
            return None;
        }
        self.storing.retain_mut(|ticket| {
            match Pin::new(&mut ticket.receipt).poll(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(e)) => {
                    log::warn!("a ticket could not be stored: {e}");
                    ticket.answer.durable = false;
                }
                Poll::Pending if now >= ticket.due => {
                    log::warn!("a ticket is not stored yet: the disk does not answer");
                    ticket.answer.durable = false;
                }
                Poll::Pending => return true,
            }
            link.push_control(ticket.id, &ticket.answer);
            false
        });
        if self.storing.is_empty() {
            self.storing = Vec::new();
        }
        self.storing.iter().map(|ticket| ticket.due).min()
    }

    /// Does what the accounts say: ask, pause or resume, cut off.
    pub fn follow(&mut self, todo: Todo, link: &Arc<Link>, now: Moment) -> Result<(), Stop> {
        self.deadline = todo.deadline;
        let routine = now + ACCOUNTS_EVERY;
        self.look_at = todo.deadline.map_or(routine, |due| due.min(routine));
        if let Some(ask) = todo.ask {
            link.push_control(
                0,
                &TicketAsk {
                    epoch: ask.epoch,
                    epoch_known: ask.epoch_known,
                    usage: ask.usage,
                },
            );
        }
        if todo.paused != self.paused {
            self.paused = todo.paused;
            link.set_paused(todo.paused);
        }
        if todo.cut_off {
            let text = "no acceptable ticket came in time: send one that covers the usage";
            return Err(Stop::say(Code::UNPAID, text));
        }
        Ok(())
    }
}

pub(super) fn refuse_ticket(link: &Link, id: u32, device: Address, refusal: &Refusal) {
    log::info!("ticket of {device} refused: {refusal}");
    if let Refusal::TooLow {
        usage, last_total, ..
    } = refusal
    {
        let too_low = TicketTooLow {
            usage: *usage,
            last_total: *last_total,
        };
        return link.push_control(id, &too_low);
    }
    let answer = ErrorAnswer {
        code: Code(refusal.code()),
        text: short_text(&refusal.to_string()),
        limit: None,
        retry_after_ms: refusal.can_retry().then_some(RETRY_MS),
    };
    link.push_control(id, &answer);
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.settle();
        log::debug!("device {} left", self.registration.link().remote());
    }
}

//! The device's side: what it is willing to sign.
//!
//! A state machine without key, clock or socket. The node asks ([`Ask`]); the
//! payer looks at its own count of bytes and says what to sign, or why it will
//! not. A step covers two seconds at the present rate, and at least 4 MiB, so a
//! fast transfer is not held up by tickets and a slow one does not pay far ahead.
//!
//! What protects the device from a node that claims too much: usage beyond what
//! the first ask of the session named, plus what the device has carried itself,
//! plus some slack is not paid; nor an epoch that is not now; nor more than
//! `--max-bytes` in the whole run. What the first ask names is taken at its word
//! (a device does not remember earlier runs), so a limit is what keeps a lying
//! node from everything: without `--max-bytes` there is none.
//!
//! Bytes that were signed for and not used are not lost when the session is: for
//! the same node and epoch the payer goes on where it was.
//!
//! A device may have sessions with several nodes at once. Each node is paid by
//! tickets of its own, and `--max-bytes` bounds their sum. So that it is not
//! spent on a session that is only kept warm, one that carries nothing beside
//! another begins with a small step when there is a limit.

use std::fmt;

use crate::identity::Address;

use super::metadata::{HintError, Hints};
use super::policy::Ask;
use super::rules::{MAX_TOTAL_BYTES, MAX_TOTAL_CONNECTIONS};
use super::{epoch_of, TicketTerms};

/// The smallest step.
pub const MIN_STEP: u64 = 4 << 20;

/// The largest step: what a device may lose to a node that takes and runs.
pub const MAX_STEP: u64 = 1 << 30;

/// Seconds at the present rate that a step covers.
const STEP_SECONDS: u64 = 2;

/// How far a node's count may be ahead of ours: bytes that it has sent and we
/// have not read yet, over all ports of a session, many times over.
pub const USAGE_SLACK: u64 = 128 << 20;

/// Nodes and epochs that one run keeps count of. A device is given a few nodes;
/// what is forgotten is at worst paid for twice.
const MAX_BILLS: usize = 64;

/// Sessions that are remembered; a device has two at a time.
const SESSIONS_MAX: usize = 8;

/// With `--max-bytes`, a session that is kept warm pays this part of it in advance,
/// within [`WARM_STEP`].
const WARM_PART: u64 = 64;

/// Bounds of that step: some messages and the handshakes of some connections,
/// and no more than any other step.
const WARM_STEP: (u64, u64) = (64 << 10, MIN_STEP);

/// What the device knows when it is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Payload bytes sent and received in this session, by its own count.
    pub bytes: u64,
    /// Present rate of both directions together, in bytes a second.
    pub rate: u64,
    /// Ports opened by this node in this epoch, by its own count.
    pub ports: u64,
    /// Seconds since 1970 by its clock.
    pub unix: u64,
    /// Whether it trusts that clock.
    pub clock_trusted: bool,
}

/// Why the device does not sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PayRefusal {
    /// The node asks for an epoch that is not now.
    Epoch {
        /// What it asks for.
        asked: u64,
        /// What the device's clock says.
        own: u64,
    },
    /// The node claims more than can have been carried.
    UsageTooHigh {
        /// What it claims.
        claimed: u64,
        /// The most that the device believes.
        believed: u64,
    },
    /// The node claims a ticket that this device has not signed.
    NotOurTicket {
        /// The `total_bytes` that it claims.
        claimed: u64,
        /// The most that was signed.
        signed: u64,
    },
    /// `--max-bytes` is used up.
    MaxBytes {
        /// The limit.
        limit: u64,
    },
    /// More than any ticket may say.
    OutOfBounds,
    /// The hints do not fit.
    Hints(HintError),
}

impl fmt::Display for PayRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PayRefusal::Epoch { asked, own } => write!(
                f,
                "not paying: the node asks for epoch {asked}, this device's clock says {own}: set the clock here, or use a node whose clock is right"
            ),
            PayRefusal::UsageTooHigh { claimed, believed } => write!(
                f,
                "not paying: the node claims {claimed} bytes of usage, at most {believed} can have been carried: use another node"
            ),
            PayRefusal::NotOurTicket { claimed, signed } => write!(
                f,
                "not paying: the node claims a ticket for {claimed} bytes, this device has signed for {signed}: use another node"
            ),
            PayRefusal::MaxBytes { limit } => write!(
                f,
                "--max-bytes is used up: this run has signed for {limit} bytes, which is its limit: start it again with a higher --max-bytes to go on"
            ),
            PayRefusal::OutOfBounds => write!(
                f,
                "not paying: the node asks for more than the {MAX_TOTAL_BYTES} bytes that a ticket may say: use another node"
            ),
            PayRefusal::Hints(error) => write!(f, "not paying: {error}"),
        }
    }
}

impl std::error::Error for PayRefusal {}

/// Where tickets of a session go: what the node has said in its Hello, with what
/// the device overrides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payee {
    /// The node's address, as TLS has proven it.
    pub node: Address,
    /// The chain.
    pub chain_id: u64,
    /// The fleet: `--fleet`, or the node's.
    pub fleet: Address,
}

/// What one run of the device signs for, over all its sessions.
#[derive(Clone, Debug)]
pub struct Payer {
    /// `--max-bytes`.
    limit: Option<u64>,
    bills: Vec<Bill>,
    /// Bytes of bills that were forgotten.
    forgotten: u64,
    sessions: Vec<Session>,
}

/// One node, fleet and epoch.
#[derive(Clone, Copy, Debug)]
struct Bill {
    payee: Payee,
    epoch: u64,
    /// What had been used, or signed for, before this run.
    base: u64,
    /// Highest `total_bytes` signed.
    signed: u64,
    /// The usage that was known when that was signed.
    from: u64,
    /// Whether the node has taken a ticket of this run: then it cannot hold a
    /// higher one of an earlier run.
    accepted: bool,
    ports: u64,
}

impl Bill {
    fn paid(&self) -> u64 {
        self.signed.saturating_sub(self.base)
    }

    /// Whether `usage` is so far that a node which has the latest ticket asks for a
    /// better one: three quarters of its step.
    fn is_due(&self, usage: u64) -> bool {
        let step = self.signed.saturating_sub(self.from);
        self.accepted && usage.saturating_sub(self.from) >= step.saturating_sub(step / 4)
    }
}

#[derive(Clone, Copy, Debug)]
struct Session {
    payee: Payee,
    /// The usage that is taken at the node's word: that of its first ask.
    claimed: Option<u64>,
    /// Whether the node has taken a ticket, or has corrected its claim.
    settled: bool,
    /// The latest ask, and the epoch that was signed for it.
    last: Option<(Ask, u64)>,
}

impl Payer {
    /// One that has signed nothing; `limit` is `--max-bytes`.
    #[must_use]
    pub fn new(limit: Option<u64>) -> Payer {
        Payer {
            limit,
            bills: Vec::new(),
            forgotten: 0,
            sessions: Vec::new(),
        }
    }

    /// A session begins; one with the same node before it is over.
    pub fn begin(&mut self, payee: Payee) {
        self.sessions.retain(|old| old.payee.node != payee.node);
        if self.sessions.len() >= SESSIONS_MAX {
            self.sessions.remove(0);
        }
        self.sessions.push(Session {
            payee,
            claimed: None,
            settled: false,
            last: None,
        });
    }

    /// The session with this node is over.
    pub fn end(&mut self, node: Address) {
        self.sessions.retain(|old| old.payee.node != node);
    }

    fn session(&mut self, node: Address) -> Option<&mut Session> {
        self.sessions.iter_mut().find(|s| s.payee.node == node)
    }

    /// Bytes that this run has signed for.
    #[must_use]
    pub fn paid(&self) -> u64 {
        let bills = self.bills.iter();
        bills.fold(self.forgotten, |sum, bill| sum.saturating_add(bill.paid()))
    }

    /// The node has taken the ticket.
    pub fn accepted(&mut self, node: Address) {
        let Some(session) = self.session(node) else {
            return;
        };
        session.settled = true;
        if let Some((_, epoch)) = session.last {
            let payee = session.payee;
            if let Some(bill) = self.find(payee, epoch) {
                bill.accepted = true;
            }
        }
    }

    /// What to sign for `ask` of this node; None if no session with it has begun.
    ///
    /// # Errors
    /// Why nothing is signed, for the person who runs the device.
    pub fn answer(
        &mut self,
        node: Address,
        ask: &Ask,
        carried: &Carried,
    ) -> Option<Result<TicketTerms, PayRefusal>> {
        let session = self.session(node)?;
        let claimed = *session.claimed.get_or_insert(ask.usage);
        let (payee, settled) = (session.payee, session.settled);
        let epoch = match believe(ask, claimed, carried) {
            Ok(epoch) => epoch,
            Err(refusal) => return Some(Err(refusal)),
        };
        session.last = Some((*ask, epoch));
        let bill = self.find(payee, epoch).copied().unwrap_or(Bill {
            payee,
            epoch,
            base: ask.usage,
            signed: ask.usage,
            from: ask.usage,
            accepted: false,
            ports: 0,
        });
        Some(self.sign(bill, ask.usage, settled, carried))
    }

    /// What to sign after this node has refused a ticket for being too low: it
    /// counts `usage`, and holds a ticket for `last_total`. Once a session, before
    /// a ticket was taken, that is believed: an earlier run may have signed it.
    /// None if nothing was asked.
    ///
    /// # Errors
    /// Why nothing is signed, for the person who runs the device.
    pub fn too_low(
        &mut self,
        node: Address,
        usage: u64,
        last_total: u64,
        carried: &Carried,
    ) -> Option<Result<TicketTerms, PayRefusal>> {
        let session = self.session(node)?;
        let (ask, epoch) = session.last?;
        if !std::mem::replace(&mut session.settled, true) {
            session.claimed = Some(usage);
        }
        let (payee, claimed) = (session.payee, session.claimed.unwrap_or(usage));
        if let Err(refusal) = believe(&Ask { usage, ..ask }, claimed, carried) {
            return Some(Err(refusal));
        }
        let mut bill = *self.find(payee, epoch)?;
        if bill.accepted && last_total > bill.signed {
            return Some(Err(PayRefusal::NotOurTicket {
                claimed: last_total,
                signed: bill.signed,
            }));
        }
        if !bill.accepted {
            // What was signed and refused will not be paid.
            bill.base = usage.max(last_total);
            bill.signed = bill.base;
            bill.from = bill.base;
        }
        Some(self.sign(bill, usage, false, carried))
    }

    fn find(&mut self, payee: Payee, epoch: u64) -> Option<&mut Bill> {
        let mut bills = self.bills.iter_mut();
        bills.find(|bill| bill.payee == payee && bill.epoch == epoch)
    }

    /// Terms that cover `usage` and a step; with `more`, only if they are for more
    /// than was signed before.
    fn sign(
        &mut self,
        mut bill: Bill,
        usage: u64,
        more: bool,
        carried: &Carried,
    ) -> Result<TicketTerms, PayRefusal> {
        let least = match self.limit {
            Some(limit) if carried.bytes == 0 && self.sessions.len() > 1 => {
                let (low, high) = WARM_STEP;
                (limit / WARM_PART).clamp(low, high)
            }
            _ => MIN_STEP,
        };
        let step = carried
            .rate
            .saturating_mul(STEP_SECONDS)
            .clamp(least, MAX_STEP);
        // A step that is smaller than what is left of the last one must be paid for, too:
        // the node asks once, and takes nothing that is no better than what it has. A node
        // that asks before it is due gets no more than that.
        let mut total = usage.saturating_add(step);
        if total <= bill.signed {
            let more = if bill.is_due(usage) { least } else { 0 };
            total = bill.signed.saturating_add(more);
        }
        if let Some(limit) = self.limit {
            let known = self
                .find(bill.payee, bill.epoch)
                .map_or(0, |old| old.paid());
            let others = self.paid().saturating_sub(known);
            let most = bill.base.saturating_add(limit.saturating_sub(others));
            total = total.min(most.max(bill.signed));
            if total <= usage || more && total <= bill.signed {
                return Err(PayRefusal::MaxBytes { limit });
            }
        }
        if total > MAX_TOTAL_BYTES {
            return Err(PayRefusal::OutOfBounds);
        }
        if total > bill.signed {
            bill.signed = total;
            bill.from = usage;
        }
        bill.ports = bill.ports.max(carried.ports).min(MAX_TOTAL_CONNECTIONS);
        // This node first, then the others that the device has sessions with.
        let others = self.sessions.iter().map(|session| session.payee.node);
        let others = others.filter(|node| *node != bill.payee.node);
        let hints = Hints {
            relays: std::iter::once(bill.payee.node).chain(others).collect(),
            time: Some(carried.unix),
            ..Hints::default()
        };
        let local_address = hints.to_bytes().map_err(PayRefusal::Hints)?;
        self.keep(bill);
        Ok(TicketTerms {
            chain_id: bill.payee.chain_id,
            epoch: bill.epoch,
            fleet: bill.payee.fleet,
            total_connections: bill.ports,
            total_bytes: total,
            local_address,
        })
    }

    fn keep(&mut self, bill: Bill) {
        if let Some(old) = self.find(bill.payee, bill.epoch) {
            *old = bill;
            return;
        }
        if self.bills.len() >= MAX_BILLS {
            let oldest = self.bills.remove(0);
            self.forgotten = self.forgotten.saturating_add(oldest.paid());
        }
        self.bills.push(bill);
    }
}

/// The epoch to sign for, if `ask` can be believed.
fn believe(ask: &Ask, claimed: u64, carried: &Carried) -> Result<u64, PayRefusal> {
    let believed = claimed
        .saturating_add(carried.bytes)
        .saturating_add(USAGE_SLACK);
    if ask.usage > believed {
        return Err(PayRefusal::UsageTooHigh {
            claimed: ask.usage,
            believed,
        });
    }
    let own = epoch_of(carried.unix);
    match (carried.clock_trusted, ask.epoch_known) {
        (true, true) if ask.epoch.abs_diff(own) > 1 => Err(PayRefusal::Epoch {
            asked: ask.epoch,
            own,
        }),
        (true, false) => Ok(own),
        _ => Ok(ask.epoch),
    }
}

#[cfg(test)]
mod tests;

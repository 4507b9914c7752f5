//! What one device has used and what it has paid for.
//!
//! A state machine without clock, disk or socket. The session tells it of bytes
//! ([`Account::charge`]), of tickets that have passed the rules
//! ([`Account::accept`]) and of time ([`Account::advance`]), and does what the
//! returned [`Steps`] say.
//!
//! **A session begins** ([`Account::begin`]) without a ticket: the first
//! `advance` asks for one, and nothing is relayed (`paused`) until one is
//! accepted. If none comes within 20 s, the session is cut off.
//!
//! **A ticket is accepted.** It says how many bytes of the epoch the device pays
//! for, used ones included. What it adds to the usage of that moment is its
//! *step*. A better ticket replaces the older one; the same ticket again opens a
//! session and changes nothing else.
//!
//! **Bytes are relayed.** When 3/4 of the step are used, `advance` asks for the
//! next ticket, with the epoch and the usage that it has to cover. The rest of the step
//! and the grace (40 MiB) are for the time until it arrives, so a device that
//! answers never waits. Usage beyond ticket and grace pauses the device's ports.
//! 20 s after an ask without a better ticket, and with the grace used up, the
//! session is cut off. The data path need not call `advance` for every frame:
//! [`Account::next_mark`] is the usage at which it has to, [`Account::deadline`]
//! the time.
//!
//! **The epoch moves on.** Usage starts at zero with the first ticket of the new
//! epoch. The account asks for it at once; until it comes, the old ticket goes on
//! paying for as long as its epoch is accepted, which is one epoch more.
//!
//! **The fleet changes.** Each fleet has its own row of usage and total. What a
//! device owes beyond its totals in other fleets of the epoch moves into the row
//! of the new fleet, so that changing the fleet does not shed it.
//!
//! **The clock is not trusted.** Then the ticket's own epoch counts. Bytes that
//! were counted that way are remembered as guessed; if the epoch turns out to be
//! wrong, they move to the next ticket, and one is asked for.
//!
//! **Rows are saved** with each ticket and every 8 MiB, at most once a second,
//! and one at a time: the session writes
//! them and says how it went
//! ([`Account::saved`]). What a crash loses is the usage since the last one. The
//! rows never say more than was relayed.

use crate::identity::Address;
use crate::time::Moment;

use super::ledger::{Ledger, Row};
use super::policy::{
    Ask, Policy, ASK_DEADLINE, CHECKPOINT_BYTES, CHECKPOINT_INTERVAL, CHECKPOINT_RETRY, FAIR_STEP,
    TICKET_BURST, TICKET_INTERVAL,
};
use super::row::TicketRow;
use super::rules::{EpochClock, Standing, ValidTicket};
use super::tally::Worth;
use super::{Refusal, Ticket};

/// What a session has to do now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Send this to the device.
    pub ask: Option<Ask>,
    /// Write these rows in one transaction, then call [`Account::saved`]; empty
    /// most of the time.
    pub checkpoint: Vec<TicketRow>,
    /// Grant no credit on the device's ports until this is false again.
    pub paused: bool,
    /// Close the session.
    pub cut_off: bool,
}

/// The account of one device.
#[derive(Clone, Debug)]
pub struct Account {
    policy: Policy,
    ledger: Ledger,
    /// The fleet that is asked for until a ticket names one.
    fleet: Address,
    asked: Option<Asked>,
    /// The epoch that was asked for because it was newer than the ticket's.
    epoch_asked: Option<u64>,
    /// Usage at which the next ticket is asked for.
    ask_mark: u64,
    ask_not_before: Moment,
    /// An ask waits for `ask_not_before`.
    ask_held: bool,
    /// When the bucket of tickets is full again.
    bucket: Moment,
    /// What the last `advance` said.
    paused: bool,
    saving: bool,
    save_not_before: Moment,
    /// When a checkpoint that is due can be made.
    save_at: Option<Moment>,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    at: Moment,
    expired: bool,
}

impl Account {
    /// The account of a device of which nothing is known.
    #[must_use]
    pub fn new(device: Address, policy: Policy) -> Account {
        Account {
            policy,
            ledger: Ledger::new(device),
            fleet: Address::ZERO,
            asked: None,
            epoch_asked: None,
            ask_mark: 0,
            ask_not_before: Moment::default(),
            ask_held: false,
            bucket: Moment::default(),
            paused: false,
            saving: false,
            save_not_before: Moment::default(),
            save_at: None,
        }
    }

    /// A session of the device begins. Tickets of earlier ones stay known, but it
    /// has to present one of its own. `fleet` is what it is asked to pay for as
    /// long as it has not named another.
    pub fn begin(&mut self, fleet: Address) {
        self.ledger.end_paying();
        self.fleet = fleet;
        self.asked = None;
        self.epoch_asked = None;
        self.ask_not_before = Moment::default();
    }

    /// Whether the rows of `epoch` have been fetched.
    #[must_use]
    pub fn has_loaded(&self, epoch: u64) -> bool {
        self.ledger.has_loaded(epoch)
    }

    /// Takes over what the store has of this device in `epoch`. What is in memory
    /// is newer and stays.
    pub fn load(&mut self, epoch: u64, rows: Vec<TicketRow>) {
        self.drop_idle_rows(epoch);
        self.ledger.load(epoch, rows);
    }

    /// Counts `bytes` of payload and `ports` opened. The device pays for what it
    /// sends and for what it receives.
    pub fn charge(&mut self, bytes: u64, ports: u64) {
        // Without an obligation to pay nothing is owed before the first ticket.
        if self.policy.required || self.ledger.paying().is_some() {
            self.ledger.charge(bytes, ports);
        }
    }

    /// Bytes used in the row that pays.
    #[must_use]
    pub fn usage(&self) -> u64 {
        self.ledger.usage()
    }

    /// `total_bytes` of the ticket that pays; 0 without one.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.ledger.total()
    }

    /// The usage at which [`Account::advance`] has to be called.
    #[must_use]
    pub fn next_mark(&self) -> u64 {
        let Some(row) = self.ledger.paying() else {
            return u64::MAX;
        };
        let mut mark = u64::MAX;
        if self.save_at.is_none() {
            mark = row.saved().saturating_add(CHECKPOINT_BYTES);
        }
        if self.policy.required {
            if self.asked.is_none() && !self.ask_held {
                mark = mark.min(self.ask_mark);
            }
            if !self.paused {
                mark = mark.min(self.limit());
            }
        }
        mark
    }

    /// The time at which [`Account::advance`] has to be called, if nothing else
    /// happens before. It should be called once a minute or so in any case: the
    /// epoch moves on by itself.
    #[must_use]
    pub fn deadline(&self) -> Option<Moment> {
        let asked = self.asked.filter(|asked| !asked.expired);
        let held = self.ask_held.then_some(self.ask_not_before);
        [
            asked.map(|asked| asked.at + ASK_DEADLINE),
            self.save_at,
            held,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Looks at usage and time, and says what to do.
    #[must_use = "an ask is made once, a checkpoint given away once"]
    pub fn advance(&mut self, now: Moment, clock: EpochClock) -> Steps {
        if self.ledger.settle(clock) {
            self.asked = None;
        }
        if let Some(asked) = &mut self.asked {
            asked.expired |= now.since(asked.at) >= ASK_DEADLINE;
        }
        let ask = self.next_ask(now, clock);
        let paused = self.policy.required && self.is_exhausted();
        self.paused = paused;
        Steps {
            ask,
            checkpoint: self.checkpoint(now),
            paused,
            cut_off: paused && self.asked.is_some_and(|asked| asked.expired),
        }
    }

    /// Whether another ticket may be looked at now. Ask it before any work is
    /// done for one.
    ///
    /// # Errors
    /// [`Refusal::TooOften`].
    pub fn allow_ticket(&mut self, now: Moment) -> Result<(), Refusal> {
        let burst = now + TICKET_INTERVAL.saturating_mul(TICKET_BURST);
        let next = self.bucket.max(now) + TICKET_INTERVAL;
        if next > burst {
            return Err(Refusal::TooOften {
                wait: next.since(burst),
            });
        }
        self.bucket = next;
        Ok(())
    }

    /// What a ticket of `epoch` and `fleet` has to cover: for step 4 of
    /// [`super::Rules::validate`]. The rows of the epoch must be loaded.
    ///
    /// # Errors
    /// [`Refusal::TooManyFleets`], for one more row than there is room for.
    pub fn standing(&mut self, epoch: u64, fleet: &Address) -> Result<Standing, Refusal> {
        self.drop_idle_rows(epoch);
        self.ledger.standing(epoch, fleet)
    }

    /// What the best ticket of `epoch` and `fleet` pays for, if there is one. The
    /// rows of the epoch must be loaded.
    #[must_use]
    pub fn worth(&self, epoch: u64, fleet: &Address) -> Option<Worth> {
        self.ledger.worth(epoch, fleet)
    }

    /// Lets `valid` pay from now on. Call [`Account::advance`] after it.
    pub fn accept(&mut self, valid: ValidTicket) {
        let ticket = valid.into_ticket();
        let epoch = ticket.epoch;
        if let Some(step) = self.ledger.accept(ticket) {
            let three_quarters = step.saturating_sub(step / 4);
            self.ask_mark = self.ledger.usage().saturating_add(three_quarters);
            if step >= FAIR_STEP {
                self.ask_not_before = Moment::default();
            }
            self.asked = None;
        }
        if self.epoch_asked.is_some_and(|asked| epoch >= asked) {
            self.epoch_asked = None;
        }
    }

    /// The ticket that pays.
    #[must_use]
    pub fn paying(&self) -> Option<&Ticket> {
        self.ledger.paying().map(Row::ticket)
    }

    /// The ticket that pays is good no more: the device is asked for another, and
    /// its ports pause until there is one. What was used stays counted.
    pub fn revoke(&mut self) {
        self.ledger.end_paying();
        self.asked = None;
    }

    /// How writing the last checkpoint went.
    pub fn saved(&mut self, ok: bool, now: Moment) {
        self.saving = false;
        if !ok {
            self.save_not_before = now + CHECKPOINT_RETRY;
            self.ledger.mark_unsaved();
        }
    }

    /// Everything that is not saved yet, whether it is due or not, as a
    /// checkpoint: for the end of a session or of the node. Empty while one is
    /// being written, or if nothing is left.
    pub fn flush(&mut self, now: Moment) -> Vec<TicketRow> {
        if self.saving || self.is_saved() {
            return Vec::new();
        }
        self.take_checkpoint(now)
    }

    /// Whether the store has everything that is worth keeping.
    #[must_use]
    pub fn is_saved(&self) -> bool {
        !self.saving && self.ledger.is_saved()
    }

    /// Whether something waits for its checkpoint: a ticket, or enough usage.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.ledger.is_due()
    }

    /// When a checkpoint may be made again.
    #[must_use]
    pub fn may_save_at(&self) -> Moment {
        self.save_not_before
    }

    fn limit(&self) -> u64 {
        self.total().saturating_add(self.policy.grace)
    }

    fn is_exhausted(&self) -> bool {
        self.ledger.paying().is_none() || self.usage() >= self.limit()
    }

    fn drop_idle_rows(&mut self, epoch: u64) {
        // What is being written could still fail.
        if !self.saving {
            self.ledger.drop_idle_rows(epoch);
        }
    }

    fn next_ask(&mut self, now: Moment, clock: EpochClock) -> Option<Ask> {
        self.ask_held = false;
        let paying = self.ledger.paying().map(Row::epoch);
        let epoch = match clock {
            EpochClock::Trusted(epoch) => epoch,
            EpochClock::Untrusted { floor } => paying.unwrap_or(floor).max(floor),
        };
        let is_newer = paying.is_some_and(|paying| epoch > paying);
        let wanted = paying.is_none()
            || self.usage() >= self.ask_mark
            || is_newer && self.epoch_asked != Some(epoch);
        if !self.policy.required || !wanted || self.asked.is_some() {
            return None;
        }
        if now < self.ask_not_before {
            self.ask_held = true;
            return None;
        }
        self.asked = Some(Asked {
            at: now,
            expired: false,
        });
        if is_newer {
            self.epoch_asked = Some(epoch);
        }
        self.ask_not_before = now + TICKET_INTERVAL;
        // The answer must not be refused for coming too soon.
        let used = self.bucket.since(now).saturating_sub(TICKET_INTERVAL);
        self.bucket = now + used;
        let fleet = self.ledger.paying().map_or(self.fleet, Row::fleet);
        Some(Ask {
            epoch,
            epoch_known: clock.current().is_some(),
            usage: self.ledger.due(epoch, &fleet),
        })
    }

    fn checkpoint(&mut self, now: Moment) -> Vec<TicketRow> {
        self.save_at = None;
        if !self.ledger.is_due() {
            return Vec::new();
        }
        if self.saving {
            self.save_at = Some(now + CHECKPOINT_INTERVAL);
            return Vec::new();
        }
        if now < self.save_not_before {
            self.save_at = Some(self.save_not_before);
            return Vec::new();
        }
        self.take_checkpoint(now)
    }

    fn take_checkpoint(&mut self, now: Moment) -> Vec<TicketRow> {
        self.saving = true;
        self.save_not_before = now + CHECKPOINT_INTERVAL;
        self.ledger.take_unsaved()
    }
}

#[cfg(test)]
mod tests;

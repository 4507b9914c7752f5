//! One session's hold on the account of its device, and what it gets to do.

use std::sync::{Arc, Mutex};

use crate::identity::Address;
use crate::store::Receipt;
use crate::time::Moment;

use super::account::Account;
use super::book::{lock, Balance, Book};
use super::policy::{Ask, Policy, JUDGE_EVERY};
use super::row::TicketRow;
use super::rules::EpochClock;
use super::tally::Taken;
use super::{Refusal, Ticket};

/// Whether an accepted ticket survives a power cut.
#[derive(Clone, Debug)]
pub enum Durability {
    /// It is on the disk already.
    Stored,
    /// It is when this resolves. A ticket that comes within a second of another
    /// waits for that second.
    Waiting(Receipt),
    /// This node keeps nothing.
    Never,
}

/// A ticket was accepted.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Bytes that were used when it was.
    pub usage: u64,
    /// Bytes that are paid for now.
    pub total: u64,
    /// Whether it is kept.
    pub durability: Durability,
    /// What else is to do.
    pub todo: Todo,
}

/// What a session has to do now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Todo {
    /// Send this to the device.
    pub ask: Option<Ask>,
    /// Grant no credit on the device's ports until this is false again.
    pub paused: bool,
    /// Close the session.
    pub cut_off: bool,
    /// Look again at this usage.
    pub next_mark: u64,
    /// Look again at this time.
    pub deadline: Option<Moment>,
}

/// The account of a session's device.
pub struct Tab {
    book: Book,
    device: Address,
    entry: Arc<Mutex<Entry>>,
}

impl Tab {
    pub(super) fn new(book: Book, device: Address, entry: Arc<Mutex<Entry>>) -> Tab {
        Tab {
            book,
            device,
            entry,
        }
    }

    /// Counts `bytes` of payload and `ports` opened. Whether [`Tab::advance`] has
    /// to be called now.
    pub fn charge(&self, bytes: u64, ports: u64) -> bool {
        let mut entry = lock(&self.entry);
        entry.account.charge(bytes, ports);
        entry.account.usage() >= entry.account.next_mark()
    }

    /// Looks at usage and time, saves what is due, and says what to do.
    #[must_use = "an ask is made once"]
    pub fn advance(&self, now: Moment, clock: EpochClock) -> Todo {
        self.advance_entry(&mut lock(&self.entry), now, clock)
    }

    /// Takes a ticket through the rules, and lets it pay.
    ///
    /// # Errors
    /// The step that failed.
    pub fn submit(
        &self,
        ticket: Ticket,
        now: Moment,
        clock: EpochClock,
    ) -> Result<Accepted, Refusal> {
        let judged = self.book.judged();
        let outcome = self.judge(ticket, now, clock);
        outcome.inspect_err(|refusal| judged.refuse(refusal))
    }

    fn judge(&self, ticket: Ticket, now: Moment, clock: EpochClock) -> Result<Accepted, Refusal> {
        let mut guard = lock(&self.entry);
        let entry = &mut *guard;
        entry.account.allow_ticket(now)?;
        let account = &mut entry.account;
        let verdicts = self.book.verdicts();
        let valid = self.book.rules().validate_by(
            ticket,
            self.device,
            clock,
            &*verdicts,
            |epoch, fleet| {
                if !account.has_loaded(epoch) {
                    account.load(epoch, self.book.rows(&self.device, epoch));
                }
                account.standing(epoch, fleet)
            },
        )?;
        let (epoch, fleet) = (valid.ticket().epoch, valid.ticket().fleet);
        let before = account.worth(epoch, &fleet);
        account.accept(valid);
        entry.judged = now;
        let taken = account.worth(epoch, &fleet).map(|worth| Taken {
            device: self.device,
            fleet,
            epoch,
            worth,
            usage: account.usage(),
            at: now,
        });
        if let Some(taken) = taken {
            // A session's first ticket is often the one that paid before.
            let paid = before.unwrap_or_default().bytes;
            let step = taken.worth.bytes.saturating_sub(paid);
            self.book.judged().accept(step);
            self.book.tally().take(before, taken);
        }
        let todo = self.advance_entry(entry, now, clock);
        Ok(Accepted {
            usage: entry.account.usage(),
            total: entry.account.total(),
            durability: entry.durability(self.book.has_store()),
            todo,
        })
    }

    /// The session ends: what is not saved is saved now, unless that was done
    /// within the last second. Dropping the tab does the same, but does not know
    /// the time.
    pub fn close(self, now: Moment) {
        lock(&self.entry).look_at_receipt(now);
    }

    /// The device.
    #[must_use]
    pub fn device(&self) -> Address {
        self.device
    }

    /// Bytes used and bytes paid for, in the epoch and fleet that pay.
    #[must_use]
    pub fn usage_and_total(&self) -> (u64, u64) {
        let entry = lock(&self.entry);
        (entry.account.usage(), entry.account.total())
    }

    fn advance_entry(&self, entry: &mut Entry, now: Moment, clock: EpochClock) -> Todo {
        entry.look_at_receipt(now);
        if let Some(epoch) = clock.current() {
            if !entry.account.has_loaded(epoch) {
                let rows = self.book.rows(&self.device, epoch);
                entry.account.load(epoch, rows);
            }
        }
        if now.since(entry.judged) >= JUDGE_EVERY {
            entry.judged = now;
            self.judge_again(entry, clock);
        }
        let steps = entry.account.advance(now, clock);
        self.book.write(entry, &steps.checkpoint, now);
        Todo {
            ask: steps.ask,
            paused: steps.paused,
            cut_off: steps.cut_off,
            next_mark: entry.account.next_mark(),
            deadline: entry.account.deadline(),
        }
    }
}

impl Tab {
    /// Judges the ticket that pays by the rules of now. It has no say about usage:
    /// that only grows by what was relayed.
    fn judge_again(&self, entry: &mut Entry, clock: EpochClock) {
        let Some(ticket) = entry.account.paying() else {
            return;
        };
        let verdicts = self.book.verdicts();
        let rules = self.book.rules();
        match rules.judge(ticket, self.device, clock, &*verdicts) {
            // Remembered for as long as the device is here.
            Ok(()) => verdicts.remember(&ticket.node_digest(&rules.node), self.device),
            Err(refusal) => {
                let device = self.device;
                log::info!("tickets: the one of {device} holds no more: {refusal}");
                entry.account.revoke();
            }
        }
    }
}

impl Drop for Tab {
    fn drop(&mut self) {
        self.book.leave(self.device);
    }
}

/// An account with what is between it and the store.
pub(super) struct Entry {
    device: Address,
    account: Account,
    /// The latest time that was heard of.
    now: Moment,
    /// When the ticket that pays was judged last.
    judged: Moment,
    /// Resolves with the next checkpoint: handed out for tickets that wait for it.
    next: Option<Receipt>,
    /// The checkpoint that is being written.
    writing: Option<Receipt>,
}

impl Entry {
    pub(super) fn new(device: Address, policy: Policy) -> Entry {
        Entry {
            device,
            account: Account::new(device, policy),
            now: Moment::default(),
            judged: Moment::default(),
            next: None,
            writing: None,
        }
    }

    pub(super) fn begin(&mut self, fleet: Address) {
        self.account.begin(fleet);
    }

    pub(super) fn balance(&self) -> Balance {
        Balance {
            usage: self.account.usage(),
            total: self.account.total(),
        }
    }

    pub(super) fn now(&self) -> Moment {
        self.now
    }

    pub(super) fn is_saved(&self) -> bool {
        self.account.is_saved()
    }

    /// Tells the account how its checkpoint went, once that is known.
    pub(super) fn look_at_receipt(&mut self, now: Moment) {
        self.now = self.now.max(now);
        let outcome = self.writing.as_ref().and_then(Receipt::outcome);
        if let Some(outcome) = outcome {
            self.writing = None;
            if let Err(error) = &outcome {
                log::debug!("tickets: {} is not saved: {error}", self.device);
            }
            self.account.saved(outcome.is_ok(), self.now);
        }
    }

    /// What is unsaved, if the last checkpoint was long enough ago.
    pub(super) fn flush_if_allowed(&mut self) -> Vec<TicketRow> {
        if self.now < self.account.may_save_at() {
            return Vec::new();
        }
        self.account.flush(self.now)
    }

    /// What is unsaved, now.
    pub(super) fn flush_all(&mut self, now: Moment) -> Vec<TicketRow> {
        if self.writing.is_some() {
            // Whether that will be kept is not known: all of it once more.
            self.account.saved(false, now);
        }
        self.account.flush(now)
    }

    /// The receipt for the checkpoint that is being made.
    pub(super) fn next_receipt(&mut self) -> Receipt {
        self.next.take().unwrap_or_default()
    }

    /// The checkpoint is on its way.
    pub(super) fn wrote(&mut self, receipt: Receipt) {
        self.writing = Some(receipt);
    }

    /// There is no store to send it to.
    pub(super) fn kept_in_memory(&mut self, now: Moment) {
        self.account.saved(true, now);
    }

    /// The receipt of the checkpoint that is being written.
    pub(super) fn writing(&self) -> Option<Receipt> {
        self.writing.clone()
    }

    fn durability(&mut self, has_store: bool) -> Durability {
        if !has_store {
            Durability::Never
        } else if self.account.is_due() {
            Durability::Waiting(self.next.get_or_insert_with(Receipt::new).clone())
        } else if let Some(receipt) = &self.writing {
            Durability::Waiting(receipt.clone())
        } else {
            Durability::Stored
        }
    }
}

//! The accounts of all devices, and the store below them.
//!
//! A session opens a [`Tab`] for its device and holds it as long as it lives.
//! While any session of a device has one, its account is in memory, shared by
//! all of them (a device that connects anew overlaps with its older session for a
//! moment, and both carry bytes). When the last one is dropped, what is not
//! saved yet is saved, and the account is forgotten once it is on the disk. Until
//! then it is *parked*: a device that comes back within a second, or while the
//! disk is broken, finds its usage as it was.
//!
//! Nothing here waits: rows are queued for the store's writer, and receipts are
//! looked at when the account is looked at again, or by [`Book::sweep`].

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard};

use crate::identity::Address;
use crate::store::{Batch, Receipt, Store};
use crate::time::Moment;

use super::judged::Judged;
use super::ledger::MAX_FLEETS;
use super::policy::Policy;
use super::row::TicketRow;
use super::rules::Rules;
use super::signers::{Forgetful, Verdicts};
use super::tab::{Entry, Tab};
use super::tally::{Tally, Worth};

/// Accounts without a session whose usage is not on the disk: 3 MB at most.
/// Beyond them the oldest is forgotten. That many devices have to come and go
/// within a second, or while the disk is broken or (`--ephemeral`) absent.
pub const MAX_PARKED: usize = 4096;

/// Parked accounts that one sweep looks at: the executor waits for it.
const SWEEP: usize = 256;

/// The accounts of all devices of a node. Clones share them.
#[derive(Clone)]
pub struct Book(Arc<Inner>);

struct Inner {
    /// None: nothing is kept (`run --ephemeral`).
    store: Option<Store>,
    terms: RwLock<Terms>,
    verdicts: OnceLock<Arc<dyn Verdicts>>,
    accounts: Mutex<Accounts>,
    /// What all tickets are worth.
    tally: Mutex<Tally>,
    judged: Judged,
}

/// What can change while devices are served.
struct Terms {
    rules: Arc<Rules>,
    policy: Policy,
    /// `tickets.fleet`.
    fleet: Address,
}

#[derive(Default)]
struct Accounts {
    by_device: HashMap<Address, Slot>,
    /// Devices in the order in which they were parked; some have come back.
    parked: VecDeque<Address>,
}

impl Accounts {
    /// What a storm of devices needed is given back, step by step.
    fn shrink(&mut self) {
        if self.by_device.len() * 4 < self.by_device.capacity() {
            self.by_device.shrink_to_fit();
        }
        if self.parked.len() * 4 < self.parked.capacity() {
            self.parked.shrink_to_fit();
        }
    }
}

struct Slot {
    entry: Arc<Mutex<Entry>>,
    /// Tabs that are open; 0: parked.
    tabs: usize,
    /// Whether the device stands in `Accounts::parked`.
    queued: bool,
}

/// How a device's account stands, in bytes of this epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balance {
    /// What was relayed for it.
    pub usage: u64,
    /// What its best ticket pays for.
    pub total: u64,
}

/// How many accounts there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BookCounts {
    /// Devices with a session.
    pub open: usize,
    /// Devices without one whose usage is not on the disk.
    pub parked: usize,
}

impl Book {
    /// The book of a node that takes tickets by `rules`, asks for `fleet` and
    /// keeps rows in `store`, if it has one.
    #[must_use]
    pub fn new(store: Option<Store>, rules: Rules, policy: Policy, fleet: Address) -> Book {
        Book(Arc::new(Inner {
            store,
            terms: RwLock::new(Terms {
                rules: Arc::new(rules),
                policy,
                fleet,
            }),
            accounts: Mutex::default(),
            tally: Mutex::default(),
            judged: Judged::default(),
            verdicts: OnceLock::new(),
        }))
    }

    /// Remembers signers of tickets by `verdicts`: to be said once, at the start.
    #[must_use]
    pub fn remembering(self, verdicts: Arc<dyn Verdicts>) -> Book {
        let _ = self.0.verdicts.set(verdicts);
        self
    }

    pub(super) fn verdicts(&self) -> Arc<dyn Verdicts> {
        let set = self.0.verdicts.get();
        set.map_or_else(|| Arc::new(Forgetful) as Arc<dyn Verdicts>, Arc::clone)
    }

    /// Puts other rules in force: for tickets that come from now on, and for
    /// devices that come from now on.
    pub fn change(&self, rules: Rules, policy: Policy, fleet: Address) {
        *self.0.terms.write().unwrap_or_else(PoisonError::into_inner) = Terms {
            rules: Arc::new(rules),
            policy,
            fleet,
        };
    }

    fn terms(&self) -> RwLockReadGuard<'_, Terms> {
        self.0.terms.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session of `device` begins: it has to present a ticket, and is asked for
    /// one by the first [`Tab::advance`]. `fleet` is what the device has said it
    /// pays for, if it has.
    #[must_use]
    pub fn open(&self, device: Address, fleet: Option<Address>) -> Tab {
        let (policy, usual) = {
            let terms = self.terms();
            (terms.policy, terms.fleet)
        };
        let entry = {
            let mut accounts = self.accounts();
            let slot = accounts.by_device.entry(device).or_insert_with(|| Slot {
                entry: Arc::new(Mutex::new(Entry::new(device, policy))),
                tabs: 0,
                queued: false,
            });
            slot.tabs = slot.tabs.saturating_add(1);
            slot.entry.clone()
        };
        lock(&entry).begin(fleet.unwrap_or(usual));
        Tab::new(self.clone(), device, entry)
    }

    /// Saves what parked accounts have, and forgets those that are saved, some
    /// hundred at a time. Call it every few seconds while [`BookCounts::parked`]
    /// is not 0.
    pub fn sweep(&self, now: Moment) {
        if self.0.store.is_none() {
            return;
        }
        let mut accounts = self.accounts();
        for _ in 0..accounts.parked.len().min(SWEEP) {
            let Some(device) = accounts.parked.pop_front() else {
                break;
            };
            self.settle(&mut accounts, device, now);
        }
    }

    /// Saves everything: for the end of the node. Wait for the receipts, or close
    /// the store, which waits for them.
    #[must_use = "what cannot be saved says so only here"]
    pub fn flush(&self, now: Moment) -> Vec<Receipt> {
        let entries: Vec<_> = {
            let accounts = self.accounts();
            accounts
                .by_device
                .values()
                .map(|slot| slot.entry.clone())
                .collect()
        };
        let mut receipts = Vec::new();
        for entry in entries {
            let mut entry = lock(&entry);
            let rows = entry.flush_all(now);
            self.write(&mut entry, &rows, now);
            receipts.extend(entry.writing());
        }
        receipts
    }

    /// What all tickets together are worth. Held for an instant: sessions that
    /// take a ticket wait for it.
    pub fn tally(&self) -> MutexGuard<'_, Tally> {
        lock(&self.0.tally)
    }

    /// Adds up what the store has of the epoch `about`, the one before and the one
    /// after. Call it once, before any device is served; 10,000 devices take some
    /// ten milliseconds.
    pub fn take_stock(&self, about: u64) {
        let Some(store) = &self.0.store else {
            return;
        };
        for epoch in about.saturating_sub(1)..=about.saturating_add(1) {
            // A part at a time: memory is bounded, whatever the number of devices.
            for first in 0..=u8::MAX {
                let prefix = [&epoch.to_be_bytes()[..], &[first]].concat();
                match store.scan_prefix::<TicketRow>(&prefix, usize::MAX) {
                    Ok(rows) => {
                        let mut tally = self.tally();
                        for row in rows {
                            let worth = Worth::of(&row.ticket);
                            tally.stored(epoch, row.ticket.fleet, worth);
                        }
                    }
                    Err(error) => {
                        log::warn!("tickets: they cannot be added up: {error}");
                        return;
                    }
                }
            }
        }
    }

    /// How the account of `device` stands; none without a session of it, unless
    /// its usage is not on the disk yet.
    #[must_use]
    pub fn balance(&self, device: &Address) -> Option<Balance> {
        let entry = self.accounts().by_device.get(device)?.entry.clone();
        let entry = lock(&entry);
        Some(entry.balance())
    }

    /// How many tickets were accepted and refused.
    #[must_use]
    pub fn judged(&self) -> &Judged {
        &self.0.judged
    }

    /// How many accounts there are.
    #[must_use]
    pub fn counts(&self) -> BookCounts {
        let accounts = self.accounts();
        let open = accounts.by_device.values().filter(|slot| slot.tabs > 0);
        let open = open.count();
        BookCounts {
            open,
            parked: accounts.by_device.len().saturating_sub(open),
        }
    }

    /// Tickets that were accepted since the book was opened.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.0.judged.accepted.get()
    }

    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        lock(&self.0.accounts)
    }

    pub(super) fn rules(&self) -> Arc<Rules> {
        self.terms().rules.clone()
    }

    pub(super) fn has_store(&self) -> bool {
        self.0.store.is_some()
    }

    /// A tab of `device` is dropped.
    pub(super) fn leave(&self, device: Address) {
        let mut accounts = self.accounts();
        let Some(slot) = accounts.by_device.get_mut(&device) else {
            return;
        };
        slot.tabs = slot.tabs.saturating_sub(1);
        // One that waits in the queue already keeps its place.
        if slot.tabs == 0 && !slot.queued {
            let now = lock(&slot.entry).now();
            self.settle(&mut accounts, device, now);
        }
    }

    /// The rows of `device` in `epoch`. A store that cannot be read is like an
    /// empty one: relaying goes on, and the device is asked to pay for what is
    /// counted from here.
    pub(super) fn rows(&self, device: &Address, epoch: u64) -> Vec<TicketRow> {
        let Some(store) = &self.0.store else {
            return Vec::new();
        };
        let prefix = TicketRow::prefix_of(epoch, device);
        store
            .scan_prefix(&prefix, MAX_FLEETS)
            .unwrap_or_else(|error| {
                log::warn!("tickets: the usage of {device} cannot be read: {error}");
                Vec::new()
            })
    }

    /// Queues `rows` of `entry` for the store.
    pub(super) fn write(&self, entry: &mut Entry, rows: &[TicketRow], now: Moment) {
        if rows.is_empty() {
            return;
        }
        let Some(store) = &self.0.store else {
            entry.kept_in_memory(now);
            return;
        };
        let mut batch = Batch::resolving(entry.next_receipt());
        for row in rows {
            // A row is some hundred bytes, and a batch has some of them.
            if let Err(error) = batch.put(row) {
                log::error!("tickets: {error}");
            }
        }
        entry.wrote(store.write(batch));
    }

    /// Goes on with a device that was just taken from the queue: saves what it
    /// has, forgets it if that is done, else puts it back.
    fn settle(&self, accounts: &mut Accounts, device: Address, now: Moment) {
        let Some(slot) = accounts.by_device.get_mut(&device) else {
            return;
        };
        slot.queued = false;
        if slot.tabs > 0 {
            return;
        }
        let is_done = {
            let mut entry = lock(&slot.entry);
            entry.look_at_receipt(now);
            let rows = entry.flush_if_allowed();
            self.write(&mut entry, &rows, now);
            entry.is_saved() && self.has_store()
        };
        if is_done {
            accounts.by_device.remove(&device);
            accounts.shrink();
            return;
        }
        slot.queued = true;
        accounts.parked.push_back(device);
        if accounts.parked.len() > MAX_PARKED {
            let oldest = accounts.parked.pop_front();
            if let Some(slot) = oldest.and_then(|oldest| accounts.by_device.get_mut(&oldest)) {
                slot.queued = false;
                if slot.tabs == 0 {
                    oldest.and_then(|oldest| accounts.by_device.remove(&oldest));
                }
            }
        }
    }
}

/// Locks; a panic of another holder has not harmed what is locked here.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;

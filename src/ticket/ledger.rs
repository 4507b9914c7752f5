//! What one device has used and signed for, a row an epoch and fleet.
//!
//! One row pays at a time. Bytes that are counted while none does (a session
//! that is being replaced may still deliver some) wait for the next ticket. Bytes
//! that are counted while the clock is not trusted are remembered as guessed.

use crate::identity::Address;

use super::policy::CHECKPOINT_BYTES;
use super::row::TicketRow;
use super::rules::{EpochClock, Standing};
use super::tally::Worth;
use super::{Refusal, Ticket};

/// Fleets that a device can pay for in one epoch. Each is a row on the disk, and
/// where no fleet list is set a device can make up as many as it likes.
pub const MAX_FLEETS: usize = 8;

/// Rows of a device in memory: the fleets of some epochs.
const MAX_ROWS: usize = 3 * MAX_FLEETS;

/// The rows of one device.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    device: Address,
    rows: Vec<Row>,
    /// The row that pays; None until this session has presented a ticket.
    current: Option<usize>,
    /// Bytes and ports charged while no row pays.
    loose: (u64, u64),
    trusted: bool,
    /// Epochs whose rows have been fetched from the store.
    loaded: [Option<u64>; 2],
}

/// One epoch and fleet.
#[derive(Clone, Debug)]
pub(super) struct Row {
    ticket: Ticket,
    usage: u64,
    ports: u64,
    /// Part of the usage that was counted while the clock was not trusted.
    guessed: u64,
    /// Usage as it was last given away to be saved.
    saved: u64,
    dirty: bool,
}

impl Row {
    pub(super) fn epoch(&self) -> u64 {
        self.ticket.epoch
    }

    pub(super) fn fleet(&self) -> Address {
        self.ticket.fleet
    }

    pub(super) fn saved(&self) -> u64 {
        self.saved
    }

    pub(super) fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    fn owed(&self) -> u64 {
        self.usage.saturating_sub(self.ticket.total_bytes)
    }

    fn is_clean(&self) -> bool {
        !self.dirty && self.usage == self.saved
    }
}

impl Ledger {
    pub(super) fn new(device: Address) -> Ledger {
        Ledger {
            device,
            rows: Vec::new(),
            current: None,
            loose: (0, 0),
            trusted: false,
            loaded: [None; 2],
        }
    }

    /// The row that pays.
    pub(super) fn paying(&self) -> Option<&Row> {
        self.current.and_then(|at| self.rows.get(at))
    }

    /// No row pays until the next ticket.
    pub(super) fn end_paying(&mut self) {
        self.current = None;
    }

    pub(super) fn usage(&self) -> u64 {
        self.paying().map_or(self.loose.0, |row| row.usage)
    }

    pub(super) fn total(&self) -> u64 {
        self.paying().map_or(0, |row| row.ticket.total_bytes)
    }

    pub(super) fn charge(&mut self, bytes: u64, ports: u64) {
        let guessed = if self.trusted { 0 } else { bytes };
        match self.current.and_then(|at| self.rows.get_mut(at)) {
            Some(row) => {
                row.usage = row.usage.saturating_add(bytes);
                row.ports = row.ports.saturating_add(ports);
                row.guessed = row.guessed.saturating_add(guessed);
            }
            None => {
                self.loose.0 = self.loose.0.saturating_add(bytes);
                self.loose.1 = self.loose.1.saturating_add(ports);
            }
        }
    }

    pub(super) fn has_loaded(&self, epoch: u64) -> bool {
        self.loaded.contains(&Some(epoch))
    }

    /// Takes over stored rows; what is in memory is newer and stays.
    pub(super) fn load(&mut self, epoch: u64, rows: Vec<TicketRow>) {
        let [_, newest] = self.loaded;
        self.loaded = [newest, Some(epoch)];
        for row in rows {
            let belongs = row.ticket.epoch == epoch && row.device == self.device;
            let is_new = self.find(epoch, &row.ticket.fleet).is_none();
            if belongs && is_new && self.rows.len() < MAX_ROWS {
                self.rows.reserve_exact(1);
                self.rows.push(Row {
                    saved: row.usage,
                    usage: row.usage,
                    ports: row.ports,
                    ticket: row.ticket,
                    guessed: 0,
                    dirty: false,
                });
            }
        }
    }

    /// Drops rows of other epochs that the store has and nobody uses.
    pub(super) fn drop_idle_rows(&mut self, epoch: u64) {
        let paying = self.paying().map(|row| (row.epoch(), row.fleet()));
        let keep = |row: &Row| {
            row.epoch() == epoch
                || paying.is_some_and(|(paying, _)| paying == row.epoch())
                || row.guessed > 0
                || !row.is_clean()
        };
        for loaded in &mut self.loaded {
            let mut rows = self.rows.iter();
            if rows.any(|row| Some(row.epoch()) == *loaded && !keep(row)) {
                *loaded = None;
            }
        }
        self.rows.retain(keep);
        self.current = paying.and_then(|(epoch, fleet)| self.find(epoch, &fleet));
    }

    /// Usage that a ticket of `epoch` and `fleet` has to cover.
    pub(super) fn due(&self, epoch: u64, fleet: &Address) -> u64 {
        let of_epoch = self.rows.iter().filter(|row| row.epoch() == epoch);
        of_epoch.fold(self.loose.0, |sum, row| {
            sum.saturating_add(if row.ticket.fleet == *fleet {
                row.usage
            } else {
                row.owed()
            })
        })
    }

    pub(super) fn standing(&self, epoch: u64, fleet: &Address) -> Result<Standing, Refusal> {
        let row = self.find(epoch, fleet).and_then(|at| self.rows.get(at));
        if row.is_none() {
            let fleets = self.rows.iter().filter(|row| row.epoch() == epoch);
            if fleets.count() >= MAX_FLEETS || self.rows.len() >= MAX_ROWS {
                return Err(Refusal::TooManyFleets { limit: MAX_FLEETS });
            }
        }
        Ok(Standing {
            usage: self.due(epoch, fleet),
            last_total: row.map_or(0, |row| row.ticket.total_bytes),
        })
    }

    /// What the best ticket of `epoch` and `fleet` pays for.
    pub(super) fn worth(&self, epoch: u64, fleet: &Address) -> Option<Worth> {
        let row = self.rows.get(self.find(epoch, fleet)?)?;
        Some(Worth::of(&row.ticket))
    }

    /// Lets `ticket` pay. The step that it brings; None if it is no better than
    /// the one that pays already.
    pub(super) fn accept(&mut self, ticket: Ticket) -> Option<u64> {
        let (epoch, fleet, total) = (ticket.epoch, ticket.fleet, ticket.total_bytes);
        let (loose, ports) = std::mem::take(&mut self.loose);
        let (debts, guessed) = self.take_debts(epoch, &fleet);
        let owed = debts.saturating_add(loose);
        let guessed = guessed.saturating_add(if self.trusted { 0 } else { loose });
        let at = self.find(epoch, &fleet).unwrap_or_else(|| {
            // Most devices have one row for ever.
            self.rows.reserve_exact(1);
            self.rows.push(Row {
                ticket: ticket.clone(),
                usage: 0,
                ports: 0,
                guessed: 0,
                saved: 0,
                dirty: true,
            });
            self.rows.len().saturating_sub(1)
        });
        let is_first = self.current != Some(at);
        self.current = Some(at);
        let row = self.rows.get_mut(at)?;
        row.usage = row.usage.saturating_add(owed);
        row.ports = row.ports.saturating_add(ports);
        row.guessed = row.guessed.saturating_add(guessed);
        row.dirty |= owed > 0;
        let is_better = total > row.ticket.total_bytes;
        // Of two for the same bytes, the one that is worth more.
        if is_better || ticket.score() > row.ticket.score() {
            row.ticket = ticket;
            row.dirty = true;
        }
        (is_first || is_better).then(|| total.saturating_sub(row.usage))
    }

    /// Takes what is owed in other fleets of `epoch` out of their rows: the bytes,
    /// and how many of them were guessed.
    fn take_debts(&mut self, epoch: u64, fleet: &Address) -> (u64, u64) {
        let (mut debts, mut guessed) = (0u64, 0u64);
        for row in &mut self.rows {
            let owed = row.owed();
            if row.epoch() == epoch && row.ticket.fleet != *fleet && owed > 0 {
                let guess = row.guessed.min(owed);
                debts = debts.saturating_add(owed);
                guessed = guessed.saturating_add(guess);
                row.guessed = row.guessed.saturating_sub(guess);
                row.usage = row.ticket.total_bytes;
                row.dirty = true;
            }
        }
        (debts, guessed)
    }

    /// Where the time is known: ends the paying of a ticket that is over, and
    /// moves what was guessed wrong to the ticket that pays, or to the next.
    /// Whether the row that paid does so no longer.
    pub(super) fn settle(&mut self, clock: EpochClock) -> bool {
        self.trusted = clock.current().is_some();
        if !self.trusted {
            return false;
        }
        let counts = |row: &Row| clock.check(row.epoch()).is_ok();
        let ends = self.paying().is_some_and(|row| !counts(row));
        if ends {
            self.current = None;
        }
        let mut wrong = 0u64;
        for row in &mut self.rows {
            let guessed = std::mem::take(&mut row.guessed);
            if guessed > 0 && !counts(row) {
                wrong = wrong.saturating_add(guessed);
                row.usage = row.usage.saturating_sub(guessed);
                row.dirty = true;
            }
        }
        if wrong > 0 {
            self.charge(wrong, 0);
        }
        ends
    }

    /// Whether the store has all rows, and no byte waits for a ticket.
    pub(super) fn is_saved(&self) -> bool {
        self.loose.0 == 0 && self.rows.iter().all(Row::is_clean)
    }

    /// Whether it is time to save: a new ticket, or enough usage.
    pub(super) fn is_due(&self) -> bool {
        let is_due = |row: &Row| row.dirty || row.usage.abs_diff(row.saved) >= CHECKPOINT_BYTES;
        self.rows.iter().any(is_due)
    }

    /// The rows that are not saved; from now on they count as saved.
    pub(super) fn take_unsaved(&mut self) -> Vec<TicketRow> {
        let device = self.device;
        let unsaved = self.rows.iter_mut().filter(|row| !row.is_clean());
        unsaved
            .map(|row| {
                row.saved = row.usage;
                row.dirty = false;
                TicketRow {
                    device,
                    usage: row.usage,
                    ports: row.ports,
                    ticket: row.ticket.clone(),
                }
            })
            .collect()
    }

    /// Counts all rows as not saved: writing them has failed.
    pub(super) fn mark_unsaved(&mut self) {
        for row in &mut self.rows {
            row.dirty = true;
        }
    }

    fn find(&self, epoch: u64, fleet: &Address) -> Option<usize> {
        self.rows
            .iter()
            .position(|row| row.epoch() == epoch && row.ticket.fleet == *fleet)
    }
}

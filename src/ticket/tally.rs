//! What all tickets together are worth: by epoch and fleet, for rewards and for
//! who looks on.
//!
//! A device has one ticket an epoch and fleet that counts, its best. A better one
//! takes the place of the one before, so the sums always are what the store has,
//! or will have after its next commit: whoever adds them up anew after a restart
//! ([`super::Book::take_stock`]) comes to the same.

use std::collections::VecDeque;

use crate::identity::Address;
use crate::sorted::Map;
use crate::time::Moment;

use super::signed::CONNECTION_SCORE;
use super::Ticket;

/// Epochs with sums of their own. Two count at a time; while the clock is not
/// trusted a device can name any.
const EPOCHS_MAX: usize = 8;
/// Fleets of an epoch with sums of their own: where no list of fleets is set,
/// devices can make up as many as they like. The rest is summed up.
pub const FLEETS_MAX: usize = 64;
/// Tickets that are remembered one by one.
pub const LATEST_MAX: usize = 32;

/// What tickets pay for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Worth {
    /// Bytes.
    pub bytes: u64,
    /// Connections.
    pub connections: u64,
}

impl Worth {
    /// Of one ticket.
    #[must_use]
    pub fn of(ticket: &Ticket) -> Worth {
        Worth {
            bytes: ticket.total_bytes,
            connections: ticket.total_connections,
        }
    }

    /// The specification's score: 1024 a connection and 1 a byte.
    #[must_use]
    pub fn score(self) -> u64 {
        let connections = self.connections.saturating_mul(CONNECTION_SCORE);
        connections.saturating_add(self.bytes)
    }

    fn replace(&mut self, before: Worth, after: Worth) {
        let one = |sum: u64, before: u64, after| sum.saturating_sub(before).saturating_add(after);
        self.bytes = one(self.bytes, before.bytes, after.bytes);
        self.connections = one(self.connections, before.connections, after.connections);
    }
}

/// Tickets that count, summed up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Tickets, one a device.
    pub count: u64,
    /// What they pay for.
    pub worth: Worth,
}

impl Sum {
    fn replace(&mut self, before: Option<Worth>, after: Worth) {
        self.count = self.count.saturating_add(u64::from(before.is_none()));
        self.worth.replace(before.unwrap_or_default(), after);
    }
}

/// A ticket that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Who has signed it.
    pub device: Address,
    /// Its fleet.
    pub fleet: Address,
    /// Its epoch.
    pub epoch: u64,
    /// What it pays for.
    pub worth: Worth,
    /// Bytes of the epoch that were used when it came.
    pub usage: u64,
    /// When it came.
    pub at: Moment,
}

#[derive(Clone, Debug, Default)]
struct Epoch {
    all: Sum,
    fleets: Map<Address, Sum>,
    others: Sum,
}

/// See the module's text.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    epochs: Map<u64, Epoch>,
    /// What [`Tally::stored`] came to, by epoch.
    stock: Map<u64, Worth>,
    latest: VecDeque<Taken>,
    better: u64,
}

impl Tally {
    /// A row that the store has. Of each epoch all of them, before any ticket of
    /// it is taken.
    pub fn stored(&mut self, epoch: u64, fleet: Address, worth: Worth) {
        self.change(epoch, fleet, None, worth);
        let all = self.epochs.get(&epoch).map(|sums| sums.all.worth);
        self.stock.insert(epoch, all.unwrap_or_default());
    }

    /// A ticket was accepted; `before` is what counted until then of its device,
    /// epoch and fleet.
    pub fn take(&mut self, before: Option<Worth>, ticket: Taken) {
        if before == Some(ticket.worth) {
            return;
        }
        self.better = self.better.saturating_add(1);
        self.change(ticket.epoch, ticket.fleet, before, ticket.worth);
        self.latest.truncate(LATEST_MAX - 1);
        self.latest.push_front(ticket);
    }

    fn change(&mut self, epoch: u64, fleet: Address, before: Option<Worth>, after: Worth) {
        if !self.epochs.contains_key(&epoch) {
            self.make_room();
            self.epochs.insert(epoch, Epoch::default());
        }
        let Some(sums) = self.epochs.get_mut(&epoch) else {
            return;
        };
        sums.all.replace(before, after);
        let named = sums.fleets.contains_key(&fleet);
        if !named && sums.fleets.len() < FLEETS_MAX {
            sums.fleets.insert(fleet, Sum::default());
        }
        let sum = sums.fleets.get_mut(&fleet).unwrap_or(&mut sums.others);
        sum.replace(before, after);
    }

    /// The epoch that is worth least gives way.
    fn make_room(&mut self) {
        if self.epochs.len() < EPOCHS_MAX {
            return;
        }
        let worth = |(epoch, sums): &(u64, Epoch)| (sums.all.worth.score(), *epoch);
        let least = self.epochs.iter().map(worth).min();
        if let Some((_, epoch)) = least {
            self.epochs.remove(&epoch);
        }
    }

    /// The time is known: sums of epochs that do not count are dropped.
    pub fn settle(&mut self, current: u64) {
        let over = |epoch: u64| epoch > current || epoch.saturating_add(1) < current;
        let wrong: Vec<u64> = self.epochs.keys().copied().filter(|e| over(*e)).collect();
        for epoch in wrong {
            self.epochs.remove(&epoch);
        }
    }

    /// The sums of an epoch.
    #[must_use]
    pub fn epoch(&self, epoch: u64) -> Sum {
        self.epochs
            .get(&epoch)
            .map(|sums| sums.all)
            .unwrap_or_default()
    }

    /// What the store had of an epoch when this tally began.
    #[must_use]
    pub fn stock(&self, epoch: u64) -> Worth {
        self.stock.get(&epoch).copied().unwrap_or_default()
    }

    /// Tickets taken since this tally began that were better than those before.
    #[must_use]
    pub fn better(&self) -> u64 {
        self.better
    }

    /// All sums, the newest epoch first; without a fleet: those beyond
    /// [`FLEETS_MAX`].
    #[must_use]
    pub fn sums(&self) -> Vec<(u64, Option<Address>, Sum)> {
        let mut rows = Vec::new();
        for (epoch, sums) in self.epochs.iter().rev() {
            for (fleet, sum) in sums.fleets.iter() {
                rows.push((*epoch, Some(*fleet), *sum));
            }
            if sums.others.count > 0 {
                rows.push((*epoch, None, sums.others));
            }
        }
        rows
    }

    /// The latest tickets, the newest first.
    pub fn latest(&self) -> impl Iterator<Item = &Taken> {
        self.latest.iter()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn address(n: u8) -> Address {
        Address([n; 20])
    }

    fn taken(device: u8, fleet: u8, epoch: u64, bytes: u64, connections: u64) -> Taken {
        Taken {
            device: address(device),
            fleet: address(fleet),
            epoch,
            worth: Worth { bytes, connections },
            usage: 0,
            at: Moment(0),
        }
    }

    #[test]
    fn a_better_ticket_counts_by_what_it_adds_and_the_same_one_not_again() {
        let mut tally = Tally::default();
        let first = taken(1, 9, 700, 1000, 2);
        tally.take(None, first);
        assert_eq!(tally.epoch(700).worth.score(), 1000 + 2048);
        tally.take(Some(first.worth), first);
        let better = taken(1, 9, 700, 5000, 3);
        tally.take(Some(first.worth), better);
        assert_eq!(tally.epoch(700).worth.score(), 5000 + 3072);
        assert_eq!((tally.epoch(700).count, tally.better()), (1, 2));
        tally.take(None, taken(2, 9, 700, 10, 0));
        let wanted = Sum {
            count: 2,
            worth: Worth {
                bytes: 5010,
                connections: 3,
            },
        };
        assert_eq!(tally.sums(), vec![(700, Some(address(9)), wanted)]);
        assert_eq!(tally.latest().count(), 3);
    }

    #[test]
    fn what_the_store_had_is_not_mistaken_for_new() {
        let mut tally = Tally::default();
        tally.stored(
            700,
            address(9),
            Worth {
                bytes: 7,
                connections: 1,
            },
        );
        tally.stored(
            700,
            address(8),
            Worth {
                bytes: 5,
                connections: 0,
            },
        );
        assert_eq!(tally.stock(700).score(), 12 + 1024);
        assert_eq!((tally.better(), tally.latest().count()), (0, 0));
        let before = Worth {
            bytes: 5,
            connections: 0,
        };
        tally.take(Some(before), taken(1, 8, 700, 6, 0));
        assert_eq!(tally.stock(700).score(), 12 + 1024);
        assert_eq!(tally.epoch(700).worth.score(), 13 + 1024);
    }

    #[test]
    fn fleets_and_epochs_that_strangers_make_up_take_a_bounded_place() {
        let mut tally = Tally::default();
        for fleet in 0..200 {
            tally.take(None, taken(1, fleet, 700, 10, 0));
        }
        for epoch in 1000..2000 {
            tally.take(None, taken(1, 1, epoch, 1, 0));
        }
        assert_eq!(tally.epochs.len(), EPOCHS_MAX);
        assert_eq!(tally.latest().count(), LATEST_MAX);
        // What is worth most has stayed, and nothing of it is lost.
        assert_eq!(tally.epoch(700).worth.bytes, 2000);
        let of: Vec<_> = tally.sums();
        let of: Vec<_> = of.iter().filter(|row| row.0 == 700).collect();
        assert_eq!(of.len(), FLEETS_MAX + 1);
        assert_eq!(of[FLEETS_MAX].1, None);
        assert_eq!(of[FLEETS_MAX].2.worth.bytes, 10 * (200 - FLEETS_MAX as u64));
        tally.settle(701);
        assert_eq!(tally.epochs.keys().copied().collect::<Vec<_>>(), [700]);
    }
}

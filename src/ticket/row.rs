//! What the store keeps of a device: one row an epoch and fleet, with the ticket
//! and the usage that it pays for. They share a row because a commit costs flash
//! some 20 KB, however small the row.

use serde::{Deserialize, Serialize};

use crate::identity::Address;
use crate::store::{Record, Table};

use super::Ticket;

/// A row of the table `tickets`.
///
/// Key: `epoch:64 || device:160 || fleet:160`, so that all rows of an epoch, and
/// all of a device in an epoch, lie side by side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketRow {
    /// Who has signed the ticket.
    pub device: Address,
    /// Payload bytes relayed for it in the ticket's epoch. After a crash it may
    /// be less than what was relayed, never more.
    pub usage: u64,
    /// Ports opened for it in the epoch.
    pub ports: u64,
    /// The best ticket of the epoch and fleet.
    pub ticket: Ticket,
}

impl TicketRow {
    /// The key of a row.
    #[must_use]
    pub fn key_of(epoch: u64, device: &Address, fleet: &Address) -> Vec<u8> {
        [&epoch.to_be_bytes()[..], &device.0, &fleet.0].concat()
    }

    /// What the keys of a device's rows in an epoch begin with.
    #[must_use]
    pub fn prefix_of(epoch: u64, device: &Address) -> Vec<u8> {
        [&epoch.to_be_bytes()[..], &device.0].concat()
    }
}

impl Record for TicketRow {
    const TABLE: Table = Table::Tickets;
    const VERSION: u8 = 1;
    fn key(&self) -> Vec<u8> {
        TicketRow::key_of(self.ticket.epoch, &self.device, &self.ticket.fleet)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::super::testing::any_ticket;
    use super::*;
    use proptest::prelude::*;

    fn any_row() -> impl Strategy<Value = TicketRow> {
        (any::<[u8; 20]>(), any::<[u64; 2]>(), any_ticket()).prop_map(
            |(device, numbers, ticket)| TicketRow {
                device: Address(device),
                usage: numbers[0],
                ports: numbers[1],
                ticket,
            },
        )
    }

    proptest! {
        #[test]
        fn every_row_comes_back_and_no_piece_of_one(row in any_row()) {
            let bytes = postcard::to_allocvec(&row).unwrap();
            let (back, rest) = postcard::take_from_bytes::<TicketRow>(&bytes).unwrap();
            prop_assert_eq!(back, row);
            prop_assert!(rest.is_empty());
            for cut in 0..bytes.len() {
                prop_assert!(postcard::from_bytes::<TicketRow>(&bytes[..cut]).is_err());
            }
        }

        #[test]
        fn rows_lie_in_the_order_of_epoch_device_and_fleet(a in any_row(), b in any_row()) {
            let by = |row: &TicketRow| (row.ticket.epoch, row.device, row.ticket.fleet);
            prop_assert_eq!(a.key().cmp(&b.key()), by(&a).cmp(&by(&b)));
            prop_assert!(a.key().starts_with(&TicketRow::prefix_of(a.ticket.epoch, &a.device)));
        }
    }
}

//! Why a ticket is not accepted.
//!
//! | code | refusal |
//! | --- | --- |
//! | 100 | the epoch is too low |
//! | 101 | the epoch is too high |
//! | 102 | written for another chain |
//! | 103 | more bytes than a ticket may have |
//! | 104 | more connections than a ticket may have |
//! | 105 | `local_address` is too long |
//! | 106 | not signed by the device of this session for this node |
//! | 107 | the fleet is not served here |
//! | 108 | the device does not belong to the fleet here |
//! | 109 | fewer bytes than were used or accepted before |
//! | 110 | too many fleets in one epoch |
//! | 111 | too many tickets a second |
//!
//! The numbers are on the wire and never change their meaning.

use std::fmt;
use std::time::Duration;

use crate::identity::Address;

use super::metadata::MAX_LOCAL_ADDRESS;
use super::rules::{MAX_TOTAL_BYTES, MAX_TOTAL_CONNECTIONS};

/// Why a ticket is not accepted: what is wrong, the limit, what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The epoch is over, or below what the node remembers of time.
    EpochTooLow {
        /// The ticket's.
        epoch: u64,
        /// The lowest that is accepted.
        lowest: u64,
    },
    /// The epoch has not begun.
    EpochTooHigh {
        /// The ticket's.
        epoch: u64,
        /// The highest that is accepted.
        highest: u64,
    },
    /// It is for another chain.
    Chain {
        /// The ticket's.
        chain_id: u64,
        /// The node's.
        wanted: u64,
    },
    /// `total_bytes` is above [`MAX_TOTAL_BYTES`].
    TooManyBytes {
        /// The ticket's.
        total_bytes: u64,
    },
    /// `total_connections` is above [`MAX_TOTAL_CONNECTIONS`].
    TooManyConnections {
        /// The ticket's.
        total_connections: u64,
    },
    /// `local_address` is longer than [`MAX_LOCAL_ADDRESS`].
    LocalAddressTooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// The signature is not that of the device of this session over these
    /// fields and this node.
    Signature {
        /// The device that the session belongs to.
        device: Address,
        /// The node that the ticket has to be written for.
        node: Address,
    },
    /// The fleet is not on the node's list.
    FleetNotServed {
        /// The ticket's.
        fleet: Address,
    },
    /// The fleet is on the list, but with other devices.
    NotInFleet {
        /// The ticket's.
        fleet: Address,
        /// The device.
        device: Address,
    },
    /// `total_bytes` is below what was used, or below what the same device has
    /// signed already.
    TooLow {
        /// The ticket's.
        total_bytes: u64,
        /// Bytes used in this epoch.
        usage: u64,
        /// The highest `total_bytes` accepted in this epoch and fleet; 0 if none
        /// was.
        last_total: u64,
    },
    /// The device has paid for too many fleets (or, while the node's clock is
    /// wrong, epochs) already.
    TooManyFleets {
        /// The limit.
        limit: usize,
    },
    /// Tickets come faster than anybody needs to send them.
    TooOften {
        /// When the next one is looked at.
        wait: Duration,
    },
}

impl Refusal {
    /// The number on the wire.
    #[must_use]
    pub fn code(&self) -> u16 {
        match self {
            Refusal::EpochTooLow { .. } => 100,
            Refusal::EpochTooHigh { .. } => 101,
            Refusal::Chain { .. } => 102,
            Refusal::TooManyBytes { .. } => 103,
            Refusal::TooManyConnections { .. } => 104,
            Refusal::LocalAddressTooLong { .. } => 105,
            Refusal::Signature { .. } => 106,
            Refusal::FleetNotServed { .. } => 107,
            Refusal::NotInFleet { .. } => 108,
            Refusal::TooLow { .. } => 109,
            Refusal::TooManyFleets { .. } => 110,
            Refusal::TooOften { .. } => 111,
        }
    }

    /// Whether the same device can do better at once with another ticket, so
    /// that the session need not end.
    #[must_use]
    pub fn can_retry(&self) -> bool {
        matches!(
            self,
            Refusal::EpochTooLow { .. }
                | Refusal::EpochTooHigh { .. }
                | Refusal::TooLow { .. }
                | Refusal::TooOften { .. }
        )
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::EpochTooLow { epoch, lowest } => write!(
                f,
                "the ticket's epoch {epoch} is over, the lowest accepted is {lowest}: set the device's clock and sign again"
            ),
            Refusal::EpochTooHigh { epoch, highest } => write!(
                f,
                "the ticket's epoch {epoch} has not begun, the highest accepted is {highest}: set the device's clock and sign again"
            ),
            Refusal::Chain { chain_id, wanted } => write!(
                f,
                "the ticket is for chain {chain_id}, this node takes tickets for chain {wanted}: sign for that one or use another node"
            ),
            Refusal::TooManyBytes { total_bytes } => write!(
                f,
                "the ticket is for {total_bytes} bytes, the limit is {MAX_TOTAL_BYTES} in an epoch: sign for fewer"
            ),
            Refusal::TooManyConnections { total_connections } => write!(
                f,
                "the ticket is for {total_connections} connections, the limit is {MAX_TOTAL_CONNECTIONS} in an epoch: sign for fewer"
            ),
            Refusal::LocalAddressTooLong { len } => write!(
                f,
                "the ticket's local_address has {len} bytes, the limit is {MAX_LOCAL_ADDRESS}: name fewer relays"
            ),
            Refusal::Signature { device, node } => write!(
                f,
                "the ticket is forged or another device's: its signature is not that of {device} for node {node}; sign it with the key that this session uses, for this node"
            ),
            Refusal::FleetNotServed { fleet } => write!(
                f,
                "fleet {fleet} is not served by this node: name another fleet (--fleet) or ask the node's operator to add it to security.fleet_allowlist"
            ),
            Refusal::NotInFleet { fleet, device } => write!(
                f,
                "device {device} does not belong to fleet {fleet} on this node: ask the node's operator to add {fleet}/{device} to security.fleet_allowlist"
            ),
            Refusal::TooLow {
                total_bytes,
                usage,
                last_total,
            } => write!(
                f,
                "the ticket is for {total_bytes} bytes, but {usage} were used and {last_total} signed for in this epoch: sign for at least {}",
                usage.max(last_total)
            ),
            Refusal::TooManyFleets { limit } => write!(
                f,
                "this device pays for {limit} fleets in this epoch already, which is the limit: use one of those"
            ),
            Refusal::TooOften { wait } => write!(
                f,
                "too many tickets: send the next in {} ms, or when the node asks",
                wait.as_millis()
            ),
        }
    }
}

impl std::error::Error for Refusal {}

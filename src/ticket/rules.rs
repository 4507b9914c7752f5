//! The steps from a ticket that arrived to a ticket that counts.
//!
//! In this order, the cheap ones first where the order is free:
//!
//! 1. **Epoch** (with the chain that counts it, and the bounds of the numbers):
//!    the current one and the one before. While the node does not know the time
//!    it takes the ticket's own epoch, not below the lowest that it can be, and
//!    looks again once it knows ([`ValidTicket::recheck`]).
//! 2. **Signature**: recovered, in its canonical form, and the recovered address
//!    is the one that the TLS session has proven. The node's address is in the
//!    signed words, so a ticket for another node fails here.
//! 3. **Fleet**: on the node's list, if it has one.
//! 4. **Usage**: not below what was used, nor below what the same device has
//!    signed for the same epoch and fleet. The same ticket again is fine.
//! 5. **Payment** needs the chain. There is no such step yet: a ticket that is
//!    accepted is a signed promise, not proof of a deposit.
//!
//! What has passed is a [`ValidTicket`]; nothing else can make one.

use std::fmt;
use std::str::FromStr;

use crate::identity::Address;

use super::metadata::MAX_LOCAL_ADDRESS;
use super::signers::{signer, Forgetful, Verdicts};
use super::{epoch_of, Refusal, Ticket};

/// Highest `total_bytes`: 1 PiB in an epoch. It keeps sums and scores of
/// thousands of tickets within 64 bits.
pub const MAX_TOTAL_BYTES: u64 = 1 << 50;

/// Highest `total_connections`; times their weight it is [`MAX_TOTAL_BYTES`].
pub const MAX_TOTAL_CONNECTIONS: u64 = 1 << 40;

/// What is known of the time, in epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpochClock {
    /// The current epoch.
    Trusted(u64),
    /// The clock is not to be believed; the current epoch is not below this one.
    Untrusted {
        /// Epoch of the newest time that has passed for certain.
        floor: u64,
    },
}

impl EpochClock {
    /// From a wall clock: `unix` seconds, believed or not, and a second that has
    /// passed for certain (the build date, or what the store remembers).
    #[must_use]
    pub fn from_unix(unix: u64, trusted: bool, floor: u64) -> EpochClock {
        if trusted {
            EpochClock::Trusted(epoch_of(unix))
        } else {
            EpochClock::Untrusted {
                floor: epoch_of(floor),
            }
        }
    }

    /// The current epoch, if it is known.
    #[must_use]
    pub fn current(self) -> Option<u64> {
        match self {
            EpochClock::Trusted(epoch) => Some(epoch),
            EpochClock::Untrusted { .. } => None,
        }
    }

    /// Whether a ticket of `epoch` can count.
    ///
    /// # Errors
    /// [`Refusal::EpochTooLow`] or [`Refusal::EpochTooHigh`].
    pub fn check(self, epoch: u64) -> Result<(), Refusal> {
        let (lowest, highest) = match self {
            EpochClock::Trusted(current) => (current.saturating_sub(1), current),
            EpochClock::Untrusted { floor } => (floor, u64::MAX),
        };
        if epoch < lowest {
            Err(Refusal::EpochTooLow { epoch, lowest })
        } else if epoch > highest {
            Err(Refusal::EpochTooHigh { epoch, highest })
        } else {
            Ok(())
        }
    }
}

/// One entry of `security.fleet_allowlist`: `0xFLEET` admits every device that
/// writes its tickets for that fleet, `0xFLEET/0xDEVICE` that device alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FleetRule {
    /// The fleet contract.
    pub fleet: Address,
    /// The device, if not everyone.
    pub device: Option<Address>,
}

/// Text that is no [`FleetRule`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetRuleError(String);

impl fmt::Display for FleetRuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: write 0xFLEET or 0xFLEET/0xDEVICE", self.0)
    }
}

impl std::error::Error for FleetRuleError {}

impl FromStr for FleetRule {
    type Err = FleetRuleError;

    fn from_str(text: &str) -> Result<FleetRule, FleetRuleError> {
        let address = |text: &str| {
            text.parse::<Address>()
                .map_err(|error| FleetRuleError(error.to_string()))
        };
        Ok(match text.split_once('/') {
            Some((fleet, device)) => FleetRule {
                fleet: address(fleet)?,
                device: Some(address(device)?),
            },
            None => FleetRule {
                fleet: address(text)?,
                device: None,
            },
        })
    }
}

impl fmt::Display for FleetRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.device {
            Some(device) => write!(f, "{}/{device}", self.fleet),
            None => write!(f, "{}", self.fleet),
        }
    }
}

/// What a device has used and signed for, in one epoch and fleet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Bytes used, with what it owes from other fleets of the epoch.
    pub usage: u64,
    /// Highest `total_bytes` accepted; 0 if none was.
    pub last_total: u64,
}

/// What this node takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The node's own address: tickets are written for it.
    pub node: Address,
    /// `tickets.chain_id`.
    pub chain_id: u64,
    /// `security.fleet_allowlist`; empty admits everyone.
    pub fleets: Vec<FleetRule>,
}

/// A ticket that has passed every step. It keeps what the steps have found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidTicket {
    ticket: Ticket,
    device: Address,
    node: Address,
    step: u64,
}

impl Rules {
    /// Takes `ticket` through the steps. `device` is who the session's TLS
    /// handshake has proven; `standing` is asked in step 4, when the signature is
    /// known to be right, for the epoch and fleet of the ticket, and may refuse
    /// by itself.
    ///
    /// # Errors
    /// The first step that fails.
    pub fn validate(
        &self,
        ticket: Ticket,
        device: Address,
        clock: EpochClock,
        standing: impl FnOnce(u64, &Address) -> Result<Standing, Refusal>,
    ) -> Result<ValidTicket, Refusal> {
        self.validate_by(ticket, device, clock, &Forgetful, standing)
    }

    /// [`Rules::validate`], with signers that are remembered.
    ///
    /// # Errors
    /// The first step that fails.
    pub fn validate_by(
        &self,
        ticket: Ticket,
        device: Address,
        clock: EpochClock,
        verdicts: &dyn Verdicts,
        standing: impl FnOnce(u64, &Address) -> Result<Standing, Refusal>,
    ) -> Result<ValidTicket, Refusal> {
        self.judge(&ticket, device, clock, verdicts)?;
        let Standing { usage, last_total } = standing(ticket.epoch, &ticket.fleet)?;
        if ticket.total_bytes < usage.max(last_total) {
            return Err(Refusal::TooLow {
                total_bytes: ticket.total_bytes,
                usage,
                last_total,
            });
        }
        Ok(ValidTicket {
            step: ticket.total_bytes.saturating_sub(usage),
            ticket,
            device,
            node: self.node,
        })
    }

    /// Steps 1 to 3: what can be said of a ticket whatever was used. A ticket that
    /// pays is judged by them again from time to time, since the rules and the
    /// epoch may have become others.
    ///
    /// # Errors
    /// The first step that fails.
    pub fn judge(
        &self,
        ticket: &Ticket,
        device: Address,
        clock: EpochClock,
        verdicts: &dyn Verdicts,
    ) -> Result<(), Refusal> {
        self.check_epoch(ticket, clock)?;
        self.check_signature(ticket, device, verdicts)?;
        self.check_fleet(ticket, device)
    }

    fn check_epoch(&self, ticket: &Ticket, clock: EpochClock) -> Result<(), Refusal> {
        if ticket.chain_id != self.chain_id {
            return Err(Refusal::Chain {
                chain_id: ticket.chain_id,
                wanted: self.chain_id,
            });
        }
        clock.check(ticket.epoch)?;
        if ticket.total_bytes > MAX_TOTAL_BYTES {
            return Err(Refusal::TooManyBytes {
                total_bytes: ticket.total_bytes,
            });
        }
        if ticket.total_connections > MAX_TOTAL_CONNECTIONS {
            return Err(Refusal::TooManyConnections {
                total_connections: ticket.total_connections,
            });
        }
        if ticket.local_address.len() > MAX_LOCAL_ADDRESS {
            return Err(Refusal::LocalAddressTooLong {
                len: ticket.local_address.len(),
            });
        }
        Ok(())
    }

    fn check_signature(
        &self,
        ticket: &Ticket,
        device: Address,
        verdicts: &dyn Verdicts,
    ) -> Result<(), Refusal> {
        // Whether the signature is broken or somebody else's makes no difference
        // that a stranger should learn, nor one that the device can use.
        match signer(ticket, &self.node, verdicts) {
            Ok(signer) if signer == device => Ok(()),
            _ => Err(Refusal::Signature {
                device,
                node: self.node,
            }),
        }
    }

    fn check_fleet(&self, ticket: &Ticket, device: Address) -> Result<(), Refusal> {
        let fleet = ticket.fleet;
        let mut of_fleet = self.fleets.iter().filter(|rule| rule.fleet == fleet);
        if self.fleets.is_empty()
            || of_fleet
                .clone()
                .any(|rule| rule.device.is_none_or(|listed| listed == device))
        {
            Ok(())
        } else if of_fleet.next().is_some() {
            Err(Refusal::NotInFleet { fleet, device })
        } else {
            Err(Refusal::FleetNotServed { fleet })
        }
    }
}

impl ValidTicket {
    /// The ticket.
    #[must_use]
    pub fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    /// Who has signed it.
    #[must_use]
    pub fn device(&self) -> Address {
        self.device
    }

    /// The node that it is for.
    #[must_use]
    pub fn node(&self) -> Address {
        self.node
    }

    /// Bytes that it pays for beyond what was used when it was accepted.
    #[must_use]
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Step 1 again, for a ticket that was accepted while the clock was not
    /// trusted.
    ///
    /// # Errors
    /// Those of [`EpochClock::check`].
    pub fn recheck(&self, clock: EpochClock) -> Result<(), Refusal> {
        clock.check(self.ticket.epoch)
    }

    pub(super) fn into_ticket(self) -> Ticket {
        self.ticket
    }
}

#[cfg(test)]
mod tests;

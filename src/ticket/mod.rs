//! # What relaying is paid with
//!
//! A device signs *tickets*: "in this epoch, by this node, for this fleet, I pay
//! for this many bytes". A ticket that has arrived is a [`Ticket`]; the
//! [`Rules`] make a [`ValidTicket`] of it; the [`Account`] of the device counts
//! what is used against it and asks for the next one in time. On the device,
//! the [`Payer`] decides what to sign. All of that is without clock, disk and
//! socket; the [`Book`] is the shell around the accounts of all devices, with
//! the store below it.
//!
//! | file | what it owns |
//! | --- | --- |
//! | `signed.rs` | the ticket and the bytes that are signed |
//! | `legacy.rs` | Diode's first version of them |
//! | `metadata.rs` | the hints in `local_address` |
//! | `rules.rs` | the validation steps, the fleet list |
//! | `signers.rs` | who has signed a ticket, remembered |
//! | `refusal.rs` | why a ticket is not accepted, with the codes on the wire |
//! | `account.rs` | one device: when to ask, pause, cut off and save |
//! | `ledger.rs` | its usage and tickets, a row an epoch and fleet |
//! | `row.rs` | the row in the store |
//! | `policy.rs` | how much credit, how often |
//! | `book.rs`, `tab.rs` | the accounts of all devices; a session's hold on one |
//! | `tally.rs` | what all tickets are worth together, by epoch and fleet |
//! | `judged.rs` | how many were accepted and refused |
//! | `payer.rs` | the device's side |

mod account;
mod book;
mod judged;
mod ledger;
mod legacy;
mod metadata;
mod payer;
mod policy;
mod refusal;
mod row;
mod rules;
mod signed;
mod signers;
mod tab;
mod tally;

#[cfg(test)]
mod testing;

pub use account::{Account, Steps};
pub use book::{Balance, Book, BookCounts, MAX_PARKED};
pub use judged::{Judged, REASONS};
pub use ledger::MAX_FLEETS;
pub use legacy::{epoch_of_block, TicketV1};
pub use metadata::{HintError, Hints, LocalAddress, MAX_LOCAL_ADDRESS};
pub use payer::{Carried, PayRefusal, Payee, Payer, MAX_STEP, MIN_STEP, USAGE_SLACK};
pub use policy::{
    Ask, Policy, ASK_DEADLINE, CHECKPOINT_BYTES, CHECKPOINT_INTERVAL, CHECKPOINT_RETRY, FAIR_STEP,
    GRACE_BYTES, JUDGE_EVERY, TICKET_BURST, TICKET_INTERVAL,
};
pub use refusal::Refusal;
pub use row::TicketRow;
pub use rules::{
    EpochClock, FleetRule, FleetRuleError, Rules, Standing, ValidTicket, MAX_TOTAL_BYTES,
    MAX_TOTAL_CONNECTIONS,
};
pub use signed::{epoch_of, Ticket, TicketTerms, BLOB, EPOCH_SECONDS};
pub use signers::{Forgetful, Verdicts};
pub use tab::{Accepted, Durability, Tab, Todo};
pub use tally::{Sum, Taken, Tally, Worth, FLEETS_MAX, LATEST_MAX};

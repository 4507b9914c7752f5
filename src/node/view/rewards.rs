//! What was earned, and the tickets for it.

use super::super::house::House;
use crate::rpc::{RewardStatus, TicketList};

impl House {
    /// What `reward_status` returns.
    pub(super) fn earnings(&self) -> RewardStatus {
        RewardStatus::default()
    }

    /// What `ticket_list` returns.
    pub(super) fn held_tickets(&self) -> TicketList {
        TicketList::default()
    }
}

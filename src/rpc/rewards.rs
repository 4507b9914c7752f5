//! What `reward_status` and `ticket_list` return. As in [`super::view`], every
//! field is always there, `null` where the node does not know. Tokens are decimal
//! strings, exact to 18 decimals; scores go from 0 to 1; bytes and times are whole
//! numbers.

use serde::Serialize;

/// Finished periods in [`RewardStatus::history`].
pub const HISTORY_MAX: usize = 48;
/// Rows of [`TicketList::epochs`].
pub const FLEETS_MAX: usize = 64;
/// Tickets in [`TicketList::latest`].
pub const LATEST_MAX: usize = 32;

/// Tickets of a period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TicketSums {
    /// Tickets that brought something new.
    pub count: u64,
    /// Bytes that they pay for beyond those before them.
    pub bytes: u64,
    /// Those bytes, and 1024 for each connection that they name beyond those before.
    pub value: u64,
}

/// A period that is over: an item of [`RewardStatus::history`].
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RewardPeriod {
    /// When it began, in seconds since 1970.
    pub period_start: u64,
    /// When it ended.
    pub period_end: u64,
    /// Share of it that the node was up.
    pub uptime_score: f64,
    /// How well it served; `None` where nothing was measured.
    pub performance_score: Option<f64>,
    /// What was earned in it; `None` where no rates were set.
    pub chr_tokens_earned: Option<String>,
    /// Its tickets.
    pub tickets: TicketSums,
}

/// What is earned by what: the setting `rewards.rates`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RewardRates {
    /// Tokens for 1,000,000,000 of ticket value; `None` where not set.
    pub gigabyte: Option<String>,
    /// Tokens for an hour of being up at a performance score of 1.
    pub hour: Option<String>,
}

/// What the present pace comes to; `None` without rates, or before ten minutes
/// are known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RewardProjection {
    /// Tokens in the next 24 hours.
    pub day: Option<String>,
    /// Tokens in the next 30 days.
    pub month: Option<String>,
    /// Seconds of the past by which that is known, a day at most.
    pub seconds: u64,
}

/// The result of `reward_status`. The period's members are of the one that runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RewardStatus {
    /// Where earnings are to go (`rewards.address`).
    pub address: Option<String>,
    /// When the running period began; `None` while the time is not known.
    pub period_start: Option<u64>,
    /// When it will end.
    pub period_end: Option<u64>,
    /// Share of it, up to now, that the node was up.
    pub uptime_score: Option<f64>,
    /// How well it serves; `None` while nothing was measured.
    pub performance_score: Option<f64>,
    /// What was earned in it by now; `None` where no rates are set.
    pub chr_tokens_earned: Option<String>,
    /// Its tickets.
    pub tickets: TicketSums,
    /// Earned in all periods and not paid; `None` where no rates were ever set.
    pub pending: Option<String>,
    /// The latest periods that are over, the newest first, [`HISTORY_MAX`] at most.
    pub history: Vec<RewardPeriod>,
    /// What earns how much; `None`: nothing is claimed to be earned.
    pub rates: Option<RewardRates>,
    /// From how many pending tokens on a payout is worth it
    /// (`rewards.payout_threshold`).
    pub payout_threshold: Option<String>,
    /// Whether that is reached; `None` without a threshold or pending tokens.
    pub payout_reached: Option<bool>,
    /// What is to be expected.
    pub projected: RewardProjection,
    /// What a person should know about these numbers, in sentences.
    pub notes: Vec<&'static str>,
}

/// Tickets that the node holds for one fleet in one epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FleetTickets {
    /// The epoch.
    pub epoch: u64,
    /// The fleet's address; `None`: all fleets beyond the first [`FLEETS_MAX`].
    pub fleet: Option<String>,
    /// Tickets, one a device.
    pub count: u64,
    /// Bytes that they pay for.
    pub bytes: u64,
    /// Connections that they name.
    pub connections: u64,
    /// What they are worth: 1024 a connection and 1 a byte.
    pub score: u64,
}

/// A ticket that was accepted since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TicketInfo {
    /// Who has signed it.
    pub device: String,
    /// The fleet that it is written for.
    pub fleet: String,
    /// Its epoch.
    pub epoch: u64,
    /// Bytes that it pays for in that epoch.
    pub total_bytes: u64,
    /// Connections that it names.
    pub total_connections: u64,
    /// Bytes that were used when it came.
    pub usage: u64,
    /// When it came, in seconds since 1970; `None` while the clock is not trusted.
    pub at: Option<u64>,
}

/// The result of `ticket_list`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TicketList {
    /// What is held, by epoch (the newest first) and fleet.
    pub epochs: Vec<FleetTickets>,
    /// The latest tickets, the newest first, [`LATEST_MAX`] at most.
    pub latest: Vec<TicketInfo>,
}

//! What was earned, and the tickets for it.

use super::super::house::House;
use crate::reward::{Measures, RewardRow, Tickets};
use crate::rpc::{
    FleetTickets, RewardPeriod, RewardProjection, RewardRates, RewardStatus, TicketInfo,
    TicketList, TicketSums, FLEETS_MAX, HISTORY_MAX, LATEST_MAX,
};
use crate::time::Clock;
use crate::tokens::Tokens;

/// Whether a note holds.
type Holds = fn(&RewardStatus) -> bool;

/// What a person should know, and when it holds.
const NOTES: [(&str, Holds); 4] = [
    (
        "no rates are set: nothing is claimed to be earned (rewards.rates)",
        |status| status.rates.is_none(),
    ),
    (
        "this version pays nothing out: what is earned stays pending",
        |status| status.pending.is_some(),
    ),
    (
        "no address is set where earnings are to go (rewards.address)",
        |status| status.pending.is_some() && status.address.is_none(),
    ),
    (
        "the time or the store is not known yet: nothing is counted into a period before",
        |status| status.period_start.is_none(),
    ),
];

impl House {
    /// What `reward_status` returns.
    pub(super) fn reward_status(&self) -> RewardStatus {
        let settings = self.settings();
        let wanted = &settings.rewards;
        let (report, history) = self.earnings.report(HISTORY_MAX);
        let text = |tokens: Option<Tokens>| tokens.map(|tokens| tokens.to_string());
        let period = report.period.as_ref();
        let reached = match (wanted.payout_threshold, report.total) {
            (Some(threshold), Some(total)) => Some(total >= threshold),
            _ => None,
        };
        let mut status = RewardStatus {
            address: wanted.address.clone(),
            period_start: period.map(|row| row.start),
            period_end: period.map(|row| row.end),
            uptime_score: period.and_then(|row| uptime(row, report.passed_ms)),
            performance_score: period.and_then(|row| performance(&row.measures)),
            chr_tokens_earned: text(report.earned),
            tickets: period.map(|row| sums(&row.tickets)).unwrap_or_default(),
            pending: text(report.total),
            history: history.iter().map(over).collect(),
            rates: wanted.rates.are_set().then(|| RewardRates {
                gigabyte: text(wanted.rates.gigabyte),
                hour: text(wanted.rates.hour),
            }),
            payout_threshold: text(wanted.payout_threshold),
            payout_reached: reached,
            projected: RewardProjection {
                day: text(report.projection.day),
                month: text(report.projection.month),
                seconds: report.projection.seconds,
            },
            notes: Vec::new(),
        };
        let notes = NOTES.iter().filter(|(_, holds)| holds(&status));
        status.notes = notes.map(|(note, _)| *note).collect();
        status
    }

    /// What `ticket_list` returns.
    pub(super) fn held_tickets(&self) -> TicketList {
        let Some(book) = self.book.get() else {
            return TicketList::default();
        };
        let tally = book.tally();
        let sums = tally.sums();
        let latest = tally.latest().take(LATEST_MAX).copied();
        let latest: Vec<_> = latest.collect();
        drop(tally);
        let sums = sums.into_iter().take(2 * FLEETS_MAX);
        TicketList {
            epochs: sums
                .map(|(epoch, fleet, sum)| FleetTickets {
                    epoch,
                    fleet: fleet.map(|fleet| fleet.to_string()),
                    count: sum.count,
                    bytes: sum.worth.bytes,
                    connections: sum.worth.connections,
                    score: sum.worth.score(),
                })
                .collect(),
            latest: latest
                .iter()
                .map(|ticket| TicketInfo {
                    device: ticket.device.to_string(),
                    fleet: ticket.fleet.to_string(),
                    epoch: ticket.epoch,
                    total_bytes: ticket.worth.bytes,
                    total_connections: ticket.worth.connections,
                    usage: ticket.usage,
                    at: self.clock.date(ticket.at),
                })
                .collect(),
        }
    }
}

fn over(row: &RewardRow) -> RewardPeriod {
    RewardPeriod {
        period_start: row.start,
        period_end: row.end,
        uptime_score: uptime(row, row.length_ms()).unwrap_or(0.0),
        performance_score: performance(&row.measures),
        chr_tokens_earned: row.earned.map(|amount| Tokens(amount).to_string()),
        tickets: sums(&row.tickets),
    }
}

fn sums(tickets: &Tickets) -> TicketSums {
    TicketSums {
        count: tickets.count,
        bytes: tickets.bytes,
        value: tickets.value,
    }
}

/// Share of so many milliseconds that the node was up, to four decimals.
fn uptime(row: &RewardRow, millis: u64) -> Option<f64> {
    let parts = row.up_ms.checked_mul(10_000)?.checked_div(millis)?;
    Some(parts.min(10_000) as f64 / 10_000.0)
}

fn performance(measures: &Measures) -> Option<f64> {
    measures.performance().map(|parts| parts as f64 / 1000.0)
}

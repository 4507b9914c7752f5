//! What is kept, and what it is worth.

use crate::meter::Counter;
use crate::node::house::House;
use crate::rpc::Exposition;
use crate::ticket::REASONS;

impl House {
    pub(super) fn store_metrics(&self, out: &mut Exposition) {
        let store = self.store.get();
        out.gauge(
            "chr_store_open",
            "1 while there is a store: without one nothing is kept.",
            Some(if store.is_some() { 1.0 } else { 0.0 }),
        );
        let Some(seen) = store.map(|store| store.health()) else {
            return;
        };
        let written = &seen.written;
        out.counter(
            "chr_store_commits_total",
            "Transactions that were committed.",
            written.commits,
        );
        out.counter(
            "chr_store_failures_total",
            "Transactions that failed.",
            written.failures,
        );
        out.histogram(
            "chr_store_commit_duration_seconds",
            "How long a commit took, until it was on the disk.",
            &written.took,
        );
        out.counter(
            "chr_store_rows_total",
            "Rows written or removed.",
            written.rows,
        );
        out.counter(
            "chr_store_row_bytes_total",
            "Keys and values of these rows.",
            written.bytes,
        );
        out.counter(
            "chr_store_rows_dropped_total",
            "Rows of statistics that were given up because the disk took none.",
            written.dropped,
        );
        out.number(
            "chr_store_rows_damaged",
            "Rows that were found damaged and are skipped.",
            Some(u64::from(seen.bad_rows)),
        );
        out.counter(
            "chr_store_written_bytes_total",
            "What the store has given to write calls: what wears flash out.",
            written.disk_bytes,
        );
        out.number(
            "chr_store_size_bytes",
            "The size of the store's file.",
            Some(written.file_bytes()),
        );
        out.number(
            "chr_store_stored_rows",
            "Rows in all tables.",
            Some(written.tables().map(|(_, rows)| rows).sum()),
        );
        out.number(
            "chr_store_waiting_rows",
            "Rows that wait in memory for a commit.",
            Some(seen.waiting as u64),
        );
        out.number(
            "chr_store_map_bytes",
            "The largest size that the store's file can have at present.",
            Some(seen.map_size as u64),
        );
    }

    pub(super) fn ticket_metrics(&self, out: &mut Exposition) {
        let Some(book) = self.book.get() else {
            return;
        };
        let judged = book.judged();
        out.counter(
            "chr_tickets_accepted_total",
            "Tickets that passed the rules.",
            judged.accepted.get(),
        );
        let refused = judged.refused.iter().map(Counter::get);
        out.counters(
            "chr_tickets_refused_total",
            "Tickets that did not.",
            "reason",
            &mut REASONS.into_iter().zip(refused),
        );
        out.counter(
            "chr_ticket_bytes_total",
            "Bytes that accepted tickets pay for beyond those before them.",
            judged.bytes.get(),
        );
        let counts = book.counts();
        let accounts = [
            ("open", counts.open as f64),
            ("parked", counts.parked as f64),
        ];
        out.gauges(
            "chr_accounts",
            "Accounts of devices: with a session, and left but not saved.",
            "state",
            &mut accounts.into_iter(),
        );
    }

    pub(super) fn reward_metrics(&self, out: &mut Exposition) {
        let rewards = self.reward_status();
        out.gauge(
            "chr_reward_uptime_ratio",
            "Share of the running period that the node was up.",
            rewards.uptime_score,
        );
        out.gauge(
            "chr_reward_performance_ratio",
            "How well the node serves in the running period.",
            rewards.performance_score,
        );
        out.number(
            "chr_reward_period_value_bytes",
            "Value of the tickets of the running period: bytes, and 1024 for each connection.",
            Some(rewards.tickets.value),
        );
        out.decimal(
            "chr_reward_period_tokens",
            "Earned in the running period; left out without rates.",
            rewards.chr_tokens_earned.as_deref(),
        );
        out.decimal(
            "chr_reward_pending_tokens",
            "Earned and not paid.",
            rewards.pending.as_deref(),
        );
        out.decimal(
            "chr_reward_day_tokens",
            "The rate of earning: tokens in 24 hours at the present pace.",
            rewards.projected.day.as_deref(),
        );
    }
}

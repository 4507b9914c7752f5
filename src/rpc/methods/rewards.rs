//! What was earned, and the tickets for it.

use super::{json, rows, Method, Run};

/// The rows.
pub(super) const METHODS: &[Method] = &rows([
    Method {
        name: "reward_status",
        summary: "The running reward period, those before it, and what is pending (docs/rewards.md).",
        params: "",
        result: "{
            address: string? -- rewards.address
            period_start: integer? -- unix seconds; null while the time is not known
            period_end: integer?
            uptime_score: number? -- share of the period, up to now, that the node was up
            performance_score: number? -- null while nothing was measured
            chr_tokens_earned: string? -- in the period, by now; null where no rates are set
            tickets: { count: integer, bytes: integer, value: integer } -- new in the period
            pending: string? -- earned in all periods and not paid
            history: [{
                period_start: integer
                period_end: integer
                uptime_score: number
                performance_score: number?
                chr_tokens_earned: string?
                tickets: { count: integer, bytes: integer, value: integer }
            }] -- periods that are over, the newest first, at most 48
            rates: { gigabyte: string?, hour: string? }? -- rewards.rates; null: nothing is claimed to be earned
            payout_threshold: string? -- rewards.payout_threshold
            payout_reached: boolean?
            projected: { day: string?, month: string?, seconds: integer } -- at the pace of the last so many seconds
            notes: [string] -- what a person should know
        }",
        writes: false,
        public: true,
        run: Run::Now(|view, _| json(&view.rewards())),
    },
    Method {
        name: "ticket_list",
        summary: "The tickets that the node holds, summed up, and the latest ones.",
        params: "",
        result: "{
            epochs: [{
                epoch: integer
                fleet: string? -- null: all fleets of the epoch beyond 64
                count: integer -- tickets, one a device
                bytes: integer -- that they pay for
                connections: integer -- that they name
                score: integer -- 1024 a connection and 1 a byte
            }] -- the newest epoch first
            latest: [{
                device: address
                fleet: string
                epoch: integer
                total_bytes: integer
                total_connections: integer
                usage: integer -- bytes that were used when it came
                at: integer? -- unix seconds
            }] -- since the start, the newest first, at most 32
        }",
        writes: false,
        public: false,
        run: Run::Now(|view, _| json(&view.tickets())),
    },
]);

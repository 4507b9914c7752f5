//! Who is connected, who belongs to the fleet, and what is set.

use super::{json, rows, Method, Run};
use crate::rpc::config;

/// The rows.
pub(super) const METHODS: &[Method] = &rows([
    Method {
        name: "session_list",
        summary: "The sessions of devices, at most 256.",
        params: "",
        result: "[{
            device: address
            address: string? -- the IP address that it connects from
            since: integer? -- unix seconds
            ports: integer -- that are open
            bytes_in: integer -- of ports, from it
            bytes_out: integer
            rtt_ms: integer? -- round trip, rounded up
            agent: string? -- what its program calls itself
        }]",
        writes: false,
        public: false,
        run: Run::Now(|view, _| json(&view.sessions())),
    },
    Method {
        name: "fleet_status",
        summary: "The nodes of the fleet, and who may use this one.",
        params: "",
        result: "{
            nodes: [{
                name: string -- what the operator calls it
                address: string -- [address@]host:port, as it is set
                reachable: boolean -- whether a link to it stands
                rtt_ms: integer? -- round trip, rounded up
                last_ok: integer? -- when a link stood last, unix seconds
                error: string? -- why none stands
            }] -- fleet.nodes, in their order
            fleet_contract: string? -- once the chain has told of it
            allowlist: [string] -- security.fleet_allowlist; empty admits everyone
        }",
        writes: false,
        public: false,
        run: Run::Now(|view, _| json(&view.fleet())),
    },
    Method {
        name: "config_show",
        summary: "Every setting that is in force. From elsewhere it needs the operator's token.",
        params: "",
        result: "[{
            key: string -- section.key
            value: string -- as a settings file would have it; secrets are masked
            source: string -- where the value came from
            live: boolean -- whether it can change in a running node
        }]",
        writes: false,
        public: false,
        run: Run::Operator(|view, _| json(&view.settings())),
    },
    Method {
        name: "config_set",
        summary: "Puts other settings in force, all or none, as POST /config does.",
        params: "settings: {*: string | number | boolean | [string | number]} -- by their keys, such as {\"log.level\": \"debug\"}",
        result: "{
            changed: [{key: string, old: string, new: string}] -- what has another value now
            holds: string -- until when
        }",
        writes: true,
        public: false,
        run: Run::Now(|view, params| json(&config::set(view, params.value(0))?)),
    },
]);

//! What the node tells of itself and of those that it is connected to.

use super::{json, rows, Method, Run};

/// The rows.
pub(super) const METHODS: &[Method] = &rows([
    Method {
        name: "chr_node_info",
        summary: "Which node this is, and how it is.",
        params: "",
        result: "{
            node_id: address -- the node itself
            name: string? -- the operator's name for it (node.name)
            version: string -- of the program
            uptime_seconds: integer -- since it started
            profile: string? -- the class of device whose settings hold
            edge_ports: [integer] -- where devices are served
            peer_port: integer? -- where other nodes are served
            public_address: string? -- the address that others are told
            devices: integer? -- sessions of devices now
            peers: integer? -- links to nodes now
            epoch: integer? -- of tickets, by the node's clock
            clock_trusted: boolean? -- whether the wall clock can be believed
            health: \"ok\" | \"degraded\" | \"failing\" -- what /health explains
        }",
        writes: false,
        public: false,
        run: Run::Now(|view, _| json(&view.info())),
    },
    Method {
        name: "peer_list",
        summary: "Every known node, connected ones first.",
        params: "",
        result: "[{
            node_id: address
            address: string? -- where it was reached last, ip:port of its peer port
            connected: boolean -- whether a link to it stands
            direction: \"in\" | \"out\"? -- who dialled that link: out this node, in the other one
            first_seen: integer? -- unix seconds
            last_seen: integer? -- unix seconds
            connection_count: integer -- links to it since it is known
            reliability_score: number? -- how likely it answers, 0 to 1
            rtt_ms: integer? -- round trip, rounded up
            bytes_in: integer -- of ports, over links to it since the start
            bytes_out: integer
        }]",
        writes: false,
        public: false,
        run: Run::Now(|view, _| json(&view.peers())),
    },
    Method {
        name: "network_stats",
        summary: "What the node carries, and how well.",
        params: "",
        result: "{
            connections: integer -- devices and peers
            devices: integer -- sessions of devices
            peers: integer? -- links to nodes
            ports_open: integer -- on sessions of devices
            bandwidth_in: integer? -- payload bytes a second from devices, over ten seconds
            bandwidth_out: integer? -- the same towards devices
            bytes_in: integer -- payload bytes from devices since the start
            bytes_out: integer
            latency_ms: {p50: integer, p90: integer, p99: integer}? -- round trips to those who are connected
            errors: {*: integer} -- since the start, by category
            memory_bytes: integer? -- resident
            cpu_percent: number? -- of one core, over ten seconds
            cache: {
                l1: {hits: integer, misses: integer, ratio: number?} -- memory
                l2: {hits: integer, misses: integer, ratio: number?} -- the disk
                source: {hits: integer, misses: integer, ratio: number?} -- who was asked; a miss: that failed
                joined: integer -- questions that waited for the answer to another's
                stale: integer -- answers that had outlived their time
                ahead: integer -- answers that were fetched anew before their time was over
                entries: integer -- in memory
                bytes: integer -- in memory
                capacity: integer -- most bytes in memory
                disk_rows: integer
                disk_bytes: integer
            }? -- of the cache
            dht: {nodes: integer, values: integer, lookups: integer, success_ratio: number?}? -- the part in Kademlia
            history: @stats_history? -- ten minutes in steps of ten seconds
        }",
        writes: false,
        public: false,
        run: Run::Now(|view, _| json(&view.network())),
    },
]);

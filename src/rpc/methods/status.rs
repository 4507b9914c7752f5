//! All of the node at once.

use super::{json, rows, Method, Run};

/// The rows.
pub(super) const METHODS: &[Method] = &rows([Method {
    name: "node_status",
    summary: "All that the status page shows, of one moment; lists have at most 50 items.",
    params: "",
    result: "{
        time: integer -- milliseconds since 1970 by the device's clock
        info: @chr_node_info
        health: {
            status: \"ok\" | \"degraded\" | \"failing\" -- the worst of the layers
            layers: [{
                layer: \"process\" | \"network\" | \"storage\" | \"performance\" | \"integration\"
                state: \"ok\" | \"degraded\" | \"failing\"
                since: integer? -- unix seconds; null while the clock is not trusted
                seconds: integer -- how long it is so
                reason: string? -- the worst thing that is wrong
                remedy: string? -- what to do about it
            }] -- always all five
            reasons: [{
                layer: string
                state: \"degraded\" | \"failing\"
                reason: string
                remedy: string
            }]
        } -- as /health
        network: @network_stats
        device: {
            os: string? -- the system's name
            arch: string -- of the processor
            kernel: string? -- its version
            cores: integer -- that the node may use
            uptime_seconds: integer? -- of the device
            load: [number]? -- over 1, 5 and 15 minutes
            cpu_percent: number? -- that the node takes, of one core, over ten seconds
            memory_total: integer? -- bytes
            memory_available: integer?
            memory_limit: integer? -- of the service or container
            memory_budget: integer -- node.memory_limit
            memory_resident: integer? -- that the node has in RAM
            temperature_celsius: number? -- the hottest sensor of the processor
            battery: {percent: integer, charging: boolean}?
            port_mapping: string? -- what the router maps to this node (network.port_mapping), in words; null where it is not asked
            power_saver: boolean -- whether the node saves power
            ports_refused: string? -- why no more ports are opened; null while they are
            metered: boolean -- whether bytes cost money, and are saved
            descriptors: integer? -- that the node has open
            descriptors_limit: integer
        }
        rewards: @reward_status
        tickets: @ticket_list
        store: {
            path: string? -- null: nothing is kept
            size_bytes: integer -- of the file
            map_bytes: integer
            commits: integer -- since the start
            failures: integer
            rows: integer -- in all tables
            bad_rows: integer -- found damaged when they were read
            waiting: integer -- rows that wait in memory for a commit
            bytes_written: integer
            bytes_estimated: boolean -- the system does not say
            bytes_written_per_day: integer? -- at the present pace
            tables: [{name: string, rows: integer}]
            last_error: string?
        }
        chain: {
            url: string -- without what may be secret
            chain_id: integer?
            block: integer? -- the newest
            block_time: integer? -- unix seconds
            answered_seconds: integer? -- since it answered last
            synced: boolean? -- whether that block is of now
            error: string? -- why not
            remark: string? -- what an operator should look at
            refused: integer -- questions for others that were turned away
        }? -- null without chain.url
        https: {
          address: string
          fingerprint: string? -- SHA-256 of the certificate
          self_signed: boolean
          fault: string? -- why the files that were named are not in force
        }? -- null: it is off
        fleet: @fleet_status
        sessions: @session_list -- the first of them
        peers: @peer_list -- the first of them
        events: [{
            id: integer
            topic: string
            time: integer -- unix seconds
            data: object -- as /events tells it
        }] -- the newest first
    }",
    writes: false,
    public: false,
    run: Run::Now(|view, _| json(&view.status())),
}]);

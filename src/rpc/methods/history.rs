//! What was carried over a time.

use super::{rows, Method, Run};

/// The rows.
pub(super) const METHODS: &[Method] = &rows([Method {
    name: "stats_history",
    summary: "What was carried over an hour, a day, a week, thirty days or a year: series in equal steps of time, oldest first, null where nothing is known. What is read from the disk is read again after 30 seconds at the earliest.",
    params: "span: \"hour\" | \"day\" | \"week\" | \"month\" | \"year\" -- how far back",
    result: "{
        step_seconds: integer -- of a step: 10, 300, 3600, 7200 or 86400
        from: integer? -- when the first step begins, unix seconds; null while the clock is not trusted
        bandwidth_in: [integer?] -- payload bytes a second from devices, on average while the node ran
        bandwidth_out: [integer?] -- the same towards devices
        connections: [integer?] -- sessions of devices, on average
        peers: [integer?] -- links to nodes, on average
        latency_ms: [integer?] -- half of the round trips took no longer
        tickets: [integer?] -- accepted
        errors: [integer?] -- of all categories
        uptime: [integer?] -- seconds of the step in which the node ran
    }",
    writes: false,
    public: true,
    run: Run::Later,
}]);

//! Every figure and its target.

/// What a figure should be.
#[derive(Clone, Copy)]
pub enum Target {
    /// The median stays at or below this.
    AtMost(f64),
    /// The median reaches this.
    AtLeast(f64),
    /// No sample is above this.
    Never(f64),
    /// Shown for comparison.
    None,
}

/// A row of the table.
pub struct Figure {
    /// As the samples print it.
    pub key: &'static str,
    /// For people.
    pub text: &'static str,
    pub unit: &'static str,
    pub target: Target,
}

const fn figure(
    key: &'static str,
    text: &'static str,
    unit: &'static str,
    target: Target,
) -> Figure {
    Figure {
        key,
        text,
        unit,
        target,
    }
}

use Target::{AtLeast, AtMost, Never, None};

/// In the order of the table. MB and GB are powers of ten; "one core" and "free"
/// say where the processes may run.
pub const FIGURES: &[Figure] = &[
    figure("aes_cpu", "node's CPU for 1 GB, AES-128", "s", AtMost(1.0)),
    figure(
        "chacha_cpu",
        "node's CPU for 1 GB, ChaCha20",
        "s",
        AtMost(1.9),
    ),
    figure(
        "threads_ratio",
        "node's CPU for 1 GB, runtime.threads = 2 to 1",
        "",
        AtMost(1.1),
    ),
    figure("threads_2_cpu", "… with 2 threads", "s", None),
    figure("threads_1_cpu", "… with 1 thread", "s", None),
    figure(
        "threads_2_rate",
        "… one stream with 2 threads",
        "MB/s",
        None,
    ),
    figure(
        "aes_rate",
        "plain port, one stream, AES-128",
        "MB/s",
        AtLeast(450.0),
    ),
    figure(
        "chacha_rate",
        "plain port, one stream, ChaCha20",
        "MB/s",
        None,
    ),
    figure(
        "chr-node.rate",
        "publish and forward, end to end",
        "MB/s",
        AtLeast(220.0),
    ),
    figure("chr-node.cpu.middle", "its CPU for 1 GB: node", "s", None),
    figure("chr-node.cpu.near", "its CPU for 1 GB: forward", "s", None),
    figure("chr-node.cpu.far", "its CPU for 1 GB: publish", "s", None),
    figure(
        "long_stall",
        "longest stall, 10 GiB in one session",
        "ms",
        Never(50.0),
    ),
    figure("long_rate", "rate of those 10 GiB", "MB/s", None),
    figure(
        "tcp_one_core_p50",
        "64 B there and back, bare TCP, one core, p50",
        "us",
        None,
    ),
    figure(
        "tcp_two_cores_p50",
        "64 B there and back, bare TCP, two cores, p50",
        "us",
        None,
    ),
    figure(
        "trip_one_core_p50",
        "the same, plain port, one core, p50",
        "us",
        AtMost(60.0),
    ),
    figure("trip_one_core_p99", "… p99", "us", None),
    figure(
        "trip_free_p50",
        "the same, plain port, free, p50",
        "us",
        AtMost(60.0),
    ),
    figure("trip_free_p99", "… p99", "us", None),
    figure(
        "chr-node.round-trip.one-core_p50",
        "the same, publish and forward, one core, p50",
        "us",
        AtMost(130.0),
    ),
    figure("chr-node.round-trip.one-core_p99", "… p99", "us", None),
    figure(
        "chr-node.round-trip.free_p50",
        "the same, publish and forward, free, p50",
        "us",
        AtMost(130.0),
    ),
    figure("chr-node.round-trip.free_p99", "… p99", "us", None),
    figure(
        "handshake_cpu_1000",
        "node's CPU for TLS, Hello and ticket",
        "us",
        AtMost(500.0),
    ),
    figure(
        "across_cpu",
        "two nodes: CPU of the busier one for 1 GB, AES-128",
        "s",
        AtMost(1.1),
    ),
    figure("across_rate", "… one stream", "MB/s", None),
    figure(
        "across_one_core_p50",
        "64 bytes there and back across two nodes, one core, p50",
        "us",
        AtMost(110.0),
    ),
    figure("across_one_core_p99", "… p99", "us", None),
    figure(
        "across_free_p50",
        "… wherever the kernel puts them, p50",
        "us",
        None,
    ),
    figure("across_free_p99", "… p99", "us", None),
    figure(
        "join",
        "sixty nodes: a fresh node knows five of them after",
        "ms",
        AtMost(2000.0),
    ),
    figure(
        "findable",
        "… a device is reached after its ticket within",
        "ms",
        AtMost(1000.0),
    ),
    figure(
        "meet_failed",
        "… ports to ten others each that did not open",
        "",
        Never(0.0),
    ),
    figure("meet_p50", "… a port opens, p50", "ms", AtMost(50.0)),
    figure("meet_p99", "… p99", "ms", None),
    figure(
        "network_memory",
        "… the largest node, VmRSS",
        "MB",
        AtMost(8.0),
    ),
    figure("idle_memory", "node idle, VmRSS", "MB", AtMost(6.0)),
    figure(
        "session_memory_1000",
        "each idle session, of 1,000",
        "B",
        AtMost(11_000.0),
    ),
    figure(
        "session_memory_5000",
        "each idle session, of 5,000",
        "B",
        AtMost(11_000.0),
    ),
    figure(
        "left_memory_5000",
        "VmRSS after those 5,000 have left",
        "MB",
        None,
    ),
    figure("left_ratio_5000", "… times idle", "", AtMost(1.2)),
    figure(
        "left_own_5000",
        "… more of its own than idle, without pages of files",
        "KB",
        None,
    ),
    figure(
        "churn_growth",
        "VmRSS that 10,000 sessions add which come and go after 2,000",
        "KB",
        AtMost(300.0),
    ),
    figure(
        "churn_own",
        "… of it memory of its own, not pages of files",
        "KB",
        None,
    ),
    figure("churn_memory", "… VmRSS then", "MB", None),
    figure(
        "dht_get_p50",
        "DHT of 100 nodes: get, p50",
        "ms",
        AtMost(4.0),
    ),
    figure("dht_get_p99", "… get, p99", "ms", AtMost(20.0)),
    figure("dht_put_mean", "… put, mean", "ms", AtMost(60.0)),
    figure("dht_missed", "… not found or not put", "", Never(0.0)),
    figure(
        "mainline_get_p50",
        "the crate mainline: get, p50",
        "ms",
        None,
    ),
    figure("mainline_get_p99", "… get, p99", "ms", None),
    figure("mainline_put_mean", "… put, mean", "ms", None),
    figure("mainline_missed", "… not found or not put", "", None),
    figure("idle_seconds", "idle node, watched for", "s", None),
    figure("idle_wakeups", "… wake-ups a second", "", AtMost(2.0)),
    figure("idle_commits", "… commits", "", AtMost(1.0)),
    figure("idle_written", "… bytes written to the disk", "B", None),
    figure(
        "first_start",
        "first start to listening (makes key and store)",
        "ms",
        AtMost(50.0),
    ),
    figure(
        "later_start",
        "later start to listening",
        "ms",
        AtMost(50.0),
    ),
    figure(
        "year_start",
        "start to listening with a year's store",
        "ms",
        AtMost(30.0),
    ),
    figure("year_store", "… its size", "MB", AtMost(24.0)),
    figure("year_open", "… opened alone", "ms", AtMost(20.0)),
    figure(
        "year_month",
        "a month's chart out of it",
        "ms",
        AtMost(20.0),
    ),
    figure("year_chart", "a year's", "ms", None),
    figure("year_day", "a day's, by minutes", "ms", None),
    figure("binary", "release binary", "MB", AtMost(3.68)),
    figure("crates", "crates in the default tree", "", AtMost(170.0)),
    figure(
        "rpc_rate",
        "chr_node_info, 8 connections kept alive, calls a second",
        "",
        AtLeast(3_000.0),
    ),
    figure("rpc_p99", "… p99", "ms", AtMost(10.0)),
    figure(
        "watched_ratio",
        "one stream's rate with 500 monitoring calls a second to that without",
        "",
        AtLeast(0.9),
    ),
    figure(
        "watched_cpu_ratio",
        "… node's CPU for 1 GB likewise",
        "",
        None,
    ),
    figure(
        "watched_asked",
        "… calls a second that were answered",
        "",
        None,
    ),
];

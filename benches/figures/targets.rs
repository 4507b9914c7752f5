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
        "end_rate",
        "publish and forward, end to end",
        "MB/s",
        AtLeast(220.0),
    ),
    figure("end_node_cpu", "its CPU for 1 GB: node", "s", None),
    figure("end_forward_cpu", "its CPU for 1 GB: forward", "s", None),
    figure("end_publish_cpu", "its CPU for 1 GB: publish", "s", None),
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
        "end_trip_one_core_p50",
        "the same, publish and forward, one core, p50",
        "us",
        AtMost(130.0),
    ),
    figure("end_trip_one_core_p99", "… p99", "us", None),
    figure(
        "end_trip_free_p50",
        "the same, publish and forward, free, p50",
        "us",
        AtMost(130.0),
    ),
    figure("end_trip_free_p99", "… p99", "us", None),
    figure(
        "handshake_cpu_1000",
        "node's CPU for TLS, Hello and ticket",
        "us",
        AtMost(500.0),
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
    figure("binary", "release binary", "MB", AtMost(2.8)),
    figure("crates", "crates in the default tree", "", AtMost(160.0)),
];

//! Small networks of the simulator (docs/simulation.md): what a lookup costs in counts, and that it
//! finds what is there. Seeded, in virtual time; nothing here depends on how fast
//! the machine is.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "../benches/simulator/model/mod.rs"]
mod model;

//! The simulator: real engines and real packets over a modelled network.
//!
//! | file | what |
//! | --- | --- |
//! | `net/` | the network: delays, loss, routers, addresses; the queue of events |
//! | `machine.rs`, `world.rs` | machines, virtual time, operations |
//! | `seal.rs` | signatures that cost nothing |
//! | `device.rs`, `fleet.rs` | devices and their presences, and how they move |
//! | `session.rs` | a device's session with its node, both state machines |
//! | `population.rs` | a network comes up |
//! | `churn.rs`, `liar.rs` | what goes wrong |
//! | `closest.rs` | the truth that lookups are compared with |
//! | `scenarios/` | what is measured |
//! | `stats.rs`, `report.rs` | samples to tables |
//!
//! `benches/simulator/main.rs` is the program, `tests/simulation.rs` runs small networks
//! of the same code. docs/simulation.md describes the model and has the results.
#![allow(
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

pub mod churn;
pub mod closest;
pub mod device;
pub mod fleet;
pub mod liar;
pub mod machine;
pub mod net;
pub mod population;
pub mod report;
pub mod scenarios;
pub mod seal;
pub mod session;
pub mod stats;
pub mod world;

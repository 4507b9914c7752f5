//! Nodes, their links and their devices joined without sockets and TLS, in
//! virtual time.
//!
//! | file | what |
//! | --- | --- |
//! | `net.rs` | the links between nodes, and a table of where devices are |
//! | the others | tests, by subject |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod model;
mod net;
mod pairs;
mod places;
mod ports;
mod raw;
mod timing;

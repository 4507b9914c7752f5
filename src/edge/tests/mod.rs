//! Both state machines joined without sockets and TLS, in virtual time.
//!
//! | file | what |
//! | --- | --- |
//! | `world.rs` | a node and its sessions: who is woken, when, with which bytes |
//! | `line.rs` | one session: two halves and the bytes on their way |
//! | `raw.rs` | one end of a session in the hands of a test, byte by byte |
//! | the others | tests, by subject |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod credit;
mod device;
mod dialect;
pub(crate) mod line;
pub(crate) mod model;
mod notices;
mod opening;
mod order;
mod ports;
mod presence;
pub(crate) mod raw;
mod tickets;
mod timing;
pub(crate) mod world;

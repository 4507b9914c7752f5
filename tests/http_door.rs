//! The HTTP door on real sockets: what tiny_http alone would not survive.
//!
//! Each known weakness of the worker (see `src/rpc/mod.rs`) is tried from
//! outside, and after each the service has to answer as before.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "http_door/calls.rs"]
mod calls;
mod common;
#[path = "http_door/descriptors.rs"]
mod descriptors;
#[path = "http_door/floods.rs"]
mod floods;
#[path = "http_door/harness.rs"]
mod harness;
#[path = "http_door/malformed.rs"]
mod malformed;
#[path = "http_door/program.rs"]
mod program;
#[path = "http_door/service.rs"]
mod service;
#[path = "http_door/slow.rs"]
mod slow;
#[path = "http_door/slow_calls.rs"]
mod slow_calls;
#[path = "http_door/streams.rs"]
mod streams;
#[path = "http_door/upgrades.rs"]
mod upgrades;

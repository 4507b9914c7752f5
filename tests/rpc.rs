//! JSON-RPC of a whole program: real answers of a node with sessions, another node and a
//! fleet, against the document in which it describes itself; who sees what; who may change what.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

#[path = "rpc/askers.rs"]
mod askers;
#[path = "rpc/changes.rs"]
mod changes;
#[path = "rpc/document.rs"]
mod document;
#[path = "rpc/scene.rs"]
mod scene;
#[path = "rpc/signatures.rs"]
mod signatures;
#[path = "rpc/token.rs"]
mod token;

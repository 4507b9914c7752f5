//! Whole networks of engines.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod defence;
mod healing;
mod joining;
mod world;

//! Whether the device saves power: one word for the whole process.
//!
//! Whoever senses the battery says so here ([`set`]); whoever keeps something warm
//! asks ([`is_on`]) when he sets his next timer. State machines get what follows
//! from it as an argument.

use std::sync::atomic::{AtomicBool, Ordering};

static ON: AtomicBool = AtomicBool::new(false);

/// Whether power is to be saved.
#[must_use]
pub fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// Says that it is, or is not. True when that is new.
pub fn set(on: bool) -> bool {
    ON.swap(on, Ordering::Relaxed) != on
}

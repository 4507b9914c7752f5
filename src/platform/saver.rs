//! Whether the device saves power or bytes: one word for the whole process.
//!
//! Whoever senses the battery says so here ([`set`]), and whoever senses that bytes
//! cost money ([`set_metered`]); whoever keeps something warm asks ([`is_on`]) when he
//! sets his next timer. State machines get what follows from it as an argument.

use std::sync::atomic::{AtomicBool, Ordering};

static ON: AtomicBool = AtomicBool::new(false);
static METERED: AtomicBool = AtomicBool::new(false);

/// Whether power or bytes are to be saved.
#[must_use]
pub fn is_on() -> bool {
    ON.load(Ordering::Relaxed) || METERED.load(Ordering::Relaxed)
}

/// Says that power is to be saved, or is not. True when that is new.
pub fn set(on: bool) -> bool {
    ON.swap(on, Ordering::Relaxed) != on
}

/// Says that bytes are to be saved, or are not. True when that is new.
pub fn set_metered(on: bool) -> bool {
    METERED.swap(on, Ordering::Relaxed) != on
}

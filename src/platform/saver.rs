//! Whether the device saves power at the moment.
//!
//! One word for the whole process, like [`super::clock::sleeps`]: shells read it
//! when they set a timer, state machines are given the pace. Whoever knows of the
//! battery says it with [`set`]; nobody has to be woken for it, every timer is set
//! anew within a minute or two.

use std::sync::atomic::{AtomicBool, Ordering};

static SAVING: AtomicBool = AtomicBool::new(false);

/// Whether timers are to be few.
#[must_use]
pub fn saving() -> bool {
    SAVING.load(Ordering::Relaxed)
}

/// Says whether power is saved from here on. True when that is new.
pub fn set(saving: bool) -> bool {
    SAVING.swap(saving, Ordering::Relaxed) != saving
}

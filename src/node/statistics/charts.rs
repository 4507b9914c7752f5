//! Reads a history. Who may and how often is the cache's
//! ([`crate::cache::Kind::Statistics`]): one at a time of each span, and none twice
//! within half a minute.
//!
//! A year is some milliseconds of reading, which must not hold up the thread that
//! relays: it is done in the pool for blocking work.

use super::history::Steps;
use super::keep::read;
use super::{NodeStats, Span, Statistics};
use crate::rpc::{History, HistorySpan};
use crate::store::{Receipt, Store, StoreError};
use crate::task;
use std::sync::{Mutex, PoisonError};

/// The history of `span` up to `unix`, a time that can be believed.
///
/// # Errors
/// The store's, in words.
pub async fn read_history(
    span: HistorySpan,
    store: &Store,
    statistics: &Mutex<Statistics>,
    unix: u64,
) -> Result<History, String> {
    let begun = {
        let statistics = statistics.lock().unwrap_or_else(PoisonError::into_inner);
        statistics.begun()
    };
    let mut steps = loop {
        let store = store.clone();
        let found = task::unblock(move || fetch(&store, span, unix)).await;
        match found.map_err(|error| error.to_string())? {
            Ok(steps) => break steps,
            // Rows were on their way to the disk.
            Err(leaving) => drop(leaving.await),
        }
    };
    let (step, _) = span.steps();
    for row in &begun {
        // An hour that is not over is in its minutes, where they are shown.
        if row.span.seconds() <= step {
            steps.add(row);
        }
    }
    Ok(steps.finish(Some(begins(span, unix))))
}

/// When the first step begins; the last one has `unix` in it.
fn begins(span: HistorySpan, unix: u64) -> u64 {
    let (step, count) = span.steps();
    let last = unix / step;
    let first = last.saturating_sub(count as u64).saturating_add(1);
    first.saturating_mul(step)
}

/// What the store has of it.
fn fetch(
    store: &Store,
    span: HistorySpan,
    unix: u64,
) -> Result<Result<Steps, Receipt>, StoreError> {
    let (step, count) = span.steps();
    let from = begins(span, unix);
    let to = from.saturating_add(step.saturating_mul(count as u64));
    let mut steps = Steps::new(from, step, count);
    let mut known = to;
    if step < Span::Hour.seconds() {
        let minutes = match read(store, Span::Minute, from, to)? {
            Ok(minutes) => minutes,
            Err(leaving) => return Ok(Err(leaving)),
        };
        known = minutes.first().map_or(to, |row| row.unix);
        minutes.iter().for_each(|row| steps.add(row));
    }
    // Where minutes are kept no longer, hours tell.
    let hour = Span::Hour.seconds();
    match read(store, Span::Hour, from - from % hour, known)? {
        Ok(hours) => {
            let whole = |row: &&NodeStats| step >= hour || row.unix.saturating_add(hour) <= known;
            hours.iter().filter(whole).for_each(|row| steps.add(row));
            Ok(Ok(steps))
        }
        Err(leaving) => Ok(Err(leaving)),
    }
}

//! Who is connected, and who has to go when another comes.
//!
//! A connection that sends its request a byte at a time costs its sender
//! nothing. If such connections could fill the table, they would shut everyone
//! else out; so a full table makes room by ending the connection that has gone
//! longest without getting on. Each has [`GRACE`] before that: else a burst of
//! newcomers would sweep out an honest client before its request is read. Who
//! comes meanwhile waits in the listener's queue, in order. A connection whose
//! request is with the worker is left alone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use smol::Task;

use super::limits::{GRACE, LONG, LONG_STRANGERS};

/// The table of connections.
pub(super) struct Slots {
    table: Mutex<Table>,
    limit: usize,
}

struct Table {
    next: u64,
    rows: Vec<Row>,
    closed: bool,
}

struct Row {
    id: u64,
    /// When it last got on; `None` while its request is being answered.
    waiting_since: Option<Instant>,
    /// An event stream or a WebSocket; not counted among the others, and never ended for one.
    long: bool,
    /// Dropping the task ends the connection.
    task: Option<Task<()>>,
}

/// One connection's place in the table, free again when dropped.
pub(super) struct Slot {
    slots: Arc<Slots>,
    id: u64,
}

impl Slots {
    /// A table for `limit` connections.
    pub fn new(limit: usize) -> Arc<Slots> {
        Arc::new(Slots {
            table: Mutex::new(Table {
                next: 0,
                rows: Vec::new(),
                closed: false,
            }),
            limit,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a new connection. `None` when every other is being answered or still has its
    /// grace, or after [`Slots::close`].
    pub fn claim(self: &Arc<Self>, now: Instant) -> Option<Slot> {
        let mut table = self.lock();
        if table.closed {
            return None;
        }
        let mut evicted = None;
        if table.rows.iter().filter(|row| !row.long).count() >= self.limit {
            let longest = table
                .rows
                .iter()
                .enumerate()
                .filter(|(_, row)| row.task.is_some() && !row.long)
                .filter_map(|(at, row)| row.waiting_since.map(|since| (since, at)))
                .min()
                .filter(|(since, _)| now.saturating_duration_since(*since) >= GRACE)?;
            evicted = Some(table.rows.swap_remove(longest.1));
        }
        let id = table.next;
        table.next += 1;
        table.rows.push(Row {
            id,
            waiting_since: Some(now),
            long: false,
            task: None,
        });
        drop(table);
        // Without the lock: what the task held asks for it.
        drop(evicted);
        Some(Slot {
            slots: self.clone(),
            id,
        })
    }

    /// Says which task serves a place, so that it can be ended.
    pub fn attach(&self, id: u64, task: Task<()>) {
        let mut table = self.lock();
        let row = table.rows.iter_mut().find(|row| row.id == id);
        let over = match row {
            Some(row) => {
                row.task = Some(task);
                None
            }
            // It is over already.
            None => Some(task),
        };
        drop(table);
        if let Some(task) = over {
            task.detach();
        }
    }

    /// Connections that stay long.
    pub fn staying(&self) -> usize {
        self.lock().rows.iter().filter(|row| row.long).count()
    }

    /// Ends all connections and takes no more.
    pub fn close(&self) {
        let mut table = self.lock();
        table.closed = true;
        let rows = std::mem::take(&mut table.rows);
        drop(table);
        drop(rows);
    }
}

impl Slot {
    /// Names the place in [`Slots::attach`].
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The client is awaited from `now` on.
    pub fn waiting(&self, now: Instant) {
        self.set(Some(now));
    }

    /// The client's request is being answered.
    pub fn busy(&self) {
        self.set(None);
    }

    /// Makes it a place of the other kind, for a connection that stays long. `false`: those
    /// are taken; `known` askers have some to themselves.
    pub fn stay(&self, known: bool) -> bool {
        let most = if known { LONG } else { LONG_STRANGERS };
        let mut table = self.slots.lock();
        if table.rows.iter().filter(|row| row.long).count() >= most {
            return false;
        }
        if let Some(row) = table.rows.iter_mut().find(|row| row.id == self.id) {
            row.long = true;
        }
        true
    }

    fn set(&self, waiting_since: Option<Instant>) {
        let mut table = self.slots.lock();
        if let Some(row) = table.rows.iter_mut().find(|row| row.id == self.id) {
            row.waiting_since = waiting_since;
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut table = self.slots.lock();
        let at = table.rows.iter().position(|row| row.id == self.id);
        let row = at.map(|at| table.rows.swap_remove(at));
        drop(table);
        // Dropped by its own task, which is about to end: not to be cancelled now.
        if let Some(task) = row.and_then(|row| row.task) {
            task.detach();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use smol::{future, Executor};
    use std::time::Duration;

    /// Serves a slot until it is cancelled.
    fn occupy(executor: &Executor<'_>, slots: &Arc<Slots>, now: Instant) -> u64 {
        let slot = slots.claim(now).unwrap();
        let id = slot.id();
        let task = executor.spawn(async move {
            let _slot = slot;
            future::pending::<()>().await;
        });
        slots.attach(id, task);
        id
    }

    fn ids(slots: &Slots) -> Vec<u64> {
        let mut ids: Vec<u64> = slots.lock().rows.iter().map(|row| row.id).collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn slow_clients_cannot_shut_others_out() {
        let executor = Executor::new();
        let slots = Slots::new(3);
        let start = Instant::now();
        for n in 0..10 {
            occupy(&executor, &slots, start + Duration::from_secs(n));
            while executor.try_tick() {}
        }
        assert_eq!(ids(&slots), [7, 8, 9]);
    }

    #[test]
    fn a_client_that_is_being_answered_is_left_alone() {
        let executor = Executor::new();
        let slots = Slots::new(2);
        let now = Instant::now();
        let busy = slots.claim(now).unwrap();
        slots.attach(busy.id(), executor.spawn(future::pending()));
        busy.busy();
        let second = occupy(&executor, &slots, now);
        let third = occupy(&executor, &slots, now + GRACE);
        assert_eq!(ids(&slots), [busy.id(), third]);
        assert_ne!(second, third);
        slots
            .lock()
            .rows
            .iter_mut()
            .for_each(|r| r.waiting_since = None);
        assert!(slots.claim(now + GRACE * 2).is_none());
    }

    #[test]
    fn a_burst_of_newcomers_does_not_sweep_out_who_came_just_before() {
        let executor = Executor::new();
        let slots = Slots::new(2);
        let start = Instant::now();
        let first = occupy(&executor, &slots, start);
        let second = occupy(&executor, &slots, start);
        assert!(slots.claim(start + GRACE / 2).is_none());
        assert_eq!(ids(&slots), [first, second]);
    }

    #[test]
    fn those_who_stay_keep_nobody_out_and_are_not_ended() {
        let executor = Executor::new();
        let slots = Slots::new(2);
        let now = Instant::now();
        let staying: Vec<Slot> = (0..LONG)
            .map(|n| {
                let slot = slots.claim(now).unwrap();
                slots.attach(slot.id(), executor.spawn(future::pending()));
                let known = n >= LONG_STRANGERS;
                assert!(slot.stay(known), "{n}");
                slot
            })
            .collect();
        assert_eq!(slots.staying(), LONG);
        for n in 1..10 {
            let other = occupy(&executor, &slots, now + GRACE * n);
            assert!(ids(&slots).contains(&other));
            while executor.try_tick() {}
        }
        assert!(staying.iter().all(|slot| ids(&slots).contains(&slot.id())));
        let late = slots.claim(now + GRACE * 20).unwrap();
        assert!(!late.stay(true));
        drop(staying);
        assert!(late.stay(false));
    }

    #[test]
    fn an_ended_connection_gives_its_place_back() {
        let slots = Slots::new(1);
        drop(slots.claim(Instant::now()).unwrap());
        assert!(ids(&slots).is_empty());
        slots.close();
        assert!(slots.claim(Instant::now()).is_none());
    }
}

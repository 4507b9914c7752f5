//! Records that are kept for others, between the DHT and the store.

use crate::dht::service::Handle;
use crate::dht::{Curve, Kept, KeptRow, Wall};
use crate::identity::Address;
use crate::node::house::House;
use crate::store::{Batch, Record, Store, StoreError, MAX_ROWS};
use crate::task;
use async_io::Timer;
use std::sync::Arc;
use std::time::Instant;

/// Rows that are read and checked in one piece of work: two signatures each, 20 ms
/// on a slow core.
const PIECE: usize = 16;

/// The checks of a start take a third of a core at most: devices come back at the
/// same time.
const REST: u32 = 2;

/// Writes down what is kept for others: in the hour what has changed, lazily; at the
/// end everything.
pub(super) fn save(house: &House, handle: &Handle, ending: bool) {
    let Some(store) = house.store.get() else {
        return;
    };
    let changes = handle.to_save(ending);
    if !ending {
        // A disk that takes nothing has said so; the rows may be lost.
        for key in &changes.gone {
            let _ = store.delete_lazy::<KeptRow>(key);
        }
        for row in &changes.rows {
            let _ = store.put_lazy(row);
        }
        return;
    }
    let mut batch = Batch::new();
    let mut count = 0;
    let full = |batch: &mut Batch, count: &mut usize| {
        *count += 1;
        if count.is_multiple_of(MAX_ROWS) {
            // The store waits for its commits when it is closed.
            drop(store.write(std::mem::take(batch)));
        }
    };
    for key in &changes.gone {
        let _ = batch.delete::<KeptRow>(key);
        full(&mut batch, &mut count);
    }
    for row in &changes.rows {
        let _ = batch.put(row);
        full(&mut batch, &mut count);
    }
    if !count.is_multiple_of(MAX_ROWS) {
        drop(store.write(batch));
    }
}

/// What is known of a piece of rows.
struct Piece {
    /// Those that are sound, and their keys.
    sound: Vec<(Vec<u8>, Kept)>,
    /// Keys of rows that are of no use any more.
    gone: Vec<Vec<u8>>,
    /// Where the next one begins; None: there is none.
    next: Option<Vec<u8>>,
}

/// Takes back what the last run has kept, in pieces with pauses between them, and
/// removes what is over.
pub(super) async fn load(house: Arc<House>, handle: Handle) {
    let Some(store) = house.store.get() else {
        return;
    };
    let written = store.health().written;
    let mut tables = written.tables();
    if !tables.any(|(table, rows)| table == KeptRow::TABLE && rows > 0) {
        // Mostly: and a thread for the work would cost memory.
        return;
    }
    let (mut kept, mut lost) = (0u64, 0u64);
    let mut from = Vec::new();
    loop {
        let began = Instant::now();
        let (store_too, own, wall) = (store.clone(), house.node, handle.wall());
        let piece = task::unblock(move || read(&store_too, &from, &own, wall)).await;
        let piece = match piece {
            Ok(piece) => piece,
            Err(e) => return log::warn!("records kept for others cannot be read: {e}"),
        };
        let mut gone = piece.gone;
        let (keys, sound): (Vec<_>, Vec<_>) = piece.sound.into_iter().unzip();
        for (key, taken) in keys.into_iter().zip(handle.restore(sound)) {
            kept += u64::from(taken);
            if !taken {
                gone.push(key);
            }
        }
        lost += gone.len() as u64;
        for key in gone {
            let _ = store.delete_lazy::<KeptRow>(&key);
        }
        match piece.next {
            Some(next) => from = next,
            None => break,
        }
        Timer::after(began.elapsed() * REST).await;
    }
    if kept + lost > 0 {
        log::info!("{kept} records kept for others were found in the store, {lost} are over");
    }
    if let Err(e) = consume(&store).await {
        log::warn!("presences in the store cannot be removed: {e}");
    }
}

fn read(store: &Store, from: &[u8], own: &Address, wall: Wall) -> Result<Piece, StoreError> {
    // One more: where the next piece begins.
    let mut rows = store.scan_between::<KeptRow>(from, &[0xff], PIECE + 1)?;
    let next = if rows.len() > PIECE {
        rows.pop().map(|row| row.key())
    } else {
        None
    };
    let mut piece = Piece {
        sound: Vec::new(),
        gone: Vec::new(),
        next,
    };
    for row in rows {
        let (key, passing) = (row.key(), row.is_passing());
        match row.check(own, wall, &Curve) {
            Ok(kept) => piece.sound.push((key, kept)),
            // Removed with the others of its kind.
            Err(_) if passing => {}
            Err(refusal) => {
                log::debug!("a record in the store is not kept any more: {refusal}");
                piece.gone.push(key);
            }
        }
    }
    Ok(piece)
}

/// Removes the rows of presences: within the hour all of them say something old.
/// They lie side by side, so it costs few pages.
async fn consume(store: &Store) -> Result<(), StoreError> {
    loop {
        let (first, last) = KeptRow::PASSING;
        let rows = store.scan_between::<KeptRow>(&first, &last, MAX_ROWS)?;
        if rows.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::new();
        for row in rows {
            batch.delete::<KeptRow>(&row.key())?;
        }
        store.write(batch).await?;
    }
}

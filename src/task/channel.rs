//! Channels between tasks, all of one shape.
//!
//! A channel of `async-channel` is 3 KB of code for each type that goes through it.
//! Here the items lie in a list of their own and a channel of `()` counts them: who
//! has taken one out of the channel takes one off the list.

use smol::channel::{self, RecvError, TryRecvError};
use smol::stream::Stream;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

pub use smol::channel::TrySendError;

type Items<T> = Arc<Mutex<VecDeque<T>>>;

fn lock<T>(items: &Items<T>) -> MutexGuard<'_, VecDeque<T>> {
    items.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A channel for at most `most` items.
#[must_use]
pub fn bounded<T>(most: usize) -> (Sender<T>, Receiver<T>) {
    join(channel::bounded(most))
}

/// A channel that is never full: what goes through it must be bounded otherwise.
#[must_use]
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    join(channel::unbounded())
}

fn join<T>(count: (channel::Sender<()>, channel::Receiver<()>)) -> (Sender<T>, Receiver<T>) {
    let items = Items::<T>::default();
    let sender = Sender {
        items: items.clone(),
        count: count.0,
    };
    let count = Box::pin(count.1);
    (sender, Receiver { items, count })
}

/// The end that puts in. With the last of them the channel closes.
#[derive(Debug)]
pub struct Sender<T> {
    items: Items<T>,
    count: channel::Sender<()>,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        Sender {
            items: self.items.clone(),
            count: self.count.clone(),
        }
    }
}

impl<T> Sender<T> {
    /// Puts `item` in, if there is room.
    ///
    /// # Errors
    /// The channel is full or closed: the item comes back.
    pub fn try_send(&self, item: T) -> Result<(), TrySendError<T>> {
        // Whoever gets the count waits for the lock until the item is there, too.
        let mut items = lock(&self.items);
        match self.count.try_send(()) {
            Ok(()) => {
                items.push_back(item);
                Ok(())
            }
            Err(TrySendError::Full(())) => Err(TrySendError::Full(item)),
            Err(TrySendError::Closed(())) => Err(TrySendError::Closed(item)),
        }
    }

    /// Whether nobody takes anything out any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.count.is_closed()
    }

    /// Closes the channel for all: what is in it can still be taken out.
    pub fn close(&self) {
        self.count.close();
    }
}

/// The end that takes out. With the last of them the channel closes.
#[derive(Debug)]
pub struct Receiver<T> {
    items: Items<T>,
    count: Pin<Box<channel::Receiver<()>>>,
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        Receiver {
            items: self.items.clone(),
            count: Box::pin((*self.count).clone()),
        }
    }
}

impl<T> Receiver<T> {
    /// Waits for the next item.
    ///
    /// # Errors
    /// The channel is closed and empty.
    pub async fn recv(&self) -> Result<T, RecvError> {
        self.count.recv().await?;
        self.take()
    }

    /// The next item, if there is one.
    ///
    /// # Errors
    /// The channel is empty, or closed and empty.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.count.try_recv()?;
        self.take().map_err(|_| TryRecvError::Closed)
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count.is_empty()
    }

    fn take(&self) -> Result<T, RecvError> {
        lock(&self.items).pop_front().ok_or(RecvError)
    }

    /// As of a stream, for what is polled by hand.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let count = self.count.as_mut().poll_next(cx);
        count.map(|one| one.and_then(|()| self.take().ok()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use smol::future::{block_on, poll_fn};

    #[test]
    fn items_come_out_in_their_order_and_none_is_lost() {
        let (sender, mut receiver) = bounded(3);
        let thread = std::thread::spawn(move || {
            for n in 0..10_000 {
                let mut item = n;
                while let Err(TrySendError::Full(back)) = sender.try_send(item) {
                    item = back;
                    std::thread::yield_now();
                }
            }
        });
        for n in 0..5_000 {
            assert_eq!(block_on(receiver.recv()), Ok(n));
        }
        for n in 5_000..10_000 {
            assert_eq!(block_on(poll_fn(|cx| receiver.poll_next(cx))), Some(n));
        }
        assert!(block_on(receiver.recv()).is_err());
        assert_eq!(block_on(poll_fn(|cx| receiver.poll_next(cx))), None);
        thread.join().unwrap();
    }

    #[test]
    fn a_full_channel_and_one_without_receivers_give_the_item_back() {
        let (sender, receiver) = bounded(1);
        sender.try_send("first").unwrap();
        assert_eq!(sender.try_send("second"), Err(TrySendError::Full("second")));
        let other = receiver.clone();
        drop(receiver);
        assert_eq!(other.try_recv(), Ok("first"));
        sender.try_send("third").unwrap();
        drop(other);
        assert_eq!(
            sender.try_send("fourth"),
            Err(TrySendError::Closed("fourth"))
        );
    }

    #[test]
    fn what_is_in_a_closed_channel_can_still_be_taken_out() {
        let (sender, receiver) = unbounded();
        sender.try_send(1).unwrap();
        sender.clone().close();
        assert_eq!(sender.try_send(2), Err(TrySendError::Closed(2)));
        assert_eq!(block_on(receiver.recv()), Ok(1));
        assert!(block_on(receiver.recv()).is_err());
    }
}

//! The promise of a durable row.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::StoreError;

/// Resolves to `Ok` once the rows that it stands for are on the disk (LMDB's
/// synced commit has returned), or to the error that kept them from it. All
/// clones resolve together. Dropping it changes nothing for the rows.
#[derive(Clone, Debug, Default)]
#[must_use = "whether the row was stored is known only here"]
pub struct Receipt(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    result: Option<Result<(), StoreError>>,
    wakers: Vec<Waker>,
}

impl Receipt {
    /// One that nothing has resolved yet. Give it to [`super::Batch::resolving`]:
    /// a receipt that no batch carries stays pending for ever.
    pub fn new() -> Receipt {
        Receipt::default()
    }

    /// One that is resolved already.
    pub(super) fn resolved(result: Result<(), StoreError>) -> Receipt {
        let receipt = Receipt::new();
        receipt.resolve(result);
        receipt
    }

    /// The outcome, if it is known by now.
    #[must_use]
    pub fn outcome(&self) -> Option<Result<(), StoreError>> {
        self.state().result.clone()
    }

    /// Sets the outcome, once, and wakes everybody who waits.
    pub(super) fn resolve(&self, result: Result<(), StoreError>) {
        let wakers = {
            let mut state = self.state();
            if state.result.is_some() {
                return;
            }
            state.result = Some(result);
            std::mem::take(&mut state.wakers)
        };
        for waker in wakers {
            waker.wake();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Future for Receipt {
    type Output = Result<(), StoreError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.state();
        if let Some(result) = &state.result {
            return Poll::Ready(result.clone());
        }
        if !state.wakers.iter().any(|w| w.will_wake(context.waker())) {
            state.wakers.push(context.waker().clone());
        }
        Poll::Pending
    }
}

//! One transaction, whatever it takes: a larger map, or the environment opened
//! again.

use super::batch::Batch;
use super::env::{CommitError, Environment};
use super::tables::Transaction;
use super::StoreError;

/// Commits all of them in one transaction.
pub(super) fn commit(env: &Environment, batches: &[Batch]) -> Result<(), StoreError> {
    transact(env, &mut |txn| {
        for change in batches.iter().flat_map(|batch| &batch.changes) {
            match &change.value {
                Some(value) => txn.put(change.table, &change.key, value)?,
                None => txn.delete(change.table, &change.key)?,
            }
        }
        Ok(())
    })
}

/// Commits what `job` does, in a larger map if it takes one: then it is called
/// again.
pub(super) fn transact(
    env: &Environment,
    job: &mut dyn FnMut(&mut Transaction<'_>) -> heed::Result<()>,
) -> Result<(), StoreError> {
    let mut reopened = false;
    loop {
        match env.write(job) {
            Ok(()) => return Ok(()),
            // Ends: each turn doubles the map, up to its limit.
            Err(CommitError::MapFull) => env.grow()?,
            Err(CommitError::Unusable(error)) => {
                if std::mem::replace(&mut reopened, true) {
                    return Err(error);
                }
                env.reopen()?;
            }
            Err(CommitError::Failed(error)) => {
                if let Err(error) = env.recover() {
                    log::error!("store: it cannot be opened again: {error}");
                }
                return Err(error);
            }
        }
    }
}

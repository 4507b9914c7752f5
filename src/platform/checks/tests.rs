//! What the tests of all checks use, and those of how checks are run.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use super::*;
use std::sync::mpsc::channel;

pub(super) use crate::platform::testing::device;

/// The one line that a check has.
pub(super) fn only(mut found: Vec<Finding>) -> Finding {
    assert_eq!(found.len(), 1, "{found:#?}");
    let found = found.remove(0);
    assert_eq!(
        found.state == State::Ok,
        found.remedy.is_empty(),
        "{found:?}"
    );
    assert!(!found.found.is_empty(), "{found:?}");
    found
}

fn job(check: &'static str, work: impl FnOnce() -> Vec<Finding> + Send + 'static) -> Job {
    Job {
        check,
        late: (State::Failure, "look at the disk"),
        work: Box::new(work),
    }
}

fn fine(check: &'static str) -> Vec<Finding> {
    let mut report = Report::new(check);
    report.fact(&"fine");
    report.done()
}

#[test]
fn a_check_that_hangs_or_breaks_holds_up_no_other_and_is_told() {
    let (hold, held) = channel::<()>();
    let begun = Instant::now();
    let found = run(
        vec![
            job("hangs", move || {
                let _ = held.recv();
                fine("hangs")
            }),
            job("second", || fine("second")),
        ],
        Duration::from_secs(1),
    );
    assert!(begun.elapsed() < Duration::from_secs(5));
    drop(hold);
    let told: Vec<_> = found.iter().map(|f| (f.check, f.state)).collect();
    assert_eq!(told, [("hangs", State::Failure), ("second", State::Ok)]);
    assert_eq!(found[0].remedy, "look at the disk");
    // A panic ends its check alone, and is not waited for.
    let begun = Instant::now();
    let found = run(
        vec![
            job("breaks", || panic!("a defect")),
            job("second", || fine("second")),
        ],
        Duration::from_secs(60),
    );
    assert!(begun.elapsed() < Duration::from_secs(30));
    assert_eq!(
        (found[0].state, found[1].state),
        (State::Failure, State::Ok)
    );
}

#[test]
fn sizes_are_told_in_a_unit_that_people_compare() {
    let told = [0, 4096, 5 << 20, 3 << 30, 40 << 30].map(size);
    assert_eq!(told, ["0 KB", "4 KB", "5 MB", "3072 MB", "40 GB"]);
}

//! The threads of a program: what they return, and what happens to the tasks
//! when they are replaced. One crew at a time: it belongs to the whole process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use chr_node::platform::{crew, memory};
use smol::{Executor, Timer};
use std::collections::HashSet;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
const SOON: Duration = Duration::from_secs(30);

/// Runs `work` on a crew of so many threads.
fn on_crew<T: Send + 'static, F>(
    threads: usize,
    work: impl FnOnce(Arc<Executor<'static>>) -> F,
) -> T
where
    F: std::future::Future<Output = T> + Send + 'static,
{
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let executor = Arc::new(Executor::new());
    crew::run(&executor, threads, work(executor.clone())).expect("a result")
}

#[test]
fn what_the_program_found_comes_back_from_any_number_of_threads() {
    for threads in 0..4 {
        let sum = on_crew(threads, |executor| async move {
            let tasks: Vec<_> = (0..100).map(|n| executor.spawn(async move { n })).collect();
            let mut sum = 0;
            for task in tasks {
                sum += task.await;
            }
            sum
        });
        assert_eq!(sum, 4950);
    }
}

#[test]
fn tasks_go_on_where_threads_were_replaced_and_the_job_is_done() {
    on_crew(2, |executor| async move {
        let done = Arc::new(AtomicBool::new(false));
        let seen = executor.spawn(async { thread::current().id() }).await;
        let ticking = executor.spawn(async {
            loop {
                Timer::after(Duration::from_millis(1)).await;
            }
        });
        let end = Instant::now() + SOON;
        let job = done.clone();
        memory::give_back(move || job.store(true, Ordering::Relaxed));
        while !done.load(Ordering::Relaxed) || thread::current().id() == seen {
            assert!(Instant::now() < end, "the threads stay");
            Timer::after(Duration::from_millis(1)).await;
        }
        assert!(!ticking.is_finished());
    });
}

/// So many tasks that are always busy; the threads on which they were seen, once
/// those are `enough` or time is up.
fn threads_of(sessions: usize, enough: usize, time: Duration) -> HashSet<ThreadId> {
    on_crew(2, |executor| async move {
        let seen: Arc<Mutex<HashSet<ThreadId>>> = Arc::default();
        let tasks: Vec<_> = (0..sessions)
            .map(|_| {
                let seen = seen.clone();
                executor.spawn(async move {
                    let mut round = 0;
                    loop {
                        crew::count_busy(&mut round);
                        seen.lock().unwrap().insert(thread::current().id());
                        let begun = Instant::now();
                        while begun.elapsed() < Duration::from_micros(100) {}
                        smol::future::yield_now().await;
                    }
                })
            })
            .collect();
        let end = Instant::now() + time;
        while Instant::now() < end && seen.lock().unwrap().len() < enough {
            Timer::after(Duration::from_millis(5)).await;
        }
        drop(tasks);
        let seen = seen.lock().unwrap().clone();
        seen
    })
}

#[test]
fn many_busy_sessions_do_not_wait_for_one_thread() {
    assert_eq!(threads_of(8, 2, SOON).len(), 2);
}

#[test]
fn the_two_sessions_of_a_stream_stay_on_one_thread() {
    let seen = threads_of(2, 2, Duration::from_millis(300));
    assert_eq!(seen.len(), 1, "{seen:?}");
}

#[test]
fn a_panic_on_a_thread_ends_the_program_and_does_not_hang_it() {
    let ended = catch_unwind(AssertUnwindSafe(|| {
        on_crew(1, |executor| async move {
            let lost = executor.spawn(async { panic!("on purpose") });
            lost.await
        })
    }));
    assert!(ended.is_err());
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn small_pieces_that_a_thread_keeps_do_not_hold_their_pages() {
    on_crew(1, |_| async {
        memory::prepare();
        // Sixty sizes, seven pieces of each, every one on a page of its own.
        let mut pieces = Vec::new();
        let mut between = Vec::new();
        for round in 0..7 {
            for size in (40..1000).step_by(16) {
                pieces.push(vec![round; size]);
                between.push(vec![round; 12 << 10]);
            }
        }
        let full = memory::resident().unwrap();
        drop((pieces, between));
        memory::give_back(|| ());
        let end = Instant::now() + SOON;
        while memory::resident().unwrap() + (4 << 20) > full {
            let now = memory::resident().unwrap();
            assert!(Instant::now() < end, "{full} bytes before, {now} after");
            Timer::after(Duration::from_millis(10)).await;
        }
    });
}

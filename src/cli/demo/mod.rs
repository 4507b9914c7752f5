//! `chr-node demo`: a node and two devices in one process, over real sockets and
//! TLS on loopback, with a download through all of them.
//!
//! | file | what |
//! | --- | --- |
//! | [`network`] | the node and the two devices |
//! | [`http`] | the web server that is published, and who downloads from it |
//! | [`report`] | what is said about it: one screen, or one JSON object |
//!
//! Every party is the library's own, as `run`, `publish` and `forward` use it.
//! Ports are any free ones, keys live for this run only, and nothing is written
//! to a disk.

pub mod http;
pub mod network;
pub mod report;

use super::args::DemoArgs;
use super::{enough_files, logging, print, Failure};
use crate::config::{self, value::Levels};
use crate::platform::memory;
use crate::platform::signals::Signals;
use crate::task;
use async_io::Timer;
use http::{Client, WebServer};
use log::LevelFilter;
use network::Network;
use report::{Measured, Parties};
use smol::{future, Executor};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What is downloaded when nobody says how much, in bytes: a PC takes a third of
/// a second, a small board some ten.
pub const SIZE: u64 = 64 << 20;
/// Less would measure nothing but the beginning.
pub const SIZE_MIN: u64 = 1 << 20;
/// A demonstration, not a burn-in: minutes on a small board.
pub const SIZE_MAX: u64 = 4 << 30;

/// Small pages that are fetched one after the other: enough for a median, a
/// second on a small board.
const PAGES: usize = 200;

/// Files and sockets that all parties have open at once: 23, and some to spare.
const FILES: u64 = 32;

/// Nothing here waits for anything but this machine, so no step may take longer
/// without getting on than twice this: a board that swaps still manages.
const PATIENCE: Duration = Duration::from_secs(15);

/// Runs the demonstration.
///
/// # Errors
/// What did not work, and where; also being stopped before the end.
pub fn execute(args: &DemoArgs) -> Result<(), Failure> {
    // Not warnings: that a node of this kind keeps no tickets is known.
    let log = config::Log {
        level: Levels::all(LevelFilter::Error),
        ..config::Log::default()
    };
    logging::start(&log, args.verbosity);
    enough_files("demo", FILES)?;
    let executor = Arc::new(Executor::new());
    let shown = task::run(&executor, show(*args, executor.clone())).unwrap_or(Ok(()));
    shown.map_err(|e| Failure::Failed(format!("demo: {e}")))
}

async fn show(args: DemoArgs, executor: Arc<Executor<'static>>) -> Result<(), String> {
    let mut signals = Signals::catch_stops().map_err(|e| format!("cannot catch signals: {e}"))?;
    let progress = Progress::default();
    let stopped = async {
        Err(match signals.next().await {
            Ok(signal) => format!("stopped by {signal}"),
            Err(e) => format!("signals cannot be heard any more: {e}"),
        })
    };
    let played = future::or(play(args, &progress, &executor), progress.stuck());
    let played = async {
        played
            .await
            .map_err(|e| format!("{}: {e}", progress.step()))
    };
    future::or(stopped, played).await
}

/// Which step the demonstration is at: it says where an error was met, and
/// whether anything gets on.
#[derive(Default)]
pub struct Progress(Mutex<(&'static str, u64)>);

impl Progress {
    /// A step begins, or gets on.
    fn at(&self, step: &'static str) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *now = (step, now.1.wrapping_add(1));
    }

    fn now(&self) -> (&'static str, u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn step(&self) -> &'static str {
        self.now().0
    }

    /// Resolves when nothing gets on any more.
    async fn stuck(&self) -> Result<(), String> {
        loop {
            let before = self.now();
            Timer::after(PATIENCE).await;
            if self.now() == before {
                return Err(format!("nothing came within {PATIENCE:?}"));
            }
        }
    }
}

async fn play(
    args: DemoArgs,
    progress: &Progress,
    executor: &Arc<Executor<'static>>,
) -> Result<(), String> {
    let begun = Instant::now();
    progress.at("the web server");
    let web = WebServer::start(args.size, executor).map_err(|e| e.to_string())?;
    let mut network = Network::start(web.place(), progress, executor).await?;
    let parties = network.parties(web.place());
    say(&args, || report::who_is_who(&parties))?;
    let measured = network
        .serving(measure(&args, &parties, &web, progress))
        .await?;
    progress.at("the accounts");
    let measured = Measured {
        paid: network.paid(args.size).await?,
        memory: memory::resident(),
        took: begun.elapsed(),
        ..measured
    };
    if args.json {
        print(&report::json(&parties, &measured)).map_err(|e| e.to_string())?;
    }
    say(&args, || report::results(&measured))?;
    progress.at("the end");
    network.stop().await;
    Ok(())
}

/// For people, at once: on a small board the download takes a while.
fn say(args: &DemoArgs, text: impl FnOnce() -> String) -> Result<(), String> {
    if args.json {
        return Ok(());
    }
    print(&text()).map_err(|e| e.to_string())
}

/// Everything that the client does.
async fn measure(
    args: &DemoArgs,
    parties: &Parties,
    web: &WebServer,
    progress: &Progress,
) -> Result<Measured, String> {
    progress.at("the first page");
    let first = Instant::now();
    let mut client = Client::connect(parties.listen).await?;
    client.page().await?;
    let first = first.elapsed();
    // Kept in order: two hundred are few.
    let mut times = Vec::with_capacity(PAGES);
    for _ in 0..PAGES {
        progress.at("a page");
        let begun = Instant::now();
        client.page().await?;
        let took = begun.elapsed();
        times.insert(times.partition_point(|other| *other < took), took);
    }
    progress.at("the download");
    let begun = Instant::now();
    let mut rest = client.download(web.content()).await?;
    if rest.length() != args.size {
        let length = rest.length();
        return Err(format!("it has {length} bytes, not {}", args.size));
    }
    while rest.left() > 0 {
        rest.read_some().await?;
        progress.at("the download");
    }
    Ok(Measured {
        bytes: args.size,
        download: begun.elapsed(),
        first,
        page: times.get(times.len() / 2).copied().unwrap_or_default(),
        pages: times.len(),
        ..Measured::default()
    })
}

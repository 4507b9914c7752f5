//! `chr-node status`: a running node at a glance, drawn anew each second in a
//! terminal, else printed once.
//!
//! | file | what |
//! | --- | --- |
//! | `page.rs` | what is shown, from the answer of `node_status` |
//! | `frame.rs` | a page made fit for a screen of some size |
//! | `spark.rs` | a row of numbers as a row of bars |
//! | `terminal.rs` | the terminal: taken, drawn on, given back |

mod frame;
mod page;
mod spark;
mod terminal;

use super::args::RpcArgs;
use super::rpc::Endpoint;
use super::{print, Failure};
use crate::parts::LIVE_STATUS;
use crate::platform::signals::Signals;
use crate::task;
use frame::Words;
use page::{page, Pace};
use serde_json::Value;
use smol::future;
use std::future::Future;
use std::io::{self, IsTerminal, Write};
use std::pin::Pin;
use std::time::{Duration, Instant};
use terminal::{Key, Terminal};

/// The method that tells all of it.
const METHOD: &str = "node_status";
/// How often the node is asked.
const EVERY: Duration = Duration::from_secs(1);
/// Rows of a list where there is no end of the screen.
const ALL: usize = usize::MAX;

/// Asks the node and shows it.
///
/// # Errors
/// No node is there, it does not answer, or the terminal cannot be used.
pub fn execute(args: &RpcArgs) -> Result<(), Failure> {
    let endpoint = Endpoint::find(args, std::env::vars_os())?;
    // What keeps it from being shown at all is told before the screen is taken.
    let first = endpoint.call(METHOD)?;
    if args.json {
        return print(&format!("{first}\n"));
    }
    let words = Words::of_environment(|name| std::env::var(name).ok());
    let mut pace = Pace::default();
    pace.look(&first);
    let terminal = !args.once && io::stdout().is_terminal();
    if !terminal || !LIVE_STATUS.built {
        if terminal {
            // Nobody is left to tell when standard error is gone.
            let _ = writeln!(io::stderr(), "{}", LIVE_STATUS.absent);
        }
        let lines = page(&first, &pace, ALL);
        let text: Vec<String> = lines.iter().map(|line| words.plain(&line.text)).collect();
        return print(&(text.join("\n") + "\n"));
    }
    let broken = |e: io::Error| Failure::Failed(format!("the terminal: {e}; try --once"));
    let signals = Signals::catch_stops().map_err(broken)?;
    let terminal = Terminal::take().map_err(broken)?;
    let shown = Live {
        endpoint,
        words,
        pace,
        latest: first,
        trouble: None,
        asked: Instant::now(),
        asking: None,
    };
    smol::block_on(shown.run(terminal, signals)).map_err(broken)
}

/// An answer on its way.
type Asking = Pin<Box<dyn Future<Output = Result<Value, Failure>>>>;

/// What is on the screen.
struct Live {
    endpoint: Endpoint,
    words: Words,
    pace: Pace,
    latest: Value,
    /// Why there is nothing newer.
    trouble: Option<String>,
    asked: Instant,
    asking: Option<Asking>,
}

impl Live {
    /// Until somebody has seen enough.
    async fn run(mut self, mut terminal: Terminal, mut signals: Signals) -> io::Result<()> {
        let mut drawn = None;
        let mut fresh = true;
        loop {
            let size = terminal.size();
            if fresh || drawn != Some(size) {
                let draw = |most| page(&self.latest, &self.pace, most);
                let trouble = self.trouble.as_deref();
                let frame = self.words.frame(&draw, trouble, size);
                terminal.draw(&frame)?;
                drawn = Some(size);
            }
            // A fifth of a second at most: the tick of all of this.
            if terminal.key()? == Some(Key::Quit) {
                return Ok(());
            }
            if future::poll_once(signals.next()).await.is_some() {
                return Ok(());
            }
            fresh = self.ask().await;
        }
    }

    /// Asks the node when it is time; whether there is something new to show. The
    /// answer is awaited elsewhere, so that keys are heard meanwhile.
    async fn ask(&mut self) -> bool {
        if self.asking.is_none() && self.asked.elapsed() >= EVERY {
            self.asked = Instant::now();
            let endpoint = self.endpoint.clone();
            self.asking = Some(Box::pin(task::unblock(move || endpoint.call(METHOD))));
        }
        let Some(asking) = &mut self.asking else {
            return false;
        };
        let Some(answer) = future::poll_once(asking).await else {
            return false;
        };
        self.asking = None;
        match answer {
            Ok(status) => {
                self.pace.look(&status);
                self.latest = status;
                self.trouble = None;
            }
            Err(failure) => self.trouble = Some(failure.to_string()),
        }
        true
    }
}

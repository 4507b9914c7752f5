//! Our DHT beside BitTorrent's, in one go: 100 nodes each in this process, over UDP on
//! this machine. `scripts/bench mainline` runs it; docs/simulation.md has the results.
//!
//! Theirs is the crate `mainline` with its own Testnet: a thread a node, tables
//! full from the start, values signed by nobody. Ours is the service of the
//! program: real keys, so that every packet is signed and checked, cookies, and
//! all nodes on one thread. Values are 200 bytes, found by their hash, put one
//! after the other and then got one after the other by nodes chosen by chance.
//! Exits 1 if ours misses a target; `--keys` prints lines for benches/figures instead.

mod figures;
mod ours;
mod theirs;

use std::process::ExitCode;

fn main() -> ExitCode {
    let keys = std::env::args().any(|arg| arg == "--keys");
    match run(keys) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("mainline-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(keys: bool) -> std::io::Result<bool> {
    // One network at a time: neither pays for the other's upkeep.
    let theirs = figures::measure(&mut theirs::Theirs::new()?);
    let ours = figures::measure(&mut ours::Ours::new()?);
    if keys {
        ours.say("dht");
        theirs.say("mainline");
        return Ok(true);
    }
    Ok(figures::print(&ours, &theirs))
}

//! `chr-node doctor`: what is wrong with this device, and the remedy.
//!
//! The checks are those of [`crate::platform::checks`], and here those that need the
//! settings, the store, the identity or the running node:
//!
//! | file | what |
//! | --- | --- |
//! | `plan.rs` | the settings, and which checks come of them |
//! | `node.rs` | the node that runs with them, and what it knows |
//! | `kept.rs` | what is kept: identity and store |
//! | `apart.rs` | a process of its own, which may stay behind |
//! | `start.rs` | those that are cheap enough for each start of a node |
//!
//! Everything that may hang has a deadline; what is late is a finding, too.

mod apart;
mod kept;
mod node;
mod plan;
mod start;

pub use start::at_start;

use super::args::DoctorArgs;
use super::{print, Failure};
use crate::identity::KeyFileError;
use crate::platform::checks::{self, Finding, State};
use crate::sorted::object;
use crate::store::StoreError;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// How long the settings may take to be read.
const SETTINGS: Duration = Duration::from_secs(2);
/// How long a running node may take to be found, and then to answer: it is on this
/// machine.
const NODE: Duration = Duration::from_millis(1500);
/// How long the checks may take: a name server's first answer, a slow card's sync.
const CHECKS: Duration = Duration::from_secs(3);

/// What is printed, and how many checks have failed.
type Told = Result<(String, usize), Failure>;

/// Looks at the device and prints a line a check.
///
/// # Errors
/// Something has failed, or the command line is wrong.
pub fn execute(args: &DoctorArgs) -> Result<(), Failure> {
    if apart::is_asked() {
        return apart::answer(look(args));
    }
    let (text, failed) = apart::ask().unwrap_or_else(|| look(args))?;
    print(&text)?;
    verdict(failed)
}

fn look(args: &DoctorArgs) -> Told {
    let begun = Instant::now();
    let settings = args.settings.clone();
    let planned = checks::within(SETTINGS, move || plan::read(&settings, std::env::vars_os()));
    let Some(planned) = planned else {
        return Err(Failure::Failed(
            "doctor: the settings cannot be read: their disk does not answer; look at it, or name another --config FILE".to_owned(),
        ));
    };
    let plan::Plan {
        loaded,
        mut findings,
    } = planned?;
    let around = node::find(&loaded.settings, NODE);
    findings.extend(checks::run(plan::jobs(&loaded, &around), CHECKS));
    let text = if args.json {
        lines_of_json(&findings, begun)
    } else {
        lines(&findings, begun)
    };
    Ok((text, count(&findings, State::Failure)))
}

fn verdict(failed: usize) -> Result<(), Failure> {
    match failed {
        0 => Ok(()),
        1 => Err(Failure::Failed("doctor: 1 check has failed".to_owned())),
        failed => Err(Failure::Failed(format!(
            "doctor: {failed} checks have failed"
        ))),
    }
}

fn count(findings: &[Finding], state: State) -> usize {
    findings.iter().filter(|f| f.state == state).count()
}

/// A line a finding, and one that counts.
fn lines(findings: &[Finding], begun: Instant) -> String {
    let mut text = String::new();
    for finding in findings {
        let state = finding.state.name();
        // Writing to a String cannot fail.
        let _ = write!(text, "{state:<7}  {:<10}  ", finding.check);
        text.push_str(&super::told::clean(&finding.found));
        if !finding.remedy.is_empty() {
            text.push_str(" -> ");
            text.push_str(&super::told::clean(&finding.remedy));
        }
        text.push('\n');
    }
    let [ok, warnings, failures] = counts(findings);
    let _ = writeln!(
        text,
        "{ok} ok, {warnings} warning{}, {failures} failure{}, in {} ms",
        if warnings == 1 { "" } else { "s" },
        if failures == 1 { "" } else { "s" },
        begun.elapsed().as_millis()
    );
    text
}

fn counts(findings: &[Finding]) -> [usize; 3] {
    [State::Ok, State::Warning, State::Failure].map(|state| count(findings, state))
}

fn lines_of_json(findings: &[Finding], begun: Instant) -> String {
    let mut text = String::new();
    for finding in findings {
        let line = object(&mut [
            ("name", finding.check.into()),
            ("state", finding.state.name().into()),
            ("found", finding.found.as_str().into()),
            (
                "remedy",
                Some(finding.remedy.as_str())
                    .filter(|r| !r.is_empty())
                    .into(),
            ),
        ]);
        let _ = writeln!(text, "{line}");
    }
    let [ok, warnings, failures] = counts(findings);
    let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let line = object(&mut [
        ("summary", true.into()),
        ("ok", ok.into()),
        ("warnings", warnings.into()),
        ("failures", failures.into()),
        ("milliseconds", millis.into()),
    ]);
    let _ = writeln!(text, "{line}");
    text
}

/// The two halves of an error's text: what is wrong, and what to do.
fn halves(text: &str) -> (String, String) {
    let (found, remedy) = text.split_once(": ").unwrap_or((text, ""));
    (found.to_owned(), remedy.to_owned())
}

/// What is said where only the system's own words are known.
const LOOK: &str = "look at the disk and its mount (`mount`, `dmesg`), or choose another storage.data_dir (--data-dir)";

/// The same of an error of the store.
fn of_store(error: &StoreError) -> (String, String) {
    match error {
        StoreError::Io { .. } => (error.to_string(), LOOK.to_owned()),
        known => halves(&known.to_string()),
    }
}

/// The same of an error of the key file.
fn of_key(error: &KeyFileError) -> (String, String) {
    let text = error.to_string();
    let KeyFileError::Io { source, .. } = error else {
        return halves(&text);
    };
    // The system's words stand before the remedy, if there is one.
    let words = source.to_string();
    match text.split_once(&format!("{words}: ")) {
        Some((found, remedy)) => (format!("{found}{words}"), remedy.to_owned()),
        None => (text, LOOK.to_owned()),
    }
}

#[cfg(test)]
mod tests;

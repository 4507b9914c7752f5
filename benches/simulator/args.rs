//! The command line.

use super::model::churn::Sessions;
use super::model::scenarios::{Options, Scenario, ALL};
use chr_node::dht::choice::Prefer;
use lexopt::{Arg, Parser, ValueExt};
use std::ffi::OsString;
use std::fmt::Write;

/// What is wanted.
pub enum Command {
    Help,
    Run(Run),
}

/// A scenario with its settings.
pub struct Run {
    pub scenario: &'static Scenario,
    pub options: Options,
    pub json: bool,
    count: u64,
}

impl Run {
    pub fn seeds(&self) -> impl Iterator<Item = u64> {
        self.options.seed..self.options.seed + self.count
    }
}

pub fn read(args: impl Iterator<Item = OsString>) -> Result<Command, lexopt::Error> {
    let mut parser = Parser::from_args(args);
    let mut scenario = None;
    let mut options = Options {
        seed: 1,
        ..Options::default()
    };
    let (mut json, mut count) = (false, 1);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Help),
            Arg::Long("json") => json = true,
            Arg::Long("seed") => options.seed = parser.value()?.parse()?,
            Arg::Long("seeds") => count = parser.value()?.parse()?,
            Arg::Long("nodes") => options.nodes = Some(positive(&mut parser)?),
            Arg::Long("devices") => options.devices = Some(positive(&mut parser)?),
            Arg::Long("lookups") => options.lookups = Some(positive(&mut parser)?),
            Arg::Long("minutes") => options.minutes = Some(parser.value()?.parse()?),
            Arg::Long("nat") => options.nat = Some(percent(&mut parser)?),
            Arg::Long("loss") => options.loss = Some(percent(&mut parser)?),
            Arg::Long("liars") => options.liars = Some(percent(&mut parser)?),
            Arg::Long("sessions") => {
                let name = parser.value()?.string()?;
                options.sessions = Some(match name.as_str() {
                    "exponential" => Sessions::Exponential,
                    "weibull" => Sessions::Weibull,
                    _ => return Err("--sessions is exponential or weibull".into()),
                });
            }
            Arg::Long("prefer") => {
                let name = parser.value()?.string()?;
                options.prefer = match name.as_str() {
                    "random" => Prefer::Random,
                    "nearest" => Prefer::Nearest,
                    _ => return Err("--prefer is random or nearest".into()),
                };
            }
            Arg::Value(name) if scenario.is_none() => {
                let name = name.string()?;
                let found = ALL.iter().find(|s| s.name == name);
                scenario = Some(found.ok_or_else(|| format!("there is no scenario \"{name}\""))?);
            }
            other => return Err(other.unexpected()),
        }
    }
    let scenario = scenario.ok_or("a scenario is missing")?;
    Ok(Command::Run(Run {
        scenario,
        options,
        json,
        count,
    }))
}

fn positive(parser: &mut Parser) -> Result<usize, lexopt::Error> {
    match parser.value()?.parse()? {
        0 => Err("a number above 0 is wanted".into()),
        number => Ok(number),
    }
}

fn percent(parser: &mut Parser) -> Result<f64, lexopt::Error> {
    let percent: f64 = parser.value()?.parse()?;
    if (0.0..=95.0).contains(&percent) {
        Ok(percent / 100.0)
    } else {
        Err("a percentage from 0 to 95 is wanted".into())
    }
}

pub fn help() -> String {
    let mut text = String::from(
        "Simulates a network of nodes in virtual time: real engines, real packets, a modelled network.

simulate SCENARIO [OPTIONS]

",
    );
    for scenario in ALL {
        let _ = writeln!(text, "  {:<15} {}", scenario.name, scenario.about);
    }
    text += "
  --seed S        which run (1); the same command gives the same run
  --seeds N       N runs with the seeds from S on: means with 95 % confidence intervals
  --nodes N       machines that are on in the mean
  --nat PERCENT   machines behind routers
  --loss PERCENT  datagrams lost
  --liars PERCENT machines that lie (attack-random)
  --devices N     devices that are published
  --lookups N     lookups that are measured
  --minutes N     virtual time that is measured (churn, idle), length of the cut (partition)
  --sessions exponential|weibull   how long machines stay (churn)
  --prefer random|nearest  which of equally close nodes is asked first
  --json          one JSON object a run

Prints what was measured beside its target. Exit code 1 if one is missed, 2 for a wrong command.
One round trip is the median between two machines of the simulated network.
";
    text
}

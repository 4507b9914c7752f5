//! Whether host names can be looked up.

use super::{Finding, Report};
use crate::platform::resolver;
use std::net::IpAddr;

/// Looks up one of the hosts that the settings name; `hosts` may be addresses, too.
/// Blocks.
#[must_use]
pub fn names(hosts: &[String]) -> Vec<Finding> {
    let mut report = Report::new("names");
    let known = resolver::known();
    let is_name = |host: &&String| host.parse::<IpAddr>().is_err();
    let named = hosts.iter().find(is_name);
    match (known.is_empty(), named) {
        (false, _) => report.fact(&format_args!("name servers: {}", known.join(", "))),
        (true, None) => report.fact(&"no name server, and no setting needs one"),
        (true, Some(_)) => {}
    }
    let Some(name) = named else {
        return report.done();
    };
    match resolver::lookup(name) {
        Ok(found) => {
            let first: Vec<String> = found.iter().take(2).map(ToString::to_string).collect();
            report.fact(&format_args!("{name} is {}", first.join(", ")));
        }
        Err(why) => {
            let (found, remedy) = match why.split_once(": ") {
                Some((found, remedy)) if known.is_empty() => (found, remedy),
                _ => (
                    why.as_str(),
                    "check the network and its name server, set network.dns to another one, or write the address instead of the name",
                ),
            };
            let found = format!("{name}: {found}");
            // With an address among them the node gets into the network all the same.
            if hosts.iter().any(|host| !is_name(&host)) {
                report.warn(&found, remedy);
            } else {
                report.fail(&found, remedy);
            }
        }
    }
    report.done()
}

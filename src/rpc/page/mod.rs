//! The status page: one file without anything outside, filled on the node.
//!
//! The node sends the page with its values, so it is complete without a script
//! and at the first look. The script then takes every event `status`, which is
//! the same object, and fills the same places in the same forms.
//!
//! | file | what it owns |
//! | --- | --- |
//! | `page.html`, `style.css`, `script.js` | the page, as the browser gets it |
//! | `template.rs` | values into places, escaped |
//! | `format.rs` | how a value is written |
//! | `chart.rs` | the chart's paths |
//! | `policy.rs` | what the browser may do for the page: nothing outside of it |

mod chart;
mod format;
mod policy;
mod template;

pub(super) use policy::policy;

use super::asker::Asker;
use super::redact;
use super::reply::{Answer, Kind};
use super::view::NodeView;
use crate::sorted::object;
use serde_json::Value;
use template::{at, fill};

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// The page as it is now, for this asker.
pub(super) fn render(view: &dyn NodeView, asker: &Asker) -> Answer {
    let names = (!asker.sees_all()).then(|| view.names());
    let read = |text: Vec<u8>| {
        let text = redact::shorten(text, names.as_deref());
        serde_json::from_slice(&text).unwrap_or_default()
    };
    let status = read(serde_json::to_vec(&view.status()).unwrap_or_default());
    // As `config_show` has it: settings are for those who see everything.
    let settings = match names {
        Some(_) => Value::Null,
        None => read(serde_json::to_vec(&view.settings()).unwrap_or_default()),
    };
    Answer {
        status: 200,
        kind: Kind::Html,
        body: assemble(status, settings, asker.sees_all()).into_bytes(),
    }
}

/// The page with the values of `node_status` and of the settings in effect;
/// `sees_all` as [`Asker::sees_all`] has it, and both already fit for this asker.
fn assemble(mut status: Value, settings: Value, sees_all: bool) -> String {
    let now = at(&status, "time").as_f64().unwrap_or(0.0) / 1000.0;
    let more = besides(&status, now, sees_all);
    if let Value::Object(fields) = &mut status {
        fields.insert("page".to_owned(), more);
        fields.insert("settings".to_owned(), settings);
    }
    // Filled pages take a few KB more than the template, a long list 200 bytes a line.
    let mut page = String::with_capacity(2 * PAGE.len() + STYLE.len() + SCRIPT.len());
    // Style and script are put in between filled parts: they must stay as they are.
    let (head, rest) = PAGE.split_once("</style>").unwrap_or((PAGE, ""));
    let (body, tail) = rest.split_once("</script>").unwrap_or((rest, ""));
    fill(head, &status, now, &mut page);
    page.push_str(STYLE);
    page.push_str("</style>");
    fill(body, &status, now, &mut page);
    page.push_str(SCRIPT);
    page.push_str("</script>");
    page.push_str(tail);
    page
}

/// What the page says that is no value of the node; `script.js` says the same.
fn besides(status: &Value, now: f64, sees_all: bool) -> Value {
    let word = |path: &str| at(status, path).as_str().unwrap_or_default();
    let name = match word("info.name") {
        "" => "chr-node",
        name => name,
    };
    let title = match word("health.status") {
        "ok" => name.to_owned(),
        _ => format::text(at(status, "health.status"), "w", now) + ": " + name,
    };
    let host = match word("info.public_address") {
        "" => "ADDRESS".to_owned(),
        host if host.contains(':') => format!("[{host}]"),
        host => host.to_owned(),
    };
    let port = at(status, "info.edge_ports.0").as_u64();
    let port = port.map_or("PORT".to_owned(), |port| port.to_string());
    let node = format!("{}@{host}:{port}", word("info.node_id"));
    // Tickets come by the second, and have a list of their own.
    let mut happened = at(status, "events").clone();
    if let Value::Array(events) = &mut happened {
        events.retain(|event| !matches!(at(event, "topic").as_str(), Some("ticket" | "block")));
    }
    let carried = |path| at(status, path).as_f64().unwrap_or(0.0);
    let carried = carried("network.bytes_in") + carried("network.bytes_out");
    let publish = format!("chr-node publish 8080:public --node {node}");
    let forward = format!("chr-node forward 127.0.0.1:8080 0xDEVICE:8080 --node {node}");
    object(&mut [
        ("name", name.into()),
        ("title", title.into()),
        ("time", now.into()),
        ("carried", carried.into()),
        ("publish", publish.into()),
        ("forward", forward.into()),
        ("happened", happened),
        ("readonly", (!sees_all).into()),
    ])
}

#[cfg(test)]
mod tests;

//! What is shown, from the answer of `node_status`. Whatever is missing in it is
//! left out or a dash: the node may be older or newer than this program.

use super::spark::bars;
use crate::cli::screen::amount;
use crate::cli::told::{
    ago, at, bytes, clean, list, millis, number, real, said, short, since, span, table, text,
    UNKNOWN,
};
use crate::cli::{health, rewards, tickets};
use serde_json::Value;
use std::collections::VecDeque;

/// Bars of a row: ten minutes in the node's steps of ten seconds.
const BARS: usize = 60;
/// A node that does not tell the past: what this program has seen itself.
const SEEN_MAX: usize = BARS;
/// Finished reward periods: more are told by `chr-node rewards`.
const PERIODS: usize = 3;

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// As it is.
    Plain,
    /// The name of what follows.
    Title,
    /// All is well.
    Good,
    /// Something is missing.
    Warn,
    /// Something is broken.
    Bad,
    /// Less important.
    Faint,
}

/// A line of the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Without control characters.
    pub text: String,
    /// How it looks.
    pub style: Style,
}

impl Line {
    /// One of them.
    pub fn new(style: Style, text: impl AsRef<str>) -> Line {
        Line {
            text: clean(text.as_ref()),
            style,
        }
    }
}

/// What is carried at present, from two looks of this program.
#[derive(Debug, Default)]
pub struct Pace {
    /// Milliseconds since 1970, bytes in and bytes out at the latest look.
    last: Option<(u64, u64, u64)>,
    /// Bytes a second, in and out.
    seen: VecDeque<(f64, f64)>,
}

impl Pace {
    /// An answer has come.
    pub fn look(&mut self, status: &Value) {
        let look = (
            number(status, "time"),
            number(status, "network.bytes_in"),
            number(status, "network.bytes_out"),
        );
        let (Some(time), Some(bytes_in), Some(bytes_out)) = look else {
            return;
        };
        let before = self.last.replace((time, bytes_in, bytes_out));
        let Some((then, old_in, old_out)) = before else {
            return;
        };
        let millis = time.saturating_sub(then);
        if millis == 0 {
            return;
        }
        let rate = |new: u64, old: u64| new.saturating_sub(old) as f64 * 1000.0 / millis as f64;
        self.seen
            .push_back((rate(bytes_in, old_in), rate(bytes_out, old_out)));
        if self.seen.len() > SEEN_MAX {
            self.seen.pop_front();
        }
    }
}

/// The page, with at most so many rows in each list.
pub fn page(status: &Value, pace: &Pace, most: usize) -> Vec<Line> {
    let now = number(status, "time").map_or_else(crate::cli::told::now, |ms| ms / 1000);
    let mut page = Page(Vec::new());
    page.head(status);
    page.traffic(status, pace);
    page.device(status);
    page.network(status, now);
    page.earnings(status, most, now);
    page.list("sessions", status, most, &|rows| sessions(rows, now));
    page.list("peers", status, most, &|rows| peers(rows, now));
    page.list("events", status, most, &|rows| events(rows, now));
    page.0
}

struct Page(Vec<Line>);

impl Page {
    fn add(&mut self, style: Style, text: impl AsRef<str>) {
        self.0.push(Line::new(style, text));
    }

    fn plain(&mut self, text: impl AsRef<str>) {
        self.add(Style::Plain, text);
    }

    /// Who it is, and whether it is well.
    fn head(&mut self, status: &Value) {
        let name = said(status, "info.name").map_or(String::new(), |name| format!("{name}  "));
        let up = number(status, "info.uptime_seconds").map_or(UNKNOWN.to_owned(), span);
        let told = format!(
            "{name}{}  chr-node {}  {}  up {up}",
            text(status, "info.node_id"),
            text(status, "info.version"),
            text(status, "info.profile"),
        );
        self.add(Style::Title, told);
        let state = text(status, "health.status");
        let style = match state.as_str() {
            "ok" => Style::Good,
            "failing" => Style::Bad,
            _ => Style::Warn,
        };
        let layers = list(status, "health.layers").iter();
        let layers = layers.map(|l| format!("{} {}", text(l, "layer"), text(l, "state")));
        let layers: Vec<String> = layers.collect();
        self.add(
            style,
            format!("health {state}  {}", layers.join("  ")).trim_end(),
        );
        for reason in health::reasons(at(status, "health")) {
            self.add(style, format!("  {reason}"));
        }
    }

    /// What is carried.
    fn traffic(&mut self, status: &Value, pace: &Pace) {
        let own = pace.seen.back();
        let rate = |own: Option<f64>, path: &str| match own {
            Some(rate) => format!("{}/s", amount(rate.max(0.0) as u64)),
            None => number(status, path).map_or(UNKNOWN.to_owned(), |n| format!("{}/s", amount(n))),
        };
        let ports = list(status, "info.edge_ports").iter();
        let ports: Vec<String> = ports.map(Value::to_string).collect();
        self.plain(format!(
            "traffic  in {} ({} in all)  out {} ({} in all)",
            rate(own.map(|(rate, _)| *rate), "network.bandwidth_in"),
            bytes(status, "network.bytes_in"),
            rate(own.map(|(_, rate)| *rate), "network.bandwidth_out"),
            bytes(status, "network.bytes_out"),
        ));
        let past = |path: &str, own: &dyn Fn(&(f64, f64)) -> f64| {
            let told: Vec<Option<f64>> = list(status, path).iter().map(Value::as_f64).collect();
            if told.iter().any(Option::is_some) {
                return told;
            }
            pace.seen.iter().map(|look| Some(own(look))).collect()
        };
        for (name, path, own) in [
            (
                "in ",
                "network.history.bandwidth_in",
                &(|look: &(f64, f64)| look.0) as &dyn Fn(&(f64, f64)) -> f64,
            ),
            ("out", "network.history.bandwidth_out", &|look| look.1),
        ] {
            let numbers = past(path, own);
            let largest = numbers.iter().flatten().fold(0.0_f64, |a, b| a.max(*b));
            if largest > 0.0 {
                let bars = bars(&numbers, BARS);
                let top = amount(largest as u64);
                self.plain(format!("  {name} {bars}  at most {top}/s"));
            }
        }
        self.plain(format!(
            "carries  devices {}  nodes {}  ports {}  round trips {} / {} / {} (p50, p90, p99)",
            text(status, "network.devices"),
            text(status, "network.peers"),
            text(status, "network.ports_open"),
            millis(status, "network.latency_ms.p50"),
            millis(status, "network.latency_ms.p90"),
            millis(status, "network.latency_ms.p99"),
        ));
        let address = said(status, "info.public_address");
        let address = address.map_or(String::new(), |address| format!("  told as {address}"));
        self.plain(format!(
            "listens  devices {}  nodes {}{address}",
            if ports.is_empty() {
                UNKNOWN.to_owned()
            } else {
                ports.join(", ")
            },
            text(status, "info.peer_port"),
        ));
    }

    /// The device and the store.
    fn device(&mut self, status: &Value) {
        let device = at(status, "device");
        let mut told = format!(
            "device   cpu {}  memory {} of {}",
            real(status, "network.cpu_percent", 1, " %"),
            bytes(status, "network.memory_bytes"),
            bytes(device, "memory_budget"),
        );
        let load = list(device, "load").first().and_then(Value::as_f64);
        if let Some(load) = load {
            told += &format!("  load {load:.2}");
        }
        if at(device, "temperature_celsius").is_number() {
            told += &format!("  {}", real(device, "temperature_celsius", 1, " °C"));
        }
        if let Some(percent) = number(device, "battery.percent") {
            let charging = at(device, "battery.charging").as_bool() == Some(true);
            let how = if charging { ", charging" } else { "" };
            told += &format!("  battery {percent} %{how}");
        }
        if let Some(open) = number(device, "descriptors") {
            told += &format!("  files {open}/{}", text(device, "descriptors_limit"));
        }
        self.plain(told);
        let store = at(status, "store");
        if !store.is_object() {
            return;
        }
        let style = match said(store, "last_error") {
            Some(_) => Style::Bad,
            None => Style::Plain,
        };
        let place = said(store, "path");
        let told = match &place {
            Some(path) => format!(
                "store    {}  {} rows  {} commits  {} written ({} a day)  {path}",
                bytes(store, "size_bytes"),
                text(store, "rows"),
                text(store, "commits"),
                bytes(store, "bytes_written"),
                bytes(store, "bytes_written_per_day"),
            ),
            None => "store    none: nothing is kept".to_owned(),
        };
        self.add(style, told);
        if let Some(error) = said(store, "last_error") {
            self.add(style, format!("  {error}"));
        }
    }

    /// The part in Kademlia, the fleet, the chain.
    fn network(&mut self, status: &Value, now: u64) {
        let dht = at(status, "network.dht");
        if dht.is_object() {
            let found = at(dht, "success_ratio").as_f64();
            let found = found.map_or(UNKNOWN.to_owned(), |r| format!("{:.0} %", r * 100.0));
            self.plain(format!(
                "DHT      {} nodes  {} values kept  {} lookups, {found} found",
                text(dht, "nodes"),
                text(dht, "values"),
                text(dht, "lookups"),
            ));
        }
        for node in list(status, "fleet.nodes") {
            let reachable = at(node, "reachable").as_bool() == Some(true);
            let how = if reachable {
                format!("reachable, {}", millis(node, "rtt_ms"))
            } else {
                let error = said(node, "error").unwrap_or_else(|| "not reachable".to_owned());
                format!("{error}, last seen {} ago", since(node, "last_ok", now))
            };
            let style = if reachable { Style::Plain } else { Style::Warn };
            self.add(style, format!("fleet    {}  {how}", text(node, "name")));
        }
        let chain = at(status, "chain");
        if chain.is_object() {
            self.plain(format!(
                "chain    {}  id {}  block {}",
                text(chain, "url"),
                text(chain, "chain_id"),
                text(chain, "block"),
            ));
            if let Some(error) = said(chain, "error") {
                self.add(Style::Warn, format!("  {error}"));
            }
        }
    }

    /// Tickets and rewards.
    fn earnings(&mut self, status: &Value, most: usize, now: u64) {
        let held = at(status, "tickets");
        let rewards = at(status, "rewards");
        if rewards.is_object() {
            self.add(Style::Title, "rewards");
            for line in rewards::summary(rewards) {
                self.plain(format!("  {line}"));
            }
            let past = rewards::history(rewards, most.min(PERIODS));
            if past.len() > 1 {
                for line in past {
                    self.add(Style::Faint, format!("  {line}"));
                }
            }
        }
        if held.is_object() {
            let epoch = number(status, "info.epoch");
            let epoch = epoch.map_or(String::new(), |epoch| format!("epoch {epoch}"));
            self.add(Style::Title, format!("tickets  {epoch}").trim_end());
            for line in tickets::sums(held).into_iter().take(most.saturating_add(1)) {
                self.plain(format!("  {line}"));
            }
            if !list(held, "latest").is_empty() {
                for line in tickets::latest(held, most, now) {
                    self.add(Style::Faint, format!("  {line}"));
                }
            }
        }
    }

    /// A table of what is in a list, if there is any.
    fn list(
        &mut self,
        name: &str,
        status: &Value,
        most: usize,
        lines: &dyn Fn(&[Value]) -> Vec<String>,
    ) {
        let rows = list(status, name);
        if rows.is_empty() {
            return;
        }
        let shown = rows.get(..most.min(rows.len())).unwrap_or_default();
        let more = match rows.len() - shown.len() {
            0 => String::new(),
            more => format!(", {more} not shown"),
        };
        self.add(Style::Title, format!("{name}  {}{more}", rows.len()));
        for line in lines(shown) {
            self.plain(format!("  {line}"));
        }
    }
}

fn sessions(rows: &[Value], now: u64) -> Vec<String> {
    let row = |session: &Value| {
        vec![
            short(&text(session, "device")),
            text(session, "address"),
            since(session, "since", now),
            text(session, "ports"),
            bytes(session, "bytes_in"),
            bytes(session, "bytes_out"),
            millis(session, "rtt_ms"),
            text(session, "agent"),
        ]
    };
    let rows: Vec<Vec<String>> = rows.iter().map(row).collect();
    let columns = [
        "device", "address", ">for", ">ports", ">in", ">out", ">rtt", "program",
    ];
    table(&columns, &rows)
}

fn peers(rows: &[Value], now: u64) -> Vec<String> {
    let row = |peer: &Value| {
        vec![
            short(&text(peer, "node_id")),
            text(peer, "address"),
            text(peer, "direction"),
            millis(peer, "rtt_ms"),
            real(peer, "reliability_score", 2, ""),
            since(peer, "last_seen", now),
            bytes(peer, "bytes_in"),
            bytes(peer, "bytes_out"),
        ]
    };
    let rows: Vec<Vec<String>> = rows.iter().map(row).collect();
    let columns = [
        "node", "address", "link", ">rtt", ">score", ">seen", ">in", ">out",
    ];
    table(&columns, &rows)
}

fn events(rows: &[Value], now: u64) -> Vec<String> {
    let row = |event: &Value| {
        let time = number(event, "time").map_or(UNKNOWN.to_owned(), |unix| ago(unix, now));
        let mut what = Vec::new();
        if let Some(members) = at(event, "data").as_object() {
            for (name, value) in members {
                match value {
                    Value::Null | Value::Array(_) | Value::Object(_) => {}
                    // What happened stands first.
                    Value::String(text) if name == "event" => what.insert(0, clean(text)),
                    Value::String(text) => what.push(short(&clean(text))),
                    other => what.push(format!("{} {other}", clean(name))),
                }
            }
        }
        vec![time, text(event, "topic"), what.join("  ")]
    };
    let rows: Vec<Vec<String>> = rows.iter().map(row).collect();
    table(&[">ago", "what", ""], &rows)
}

#[cfg(test)]
mod tests;

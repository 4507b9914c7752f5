//! `GET /metrics`: the text format of Prometheus (exposition format 0.0.4).
//!
//! [`Exposition`] writes it and knows its rules, the node ([`NodeView::measure`])
//! knows the values. Names follow Prometheus' conventions: the prefix `chr_`, base
//! units (seconds, bytes, ratios), counters end in `_total`. Labels are of small,
//! fixed sets: never an address of a device or a peer.
//!
//! A value that the node does not know is left out with its family: a zero would
//! be a lie, and alerts have `absent()`.

use super::calls::{Calls, CODES, PATHS};
use super::methods;
use super::reply::{Answer, Kind};
use super::view::NodeView;
use crate::meter::{Durations, BOUNDS};
use std::fmt::Write;

/// What a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Counter,
    Gauge,
    Histogram,
}

/// The text while it is written.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
    name: &'static str,
}

impl Exposition {
    fn family(&mut self, name: &'static str, form: Form, help: &str) {
        let form = match form {
            Form::Counter => "counter",
            Form::Gauge => "gauge",
            Form::Histogram => "histogram",
        };
        self.name = name;
        for part in [
            "# HELP ",
            name,
            " ",
            help,
            "\n# TYPE ",
            name,
            " ",
            form,
            "\n",
        ] {
            self.text.push_str(part);
        }
    }

    /// The name, what follows it, and labels; the value is still to come.
    fn line(&mut self, end: &str, labels: &[(&str, &str)]) {
        self.text.push_str(self.name);
        self.text.push_str(end);
        let mut mark = '{';
        for (label, value) in labels {
            self.text.push(mark);
            self.text.push_str(label);
            self.text.push_str("=\"");
            for c in value.chars() {
                match c {
                    '\n' => self.text.push_str("\\n"),
                    '"' | '\\' => self.text.extend(['\\', c]),
                    c => self.text.push(c),
                }
            }
            self.text.push('"');
            mark = ',';
        }
        if mark == ',' {
            self.text.push('}');
        }
        self.text.push(' ');
    }

    fn whole(&mut self, value: u64) {
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "{value}");
    }

    fn real(&mut self, value: f64) {
        let _ = writeln!(self.text, "{value}");
    }

    /// A counter without labels. `name` ends in `_total`.
    pub fn counter(&mut self, name: &'static str, help: &str, value: u64) {
        self.family(name, Form::Counter, help);
        self.line("", &[]);
        self.whole(value);
    }

    /// A counter with one label, of the same family.
    pub fn counters(
        &mut self,
        name: &'static str,
        help: &str,
        label: &str,
        values: &mut dyn Iterator<Item = (&str, u64)>,
    ) {
        self.family(name, Form::Counter, help);
        for (which, value) in values {
            self.line("", &[(label, which)]);
            self.whole(value);
        }
    }

    /// A counter of seconds.
    pub fn seconds(&mut self, name: &'static str, help: &str, value: f64) {
        self.family(name, Form::Counter, help);
        self.line("", &[]);
        self.real(value);
    }

    /// What goes up and down, if it is known.
    pub fn gauge(&mut self, name: &'static str, help: &str, value: Option<f64>) {
        if let Some(value) = value {
            self.family(name, Form::Gauge, help);
            self.line("", &[]);
            self.real(value);
        }
    }

    /// The same in whole numbers.
    pub fn number(&mut self, name: &'static str, help: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.family(name, Form::Gauge, help);
            self.line("", &[]);
            self.whole(value);
        }
    }

    /// The same as a decimal text, such as an amount of tokens.
    pub fn decimal(&mut self, name: &'static str, help: &str, value: Option<&str>) {
        let is_digits = |text: &&str| text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        if let Some(value) = value.filter(is_digits) {
            self.family(name, Form::Gauge, help);
            self.line("", &[]);
            self.text.push_str(value);
            self.text.push('\n');
        }
    }

    /// A gauge with one label.
    pub fn gauges(
        &mut self,
        name: &'static str,
        help: &str,
        label: &str,
        values: &mut dyn Iterator<Item = (&str, f64)>,
    ) {
        self.family(name, Form::Gauge, help);
        for (which, value) in values {
            self.line("", &[(label, which)]);
            self.real(value);
        }
    }

    /// What is 1 and says something by its labels.
    pub fn info(&mut self, name: &'static str, help: &str, labels: &[(&str, &str)]) {
        self.family(name, Form::Gauge, help);
        self.line("", labels);
        self.whole(1);
    }

    /// Durations, in seconds.
    pub fn histogram(&mut self, name: &'static str, help: &str, held: &Durations) {
        self.family(name, Form::Histogram, help);
        let mut bound = String::new();
        for (micros, within) in BOUNDS.iter().zip(held.within) {
            bound.clear();
            let _ = write!(bound, "{}", *micros as f64 / 1e6);
            self.line("_bucket", &[("le", &bound)]);
            self.whole(within);
        }
        self.line("_bucket", &[("le", "+Inf")]);
        self.whole(held.count);
        self.line("_sum", &[]);
        self.real(held.sum.as_secs_f64());
        self.line("_count", &[]);
        self.whole(held.count);
    }
}

/// The answer of `/metrics`.
pub(super) fn render(view: &dyn NodeView) -> Answer {
    let mut out = Exposition {
        text: String::with_capacity(24 << 10),
        name: "",
    };
    view.measure(&mut out);
    http(&view.calls(), &mut out);
    Answer {
        status: 200,
        kind: Kind::Metrics,
        body: out.text.into_bytes(),
    }
}

/// What the HTTP service itself counts.
fn http(calls: &Calls, out: &mut Exposition) {
    let paths = PATHS.iter().copied();
    out.counters(
        "chr_http_requests_total",
        "Complete requests, by path.",
        "path",
        &mut paths
            .zip(&calls.paths)
            .map(|(path, count)| (path, count.get())),
    );
    let codes = CODES.iter().copied().chain(["other"]);
    out.counters(
        "chr_http_responses_total",
        "Answers and refusals, by HTTP status.",
        "code",
        &mut codes
            .zip(&calls.codes)
            .map(|(code, count)| (code, count.get()))
            // Most of them never occur.
            .filter(|(code, count)| *count > 0 || *code == "200"),
    );
    out.histogram(
        "chr_http_request_duration_seconds",
        "From the end of a request to the first byte of its answer.",
        &calls.took.read(),
    );
    let names = || methods::all().map(|method| method.name).chain(["unknown"]);
    out.counters(
        "chr_rpc_calls_total",
        "Calls of JSON-RPC methods.",
        "method",
        &mut names()
            .zip(&calls.methods)
            .map(|(name, [calls, _])| (name, calls.get())),
    );
    out.counters(
        "chr_rpc_call_errors_total",
        "Calls of JSON-RPC methods that were answered with an error.",
        "method",
        &mut names()
            .zip(&calls.methods)
            .map(|(name, [_, errors])| (name, errors.get())),
    );
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_text_is_as_the_format_wants_it() {
        let mut out = Exposition::default();
        out.counter("chr_a_total", "All of a.", 7);
        out.gauge("chr_b_ratio", "Not known.", None);
        out.gauge("chr_c_ratio", "Known.", Some(0.25));
        out.decimal("chr_d_tokens", "Tokens.", Some("12.000000000000000001"));
        out.decimal("chr_e_tokens", "No number.", Some("12 \"x"));
        out.info("chr_f_info", "Words.", &[("a", "x\"\\\ny"), ("b", "z")]);
        let mut durations = Durations::default();
        durations.took(Duration::from_millis(3));
        durations.took(Duration::from_secs(20));
        out.histogram("chr_g_seconds", "Waits.", &durations);
        let wanted = r#"# HELP chr_a_total All of a.
# TYPE chr_a_total counter
chr_a_total 7
# HELP chr_c_ratio Known.
# TYPE chr_c_ratio gauge
chr_c_ratio 0.25
# HELP chr_d_tokens Tokens.
# TYPE chr_d_tokens gauge
chr_d_tokens 12.000000000000000001
# HELP chr_f_info Words.
# TYPE chr_f_info gauge
chr_f_info{a="x\"\\\ny",b="z"} 1
# HELP chr_g_seconds Waits.
# TYPE chr_g_seconds histogram
chr_g_seconds_bucket{le="0.0005"} 0
chr_g_seconds_bucket{le="0.002"} 0
chr_g_seconds_bucket{le="0.005"} 1
chr_g_seconds_bucket{le="0.02"} 1
chr_g_seconds_bucket{le="0.1"} 1
chr_g_seconds_bucket{le="0.5"} 1
chr_g_seconds_bucket{le="2"} 1
chr_g_seconds_bucket{le="10"} 1
chr_g_seconds_bucket{le="+Inf"} 2
chr_g_seconds_sum 20.003
chr_g_seconds_count 2
"#;
        assert_eq!(out.text, wanted);
    }
}

//! The second table: tunnels beside each other.

use super::table::{middle, number};
use super::tunnels::{Kind, Side};
use std::collections::BTreeMap;

/// Rows, and what their keys end in.
const ROWS: &[(&str, &str)] = &[
    ("one stream, MB/s", "rate"),
    ("CPU for 1 GB, near, s", "cpu.near"),
    ("… middle, s", "cpu.middle"),
    ("… far, s", "cpu.far"),
    ("… all processes, s", "cpu.all"),
    (
        "64 B there and back, one core, p50, us",
        "round-trip.one-core_p50",
    ),
    ("… p99, us", "round-trip.one-core_p99"),
    ("64 B there and back, free, p50, us", "round-trip.free_p50"),
    ("… p99, us", "round-trip.free_p99"),
    (
        "a new connection, to the first byte of an echo, p50, us",
        "connect.p50",
    ),
    ("… p99, us", "connect.p99"),
    ("VmRSS idle, near, MB", "idle.near"),
    ("… middle, MB", "idle.middle"),
    ("… far, MB", "idle.far"),
    ("VmRSS with 500 connections open, near, MB", "open.near"),
    ("… middle, MB", "open.middle"),
    ("… far, MB", "open.far"),
    ("a connection, all processes together, KB", "each"),
    ("VmRSS 65 s after they have closed, near, MB", "after.near"),
    ("… middle, MB", "after.middle"),
    ("… far, MB", "after.far"),
    ("the programs' files, MB", "size"),
];

/// Prints the tunnels that were measured, a column each: the median, and the
/// least and the most where there are several samples.
pub fn print(results: &BTreeMap<String, Vec<f64>>) {
    let kinds: Vec<Kind> = Kind::ALL
        .into_iter()
        .filter(|kind| {
            ROWS.iter()
                .any(|(_, key)| values(results, *kind, key).is_some())
        })
        .collect();
    if kinds.is_empty() {
        return;
    }
    println!();
    line("", kinds.iter().map(|kind| kind.title().to_owned()));
    line("---", kinds.iter().map(|_| "---:".to_owned()));
    line(
        "processes: near, middle, far",
        kinds.iter().map(|kind| {
            let names = Side::ALL.map(|side| kind.process(side).unwrap_or("–"));
            names.join(", ")
        }),
    );
    for (text, key) in ROWS {
        let cells: Vec<String> = kinds
            .iter()
            .map(|kind| values(results, *kind, key).map_or_else(String::new, |v| cell(v)))
            .collect();
        if cells.iter().any(|cell| !cell.is_empty()) {
            line(text, cells.into_iter());
        }
    }
}

fn line(text: &str, cells: impl Iterator<Item = String>) {
    let cells: Vec<String> = cells.collect();
    println!("| {text} | {} |", cells.join(" | "));
}

fn values<'a>(
    results: &'a BTreeMap<String, Vec<f64>>,
    kind: Kind,
    key: &str,
) -> Option<&'a Vec<f64>> {
    results.get(&format!("{}.{key}", kind.name()))
}

fn cell(values: &[f64]) -> String {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (least, most) = (number(sorted[0]), number(sorted[sorted.len() - 1]));
    if least == most {
        return least;
    }
    format!("{} ({least} to {most})", number(middle(&sorted)))
}

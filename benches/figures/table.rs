//! Samples to a table.

use super::targets::{Figure, Target, FIGURES};
use std::collections::BTreeMap;

/// Prints every figure that was measured, as Markdown.
pub fn print(results: &BTreeMap<String, Vec<f64>>) {
    if !FIGURES.iter().any(|f| results.contains_key(f.key)) {
        return;
    }
    println!("| figure | target | min | median | max | samples | |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: | --- |");
    for figure in FIGURES {
        if let Some(values) = results.get(figure.key) {
            println!("{}", row(figure, values));
        }
    }
}

fn row(figure: &Figure, values: &[f64]) -> String {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (least, most) = (sorted[0], sorted[sorted.len() - 1]);
    let median = middle(&sorted);
    let (target, good) = match figure.target {
        Target::AtMost(t) => (format!("<= {}", number(t)), Some(median <= t)),
        Target::AtLeast(t) => (format!(">= {}", number(t)), Some(median >= t)),
        Target::Never(t) => (format!("never > {}", number(t)), Some(most <= t)),
        Target::None => (String::new(), None),
    };
    let verdict = match good {
        Some(true) => "ok",
        Some(false) => "OVER",
        None => "",
    };
    let unit = match figure.unit {
        "" => String::new(),
        unit => format!(", {unit}"),
    };
    format!(
        "| {}{unit} | {target} | {} | {} | {} | {} | {verdict} |",
        figure.text,
        number(least),
        number(median),
        number(most),
        sorted.len()
    )
}

/// The median of what is sorted.
pub fn middle(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[half]
    } else {
        (sorted[half - 1] + sorted[half]) / 2.0
    }
}

/// Three significant digits are more than a shared machine can tell.
pub fn number(value: f64) -> String {
    match value.abs() {
        a if a >= 100.0 || value.fract() == 0.0 => format!("{value:.0}"),
        a if a >= 10.0 => format!("{value:.1}"),
        a if a >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

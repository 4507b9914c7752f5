//! The chart of what was carried, as paths of SVG: what came in stands above the
//! middle, what went out below it. In a relay both are nearly the same, so as two
//! lines they would hide each other.

use super::format::bytes;
use super::template::at;
use serde_json::Value;

/// The chart's own units: it is stretched to its place.
const WIDTH: f64 = 1200.0;
/// The middle, and the height of each half.
const MIDDLE: f64 = 200.0;
/// Steps shown of the latest ten minutes.
const SLOTS: usize = 60;
/// An idle node's few bytes must not look like a storm, in bytes a second.
const TOP_LEAST: f64 = 1000.0;

/// A path or a word of a history, by the form's name.
pub(super) fn text(history: &Value, form: &str) -> String {
    let points = |name: &str| match at(history, name) {
        Value::Array(points) => points.iter().map(Value::as_f64).collect(),
        _ => Vec::new(),
    };
    let coming: Vec<Option<f64>> = points("bandwidth_in");
    let going: Vec<Option<f64>> = points("bandwidth_out");
    let most = |points: &[Option<f64>]| points.iter().flatten().copied().fold(0.0, f64::max);
    let top = scale(most(&coming).max(most(&going)));
    match form {
        "i" => path(&coming, -MIDDLE / top, true),
        "il" => path(&coming, -MIDDLE / top, false),
        "o" => path(&going, MIDDLE / top, true),
        "ol" => path(&going, MIDDLE / top, false),
        "top" => bytes(top) + "/s",
        _ => format!(
            "Throughput: at most {}/s in and {}/s out",
            bytes(most(&coming)),
            bytes(most(&going))
        ),
    }
}

/// The next of 1, 2, 5, 10, … that holds `most`.
fn scale(most: f64) -> f64 {
    let mut top = TOP_LEAST;
    let mut steps = [2.0, 2.5, 2.0].iter().cycle();
    while top < most && top < 1e18 {
        top *= steps.next().unwrap_or(&2.0);
    }
    top
}

/// A line through the points, the latest at the right edge; closed along the middle if it is an area.
/// Steps of which nothing is known are left out.
fn path(points: &[Option<f64>], height: f64, area: bool) -> String {
    let mut path = String::new();
    let step = WIDTH / (SLOTS - 1) as f64;
    let points = points
        .get(points.len().saturating_sub(SLOTS)..)
        .unwrap_or(&[]);
    let mut last = None;
    for (place, point) in points.iter().enumerate() {
        let x = WIDTH - (points.len() - 1 - place) as f64 * step;
        match (point, last) {
            (Some(value), _) => {
                let y = MIDDLE + value * height;
                path += &match (last, area) {
                    (Some(_), _) => format!("L{x:.0} {y:.0}"),
                    (None, true) => format!("M{x:.0} {MIDDLE}L{x:.0} {y:.0}"),
                    // A point alone is a dot.
                    (None, false) => format!("M{x:.0} {y:.0}h0"),
                };
                last = Some(x);
            }
            (None, Some(x)) => {
                close(&mut path, x, area);
                last = None;
            }
            (None, None) => {}
        }
    }
    if let Some(x) = last {
        close(&mut path, x, area);
    }
    path
}

fn close(path: &mut String, x: f64, area: bool) {
    if area {
        *path += &format!("L{x:.0} {MIDDLE}Z");
    }
}

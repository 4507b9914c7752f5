//! What was measured, beside what it should be.

use super::stats::{confidence, mean};

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    AtMost(f64),
    AtLeast(f64),
    /// Shown for comparison.
    None,
}

/// One number.
#[derive(Clone, Debug)]
pub struct Figure {
    /// For programs.
    pub key: &'static str,
    /// For people.
    pub text: &'static str,
    pub unit: &'static str,
    pub value: f64,
    pub target: Target,
}

impl Figure {
    /// What is not there reaches no target.
    pub fn good(&self) -> bool {
        match self.target {
            Target::AtMost(most) => self.value <= most,
            Target::AtLeast(least) => self.value >= least,
            Target::None => true,
        }
    }
}

/// What a scenario has to say.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub figures: Vec<Figure>,
    /// Lines above the table: what was simulated.
    pub notes: Vec<String>,
}

impl Report {
    pub fn note(&mut self, text: String) {
        self.notes.push(text);
    }

    pub fn figure(
        &mut self,
        key: &'static str,
        text: &'static str,
        unit: &'static str,
        value: f64,
        target: Target,
    ) {
        self.figures.push(Figure {
            key,
            text,
            unit,
            value,
            target,
        });
    }

    /// The value of a figure that this report has.
    pub fn value(&self, key: &str) -> f64 {
        let found = self.figures.iter().find(|f| f.key == key);
        found.map_or(f64::NAN, |f| f.value)
    }

    pub fn good(&self) -> bool {
        self.figures.iter().all(Figure::good)
    }
}

/// A table in Markdown of the reports of one scenario with several seeds: the
/// mean, with its 95 % confidence interval where there is more than one.
pub fn table(reports: &[Report]) -> String {
    let mut text = String::from("| figure | target | measured | |\n| --- | ---: | ---: | --- |\n");
    let Some(first) = reports.first() else {
        return text;
    };
    for (row, figure) in first.figures.iter().enumerate() {
        let values: Vec<f64> = reports.iter().map(|r| r.figures[row].value).collect();
        let target = match figure.target {
            Target::AtMost(most) => format!("<= {}", number(most)),
            Target::AtLeast(least) => format!(">= {}", number(least)),
            Target::None => String::new(),
        };
        let measured = match values.len() {
            1 => number(values[0]),
            _ => format!(
                "{} ± {}",
                number(mean(&values)),
                number(confidence(&values))
            ),
        };
        let good = reports.iter().all(|r| r.figures[row].good());
        let verdict = match (figure.target, good) {
            (Target::None, _) => "",
            (_, true) => "ok",
            (_, false) => "MISSED",
        };
        let unit = match figure.unit {
            "" => String::new(),
            unit => format!(", {unit}"),
        };
        text += &format!(
            "| {}{unit} | {target} | {measured} | {verdict} |\n",
            figure.text
        );
    }
    text
}

/// Four significant digits, so that 99.5 % is not 100.
pub fn number(value: f64) -> String {
    match value.abs() {
        _ if value.fract() == 0.0 => format!("{value:.0}"),
        a if a >= 1000.0 => format!("{value:.0}"),
        a if a >= 100.0 => format!("{value:.1}"),
        a if a >= 10.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_that_could_not_be_measured_is_missed() {
        let mut report = Report::default();
        report.figure("a", "a", "", f64::NAN, Target::AtMost(1.0));
        assert!(!report.good());
        assert!(table(&[report]).contains("MISSED"));
    }
}

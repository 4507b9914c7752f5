//! A row of numbers as a row of bars.

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// What stands for a moment of which nothing is known.
const GAP: char = ' ';

/// The latest `wide` of some numbers, each a bar of its share of the largest. What
/// is nothing is the lowest bar.
pub fn bars(numbers: &[Option<f64>], wide: usize) -> String {
    let skip = numbers.len().saturating_sub(wide);
    let shown = numbers.iter().skip(skip);
    let largest = shown.clone().flatten().fold(0.0_f64, |a, b| a.max(*b));
    let bar = |number: &Option<f64>| {
        let Some(number) = number else {
            return GAP;
        };
        let share = if largest > 0.0 { number / largest } else { 0.0 };
        let top = (BARS.len() - 1) as f64;
        // Between 0 and 7, whatever the numbers are.
        let place = (share * top).ceil().clamp(0.0, top) as usize;
        BARS.get(place).copied().unwrap_or(GAP)
    };
    shown.map(bar).collect()
}

/// The same for a terminal that shows ASCII alone.
pub fn ascii(bar: char) -> Option<char> {
    let levels = ['_', '.', ':', '-', '=', '+', '*', '#'];
    let place = BARS.iter().position(|b| *b == bar)?;
    levels.get(place).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_shares_of_the_largest_that_is_shown() {
        let numbers = [Some(1e9), Some(0.0), None, Some(50.0), Some(100.0)];
        assert_eq!(bars(&numbers, 4), "▁ ▅█");
        assert_eq!(bars(&[Some(0.0), Some(0.0)], 9), "▁▁");
        assert_eq!(bars(&[], 9), "");
        assert_eq!(bars(&[Some(f64::NAN), Some(1.0)], 9).chars().count(), 2);
        assert_eq!(bars(&numbers, 4).chars().filter_map(ascii).count(), 3);
    }
}

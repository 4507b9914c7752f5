//! Samples to numbers.

/// Of what is not there: nothing, which a table shows as such.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The smallest value that `share` of all do not exceed (nearest rank).
pub fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    match sorted.get(rank.saturating_sub(1)) {
        Some(value) => *value,
        None => f64::NAN,
    }
}

/// Half the width of the 95 % confidence interval of the mean (Student's t).
pub fn confidence(values: &[f64]) -> f64 {
    let count = values.len();
    if count < 2 {
        return f64::NAN;
    }
    let middle = mean(values);
    let squares: f64 = values.iter().map(|v| (v - middle).powi(2)).sum();
    let deviation = (squares / (count - 1) as f64).sqrt();
    student(count - 1) * deviation / (count as f64).sqrt()
}

/// The 97.5 % quantile of Student's distribution.
fn student(freedom: usize) -> f64 {
    const EXACT: [f64; 10] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    ];
    match EXACT.get(freedom - 1) {
        Some(exact) => *exact,
        // Cornish and Fisher's expansion, good to three digits from here on.
        None => {
            let (z, n) = (1.959_964_f64, freedom as f64);
            z + (z.powi(3) + z) / (4.0 * n)
                + (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * n * n)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_value_that_was_measured() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(percentile(&values, 0.5), 50.0);
        assert_eq!(percentile(&values, 0.99), 99.0);
        assert_eq!(percentile(&[7.0], 0.99), 7.0);
        assert!(percentile(&[], 0.5).is_nan());
    }

    #[test]
    fn few_samples_make_wide_intervals() {
        assert!((confidence(&[1.0, 2.0]) - 6.353).abs() < 0.001);
        let twenty: Vec<f64> = (0..20).map(f64::from).collect();
        // 2.093 * 5.916 / sqrt(20)
        assert!((confidence(&twenty) - 2.769).abs() < 0.01);
    }
}

//! How long machines stay and stay away.
//!
//! Stutzbach and Rejaie (2006) found sessions in Kad, Gnutella and BitTorrent to
//! be Weibull distributed with a shape of 0.34 to 0.59: many leave at once, a few stay for days.
//! With the same median, exponential sessions are the harder case for a network in
//! balance, since their mean is a third of it: more machines leave an hour. Both are here.

use super::net::geography::exponential;
use fastrand::Rng;
use std::time::Duration;

/// How sessions are distributed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sessions {
    Exponential,
    /// Shape 0.5.
    Weibull,
}

/// Machines that come and go.
#[derive(Clone, Copy, Debug)]
pub struct Churn {
    pub sessions: Sessions,
    /// Median time in the network.
    pub median: Duration,
    /// Mean time away (exponential).
    pub away: Duration,
}

const LN_2: f64 = std::f64::consts::LN_2;

impl Churn {
    /// How long a machine that comes now stays.
    pub fn session(&self, rng: &mut Rng) -> Duration {
        let median = self.median.as_secs_f64();
        let seconds = match self.sessions {
            Sessions::Exponential => exponential(median / LN_2, rng),
            // Quantile function of Weibull: scale * (-ln(1 - u))^(1 / shape).
            Sessions::Weibull => exponential(1.0, rng).powi(2) * median / (LN_2 * LN_2),
        };
        Duration::from_secs_f64(seconds)
    }

    /// How long a machine that is here now still stays. A machine met at random is more
    /// likely met in one of its long sessions, so of Weibull's this is more than a session.
    pub fn remaining(&self, rng: &mut Rng) -> Duration {
        match self.sessions {
            Sessions::Exponential => self.session(rng),
            Sessions::Weibull => {
                // The session that holds a random moment has the density x f(x), for shape
                // 0.5 that of scale * g² with g from a gamma distribution of shape 3.
                let gamma: f64 = (0..3).map(|_| exponential(1.0, rng)).sum();
                let scale = self.median.as_secs_f64() / (LN_2 * LN_2);
                Duration::from_secs_f64(scale * gamma * gamma * rng.f64())
            }
        }
    }

    pub fn absence(&self, rng: &mut Rng) -> Duration {
        Duration::from_secs_f64(exponential(self.away.as_secs_f64(), rng))
    }
}

#[cfg(test)]
mod tests {
    use super::super::stats::percentile;
    use super::*;

    #[test]
    fn the_median_session_is_the_one_that_was_asked_for() {
        for sessions in [Sessions::Exponential, Sessions::Weibull] {
            let churn = Churn {
                sessions,
                median: Duration::from_secs(3600),
                away: Duration::from_secs(600),
            };
            let mut rng = Rng::with_seed(7);
            let drawn: Vec<f64> = (0..20_000)
                .map(|_| churn.session(&mut rng).as_secs_f64())
                .collect();
            let median = percentile(&drawn, 0.5);
            assert!((3400.0..3800.0).contains(&median), "{sessions:?}: {median}");
        }
    }
}

//! How long a datagram takes: places on the globe, the way between them, and
//! the line of each machine.
//!
//! One way takes
//!
//! ```text
//! line(sender) + distance / 200 km per ms * detour(pair) + line(receiver) + jitter
//! ```
//!
//! * Machines stand around cities, chosen by weights that follow the share of
//!   internet users and hosting of the regions. Light in fibre travels 200 km a
//!   millisecond.
//! * Routes are longer than great circles: the detour of a pair of machines is
//!   log-normal with median 1.6 (sigma 0.3), at least 1.1, and stays the same for
//!   the whole run. It is what keeps the triangle inequality from holding, as in
//!   measured sets (King, Gummadi et al. 2002).
//! * The line of a machine (home router, DSL, cable, radio; a data centre's) is
//!   log-normal: median 5 ms one way and sigma 0.8 for homes, 0.5 ms and 0.5 for
//!   data centres. This is the "height" of Vivaldi's coordinates (Dabek et al. 2004).
//! * Jitter of a datagram is exponential with mean 1.5 ms, and one in a hundred
//!   waits in a full buffer for 100 ms more in the mean.
//!
//! The median round trip that comes of it (some 150 ms; each run prints its own)
//! lies between those of the King set (159 ms) and of public DHTs' measured peers.

use fastrand::Rng;
use std::time::Duration;

/// Degrees north, degrees east, weight.
const CITIES: &[(f32, f32, f32)] = &[
    (50.1, 8.7, 8.0),    // Frankfurt
    (51.5, -0.1, 6.0),   // London
    (48.9, 2.4, 5.0),    // Paris
    (52.4, 4.9, 4.0),    // Amsterdam
    (52.2, 21.0, 3.0),   // Warsaw
    (40.4, -3.7, 2.5),   // Madrid
    (55.8, 37.6, 3.5),   // Moscow
    (41.0, 29.0, 1.5),   // Istanbul
    (40.7, -74.0, 7.0),  // New York
    (39.0, -77.5, 5.0),  // Ashburn
    (41.9, -87.6, 4.0),  // Chicago
    (32.8, -96.8, 3.0),  // Dallas
    (37.4, -122.0, 6.0), // San Francisco
    (47.6, -122.3, 2.5), // Seattle
    (43.7, -79.4, 2.0),  // Toronto
    (-23.5, -46.6, 4.0), // São Paulo
    (-34.6, -58.4, 1.0), // Buenos Aires
    (19.4, -99.1, 1.5),  // Mexico City
    (35.7, 139.7, 5.0),  // Tokyo
    (37.6, 127.0, 2.5),  // Seoul
    (31.2, 121.5, 5.0),  // Shanghai
    (22.3, 114.2, 2.5),  // Hong Kong
    (1.35, 103.8, 3.5),  // Singapore
    (-6.2, 106.8, 1.5),  // Jakarta
    (19.1, 72.9, 4.0),   // Mumbai
    (13.1, 80.3, 2.0),   // Chennai
    (25.2, 55.3, 1.5),   // Dubai
    (-33.9, 151.2, 2.0), // Sydney
    (-26.2, 28.0, 1.0),  // Johannesburg
    (6.5, 3.4, 0.8),     // Lagos
];

const KM_PER_MS: f64 = 200.0;
const EARTH_KM: f64 = 6371.0;

/// Where a machine stands and what its line costs.
#[derive(Clone, Copy)]
pub struct Site {
    city: u8,
    /// Milliseconds one way.
    line: f32,
    /// Makes the detours of its pairs.
    salt: u64,
}

/// The globe.
pub struct Geography {
    /// Milliseconds in a straight fibre, city by city.
    straight: Vec<f32>,
    weights: f32,
}

impl Geography {
    pub fn new() -> Geography {
        let mut straight = Vec::with_capacity(CITIES.len() * CITIES.len());
        for a in CITIES {
            for b in CITIES {
                // Within a city: 30 km.
                straight.push((kilometres(a, b).max(30.0) / KM_PER_MS) as f32);
            }
        }
        Geography {
            straight,
            weights: CITIES.iter().map(|c| c.2).sum(),
        }
    }

    pub fn site(&self, hosted: bool, rng: &mut Rng) -> Site {
        let mut left = rng.f32() * self.weights;
        let city = CITIES.iter().position(|c| {
            left -= c.2;
            left <= 0.0
        });
        let (median, sigma) = if hosted { (0.5, 0.5) } else { (5.0, 0.8) };
        Site {
            city: city.unwrap_or(0) as u8,
            line: log_normal(median, sigma, rng) as f32,
            salt: rng.u64(..),
        }
    }

    /// One way from `a` to `b`, without jitter.
    pub fn way(&self, a: &Site, b: &Site) -> f64 {
        let straight = self.straight[a.city as usize * CITIES.len() + b.city as usize];
        let mut pair = Rng::with_seed(a.salt ^ b.salt);
        let detour = log_normal(1.6, 0.3, &mut pair).max(1.1);
        f64::from(a.line + b.line) + f64::from(straight) * detour
    }

    /// One way from `a` to `b` for one datagram.
    pub fn delay(&self, a: &Site, b: &Site, rng: &mut Rng) -> Duration {
        let mut jitter = exponential(1.5, rng);
        if rng.u8(..100) == 0 {
            jitter += exponential(100.0, rng);
        }
        Duration::from_secs_f64((self.way(a, b) + jitter) / 1000.0)
    }
}

fn kilometres(a: &(f32, f32, f32), b: &(f32, f32, f32)) -> f64 {
    let (lat_a, lat_b) = (f64::from(a.0).to_radians(), f64::from(b.0).to_radians());
    let east = (f64::from(b.1) - f64::from(a.1)).to_radians();
    let north = lat_b - lat_a;
    let h = (north / 2.0).sin().powi(2) + lat_a.cos() * lat_b.cos() * (east / 2.0).sin().powi(2);
    2.0 * EARTH_KM * h.sqrt().asin()
}

/// By its mean.
pub fn exponential(mean: f64, rng: &mut Rng) -> f64 {
    -mean * (1.0 - rng.f64()).ln()
}

/// By its median and the deviation of its logarithm.
pub fn log_normal(median: f64, sigma: f64, rng: &mut Rng) -> f64 {
    median * (sigma * normal(rng)).exp()
}

/// Box and Muller 1958.
fn normal(rng: &mut Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.f64()).cos()
}

//! What the battery and the heat of the device ask for; without I/O.
//!
//! Two answers follow from what the sensors say: whether the node saves power, and
//! whether it takes new relays. What was left is taken back only some way on the
//! other side of its bound, so that a charge that wavers is one state.

use crate::config::{Power as Settings, SaverWish};
use crate::time::Moment;
use std::time::Duration;

/// Percent that the battery must have gained before a bound counts as passed.
const GAINED: u8 = 5;
/// Degrees that the device must have lost.
const COOLED: i64 = 5;

/// What sensors say. `None`: they do not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sensed {
    /// The battery: how full in percent, and whether it is fed.
    pub battery: Option<(u8, bool)>,
    /// Thousandths of a degree Celsius.
    pub temperature: Option<i64>,
}

/// How long what a sensor said holds after it went silent. Drivers fail while a device
/// comes out of its sleep, and the tool of a phone that dozes does not answer for an
/// hour: a battery that was empty is not full by that.
const HOLDS: Duration = Duration::from_secs(3_600);

/// What each sensor said last.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heard {
    battery: Option<(Moment, (u8, bool))>,
    temperature: Option<(Moment, i64)>,
}

impl Heard {
    /// Takes what sensors say now; gives what holds.
    pub fn hear(&mut self, now: Moment, said: Sensed) -> Sensed {
        Sensed {
            battery: newest(&mut self.battery, now, said.battery),
            temperature: newest(&mut self.temperature, now, said.temperature),
        }
    }
}

fn newest<T: Copy>(kept: &mut Option<(Moment, T)>, now: Moment, said: Option<T>) -> Option<T> {
    *kept = match said {
        Some(said) => Some((now, said)),
        None => kept.filter(|(at, _)| now.since(*at) < HOLDS),
    };
    kept.map(|(_, said)| said)
}

/// Why new relays are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The battery has so many percent left, and the bound.
    Charge(u8, u8),
    /// The device has so many degrees, and the bound.
    Heat(i64, u8),
}

impl Refusal {
    /// As people and devices read it.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Refusal::Charge(left, bound) => format!(
                "the node's battery has {left} % left; below {bound} % it opens no more ports"
            ),
            Refusal::Heat(degrees, bound) => format!(
                "the node has {degrees} degrees Celsius; above {bound} it opens no more ports"
            ),
        }
    }

    /// The bound that was met.
    #[must_use]
    pub fn limit(&self) -> u64 {
        match self {
            Refusal::Charge(_, bound) | Refusal::Heat(_, bound) => u64::from(*bound),
        }
    }
}

/// What holds at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Power {
    /// Power is saved.
    pub saving: bool,
    /// New relays are refused.
    pub refusal: Option<Refusal>,
    /// Each bound for itself: what is refused for one may go on for the other.
    low: bool,
    hot: bool,
}

impl Power {
    /// Takes what the sensors say now. True when something is otherwise than before.
    pub fn look(&mut self, sensed: Sensed, settings: &Settings) -> bool {
        let draining = match sensed.battery {
            Some((percent, false)) => Some(percent),
            _ => None,
        };
        let below = |bound: u8, already: bool| {
            let bound = bound.saturating_add(if already { GAINED } else { 0 });
            draining.filter(|percent| *percent < bound)
        };
        let saving = match settings.saver {
            SaverWish::On => true,
            SaverWish::Off => false,
            SaverWish::Auto => below(settings.saver_below, self.saving).is_some(),
        };
        let charge = (settings.refuse_below > 0)
            .then(|| below(settings.refuse_below, self.low))
            .flatten()
            .map(|left| Refusal::Charge(left, settings.refuse_below));
        let heat = settings.refuse_above.and_then(|bound| {
            let degrees = sensed.temperature? / 1000;
            let least = i64::from(bound) - if self.hot { COOLED } else { 0 };
            (degrees > least).then_some(Refusal::Heat(degrees, bound))
        });
        let (low, hot) = (charge.is_some(), heat.is_some());
        let refusal = charge.or(heat);
        let kind = |refusal: Option<Refusal>| refusal.map(|r| std::mem::discriminant(&r));
        let changed = saving != self.saving || kind(refusal) != kind(self.refusal);
        *self = Power {
            saving,
            refusal,
            low,
            hot,
        };
        changed
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn settings() -> Settings {
        Settings {
            saver: SaverWish::Auto,
            saver_below: 20,
            refuse_below: 10,
            refuse_above: Some(80),
        }
    }

    fn battery(percent: u8, fed: bool) -> Sensed {
        Sensed {
            battery: Some((percent, fed)),
            ..Sensed::default()
        }
    }

    fn heat(degrees: i64) -> Sensed {
        Sensed {
            temperature: Some(degrees * 1000),
            ..Sensed::default()
        }
    }

    #[test]
    fn a_battery_that_empties_first_saves_and_then_refuses() {
        let mut power = Power::default();
        assert!(!power.look(battery(20, false), &settings()));
        assert!(power.look(battery(19, false), &settings()));
        assert_eq!((power.saving, power.refusal), (true, None));
        assert!(power.look(battery(9, false), &settings()));
        assert_eq!(power.refusal, Some(Refusal::Charge(9, 10)));
        // The number changes, the state does not.
        assert!(!power.look(battery(8, false), &settings()));
        assert!(power
            .refusal
            .unwrap()
            .text()
            .contains("8 % left; below 10 %"));
        // On the charger it serves at once.
        assert!(power.look(battery(8, true), &settings()));
        assert_eq!(power, Power::default());
    }

    #[test]
    fn a_charge_that_wavers_around_its_bound_is_one_state() {
        let mut power = Power::default();
        power.look(battery(19, false), &settings());
        for percent in [20, 19, 21, 24, 19] {
            assert!(
                !power.look(battery(percent, false), &settings()),
                "{percent}"
            );
        }
        assert!(power.look(battery(25, false), &settings()));
    }

    #[test]
    fn a_device_that_is_too_hot_cools_down_before_it_relays_again() {
        let mut power = Power::default();
        assert!(!power.look(heat(80), &settings()));
        assert!(power.look(heat(81), &settings()));
        assert_eq!(power.refusal, Some(Refusal::Heat(81, 80)));
        assert!(!power.saving);
        assert!(!power.look(heat(76), &settings()));
        assert!(power.look(heat(75), &settings()));
        assert_eq!(power.refusal, None);
    }

    #[test]
    fn a_hot_device_whose_empty_battery_is_fed_again_still_has_to_cool_down() {
        let mut power = Power::default();
        let both = |percent, fed, degrees: i64| Sensed {
            battery: Some((percent, fed)),
            temperature: Some(degrees * 1000),
        };
        power.look(both(50, false, 85), &settings());
        power.look(both(5, false, 85), &settings());
        assert_eq!(power.refusal, Some(Refusal::Charge(5, 10)));
        assert!(power.look(both(5, true, 78), &settings()));
        assert_eq!(power.refusal, Some(Refusal::Heat(78, 80)));
        assert!(power.look(both(5, true, 75), &settings()));
        assert_eq!(power, Power::default());
    }

    #[test]
    fn a_sensor_that_is_silent_for_a_while_does_not_end_what_it_brought_about() {
        let (mut heard, mut power) = (Heard::default(), Power::default());
        let mut look = |second: u64, said| {
            let now = Moment(second * 1_000_000_000);
            power.look(heard.hear(now, said), &settings());
            (power.saving, power.refusal.is_some())
        };
        assert_eq!(look(0, Sensed::default()), (false, false));
        assert_eq!(look(10, battery(8, false)), (true, true));
        assert_eq!(look(20, Sensed::default()), (true, true));
        // One that goes silent has nothing to do with the other.
        assert_eq!(look(30, heat(85)), (true, true));
        assert_eq!(look(40, battery(8, true)), (false, true), "it is hot");
        assert_eq!(look(50, heat(30)), (false, false));
        assert_eq!(look(60, battery(8, false)), (true, true));
        assert_eq!(look(3_659, Sensed::default()), (true, true));
        assert_eq!(look(3_660, Sensed::default()), (false, false));
    }

    #[test]
    fn without_sensors_or_by_the_setting_nothing_is_refused() {
        let mut power = Power::default();
        assert!(!power.look(Sensed::default(), &settings()));
        let off = Settings {
            saver: SaverWish::Off,
            refuse_below: 0,
            refuse_above: None,
            ..settings()
        };
        let worst = Sensed {
            battery: Some((0, false)),
            temperature: Some(120_000),
        };
        assert!(!power.look(worst, &off));
        let on = Settings {
            saver: SaverWish::On,
            ..off
        };
        assert!(power.look(battery(100, true), &on));
        assert!(power.saving);
    }

    proptest! {
        #[test]
        fn whatever_was_before_a_fed_and_cool_device_relays_and_an_empty_one_does_not(
            history in proptest::collection::vec((0u8..=100, any::<bool>(), -20i64..120), 0..20),
        ) {
            let mut power = Power::default();
            for (percent, fed, degrees) in history {
                let sensed = Sensed { battery: Some((percent, fed)), temperature: Some(degrees * 1000) };
                power.look(sensed, &settings());
                if !fed && percent < 10 || degrees > 80 {
                    prop_assert!(power.refusal.is_some());
                }
            }
            power.look(battery(3, true), &settings());
            prop_assert_eq!(power, Power::default());
        }
    }
}

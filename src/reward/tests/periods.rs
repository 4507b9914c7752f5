//! What goes wrong with clocks, restarts and rates.

use super::*;

const HOUR: u64 = 3600;

fn hourly(rates: Rates) -> Terms {
    Terms {
        period: HOUR,
        rates,
    }
}

/// A device that has run for so long, from a full hour on.
fn device(seconds: u64) -> Device {
    let mut device = Device::new(DAY_ONE, hourly(rates("0.5", "0.012")));
    device.on();
    device.run(seconds);
    device
}

fn ups(device: &Device) -> Vec<u64> {
    device.over().iter().map(|row| row.up_ms / 1000).collect()
}

#[test]
fn the_first_period_is_not_blamed_for_the_time_before_the_node_existed() {
    let mut device = Device::new(DAY_ONE + 1800, hourly(Rates::default()));
    device.on();
    device.run(HOUR);
    let rows = device.over();
    assert_eq!(
        (rows[0].start, rows[0].end),
        (DAY_ONE + 1800, DAY_ONE + HOUR)
    );
    assert_eq!(rows[0].up_ms, rows[0].length_ms());
}

#[test]
fn a_clock_that_is_set_back_does_not_count_an_hour_twice() {
    let mut device = device(2 * HOUR);
    device.unix -= HOUR;
    device.run(3 * HOUR);
    assert_eq!(ups(&device), [HOUR, HOUR, HOUR, HOUR]);
}

#[test]
fn a_clock_that_jumps_ahead_makes_no_uptime() {
    let mut device = device(HOUR);
    device.unix += 3 * HOUR;
    device.run(HOUR);
    assert_eq!(ups(&device), [HOUR, 0, 0, 0, HOUR]);
}

#[test]
fn a_clock_that_drifts_loses_no_time() {
    let mut device = device(0);
    // Two seconds an hour fast, as a bad crystal without a time server.
    for _ in 0..48 {
        device.run(HOUR);
        device.unix += 2;
    }
    let sum: u64 = ups(&device).iter().sum();
    let whole = device.over().len() as u64 * HOUR;
    assert!(sum <= whole && sum + 48 * 2 >= whole, "{sum} of {whole}");
}

#[test]
fn nothing_is_settled_before_the_time_and_the_store_are_known() {
    let mut device = Device::new(DAY_ONE, hourly(Rates::default()));
    let (now, awake) = device.clocks();
    device.tracker = Some(Tracker::new(now, awake, device.terms));
    device.run(2 * HOUR);
    assert_eq!(device.report().period, None);
    let held = device.held();
    let tracker = device.tracker.as_mut().unwrap();
    assert!(!tracker.is_adopted());
    tracker.adopt(None, Vec::new(), &held);
    device.trusted = false;
    device.run(HOUR);
    assert_eq!((device.report().period, device.disk.len()), (None, 0));
    device.trusted = true;
    device.run(10);
    assert_eq!(ups(&device), [HOUR, HOUR, HOUR]);
}

#[test]
fn an_absence_of_years_makes_a_bounded_number_of_periods() {
    let mut device = device(2 * HOUR);
    device.off();
    device.pass(5 * 366 * 86_400, false);
    device.on();
    let rows = device.over();
    assert!(rows.len() as u64 <= 3 + 366 * 24 + 1, "{}", rows.len());
    assert!(rows.len() as u64 >= 366 * 24, "{}", rows.len());
    assert_eq!(rows.last().unwrap().end, device.unix);
    assert_eq!(
        rows.iter().map(|row| row.up_ms).sum::<u64>(),
        2 * HOUR * 1000
    );
    assert_eq!(device.report().projection.seconds, 86_400);
    assert!(device.tracker.as_ref().unwrap().history().count() <= HISTORY);
}

#[test]
fn tickets_from_before_rewards_were_tracked_earn_nothing() {
    let mut device = Device::new(DAY_ONE, hourly(rates("1", "0")));
    device.ticket('A', 694, 7_000_000_000, 1);
    device.on();
    device.run(60);
    assert_eq!(device.report().earned, Some(Tokens(0)));
    device.ticket('A', 694, 8_000_000_000, 1);
    device.run(60);
    assert_eq!(device.report().earned, Some(Tokens::parse("1").unwrap()));
}

#[test]
fn a_power_cut_right_after_the_first_start_loses_no_ticket() {
    let mut device = Device::new(DAY_ONE, hourly(rates("1", "0")));
    device.on();
    device.ticket('A', 694, 3_000_000_000, 1);
    device.run(60);
    // The cut: only what was committed stays.
    device.tracker = None;
    device.on();
    device.run(60);
    let tickets = device.report().period.unwrap().tickets;
    assert_eq!(tickets.value, 3_000_000_000 + 1024);
}

#[test]
fn tickets_that_the_store_has_lost_are_not_counted_again_when_they_come_back() {
    let mut device = device(60);
    device.ticket('A', 694, 7_000_000_000, 1);
    device.run(60);
    let counted = device.report().period.unwrap().tickets;
    assert_eq!(counted.value, 7_000_000_000 + 1024);
    device.off();
    device.tickets = Map::new();
    device.on();
    device.ticket('A', 694, 7_000_000_000, 1);
    device.run(60);
    assert_eq!(device.report().period.unwrap().tickets.value, counted.value);
}

#[test]
fn tickets_of_epochs_that_do_not_count_earn_nothing() {
    let mut device = device(60);
    device.ticket('A', 600, 1 << 40, 1);
    device.ticket('B', 696, 1 << 40, 1);
    device.run(60);
    assert_eq!(device.report().period.unwrap().tickets.value, 0);
}

#[test]
fn without_rates_nothing_is_claimed_and_what_was_earned_before_stays() {
    let mut device = Device::new(DAY_ONE, hourly(Rates::default()));
    device.on();
    device.run(2 * HOUR);
    let report = device.report();
    assert_eq!((report.earned, report.total), (None, None));
    assert_eq!(report.projection.day, None);
    assert_eq!(device.over()[0].earned, None);
    let set = |device: &mut Device, rates| {
        device.terms = hourly(rates);
        let terms = device.terms;
        device.tracker.as_mut().unwrap().change(terms);
        device.run(HOUR);
    };
    set(&mut device, rates("0", "3"));
    let earned = Tokens::parse("3").unwrap();
    assert_eq!(device.report().total, Some(earned));
    set(&mut device, Rates::default());
    let report = device.report();
    assert_eq!((report.earned, report.total), (None, Some(earned)));
    device.off();
    device.on();
    assert_eq!(device.report().total, Some(earned));
}

#[test]
fn another_length_holds_from_the_next_period_on() {
    let mut device = device(600);
    device.terms.period = 2 * HOUR;
    let terms = device.terms;
    device.tracker.as_mut().unwrap().change(terms);
    device.run(5 * HOUR);
    let ends: Vec<u64> = device.over().iter().map(|r| r.end - DAY_ONE).collect();
    assert_eq!(ends, [HOUR, 2 * HOUR, 4 * HOUR]);
}

#[test]
fn the_present_pace_is_that_of_the_latest_day() {
    let mut device = device(300);
    assert_eq!(
        device.report().projection.day,
        None,
        "five minutes say nothing"
    );
    device.run(30 * HOUR - 300);
    let pace = device.report().projection;
    let tokens = |text| Some(Tokens::parse(text).unwrap());
    assert_eq!((pace.day, pace.month), (tokens("0.288"), tokens("8.64")));
    device.off();
    device.pass(12 * HOUR, false);
    device.on();
    let pace = device.report().projection;
    assert_eq!((pace.day, pace.seconds), (tokens("0.144"), 24 * HOUR));
}

#[test]
fn the_running_period_is_written_lazily_and_seldom() {
    let mut device = device(0);
    let mut lazy = 0;
    for _ in 0..359 {
        device.pass(10, false);
        let steps = device.tick();
        assert!(steps.durable.is_empty());
        lazy += usize::from(steps.lazy.is_some());
    }
    assert!((5..=6).contains(&lazy), "{lazy}");
    device.pass(10, false);
    let steps = device.tick();
    let over: Vec<bool> = steps.durable.iter().map(|row| row.over).collect();
    assert_eq!((over, steps.lazy), (vec![true, false], None));
}

#[test]
fn counters_that_begin_anew_are_no_flood() {
    let mut device = device(0);
    device.counters.sent = 1000;
    device.counters.good = 5;
    device.run(10);
    device.counters.sent = 7;
    device.counters.good = 1;
    device.run(10);
    let measures = device.report().period.unwrap().measures;
    assert_eq!((measures.sent, measures.good), (1007, 6));
}

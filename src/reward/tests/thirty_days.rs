//! A month in virtual time against `thirty_days.txt`, which shows the working.

use super::*;

const FIXTURE: &str = include_str!("thirty_days.txt");

/// Seconds since 1970 of `day` and `HH:MM[:SS]`.
fn time(day: &str, clock: &str) -> u64 {
    let day: u64 = day.parse().unwrap();
    let parts: Vec<u64> = clock.split(':').map(|n| n.parse().unwrap()).collect();
    let seconds = parts.get(2).copied().unwrap_or(0);
    DAY_ONE + (day - 1) * 86_400 + parts[0] * 3600 + parts[1] * 60 + seconds
}

fn read_rates(words: &[&str]) -> Rates {
    let rate = |name: &str| {
        let word = words.iter().find_map(|word| word.strip_prefix(name));
        word.unwrap_or_else(|| panic!("{name} in {words:?}"))
    };
    rates(rate("gigabyte="), rate("hour="))
}

fn number(word: &str) -> u64 {
    word.parse().unwrap_or_else(|_| panic!("{word}"))
}

#[test]
fn a_month_with_downtime_comes_to_what_a_hand_works_out() {
    let mut events: Vec<(u64, Vec<&str>)> = Vec::new();
    let (mut expected, mut total) = (Vec::new(), None);
    for line in FIXTURE.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            [first, ..] if first.starts_with('#') => {}
            ["rates", day, clock, rates @ ..] => {
                let mut event = vec!["rates"];
                event.extend(rates);
                events.push((time(day, clock), event));
            }
            ["expect", day, clock, rest @ ..] => expected.push((time(day, clock), rest.to_vec())),
            ["total", rest @ ..] => total = Some(rest.to_vec()),
            [day, clock, event @ ..] => events.push((time(day, clock), event.to_vec())),
            [_] => panic!("{line}"),
        }
    }
    let terms = Terms {
        period: 3600,
        rates: Rates::default(),
    };
    let mut device = Device::new(DAY_ONE, terms);
    for (at, event) in events {
        assert!(device.unix <= at, "out of order: {event:?}");
        device.run(at - device.unix);
        play(&mut device, &event);
        if event == ["end"] {
            break;
        }
    }
    let rows = device.over();
    for (start, words) in &expected {
        let row = rows.iter().find(|row| row.start == *start).unwrap();
        let tokens = row.earned.map_or("-".to_owned(), |e| Tokens(e).to_string());
        let score = row.measures.performance();
        let found = format!(
            "up {} count {} bytes {} value {} score {} tokens {tokens}",
            row.up_ms / 1000,
            row.tickets.count,
            row.tickets.bytes,
            row.tickets.value,
            score.map_or("-".to_owned(), |score| score.to_string()),
        );
        let hours = (start - DAY_ONE) / 3600;
        let when = format!("day {} {:02}:00", hours / 24 + 1, hours % 24);
        assert_eq!(found, words.join(" "), "{when}");
        assert_eq!(row.up_ms % 1000, 0);
    }
    assert!(expected.len() >= 20, "{}", expected.len());
    let earned = rows.iter().fold(Tokens::default(), |sum, row| {
        sum.plus(Tokens(row.earned.unwrap()))
    });
    let found = format!(
        "periods {} up {} value {} tokens {earned}",
        rows.len(),
        rows.iter().map(|row| row.up_ms).sum::<u64>() / 1000,
        rows.iter().map(|row| row.tickets.value).sum::<u64>(),
    );
    assert_eq!(found, total.unwrap().join(" "));
    // What is pending is the same sum, kept along the way, restarts included.
    assert_eq!(device.report().total, Some(earned));
    // No gap and no overlap.
    for pair in rows.windows(2) {
        assert_eq!(pair[0].end, pair[1].start);
    }
}

fn play(device: &mut Device, event: &[&str]) {
    match event {
        ["on"] => device.on(),
        ["off"] => device.off(),
        ["end"] => {}
        // The disk has what was committed, and nothing else.
        ["cut"] => device.tracker = None,
        ["on-without-time"] => {
            device.trusted = false;
            let before = device.disk.clone();
            device.on();
            device.run(600);
            assert_eq!(device.disk, before, "written under a guessed time");
        }
        ["time"] => device.trusted = true,
        ["sleep", seconds] => device.pass(number(seconds), true),
        ["rates", words @ ..] => {
            device.terms.rates = read_rates(words);
            let terms = device.terms;
            if let Some(tracker) = &mut device.tracker {
                tracker.change(terms);
            }
        }
        ["ticket", name, epoch, bytes, connections] => {
            let name = name.chars().next().unwrap();
            device.ticket(name, number(epoch), number(bytes), number(connections));
            device.tick();
        }
        ["latency", millis] => {
            device.latency = Some(latency_score(number(millis)));
            device.tick();
        }
        ["waiting", bytes] => {
            device.waiting = number(bytes);
            device.tick();
        }
        ["good", n] => device.counters.good += number(n),
        ["bad", n] => device.counters.bad += number(n),
        ["sent", n] => device.counters.sent += number(n),
        other => panic!("{other:?}"),
    }
}

//! Tickets in a session: asked, paid, paused, cut off.

use super::raw::Raw;
use super::world::{join, opened, pair, read, write, Program, World, EPOCH};
use crate::edge::device::session::Event;
use crate::ports::window::LARGEST;
use crate::session::Stop;
use crate::ticket::{EPOCH_SECONDS, FAIR_STEP};
use crate::wire::code::Code;
use crate::wire::control::{
    ErrorAnswer, Finish, Opened, Published, TicketAccepted, TicketAsk, TicketTooLow,
};
use std::sync::atomic::Ordering;
use std::time::Duration;

const MIB: u64 = 1 << 20;

/// A small grace, so that little traffic shows what happens behind it.
fn strict() -> World {
    World::with(|plan| {
        plan.terms.tickets_required = true;
        plan.terms.grace_bytes = MIB;
    })
}

/// A raw device with a ticket for `total` and port 3 to `b`, which reads all.
fn raw_with_port(world: &mut World, total: u64) -> (Raw, Program, crate::ports::LocalPort) {
    let b = Program::new(2);
    world.connect(&b);
    b.publish("tcp:80");
    world.settle();
    let mut raw = Raw::greeted(world, 1);
    raw.asked(world);
    let ticket = raw.ticket(world, EPOCH, total);
    raw.say(world, 1, &ticket);
    raw.expect::<TicketAccepted>(world);
    raw.open(world, 3, &b, "tcp:80");
    let port = b.offer().unwrap();
    port.accept();
    raw.expect::<Opened>(world);
    (raw, b, port)
}

/// Sends `bytes` in frames as credit would come.
fn send(world: &mut World, raw: &mut Raw, port: &crate::ports::LocalPort, bytes: u64) {
    let mut left = bytes as usize;
    while left > 0 {
        let n = left.min(16_384);
        raw.data(world, 3, &vec![0; n]);
        left -= n;
        read(port, world.now());
        world.settle();
    }
}

#[test]
fn a_device_is_asked_after_hello_and_pays_by_itself() {
    let mut world = World::paid();
    let a = Program::new(1);
    world.connect(&a);
    let told = a.told();
    assert!(matches!(told[0], Event::Welcomed(_)), "{told:?}");
    assert!(matches!(
        told[1],
        Event::TicketStored { total_bytes: t, durable: false } if t == FAIR_STEP
    ));
    assert!(matches!(told[2], Event::Admitted));
    assert_eq!(told.len(), 3);
    world.close();
}

#[test]
fn without_the_need_for_tickets_none_is_asked_for() {
    let mut world = World::free();
    let mut raw = Raw::greeted(&mut world, 1);
    raw.publish(&mut world, 3, "tcp:80");
    let heard = raw.heard(&mut world);
    assert!(heard.iter().any(|h| h.is::<Published>().is_some()));
    world.pass(Duration::from_secs(30));
    assert!(raw.all::<TicketAsk>(&mut world).is_empty());
    raw.assert_alive(&world);
}

#[test]
fn a_step_is_renewed_at_three_quarters_and_not_before() {
    let mut world = strict();
    let (mut raw, _b, port) = raw_with_port(&mut world, 4 * MIB);
    send(&mut world, &mut raw, &port, 3 * MIB - 1);
    assert!(raw.all::<TicketAsk>(&mut world).is_empty());
    send(&mut world, &mut raw, &port, 1);
    let ask = raw.asked(&mut world);
    assert_eq!(
        (ask.epoch, ask.epoch_known, ask.usage),
        (EPOCH, true, 3 * MIB)
    );
    // Once.
    send(&mut world, &mut raw, &port, MIB);
    assert!(raw.all::<TicketAsk>(&mut world).is_empty());
    // The next step is counted from the usage at its acceptance.
    let ticket = raw.ticket(&world, EPOCH, 8 * MIB);
    raw.say(&mut world, 5, &ticket);
    let (id, accepted) = raw.expect::<TicketAccepted>(&mut world);
    assert_eq!(
        (id, accepted.total_bytes, accepted.usage),
        (5, 8 * MIB, 4 * MIB)
    );
    send(&mut world, &mut raw, &port, 3 * MIB);
    assert_eq!(raw.asked(&mut world).usage, 7 * MIB);
    world.close();
}

#[test]
fn usage_beyond_the_grace_pauses_and_a_ticket_resumes() {
    let mut world = strict();
    let (mut raw, _b, port) = raw_with_port(&mut world, 4 * MIB);
    send(&mut world, &mut raw, &port, 5 * MIB);
    // Paused: what the other side sends does not come, nor its end.
    port.write_all_now(b"answer").unwrap();
    world.settle();
    port.finish();
    world.settle();
    assert!(raw.all::<Finish>(&mut world).is_empty());
    assert_eq!(world.node_link(raw.line).queued(), 6);
    // Control goes on.
    raw.say(&mut world, 7, &crate::wire::control::Ping {});
    raw.expect::<crate::wire::control::Pong>(&mut world);
    let ticket = raw.ticket(&world, EPOCH, 9 * MIB);
    raw.say(&mut world, 9, &ticket);
    raw.expect::<TicketAccepted>(&mut world);
    raw.expect::<Finish>(&mut world);
    world.close();
}

#[test]
fn who_does_not_pay_is_cut_off_20_s_after_the_ask_and_not_before() {
    let mut world = strict();
    let (mut raw, _b, port) = raw_with_port(&mut world, 4 * MIB);
    send(&mut world, &mut raw, &port, 3 * MIB);
    raw.asked(&mut world);
    world.pass(Duration::from_secs(30));
    raw.assert_alive(&world);
    // Late, but within the grace. Beyond it there is no more time.
    send(&mut world, &mut raw, &port, 2 * MIB - 100);
    raw.assert_alive(&world);
    send(&mut world, &mut raw, &port, 100);
    raw.expect_end(&mut world, Code::UNPAID);
    world.settle();
    let end = read(&port, world.now()).1.unwrap().unwrap_err();
    assert_eq!(end.code, Code::PEER_LOST);
    drop(port);
    world.close();
}

#[test]
fn who_never_sends_a_ticket_is_cut_off_20_s_after_the_first_ask() {
    let mut world = strict();
    let mut raw = Raw::greeted(&mut world, 1);
    raw.asked(&mut world);
    world.pass(Duration::from_millis(19_900));
    raw.assert_alive(&world);
    world.pass(Duration::from_millis(200));
    raw.expect_end(&mut world, Code::UNPAID);
    world.close();
}

#[test]
fn bad_tickets_are_refused_by_name_and_do_not_stop_the_clock() {
    let mut world = strict();
    let mut raw = Raw::greeted(&mut world, 1);
    raw.asked(&mut world);
    let mut wrong = Vec::new();
    let good = raw.ticket(&world, EPOCH, MIB);
    wrong.push((100, raw.ticket(&world, EPOCH - 2, MIB)));
    wrong.push((101, raw.ticket(&world, EPOCH + 1, MIB)));
    let mut chain = good.clone();
    chain.chain_id = 1;
    wrong.push((102, chain));
    let mut forged = good.clone();
    forged.total_bytes += 1;
    wrong.push((106, forged));
    let other = Raw::device(&mut world, 5, true);
    wrong.push((106, other.ticket(&world, EPOCH, MIB)));
    for (id, (code, ticket)) in (11..).step_by(2).zip(wrong) {
        raw.say(&mut world, id, &ticket);
        assert_eq!(raw.refused(&mut world, id).code, Code(code));
    }
    world.pass(Duration::from_secs(21));
    raw.expect_end(&mut world, Code::UNPAID);
}

#[test]
fn a_ticket_below_the_usage_is_answered_with_what_it_must_cover() {
    let mut world = strict();
    let (mut raw, _b, port) = raw_with_port(&mut world, 4 * MIB);
    send(&mut world, &mut raw, &port, MIB);
    let low = raw.ticket(&world, EPOCH, MIB / 2);
    raw.say(&mut world, 5, &low);
    let (id, answer) = raw.expect::<TicketTooLow>(&mut world);
    assert_eq!((id, answer.usage, answer.last_total), (5, MIB, 4 * MIB));
    raw.assert_alive(&world);
}

#[test]
fn tickets_that_come_too_often_are_not_looked_at() {
    let mut world = strict();
    let mut raw = Raw::greeted(&mut world, 1);
    let ticket = raw.ticket(&world, EPOCH, MIB);
    for _ in 0..40 {
        raw.say(&mut world, 3, &ticket);
    }
    let refused = raw.all::<ErrorAnswer>(&mut world);
    assert!(refused
        .iter()
        .all(|(_, e)| e.code == Code(111) && e.retry_after_ms.is_some()));
    assert!((15..25).contains(&refused.len()), "{}", refused.len());
}

#[test]
fn both_devices_pay_for_the_payload_of_a_port_and_for_nothing_else() {
    let mut world = strict();
    let (raw_total, sent) = (8 * MIB, MIB + 5);
    let (mut raw, b, port) = raw_with_port(&mut world, raw_total);
    send(&mut world, &mut raw, &port, sent);
    assert_eq!(b.traffic.received.load(Ordering::Relaxed), sent);
    let low = raw.ticket(&world, EPOCH, 0);
    raw.say(&mut world, 5, &low);
    assert_eq!(raw.expect::<TicketTooLow>(&mut world).1.usage, sent);
    let tab = world.services.book.open(b.address(), None);
    tab.charge(0, 0);
    drop(tab);
    let board = world.services.board.clone();
    world.close();
    assert_eq!(board.bytes_in.load(Ordering::Relaxed), sent);
    assert_eq!(board.bytes_out.load(Ordering::Relaxed), sent);
}

#[test]
fn a_fast_transfer_is_never_held_up_by_tickets() {
    let mut world = strict();
    let (a, b) = (Program::new(1), Program::new(2));
    for program in [&a, &b] {
        let line = world.begin(program);
        world.lines[line].up.delay = Duration::from_millis(10);
        world.lines[line].down.delay = Duration::from_millis(10);
    }
    world.pass(Duration::from_millis(100));
    b.publish("tcp:80");
    world.pass(Duration::from_millis(100));
    let from = a.open(&b, "tcp:80", world.now());
    world.pass(Duration::from_millis(100));
    let to = b.offer().unwrap();
    to.accept();
    world.pass(Duration::from_millis(100));
    assert_eq!(opened(&from), Some(Ok(())));
    let mut stalls = 0;
    let mut got = 0;
    for _ in 0..600 {
        let _ = write(&from, &[0; 262_144]).unwrap();
        world.pass(Duration::from_millis(5));
        let n = read(&to, world.now()).0.len();
        got += n;
        stalls = if n == 0 { stalls + 1 } else { 0 };
        assert!(stalls < 12, "60 ms without a byte after {got}");
    }
    assert!(got as u64 > 16 * MIB, "{got}");
    assert!(a.payer.lock().unwrap().paid() as usize >= got);
    assert!(world.node_stop(0).is_none());
}

#[test]
fn a_new_epoch_is_asked_for_and_the_old_ticket_pays_meanwhile() {
    let mut world = strict();
    let (mut raw, _b, port) = raw_with_port(&mut world, 4 * MIB);
    send(&mut world, &mut raw, &port, MIB);
    world.skip_wall_clock(EPOCH_SECONDS);
    // Accounts are looked at every minute in a quiet session, when it is awake.
    world.pass(Duration::from_secs(61));
    raw.say(&mut world, 5, &crate::wire::control::Ping {});
    let ask = raw.asked(&mut world);
    assert_eq!((ask.epoch, ask.usage), (EPOCH + 1, 0));
    send(&mut world, &mut raw, &port, MIB);
    raw.assert_alive(&world);
    let ticket = raw.ticket(&world, EPOCH + 1, 4 * MIB);
    raw.say(&mut world, 7, &ticket);
    let accepted = raw.expect::<TicketAccepted>(&mut world).1;
    assert_eq!((accepted.epoch, accepted.usage), (EPOCH + 1, 0));
}

#[test]
fn a_device_follows_its_node_into_the_next_epoch_by_itself() {
    let mut world = strict();
    let (a, b) = pair(&mut world);
    let (from, to) = join(&mut world, &a, &b, "tcp:80");
    for _ in 0..3 {
        a.told();
        world.skip_wall_clock(EPOCH_SECONDS);
        // The device's ping wakes the session.
        world.pass(Duration::from_secs(110));
        assert!(a
            .told()
            .iter()
            .any(|e| matches!(e, Event::TicketStored { .. })));
        write(&from, b"on").unwrap();
        world.settle();
        assert_eq!(read(&to, world.now()).0, b"on");
    }
    assert_eq!((world.node_stop(0), world.node_stop(1)), (None, None));
}

#[test]
fn a_node_without_a_clock_takes_the_devices_epoch() {
    let mut world = World::with(|plan| {
        plan.terms.tickets_required = true;
        plan.clock_trusted = false;
    });
    let mut raw = Raw::greeted(&mut world, 1);
    let ask = raw.asked(&mut world);
    assert!(!ask.epoch_known);
    let ticket = raw.ticket(&world, EPOCH + 5, MIB);
    raw.say(&mut world, 3, &ticket);
    assert_eq!(raw.expect::<TicketAccepted>(&mut world).1.epoch, EPOCH + 5);
}

#[test]
fn a_device_that_will_not_pay_more_says_so_and_the_node_ends_it() {
    let mut world = World::with(|plan| {
        plan.terms.tickets_required = true;
        plan.terms.grace_bytes = 0;
    });
    let a = Program::that_pays(1, Some(4 * MIB));
    let b = Program::new(2);
    world.connect(&a);
    world.connect(&b);
    let (from, to) = join(&mut world, &a, &b, "tcp:80");
    for _ in 0..40 {
        let _ = write(&from, &[0; 131_072]).unwrap();
        world.settle();
        read(&to, world.now());
        world.settle();
    }
    assert!(a.told().iter().any(|e| matches!(e, Event::WontPay(_))));
    world.pass(Duration::from_secs(21));
    assert!(matches!(world.device_stop(0), Some(Stop::Told(c)) if c.code == Code::UNPAID));
    assert_eq!(a.payer.lock().unwrap().paid(), 4 * MIB);
    let sent = a.traffic.sent.load(Ordering::Relaxed);
    // Credit that was granted before is all that came on top.
    assert!(sent <= 4 * MIB + u64::from(LARGEST), "{sent}");
}

#[test]
fn a_device_that_comes_back_goes_on_where_its_account_was() {
    let mut world = strict();
    let (mut raw, _b, port) = raw_with_port(&mut world, 4 * MIB);
    send(&mut world, &mut raw, &port, MIB);
    world.lines[raw.line].break_off();
    let mut again = Raw::greeted(&mut world, 1);
    assert_eq!(again.asked(&mut world).usage, MIB);
    // The same ticket opens the session.
    let ticket = again.ticket(&world, EPOCH, 4 * MIB);
    again.say(&mut world, 1, &ticket);
    let accepted = again.expect::<TicketAccepted>(&mut world).1;
    assert_eq!((accepted.total_bytes, accepted.usage), (4 * MIB, MIB));
}

#[test]
fn a_nodes_correction_of_another_ticket_ends_the_session() {
    let mut world = World::paid();
    let program = Program::new(1);
    let mut raw = Raw::node(&mut world, &program);
    raw.say(&mut world, 1, &super::raw::welcome(true));
    let low = TicketTooLow {
        usage: 1,
        last_total: 1,
    };
    raw.say(&mut world, 99, &low);
    raw.expect_end(&mut world, Code::PROTOCOL);
}

#[test]
fn a_node_that_asks_for_the_moon_is_not_paid() {
    let mut world = World::free();
    let program = Program::new(1);
    let mut raw = Raw::node(&mut world, &program);
    raw.say(&mut world, 1, &super::raw::welcome(true));
    let mut ask = TicketAsk {
        epoch: EPOCH,
        epoch_known: true,
        usage: 0,
    };
    raw.say(&mut world, 0, &ask);
    raw.expect::<crate::ticket::Ticket>(&mut world);
    ask.usage = 1 << 40;
    raw.say(&mut world, 0, &ask);
    ask.epoch = EPOCH + 2;
    ask.usage = 0;
    raw.say(&mut world, 0, &ask);
    assert!(raw.all::<crate::ticket::Ticket>(&mut world).is_empty());
    let refusals = program.told();
    let refusals = refusals.iter().filter(|e| matches!(e, Event::WontPay(_)));
    assert_eq!(refusals.count(), 2);
}

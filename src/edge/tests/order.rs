//! What may follow what in a session, as a stranger tries it.

use super::raw::{hello, Raw};
use super::world::{Program, World};
use crate::wire::code::Code;
use crate::wire::control::{
    encode, Abort, Close, Credit, ErrorAnswer, Finish, Message, Open, Opened, Ping, Pong, Publish,
    Published, TicketAccepted, TicketAsk, TicketTooLow, Welcome,
};
use crate::wire::frame::{control_header, data_header};

/// A frame of each type, as bytes.
fn one_of_each() -> Vec<(u8, Vec<u8>)> {
    fn frame<M: Message>(message: &M) -> (u8, Vec<u8>) {
        let mut bytes = Vec::new();
        encode(9, message, &mut bytes);
        (M::KIND, bytes)
    }
    let (port, text, code) = (1, String::new(), Code::ABORTED);
    let peer = crate::identity::Address([5; 20]);
    let name = "tcp:1".to_owned();
    vec![
        frame(&hello()),
        frame(&super::raw::welcome(true)),
        frame(&TicketAsk {
            epoch: 1,
            epoch_known: true,
            usage: 0,
        }),
        frame(&TicketAccepted {
            epoch: 1,
            total_bytes: 0,
            usage: 0,
            durable: true,
        }),
        frame(&Ping {}),
        frame(&Pong {}),
        frame(&ErrorAnswer {
            code,
            text: text.clone(),
            limit: None,
            retry_after_ms: None,
        }),
        frame(&TicketTooLow {
            usage: 0,
            last_total: 0,
        }),
        frame(&Credit { port, bytes: 1 }),
        frame(&Open {
            port,
            peer,
            name: name.clone(),
            credit: 1,
        }),
        frame(&Opened { credit: 1 }),
        frame(&Finish { port }),
        frame(&Abort { port, code, text }),
        frame(&Publish { name, allow: None }),
        frame(&Published {}),
        (0x10, [&data_header(1, 2)[..], b"hi"].concat()),
        (0x2f, control_header(0x2f, 1, 0).to_vec()),
    ]
}

#[test]
fn nothing_but_hello_begins_a_session() {
    for (kind, bytes) in one_of_each() {
        let mut world = World::free();
        let mut raw = Raw::device(&mut world, 1, true);
        raw.bytes(&mut world, &bytes);
        if kind == 0x01 {
            raw.expect::<Welcome>(&mut world);
        } else {
            raw.expect_end(&mut world, Code::PROTOCOL);
        }
        world.close();
    }
}

#[test]
fn a_second_hello_ends_the_session() {
    let mut world = World::free();
    let mut raw = Raw::greeted(&mut world, 1);
    raw.say(&mut world, 3, &hello());
    raw.expect_end(&mut world, Code::PROTOCOL);
}

#[test]
fn a_device_cannot_say_what_only_nodes_say() {
    for (kind, bytes) in one_of_each() {
        if !matches!(kind, 0x02 | 0x03 | 0x05 | 0x0a | 0x17 | 0x2f) {
            continue;
        }
        let mut world = World::free();
        let mut raw = Raw::greeted(&mut world, 1);
        raw.bytes(&mut world, &bytes);
        raw.expect_end(&mut world, Code::PROTOCOL);
    }
}

#[test]
fn a_node_cannot_say_what_only_devices_say() {
    for (kind, bytes) in one_of_each() {
        if !matches!(kind, 0x01 | 0x04 | 0x16 | 0x2f) {
            continue;
        }
        let mut world = World::free();
        let program = Program::new(1);
        let mut raw = Raw::welcoming(&mut world, &program);
        raw.bytes(&mut world, &bytes);
        raw.expect_end(&mut world, Code::PROTOCOL);
    }
}

#[test]
fn nothing_but_welcome_begins_the_nodes_side() {
    for (kind, bytes) in one_of_each() {
        let mut world = World::free();
        let program = Program::new(1);
        let mut raw = Raw::node(&mut world, &program);
        raw.bytes(&mut world, &bytes);
        if kind == 0x02 {
            raw.assert_alive(&world);
        } else {
            raw.expect_end(&mut world, Code::PROTOCOL);
        }
    }
}

#[test]
fn a_second_welcome_ends_the_session() {
    let mut world = World::free();
    let program = Program::new(1);
    let mut raw = Raw::welcoming(&mut world, &program);
    raw.say(&mut world, 1, &super::raw::welcome(false));
    raw.expect_end(&mut world, Code::PROTOCOL);
}

#[test]
fn answers_to_what_was_never_asked_end_the_session() {
    // The node's numbers are even; 2 is its ping, 4 it has not used yet.
    type Answer<'a> = &'a dyn Fn(&mut World, &mut Raw);
    let answers: [Answer<'_>; 3] = [
        &|world, raw| raw.say(world, 4, &Opened { credit: 1 }),
        &|world, raw| raw.say(world, 3, &Opened { credit: 1 }),
        &|world, raw| {
            let error = ErrorAnswer {
                code: Code::NOT_FOUND,
                text: String::new(),
                limit: None,
                retry_after_ms: None,
            };
            raw.say(world, 4, &error);
        },
    ];
    for answer in answers {
        let mut world = World::free();
        let mut raw = Raw::greeted(&mut world, 1);
        answer(&mut world, &mut raw);
        raw.expect_end(&mut world, Code::PROTOCOL);
    }
}

#[test]
fn a_pong_that_nobody_waits_for_is_no_reason_to_end() {
    let mut world = World::free();
    let mut raw = Raw::greeted(&mut world, 1);
    raw.say(&mut world, 1000, &Pong {});
    raw.assert_alive(&world);
}

#[test]
fn taking_back_a_port_that_was_refused_for_want_of_a_ticket_is_no_violation() {
    let mut world = World::paid();
    let mut raw = Raw::greeted(&mut world, 1);
    let other = Program::new(2);
    raw.open(&mut world, 1, &other, "tcp:1");
    assert_eq!(
        raw.expect::<ErrorAnswer>(&mut world).1.code,
        Code::NO_TICKET
    );
    raw.abort(&mut world, 1);
    raw.assert_alive(&world);
    // The number is used up all the same.
    raw.open(&mut world, 1, &other, "tcp:1");
    raw.expect_end(&mut world, Code::PROTOCOL);
}

#[test]
fn the_reason_of_a_close_reaches_the_other_side_and_ends_it() {
    let mut world = World::free();
    let mut raw = Raw::greeted(&mut world, 1);
    let close = Close {
        code: Code::LEAVING,
        text: "bye".into(),
        retry_after_ms: None,
    };
    raw.say(&mut world, 0, &close);
    let stop = world.node_stop(raw.line);
    assert_eq!(stop, Some(&crate::session::Stop::Told(close)));
    world.close();
}

#[test]
fn answers_that_were_queued_go_out_before_the_reason_to_end() {
    let mut world = World::free();
    let mut raw = Raw::greeted(&mut world, 1);
    let mut bytes = Vec::new();
    encode(3, &Ping {}, &mut bytes);
    encode(5, &hello(), &mut bytes);
    raw.bytes(&mut world, &bytes);
    assert_eq!(raw.expect::<Pong>(&mut world).0, 3);
    raw.expect_end(&mut world, Code::PROTOCOL);
}

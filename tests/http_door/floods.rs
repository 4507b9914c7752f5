//! Clients that send too much, too little or too slowly.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chr_node::rpc::Limits;

use crate::harness::{call, get, post, Client, Service};

/// Time limits that a test can wait for.
fn short() -> Limits {
    Limits {
        head: Duration::from_millis(300),
        body: Duration::from_millis(300),
        idle: Duration::from_millis(600),
        write: Duration::from_millis(300),
        ..Limits::default()
    }
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn two_hundred_slow_heads_do_not_keep_others_out() {
    let service = Service::new();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut slow: Vec<Client> = (0..200).map(|_| service.client()).collect();
            for byte in get("/health").iter().cycle() {
                for client in &mut slow {
                    // The door may have ended it: come again, as an attacker would.
                    if client.stream.write_all(&[*byte]).is_err() {
                        *client = service.client();
                    }
                }
                if done.load(Ordering::SeqCst) {
                    return;
                }
                std::thread::sleep(Duration::from_secs(1));
            }
        });
        // Also when an assertion fails: the scope waits for the attacker.
        let _end = SetOnDrop(&done);
        let mut slowest = Duration::ZERO;
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(3) {
            let asked = Instant::now();
            let reply = service.client().ask(&post(call(1).as_bytes())).unwrap();
            assert_eq!(reply.status, 200);
            slowest = slowest.max(asked.elapsed());
        }
        // A quarter of a second on a quiet machine; in any case nobody waits for slow heads to time out.
        assert!(slowest < Duration::from_secs(3), "{slowest:?}");
    });
}

#[test]
fn a_hundred_megabytes_of_header_are_cut_at_eight_kilobytes() {
    let service = Service::new();
    let mut client = service.client();
    client.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n");
    let line = format!("X-Filler: {}\r\n", "a".repeat(990)).into_bytes();
    let mut sent = 0;
    while sent < 100 * 1024 * 1024 && client.stream.write_all(&line).is_ok() {
        sent += line.len();
    }
    assert!(sent < 32 * 1024 * 1024, "the door took {sent} bytes");
    let reply = client.reply().unwrap();
    assert_eq!(reply.status, 431);
    assert_eq!(reply.json()["error"]["code"], -32600);
    service.assert_alive("100 MB of header");
}

#[test]
fn ten_thousand_pipelined_requests_are_answered_in_order() {
    let service = Service::new();
    let mut client = service.client();
    let mut writer = client.stream.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for id in 0..10_000 {
                writer.write_all(&post(call(id).as_bytes())).unwrap();
            }
        });
        for id in 0..10_000 {
            assert_eq!(client.reply().unwrap().json()["id"], id);
        }
    });
    assert_eq!(service.info_calls(), 10_000);
    assert_eq!(client.ask(&get("/ready")).unwrap().status, 200);
}

#[test]
fn who_sends_ahead_and_never_reads_is_ended_and_holds_nobody_up() {
    let service = Service::with(short());
    let mut client = service.client();
    let request = get("/nothing");
    let mut sent = 0;
    while sent < 256 * 1024 * 1024 && client.stream.write_all(&request).is_ok() {
        sent += request.len();
    }
    assert!(sent < 64 * 1024 * 1024, "the door took {sent} bytes");
    service.assert_alive("a client that does not read");
}

#[test]
fn a_head_that_does_not_come_is_not_waited_for() {
    let service = Service::with(short());
    let mut silent = service.client();
    let mut half = service.client();
    half.send(b"GET /health HTTP/1.1\r\nHo");
    let reply = half.reply().unwrap();
    assert_eq!(reply.status, 408);
    assert!(half.is_closed());
    assert!(silent.is_closed());
    service.assert_alive("half a head");
}

#[test]
fn a_head_in_drops_does_not_outlive_its_limit() {
    let service = Service::with(short());
    let mut client = service.client();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(5) {
        if client.stream.write_all(b"G").is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(begin.elapsed() < Duration::from_secs(4));
}

#[test]
fn an_idle_connection_ends_at_its_limit() {
    let service = Service::with(short());
    let mut client = service.client();
    assert_eq!(client.ask(&get("/ready")).unwrap().status, 200);
    let begin = Instant::now();
    assert!(client.is_closed());
    let waited = begin.elapsed();
    assert!(waited > Duration::from_millis(400), "{waited:?}");
}

#[test]
fn a_body_that_does_not_come_blocks_nobody() {
    let service = Service::with(Limits {
        body: Duration::from_secs(2),
        ..Limits::default()
    });
    let head = post(&vec![b' '; 500_000]);
    let mut missing: Vec<Client> = (0..40).map(|_| service.client()).collect();
    for client in &mut missing {
        // More than tiny_http's threads, each with a body that it would wait for.
        client.send(&head[..head.len() - 100]);
    }
    let begin = Instant::now();
    for id in 0..20 {
        let reply = service.client().ask(&post(call(id).as_bytes())).unwrap();
        assert_eq!(reply.json()["id"], id);
    }
    assert!(begin.elapsed() < Duration::from_secs(2));
    let mut refused = 0;
    for client in &mut missing {
        let reply = client.reply().unwrap();
        assert!(matches!(reply.status, 408 | 503), "{}", reply.head);
        assert!(reply.json()["id"].is_null());
        refused += usize::from(reply.status == 503);
    }
    // Eight such bodies fit the budget of 4 MiB; the others were told at once.
    assert_eq!(refused, 32);
    service.assert_alive("missing bodies");
    let whole = service.client().ask(&head).unwrap();
    assert_eq!(whole.status, 200, "the budget was not given back");
}

#[test]
fn a_client_that_leaves_in_the_middle_leaves_nothing_behind() {
    let service = Service::new();
    let request = post(call(1).as_bytes());
    for cut in 1..request.len() {
        let mut client = service.client();
        client.send(&request[..cut]);
    }
    // Those that left right after a whole request do not wait for their answer.
    for _ in 0..50 {
        service.client().send(&request);
    }
    service.assert_alive("clients that left");
    let reply = service.client().ask(&post(call(2).as_bytes())).unwrap();
    assert_eq!(reply.json()["id"], 2);
}

#[test]
fn a_body_beyond_the_cap_is_refused_before_it_is_read() {
    let service = Service::new();
    let mut client = service.client();
    client.send(b"POST /rpc HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99999999999999999\r\n\r\n");
    let filler = vec![b'x'; 64 * 1024];
    let mut sent = 0;
    while sent < 100 * 1024 * 1024 && client.stream.write_all(&filler).is_ok() {
        sent += filler.len();
    }
    assert!(sent < 32 * 1024 * 1024, "the door took {sent} bytes");
    assert_eq!(client.reply().unwrap().status, 413);
    service.assert_alive("a body beyond the cap");
}

#[test]
fn no_second_request_is_smuggled_in_a_doubtful_body() {
    let service = Service::new();
    let hidden = post(call(666).as_bytes());
    for framing in [
        "Content-Length: 4\r\nContent-Length: 400\r\n",
        "Content-Length: 400\r\nContent-Length: 4\r\n",
        "Content-Length: nonsense\r\n",
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: xchunked\r\nContent-Length: 0\r\n",
        "Content-Length: 0\r\n Content-Length: 4\r\n",
        "Content-Length\t: 0\r\n",
    ] {
        let mut client = service.client();
        client.send(
            format!("POST /rpc HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{framing}\r\n")
                .as_bytes(),
        );
        client.send(&hidden);
        client.stream.shutdown(Shutdown::Write).unwrap();
        let reply = client.reply().unwrap();
        assert!(reply.status >= 400, "{framing}: {}", reply.head);
        let mut rest = Vec::new();
        let _ = client.stream.read_to_end(&mut rest);
        assert!(
            rest.is_empty(),
            "{framing}: {}",
            String::from_utf8_lossy(&rest)
        );
    }
    assert_eq!(service.info_calls(), 0);
    service.assert_alive("smuggling");
}

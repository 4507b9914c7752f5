//! The resolver against name servers that lie, cut, tarry and talk nonsense.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;
use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::thread;

/// A name server on a port of its own: `udp` and `tcp` make packets of a question.
struct Server {
    place: SocketAddr,
    asked: Arc<AtomicUsize>,
}

type Answers = Vec<Vec<u8>>;
/// What comes back on a connection.
type Answer = fn(&[u8]) -> Vec<u8>;

fn server(udp: impl Fn(&[u8]) -> Answers + Send + 'static, tcp: Option<Answer>) -> Server {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let place = socket.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    thread::spawn(move || {
        let mut packet = [0; 600];
        while let Ok((length, from)) = socket.recv_from(&mut packet) {
            count.fetch_add(1, Ordering::SeqCst);
            for answer in udp(&packet[..length]) {
                let _ = socket.send_to(&answer, from);
            }
        }
    });
    if let Some(tcp) = tcp {
        let listener = TcpListener::bind(place).unwrap();
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut length = [0; 2];
                if stream.read_exact(&mut length).is_err() {
                    continue;
                }
                let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
                stream.read_exact(&mut query).unwrap();
                let answer = tcp(&query);
                let mut packet = (answer.len() as u16).to_be_bytes().to_vec();
                packet.extend(answer);
                // In two pieces, as networks do.
                let (first, rest) = packet.split_at(packet.len().min(9));
                let _ = stream.write_all(first).and_then(|()| stream.flush());
                let _ = stream.write_all(rest);
            }
        });
    }
    Server { place, asked }
}

/// Where a packet's question ends, and whether it is for IPv6.
fn question(query: &[u8]) -> (usize, bool) {
    let end = 12 + query[12..].iter().position(|b| *b == 0).unwrap() + 5;
    (end, query[end - 3] == 28)
}

fn reply(query: &[u8], code: u8, records: &[(&[u8], u8, &[u8])]) -> Vec<u8> {
    let (end, _) = question(query);
    let mut packet = query[..end].to_vec();
    packet[2] |= 0x80;
    packet[3] = 0x80 | code;
    packet[7] = records.len() as u8;
    for (owner, kind, data) in records {
        packet.extend(*owner);
        packet.extend([0, *kind, 0, 1, 0, 0, 0, 9, 0, data.len() as u8]);
        packet.extend(*data);
    }
    packet
}

const ASKED: &[u8] = &[0xc0, 12];

/// 192.0.2.LAST, and nothing for IPv6.
fn with(query: &[u8], last: u8) -> Vec<u8> {
    match question(query).1 {
        true => reply(query, 0, &[]),
        false => reply(query, 0, &[(ASKED, 1, &[192, 0, 2, last])]),
    }
}

fn truncated(query: &[u8]) -> Answers {
    let mut packet = reply(query, 0, &[]);
    packet[2] |= 2;
    vec![packet]
}

fn ask(name: &str, servers: &[&Server]) -> Result<Vec<IpAddr>, String> {
    let folder = tempfile::tempdir().unwrap();
    let sources = Sources {
        root: folder.path(),
        prefix: folder.path().join("usr"),
        configured: servers.iter().map(|s| s.place).collect(),
    };
    sources.lookup(name)
}

fn ips(list: &[&str]) -> Vec<IpAddr> {
    list.iter().map(|ip| ip.parse().unwrap()).collect()
}

#[test]
fn without_any_server_the_error_says_what_to_do_and_takes_no_time() {
    let begun = Instant::now();
    let error = ask("node.example", &[]).unwrap_err();
    assert!(
        error.contains("network.dns") && error.contains("resolv-conf"),
        "{error}"
    );
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert_eq!(ask("localhost", &[]).unwrap(), ips(&["127.0.0.1", "::1"]));
}

#[test]
fn both_kinds_of_addresses_are_found_ipv4_first() {
    let dns = server(
        |query| {
            vec![match question(query).1 {
                true => reply(
                    query,
                    0,
                    &[(
                        ASKED,
                        28,
                        &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7],
                    )],
                ),
                false => with(query, 7),
            }]
        },
        None,
    );
    let found = ask("node.example", &[&dns]).unwrap();
    assert_eq!(found, ips(&["192.0.2.7", "2001:db8::7"]));
}

#[test]
fn an_answer_that_was_cut_is_asked_for_by_tcp() {
    let dns = server(truncated, Some(|query| with(query, 8)));
    assert_eq!(ask("node.example", &[&dns]).unwrap(), ips(&["192.0.2.8"]));
    let without = server(truncated, None);
    let error = ask("node.example", &[&without]).unwrap_err();
    assert!(error.contains("by TCP"), "{error}");
}

#[test]
fn forged_answers_before_the_true_one_are_not_believed() {
    let dns = server(
        |query| {
            let mut other_id = with(query, 66);
            other_id[1] ^= 1;
            let mut other_name = with(query, 66);
            other_name[13] = b'x';
            let junk = vec![0; 300];
            vec![other_id, other_name, junk, Vec::new(), with(query, 9)]
        },
        None,
    );
    assert_eq!(ask("node.example", &[&dns]).unwrap(), ips(&["192.0.2.9"]));
}

#[test]
fn letters_in_another_case_are_believed_on_a_connection_alone() {
    fn lower(mut packet: Vec<u8>) -> Vec<u8> {
        let (end, _) = question(&packet);
        packet[12..end].make_ascii_lowercase();
        packet
    }
    let forged = |query: &[u8]| vec![lower(with(query, 66))];
    let dns = server(forged, Some(|query| lower(with(query, 10))));
    // Twenty letters in lower case by chance: one in a million.
    let found = ask("abcdefghijklmnopqrst.example", &[&dns]).unwrap();
    assert_eq!(found, ips(&["192.0.2.10"]));
}

#[test]
fn aliases_are_followed_and_a_circle_of_them_ends() {
    let dns = server(
        |query| {
            let name = query[12..16].to_ascii_lowercase();
            vec![match name.as_slice() {
                b"\x03www" => reply(query, 0, &[(ASKED, 5, b"\x04node\x07example\0")]),
                b"\x03one" => reply(query, 0, &[(ASKED, 5, b"\x03two\x07example\0")]),
                b"\x03two" => reply(query, 0, &[(ASKED, 5, b"\x03one\x07example\0")]),
                _ => with(query, 11),
            }]
        },
        None,
    );
    assert_eq!(ask("www.example", &[&dns]).unwrap(), ips(&["192.0.2.11"]));
    let error = ask("one.example", &[&dns]).unwrap_err();
    assert!(error.contains("without end"), "{error}");
}

#[test]
fn the_next_server_is_asked_and_the_error_names_all_of_them() {
    let no = server(|query| vec![reply(query, 3, &[])], None);
    let refuses = server(|query| vec![reply(query, 5, &[])], None);
    let garbage = server(
        |query| {
            let mut packet = with(query, 1);
            packet.truncate(packet.len() - 1);
            packet[7] = 3;
            vec![packet]
        },
        None,
    );
    let knows = server(|query| vec![with(query, 12)], None);
    let found = ask("node.example", &[&no, &refuses, &garbage, &knows]).unwrap();
    assert_eq!(found, ips(&["192.0.2.12"]));
    let error = ask("node.example", &[&no, &refuses, &garbage]).unwrap_err();
    for (server, words) in [
        (&no, "no such name"),
        (&refuses, "refuses"),
        (&garbage, "cannot be read"),
    ] {
        assert!(
            error.contains(&format!("{}: ", server.place)) && error.contains(words),
            "{error}"
        );
    }
    // Who has said no is not asked again: two questions each time.
    assert_eq!(no.asked.load(Ordering::SeqCst), 4);
}

#[test]
fn a_server_that_swallows_the_first_question_is_asked_again() {
    let seen = AtomicUsize::new(0);
    let dns = server(
        move |query| match seen.fetch_add(1, Ordering::SeqCst) {
            0 | 1 => Vec::new(),
            _ => vec![with(query, 13)],
        },
        None,
    );
    assert_eq!(ask("node.example", &[&dns]).unwrap(), ips(&["192.0.2.13"]));
}

#[test]
fn a_question_for_ipv6_that_is_swallowed_holds_nobody_up() {
    let dns = server(
        |query| match question(query).1 {
            true => Vec::new(),
            false => vec![with(query, 14)],
        },
        None,
    );
    let begun = Instant::now();
    assert_eq!(ask("node.example", &[&dns]).unwrap(), ips(&["192.0.2.14"]));
    assert!(begun.elapsed() < PATIENCE[0], "{:?}", begun.elapsed());
}

#[test]
fn a_flood_of_junk_is_given_up_and_nothing_lasts_for_ever() {
    let dns = server(|_| vec![vec![7; 30]; 100], None);
    let begun = Instant::now();
    let error = ask("node.example", &[&dns]).unwrap_err();
    assert!(error.contains(&dns.place.to_string()), "{error}");
    assert!(begun.elapsed() < MOST, "{:?}", begun.elapsed());
}

#[test]
fn termux_s_own_file_comes_before_what_was_configured() {
    let folder = tempfile::tempdir().unwrap();
    let etc = folder.path().join("usr/etc");
    std::fs::create_dir_all(&etc).unwrap();
    std::fs::write(
        etc.join("resolv.conf"),
        "nameserver 192.0.2.1\nnameserver 192.0.2.2\n",
    )
    .unwrap();
    std::fs::write(etc.join("hosts"), "192.0.2.40 attic.lan\n").unwrap();
    let configured = vec![
        "192.0.2.2:53".parse().unwrap(),
        "192.0.2.3:54".parse().unwrap(),
    ];
    let sources = Sources {
        root: folder.path(),
        prefix: folder.path().join("usr"),
        configured,
    };
    let places: Vec<String> = sources.servers().iter().map(ToString::to_string).collect();
    assert_eq!(places, ["192.0.2.1:53", "192.0.2.2:53", "192.0.2.3:54"]);
    assert!(!sources.platform_knows());
    assert_eq!(sources.lookup("Attic.lan.").unwrap(), ips(&["192.0.2.40"]));
    // A system that names a server is asked first.
    std::fs::create_dir_all(folder.path().join("etc")).unwrap();
    std::fs::write(
        folder.path().join("etc/resolv.conf"),
        "nameserver 192.0.2.9\n",
    )
    .unwrap();
    assert!(sources.platform_knows());
}

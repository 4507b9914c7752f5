//! Tests of `spec.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use proptest::prelude::*;

const ADDR: &str = "0x00112233445566778899aabbccddeeff00112233";

fn spec(host: &str, local: u16, port: u16, protocol: Protocol, mode: Option<Mode>) -> PublishSpec {
    PublishSpec {
        host: host.to_owned(),
        local,
        port,
        protocol,
        mode,
    }
}

#[test]
fn specs_are_read_as_the_grammar_says() {
    use Protocol::{Tcp, Udp};
    for (text, wanted) in [
        ("8080", spec("127.0.0.1", 8080, 8080, Tcp, None)),
        (
            "8080:public",
            spec("127.0.0.1", 8080, 8080, Tcp, Some(Mode::Public)),
        ),
        (
            "22=2222:private",
            spec("127.0.0.1", 22, 2222, Tcp, Some(Mode::Private)),
        ),
        (
            "53/udp:protected",
            spec("127.0.0.1", 53, 53, Udp, Some(Mode::Protected)),
        ),
        (
            "192.168.1.5:80=8080/tcp:public",
            spec("192.168.1.5", 80, 8080, Tcp, Some(Mode::Public)),
        ),
        (
            "printer.lan:631=631",
            spec("printer.lan", 631, 631, Tcp, None),
        ),
        (
            "[fe80::1]:80=8080/udp",
            spec("fe80::1", 80, 8080, Udp, None),
        ),
    ] {
        assert_eq!(publish(text), Ok(wanted), "{text}");
    }
}

#[test]
fn specs_that_could_mean_two_things_are_refused_with_the_right_spelling() {
    for (text, hint) in [
        ("192.168.1.5:80", "HOST:PORT=PORT"),
        ("[::1]:80:public", "HOST:PORT=PORT"),
        ("::1:80=80", "brackets"),
        ("8080:publc", "none of public, protected and private"),
        ("8080:public/udp", "none of public, protected and private"),
        ("8080/sctp", "neither /tcp nor /udp"),
        ("0:public", "1 to 65535"),
        ("65536", "1 to 65535"),
        ("0=80", "1 to 65535"),
        ("", "1 to 65535"),
        ("=", "1 to 65535"),
        ("=80", "1 to 65535"),
        (":80=80", "host \"\""),
        ("a b:80=80", "host \"a b\""),
        ("80=80=80", "1 to 65535"),
    ] {
        let problem = publish(text).expect_err(text);
        assert!(problem.contains(hint), "{text}: {problem}");
    }
}

#[test]
fn nodes_have_a_port_and_perhaps_an_address() {
    for (text, host, port, known) in [
        ("node.example:41046", "node.example", 41046, false),
        ("[2001:db8::1]:41046", "2001:db8::1", 41046, false),
        (&format!("{ADDR}@203.0.113.9:1"), "203.0.113.9", 1, true),
    ] {
        let node = node(text).unwrap();
        assert_eq!((node.host.as_str(), node.port), (host, port));
        assert_eq!(node.address.is_some(), known);
        assert_eq!(node.to_string(), text);
    }
    for (text, hint) in [
        ("node.example", "port is missing"),
        ("node.example:", "1 to 65535"),
        ("--json", "port is missing"),
        ("0x12@host:1", "40 hexadecimal digits"),
        ("2001:db8::1:41046", "brackets"),
        ("[2001:db8::1:41046", "brackets"),
        ("[127.0.0.1]:5", "IPv6 address in brackets"),
    ] {
        let problem = node(text).expect_err(text);
        assert!(problem.contains(hint), "{text}: {problem}");
    }
}

#[test]
fn a_forwarded_port_is_this_machine_s_alone_unless_told_otherwise() {
    for (text, address, protocol) in [
        ("8080", "127.0.0.1:8080", Protocol::Tcp),
        ("127.0.0.1:0", "127.0.0.1:0", Protocol::Tcp),
        ("localhost:5353/udp", "127.0.0.1:5353", Protocol::Udp),
        ("[::1]:80/tcp", "[::1]:80", Protocol::Tcp),
        ("0.0.0.0:80", "0.0.0.0:80", Protocol::Tcp),
    ] {
        let listen = listen(text).unwrap();
        assert_eq!(
            (listen.address.to_string(), listen.protocol),
            (address.to_owned(), protocol)
        );
    }
    for (text, hint) in [
        ("*:80", "0.0.0.0:PORT"),
        ("::1:80", "brackets"),
        ("example.org:80", "not an IP address"),
        ("127.0.0.1", "not a port"),
        ("127.0.0.1:http", "not a port"),
        ("80/icmp", "neither"),
    ] {
        let problem = listen(text).expect_err(text);
        assert!(problem.contains(hint), "{text}: {problem}");
    }
}

#[test]
fn a_target_is_an_address_and_a_port() {
    let read = target(&format!("{ADDR}:8080")).unwrap();
    assert_eq!((read.device.to_string().as_str(), read.port), (ADDR, 8080));
    for (text, hint) in [
        (ADDR, "port is missing"),
        ("camera:8080", "names of devices"),
        ("0x12:80", "40 hexadecimal digits"),
        (&format!("{ADDR}:0"), "1 to 65535"),
        (&format!("{ADDR}:53/udp"), "behind LISTEN"),
    ] {
        let problem = target(text).expect_err(text);
        assert!(problem.contains(hint), "{text}: {problem}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_a_parser_fall_over(text in "\\PC{0,60}|[0-9a-fx@:=/\\[\\].]{0,60}") {
        for problem in [
            publish(&text).err(), node(&text).err(), listen(&text).err(), target(&text).err(),
        ].into_iter().flatten() {
            prop_assert!(!problem.contains('\n'));
        }
    }

    #[test]
    fn what_a_node_shows_is_what_it_reads(a: [u8; 20], v6: u128, port in 1u16..) {
        let spec = NodeAddress {
            address: Some(Address(a)),
            host: std::net::Ipv6Addr::from(v6).to_string(),
            port,
            others: vec![port ^ 1].into_iter().filter(|port| *port != 0).collect(),
        };
        prop_assert_eq!(node(&spec.to_string()), Ok(spec));
    }
}

//! Tests of `value.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use proptest::prelude::*;

#[test]
fn durations_are_read_as_people_write_them() {
    assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
    assert_eq!(duration(" 5m "), Ok(Duration::from_secs(300)));
    assert_eq!(duration("1 h"), Ok(Duration::from_secs(3600)));
    assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
    assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
    for bad in [
        "",
        "s",
        "-5s",
        "5x",
        "5 minutes",
        "1.5h",
        "99999999999999999999s",
        "99999999999999999d",
    ] {
        assert!(duration(bad).is_err(), "{bad}");
    }
}

#[test]
fn sizes_are_powers_of_1024_whatever_the_spelling() {
    assert_eq!(size("64M"), Ok(64 << 20));
    assert_eq!(size("64MiB"), Ok(64 << 20));
    assert_eq!(size("64mb"), Ok(64 << 20));
    assert_eq!(size("1G"), Ok(1 << 30));
    assert_eq!(size("4096"), Ok(4096));
    assert_eq!(size("10 B"), Ok(10));
    for bad in [
        "",
        "M",
        "64X",
        "64MBit",
        "-1",
        "1.5G",
        "99999999999T",
        "ém",
        "1é",
    ] {
        assert!(size(bad).is_err(), "{bad}");
    }
}

#[test]
fn lists_take_commas_and_spaces() {
    assert_eq!(ports("1, 2\t3,4"), Ok(vec![1, 2, 3, 4]));
    assert_eq!(ports("off"), Ok(vec![]));
    assert_eq!(ports("0 0"), Ok(vec![0, 0]));
    for bad in ["", ",", "41046 41046", "65536", "-1", "0,off", "http"] {
        assert!(ports(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_list_cannot_fill_the_memory() {
    assert!(list(&"a ".repeat(MAX_LIST)).is_ok());
    assert!(list(&"a ".repeat(MAX_LIST + 1)).is_err());
}

#[test]
fn addresses_to_listen_on_have_no_port_and_may_have_brackets() {
    assert_eq!(addresses("[::1]").unwrap(), addresses("::1").unwrap());
    assert_eq!(addresses("0.0.0.0, ::").unwrap().len(), 2);
    for bad in [
        "",
        "localhost",
        "127.0.0.1:80",
        "[::1]:80",
        "[127.0.0.1",
        "::1 ::1",
    ] {
        assert!(addresses(bad).is_err(), "{bad}");
    }
}

#[test]
fn host_names_cannot_smuggle_ports_paths_or_headers() {
    assert_eq!(host("Node.Example.ORG."), Ok("node.example.org".to_owned()));
    assert_eq!(host("2001:DB8::1"), Ok("2001:db8::1".to_owned()));
    for bad in [
        "",
        ".",
        "a..b",
        "node:80",
        "a/b",
        "a b",
        "a\r\nb",
        "é.example",
        "[::1]",
    ] {
        assert!(host(bad).is_err(), "{bad}");
    }
    assert!(host(&"a".repeat(64)).is_err());
    assert!(host(&"a.".repeat(128)).is_err());
}

#[test]
fn fleet_rules_are_compared_in_one_spelling() {
    let upper = "0xABCDEFabcdef0123456789ABCDEFabcdef012345";
    let lower = upper.to_ascii_lowercase();
    assert_eq!(fleet_rule(upper), Ok(lower.clone()));
    assert_eq!(
        fleet_rule(&format!("{upper}/{upper}")),
        Ok(format!("{lower}/{lower}"))
    );
    for bad in [
        "",
        "0x",
        "0xabc",
        "/",
        &lower[2..],
        &format!("{lower}/"),
        &format!("{lower}0"),
        &format!("{lower}/{lower}/{lower}"),
    ] {
        assert!(fleet_rule(bad).is_err(), "{bad}");
    }
}

#[test]
fn switches_and_versions_and_levels_understand_the_usual_words() {
    assert_eq!(boolean("Yes"), Ok(true));
    assert_eq!(boolean("0"), Ok(false));
    assert!(boolean("maybe").is_err());
    assert_eq!(
        tls_versions("1.3"),
        Ok(TlsVersions {
            tls12: false,
            tls13: true
        })
    );
    assert_eq!(
        show_tls_versions(tls_versions("1.3 1.2").unwrap()),
        "1.2, 1.3"
    );
    assert!(tls_versions("1.1").is_err() && tls_versions("").is_err());
    assert_eq!(level("WARNING"), Ok(log::LevelFilter::Warn));
    assert!(level("loud").is_err());
}

#[test]
fn levels_of_rooms_are_shown_as_they_are_read() {
    for (text, shown) in [
        ("info, edge=debug,store = WARN", ""),
        ("edge=debug", "info, edge=debug"),
        ("edge=trace, off", "off, edge=trace"),
        ("Warning", "warn"),
    ] {
        match levels(text) {
            Ok(levels) => assert_eq!(levels.to_string(), shown),
            // Spaces separate items, so none belongs around the sign.
            Err(problem) => assert!(shown.is_empty(), "{text}: {problem}"),
        }
    }
    for (text, word) in [
        ("info debug", "second level"),
        ("edge=debug edge=info", "twice"),
        ("egde=debug", "no such room"),
        ("edge=loud", "not a level"),
        ("loud", "not a level"),
        ("", "no level"),
    ] {
        let problem = levels(text).unwrap_err();
        assert!(problem.contains(word), "{text}: {problem}");
    }
}

#[test]
fn every_room_of_the_house_can_have_its_level() {
    let src = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in std::fs::read_dir(src).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        if !["lib", "main"].contains(&name) {
            assert!(ROOMS.contains(&name), "{name}");
        }
    }
}

#[test]
fn typed_text_cannot_break_the_line_it_is_quoted_in() {
    assert_eq!(shown("a\nb\x1b[31m"), "a\\nb\\u{1b}[31m");
    assert_eq!(shown(&"x".repeat(500)).chars().count(), 101);
}

proptest! {
    #[test]
    fn what_is_shown_is_read_back(millis in 0u64..10_000_000_000, bytes: u64) {
        let time = Duration::from_millis(millis);
        prop_assert_eq!(duration(&show_duration(time)), Ok(time));
        prop_assert_eq!(size(&show_size(bytes)), Ok(bytes));
    }

    #[test]
    fn no_text_makes_a_parser_fall_over(text in "\\PC{0,40}|[0-9]{0,22}[a-zA-Z]{0,3}|0x[0-9a-fA-F/x]{0,90}") {
        let _ = (duration(&text), size(&text), ports(&text), addresses(&text), host(&text));
        let _ = (fleet_rule(&text), tls_versions(&text), boolean(&text), level(&text));
        prop_assert!(!shown(&text).contains('\n'));
    }
}

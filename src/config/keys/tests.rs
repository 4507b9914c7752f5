//! Tests of `keys.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use std::collections::BTreeSet;

const CA_FILE: &str = match cfg!(feature = "chain-https") {
    true => "/etc/ssl/own.pem",
    false => "",
};

#[test]
fn no_two_keys_share_a_name_or_a_variable() {
    let mut seen = BTreeSet::new();
    for key in KEYS {
        assert!(seen.insert(key.name.to_owned()), "{}", key.name);
        assert!(seen.insert(key.variable()), "{}", key.name);
        if let Some(env) = key.env {
            assert!(seen.insert(env.to_owned()), "{env}");
        }
        assert!(key.name.split('.').count() == 2 && !key.name.contains("__"));
    }
}

#[test]
fn what_a_key_shows_is_what_it_reads() {
    for key in KEYS {
        let mut settings = Settings::default();
        (key.set)(&mut settings, &key.default())
            .unwrap_or_else(|e| unreachable!("{}: {e}", key.name));
        assert_eq!(settings, Settings::default(), "{}", key.name);
    }
}

#[test]
fn a_key_writes_to_its_own_field_and_no_other() {
    let samples = [
        ("node.name", "Ada's node"),
        ("node.memory_limit", "96M"),
        ("network.edge_ports", "0, 7"),
        ("network.peer_port", "off"),
        ("network.rpc_port", "off"),
        ("network.rpcs_port", "off"),
        ("network.rpcs_certificate", "/etc/ssl/node.crt"),
        ("network.rpcs_key", "/etc/ssl/node.key"),
        ("network.bind", "127.0.0.1"),
        ("network.rpc_bind", "::1"),
        ("network.rpc_hosts", "node.lan"),
        ("network.host", "203.0.113.9"),
        ("network.seeds", "seed.example:51055"),
        ("network.dns", "192.0.2.1:53"),
        ("network.max_peers", "9"),
        ("network.serve", "no"),
        ("network.metered", "yes"),
        ("network.subnet_limits", "always"),
        ("network.port_mapping", "off"),
        (
            "fleet.nodes",
            "attic=0x00000000000000000000000000000000000000cc@a.example:51055",
        ),
        ("node.profile", "router"),
        ("storage.cache_size", "1M"),
        ("storage.flush_interval", "7m"),
        ("performance.max_window", "96K"),
        ("performance.session_buffer", "97K"),
        ("performance.send_buffer", "98K"),
        ("chain.url", "http://rpc.example/v2/key"),
        // Without the feature only "none" is taken.
        ("chain.ca_file", CA_FILE),
        ("runtime.threads", "3"),
        ("runtime.worker_pool_size", "5"),
        ("power.saver", "on"),
        ("power.saver_below", "33"),
        ("power.refuse_below", "7"),
        ("power.refuse_above", "71"),
        ("log.format", "json"),
        ("storage.data_dir", "/srv/chr"),
        ("storage.store_dir", "/srv/store"),
        ("storage.map_size", "32M"),
        ("network.refresh", "45m"),
        ("storage.keep_minutes", "3d"),
        ("storage.keep_hours", "90d"),
        ("performance.max_connections", "17"),
        ("performance.connection_timeout", "7s"),
        ("performance.idle_timeout", "9m"),
        ("performance.max_ports_per_session", "12"),
        ("security.tls_versions", "1.3"),
        ("security.require_tickets", "false"),
        ("security.rate_limiting", "false"),
        (
            "security.fleet_allowlist",
            "0x00000000000000000000000000000000000000aa",
        ),
        ("security.max_sessions_per_address", "3"),
        ("security.max_handshakes", "4"),
        ("security.max_handshakes_per_address", "5"),
        ("security.accept_rate", "6"),
        ("security.accept_rate_per_address", "8"),
        ("tickets.chain_id", "1"),
        (
            "tickets.fleet",
            "0x00000000000000000000000000000000000000bb",
        ),
        ("tickets.grace_bytes", "1M"),
        (
            "rewards.address",
            "0x00000000000000000000000000000000000000dd",
        ),
        ("rewards.period", "20m"),
        ("rewards.rates", "gigabyte=0.5, hour=0.01"),
        ("rewards.payout_threshold", "12.5"),
        ("log.level", "trace"),
        ("log.file", "/var/log/chr-node.log"),
        ("log.file_size", "512K"),
    ];
    assert_eq!(samples.len(), KEYS.len(), "a sample for each key");
    for (name, sample) in samples {
        let key = Key::find(name).expect(name);
        let mut settings = Settings::default();
        (key.set)(&mut settings, sample).expect(name);
        for other in KEYS {
            let wanted = if other.name == name {
                sample.to_owned()
            } else {
                other.default()
            };
            assert_eq!(
                (other.get)(&settings),
                wanted,
                "{} after {name}",
                other.name
            );
        }
    }
}

#[test]
fn values_out_of_bounds_are_refused() {
    for (name, value) in [
        ("node.memory_limit", "1M"),
        ("node.name", "a\nb"),
        ("network.peer_port", "65536"),
        ("network.seeds", "seed.example"),
        ("network.max_peers", "0"),
        ("network.serve", "often"),
        ("network.metered", "perhaps"),
        ("network.subnet_limits", "sometimes"),
        ("network.port_mapping", "always"),
        ("fleet.nodes", "attic=a.example:51055"),
        ("performance.max_connections", "0"),
        ("performance.max_connections", "1000001"),
        ("performance.connection_timeout", "0s"),
        ("performance.idle_timeout", "2d"),
        ("storage.data_dir", ""),
        ("storage.map_size", "4096"),
        ("storage.keep_minutes", "10m"),
        ("storage.keep_hours", "4000d"),
        ("tickets.chain_id", "-1"),
        ("security.accept_rate", "many"),
        ("rewards.address", "0x12"),
        ("rewards.period", "7m"),
        ("rewards.rates", "day=1"),
        ("rewards.payout_threshold", "some"),
    ] {
        let mut settings = Settings::default();
        let key = Key::find(name).expect(name);
        assert!((key.set)(&mut settings, value).is_err(), "{name} = {value}");
        assert_eq!(settings, Settings::default());
    }
}

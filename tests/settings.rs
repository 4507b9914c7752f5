//! Settings through the built program: each key of `config show` is changed, and
//! the effect is seen from outside. A key without such a test fails.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "settings/chain.rs"]
mod chain;
#[path = "settings/command.rs"]
mod command;
mod common;
#[path = "settings/limits.rs"]
mod limits;
#[path = "settings/logs.rs"]
mod logs;
#[path = "settings/network.rs"]
mod network;
#[path = "settings/places.rs"]
mod places;
#[path = "settings/power.rs"]
mod power;
#[path = "settings/reload.rs"]
mod reload;
#[path = "settings/rewards.rs"]
mod rewards;
#[path = "settings/runtime.rs"]
mod runtime;
#[path = "settings/secure.rs"]
mod secure;
#[path = "settings/terms.rs"]
mod terms;
#[path = "settings/traffic.rs"]
mod traffic;

use common::tools::run;
use common::*;
use serde_json::Value;
use std::collections::BTreeSet;

/// One test a key.
macro_rules! effects {
    ($($key:literal => $module:ident :: $name:ident,)*) => {
        const KEYS_WITH_A_TEST: &[&str] = &[$($key),*];
        mod effect_of {
            $(#[test] fn $name() { super::$module::$name(); })*
        }
    };
}

effects! {
    "node.name" => places::node_name,
    "node.memory_limit" => limits::memory_limit,
    "node.profile" => terms::profile,
    "network.edge_ports" => places::edge_ports,
    "network.peer_port" => network::peer_port,
    "network.rpc_port" => places::rpc_port,
    "network.rpcs_port" => secure::rpcs_port,
    "network.rpcs_certificate" => secure::rpcs_certificate,
    "network.rpcs_key" => secure::rpcs_key,
    "network.bind" => places::bind,
    "network.rpc_bind" => places::rpc_bind,
    "network.rpc_hosts" => places::rpc_hosts,
    "network.host" => places::host,
    "network.seeds" => network::seeds,
    "network.dns" => network::dns,
    "network.max_peers" => network::max_peers,
    "network.serve" => network::serve,
    "network.metered" => network::metered,
    "network.subnet_limits" => network::subnet_limits,
    "network.port_mapping" => network::port_mapping,
    "fleet.nodes" => network::fleet_nodes,
    "storage.data_dir" => places::data_dir,
    "storage.store_dir" => places::store_dir,
    "storage.map_size" => runtime::map_size,
    "storage.cache_size" => chain::cache_size,
    "storage.flush_interval" => runtime::flush_interval,
    "storage.keep_minutes" => runtime::keep_minutes,
    "storage.keep_hours" => runtime::keep_hours,
    "network.refresh" => network::refresh,
    "performance.max_connections" => limits::max_connections,
    "performance.connection_timeout" => limits::connection_timeout,
    "performance.idle_timeout" => limits::idle_timeout,
    "performance.max_ports_per_session" => limits::max_ports_per_session,
    "performance.max_window" => traffic::max_window,
    "performance.session_buffer" => traffic::session_buffer,
    "performance.send_buffer" => traffic::send_buffer,
    "security.tls_versions" => terms::tls_versions,
    "security.require_tickets" => terms::require_tickets,
    "security.rate_limiting" => limits::rate_limiting,
    "security.fleet_allowlist" => terms::fleet_allowlist,
    "security.max_sessions_per_address" => limits::max_sessions_per_address,
    "security.max_handshakes" => limits::max_handshakes,
    "security.max_handshakes_per_address" => limits::max_handshakes_per_address,
    "security.accept_rate" => limits::accept_rate,
    "security.accept_rate_per_address" => limits::accept_rate_per_address,
    "tickets.chain_id" => terms::chain_id,
    "tickets.fleet" => terms::fleet,
    "tickets.grace_bytes" => terms::grace_bytes,
    "rewards.address" => rewards::address,
    "rewards.period" => rewards::period,
    "rewards.rates" => rewards::rates,
    "rewards.payout_threshold" => rewards::payout_threshold,
    "chain.url" => chain::url,
    "chain.ca_file" => chain::ca_file,
    "power.saver" => power::saver,
    "power.saver_below" => power::saver_below,
    "power.refuse_below" => power::refuse_below,
    "power.refuse_above" => power::refuse_above,
    "runtime.threads" => runtime::threads,
    "runtime.worker_pool_size" => runtime::worker_pool_size,
    "log.level" => logs::level,
    "log.format" => logs::format,
    "log.file" => logs::file,
    "log.file_size" => logs::file_size,
}

/// The lines of `chr-node config show --json`.
fn shown(options: &[&str]) -> Vec<Value> {
    let mut command = chr_node();
    command.args(["config", "show", "--json"]).args(options);
    let ran = run(&mut command, SOON);
    assert_eq!(ran.code, 0, "{}", ran.err);
    ran.out
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect()
}

#[test]
fn every_setting_has_a_test_that_sees_its_effect() {
    let shown: BTreeSet<String> = shown(&[])
        .iter()
        .map(|line| line["key"].as_str().unwrap().to_owned())
        .collect();
    let tested: BTreeSet<String> = KEYS_WITH_A_TEST.iter().map(|k| (*k).to_owned()).collect();
    assert_eq!(tested.len(), KEYS_WITH_A_TEST.len(), "a key is there twice");
    assert_eq!(shown, tested);
}

/// `chr_node_info` of a node.
fn info(node: &Node) -> Value {
    node.ask("chr_node_info")
}

/// A node in a folder of its own with one setting changed by its variable.
fn node_with(settings: &[(&str, &str)]) -> (tempfile::TempDir, Node) {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start_with(home.path(), settings);
    (home, node)
}

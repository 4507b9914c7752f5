//! Stores of older versions: a program that is newer keeps everything that is in
//! them. `fixtures/store-schema-1.mdb` was written by a node of schema 1 that had
//! two other nodes, two devices and a download of 12 MB between them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use chr_node::identity::Address;
use chr_node::node::network::peers::PeerHistory;
use chr_node::node::statistics::{NodeStats, Span};
use chr_node::store::check::check;
use chr_node::store::{ClockFloor, Record, Store, StoreOptions, SCHEMA_VERSION};
use chr_node::ticket::TicketRow;
use std::path::{Path, PathBuf};

fn fixture() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/fixtures/store-schema-1.mdb")
}

/// A store folder with the file of the older version.
fn older() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    std::fs::copy(fixture(), home.path().join("data.mdb")).unwrap();
    home
}

fn open(home: &Path) -> Store {
    Store::open(home, StoreOptions::default()).unwrap()
}

const DEVICES: [&str; 2] = [
    "0x23940eff03d7d3672a96810b9361519eec4808ae",
    "0x386cb3cf6707a42c4a4cc380bed2d84493110ba5",
];
const PEERS: [&str; 2] = [
    "0x5aa93942b5a610aa26329ef3897224ce24fddb46",
    "0xdea8d6030195912d226ba24357984b0dd6f638ff",
];
const NODE: &str = "0x3ddb76a5cf96e2a6ec1acf87d3ba512647c8a49a";

/// What the older program told when it wrote the file.
fn everything_is_there(store: &Store) {
    let tickets: Vec<TicketRow> = store.scan_prefix(&[], 10).unwrap();
    let devices: Vec<String> = tickets.iter().map(|row| row.device.to_string()).collect();
    assert_eq!(devices, DEVICES);
    let node: Address = NODE.parse().unwrap();
    for (row, (total, ports)) in tickets.iter().zip([(37_669_107, 4), (15_666_441, 0)]) {
        assert_eq!((row.usage, row.ports), (12_027_122, ports));
        assert_eq!((row.ticket.total_bytes, row.ticket.epoch), (total, 692));
        // Not a bit of what was signed has changed.
        assert_eq!(row.ticket.signer(&node).unwrap(), row.device);
    }
    let peers: Vec<PeerHistory> = store.scan_prefix(&[], 10).unwrap();
    let ids: Vec<Vec<u8>> = peers.iter().map(Record::key).collect();
    let wanted = PEERS.map(|id| id.parse::<Address>().unwrap().0.to_vec());
    assert_eq!(ids, wanted);
    let stats: Vec<NodeStats> = store.scan_prefix(&[], 10).unwrap();
    let seen: Vec<_> = stats
        .iter()
        .map(|row| (row.span, row.unix, row.seconds, row.connections))
        .collect();
    let (hour, minute) = (1_795_381_200, 1_795_383_360);
    let wanted = [
        (Span::Hour, hour, 77, 2),
        (Span::Minute, minute, 60, 2),
        (Span::Minute, minute + 60, 17, 1),
    ];
    assert_eq!(seen, wanted);
    let came: Vec<u64> = stats.iter().map(|row| row.bytes_in).collect();
    assert_eq!(came, [12_027_122, 12_027_122, 0]);
    let floor = store.get::<ClockFloor>(ClockFloor::KEY).unwrap();
    assert_eq!(
        floor,
        Some(ClockFloor {
            unix: 1_795_383_438
        })
    );
}

#[test]
fn a_store_of_the_version_before_keeps_every_row() {
    let home = older();
    assert_eq!(check(home.path()).unwrap().schema, Some(1));
    // The second time there is nothing to do.
    for commits in 0..2 {
        let store = open(home.path());
        everything_is_there(&store);
        let written = store.health().written;
        if !written.estimated {
            assert_eq!(written.disk_bytes == 0, commits > 0, "{written:?}");
        }
        store.close();
    }
    let checked = check(home.path()).unwrap();
    assert_eq!(checked.schema, Some(SCHEMA_VERSION));
    assert_eq!(checked.trouble(), None);
}

#[test]
fn a_damaged_store_of_the_version_before_is_carried_over_and_brought_up() {
    let home = older();
    let file = home.path().join("data.mdb");
    let mut bytes = std::fs::read(&file).unwrap();
    // The newer meta page says that the file is longer than it is.
    let pages = u64::MAX.to_le_bytes();
    for meta in [0, 4096] {
        let last_page = meta + 16 + 24 + 48 * 2;
        bytes[last_page..last_page + 8].copy_from_slice(&pages);
    }
    std::fs::write(&file, bytes).unwrap();
    let (store, recovery) = Store::open_or_recover(home.path(), StoreOptions::default()).unwrap();
    assert!(recovery.unwrap().kept >= 8);
    everything_is_there(&store);
}

//! A store's file with anything changed in it: the walk never panics, and what it
//! lets through LMDB opens, reads and writes without a fault. An abort or a signal
//! of LMDB is a finding.
#![no_main]

use chr_node::store::pages::{self, Layout, Mode};
use chr_node::store::{Batch, ClockFloor, Record, Store, StoreOptions, Table};
use chr_node_fuzz::Input;
use libfuzzer_sys::fuzz_target;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

#[derive(Serialize, Deserialize)]
struct Row {
    number: u64,
    text: Vec<u8>,
}

impl Record for Row {
    const TABLE: Table = Table::Tickets;
    const VERSION: u8 = 1;
    fn key(&self) -> Vec<u8> {
        self.number.to_be_bytes().to_vec()
    }
}

struct Ground {
    dir: PathBuf,
    whole: Vec<u8>,
}

fn wait(receipt: chr_node::store::Receipt) {
    while receipt.outcome().is_none() {
        std::thread::yield_now();
    }
}

/// Two levels of pages, long values, free pages.
fn make(dir: &Path) -> Vec<u8> {
    let store = Store::open(dir, StoreOptions::default()).unwrap();
    for round in 0..2u64 {
        let mut batch = Batch::new();
        for n in 0..120 {
            let text = vec![7; 150 + usize::try_from(n % 5).unwrap() * 40];
            let number = n * 3 + round;
            batch.put(&Row { number, text }).unwrap();
        }
        let text = vec![9; 9_000];
        batch
            .put(&Row {
                number: 9_000 + round,
                text,
            })
            .unwrap();
        wait(store.write(batch));
        wait(store.put(&ClockFloor { unix: 7 + round }));
    }
    let mut batch = Batch::new();
    for n in 0..60u64 {
        batch.delete::<Row>(&(n * 3).to_be_bytes()).unwrap();
    }
    wait(store.write(batch));
    store.close();
    fs::read(dir.join("data.mdb")).unwrap()
}

fn ground() -> &'static Ground {
    static GROUND: OnceLock<Ground> = OnceLock::new();
    GROUND.get_or_init(|| {
        let place = Path::new("/dev/shm");
        let base = if place.is_dir() {
            place.to_owned()
        } else {
            std::env::temp_dir()
        };
        let dir = base.join(format!("chr-fuzz-store-{}", std::process::id()));
        let made = dir.join("made");
        fs::create_dir_all(&made).unwrap();
        let whole = make(&made);
        let dir = dir.join("changed");
        fs::create_dir_all(&dir).unwrap();
        Ground { dir, whole }
    })
}

/// Up to 16 changes; most of them where the structure is: at the beginning of a page.
fn change(bytes: &mut Vec<u8>, input: &mut Input<'_>) {
    for _ in 0..16 {
        if input.is_empty() {
            return;
        }
        let what = input.byte();
        let pages = bytes.len() / 4096;
        let page = usize::from(input.byte()) % pages.max(1);
        let within = match what % 4 {
            0 => usize::from(input.byte() % 32),
            1 => usize::from(input.byte()),
            2 => 4095 - usize::from(input.byte()),
            _ => (usize::from(input.byte()) << 8 | usize::from(input.byte())) % 4096,
        };
        let at = page * 4096 + within;
        match what >> 2 {
            // One page in the place of another.
            60.. => {
                let other = usize::from(input.byte()) % pages.max(1);
                let from = other * 4096..(other + 1) * 4096;
                if from.end <= bytes.len() && (page + 1) * 4096 <= bytes.len() {
                    bytes.copy_within(from, page * 4096);
                }
            }
            58..60 => bytes.truncate(at),
            30..58 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << (input.byte() % 8);
                }
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = input.byte();
                }
            }
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let ground = ground();
    let mut bytes = ground.whole.clone();
    change(&mut bytes, &mut Input(data));
    let path = ground.dir.join("data.mdb");
    fs::write(&path, &bytes).unwrap();
    let file = File::open(&path).unwrap();
    let mut rows = 0;
    let mut count = |_: &[u8], _: &[u8], _: Option<&[u8]>| {
        rows += 1;
        Ok(())
    };
    let _ = pages::survey(&file, Mode::Lenient, Some(&mut count));
    // No file of this size has more: nothing is walked twice.
    assert!(rows <= bytes.len() / 8, "{rows} rows");
    let seen = pages::survey(&file, Mode::Strict, None).unwrap();
    if seen.layout != Some(Layout::HERE) || !seen.flaws.is_empty() {
        return;
    }
    let Ok(store) = Store::open(&ground.dir, StoreOptions::default()) else {
        return;
    };
    let _ = store.scan_prefix::<Row>(&[], 1_000);
    let _ = store.get::<ClockFloor>(ClockFloor::KEY);
    wait(store.put(&Row {
        number: 1,
        text: vec![1; 300],
    }));
    wait(store.delete::<Row>(&9_000u64.to_be_bytes()));
    store.close();
});

//! Disks that are full, read-only, damaged or of another machine: the node
//! relays all the same, or says in one line why it does not start.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;
#[path = "common/lmdb_file.rs"]
mod lmdb_file;

use chr_node::identity::Address;
use chr_node::store::check::check as store_check;
use chr_node::store::pages::{self, Mode};
use chr_node::store::{Batch, Store, StoreOptions};
use chr_node::ticket::TicketRow;
use common::mounts::{node_behind, read_only, small_disk};
use common::servers::*;
use common::tools::*;
use common::*;
use lmdb_file::{lmdb_file, Row, BITS_32};
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Rows beside those of real devices.
const ROWS: u64 = 3_000;

/// A hundred megabytes end to end, through the node.
#[track_caller]
fn carries_100_mb(home: &Path, node: &Node) {
    let route = Route::tcp(home, &node.address(), digest_server());
    carry(&mut route.connect(), 100);
}

#[track_caller]
fn carry(stream: &mut TcpStream, blocks: usize) {
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.set_write_timeout(Some(SOON)).unwrap();
    let sent = write_blocks(stream, 3, blocks);
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer.len(), 40);
    assert_eq!(answer[8..], sent, "bytes differ");
}

fn health(node: &Node) -> serde_json::Value {
    let answer = node.http("GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let body = answer.split("\r\n\r\n").nth(1).unwrap();
    serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {answer}"))
}

fn stop(mut node: Node) -> String {
    node.program.signal("-TERM");
    assert!(node.program.wait(SOON).success());
    node.program.stderr()
}

/// A node's folder after a life: its identity, tickets of real devices, and
/// some thousand more.
struct Veteran {
    home: tempfile::TempDir,
    node_id: String,
}

impl Veteran {
    fn new() -> Veteran {
        let home = tempfile::tempdir().unwrap();
        let node = Node::start(home.path());
        let node_id = node.id().to_owned();
        let route = Route::tcp(home.path(), &node.address(), echo_server());
        assert_echo(route.listen, &noise(1, 100_000));
        drop(route);
        stop(node);
        let store = Store::open(&home.path().join("store"), StoreOptions::default()).unwrap();
        let real: Vec<TicketRow> = store.scan_prefix(&[], 10).unwrap();
        assert_eq!(real.len(), 2);
        for chunk in 0..ROWS / 1_000 {
            let mut batch = Batch::new();
            for number in 0..1_000u64 {
                let mut row = real[0].clone();
                let mut address = [0; 20];
                address[..8].copy_from_slice(&(chunk * 1_000 + number + 1).to_be_bytes());
                row.device = Address(address);
                row.usage = number;
                batch.put(&row).unwrap();
            }
            smol::block_on(store.write(batch)).unwrap();
        }
        store.close();
        Veteran { home, node_id }
    }

    fn data(&self) -> PathBuf {
        self.home.path().join("store/data.mdb")
    }

    fn rows(&self) -> Vec<TicketRow> {
        let store = Store::open(&self.home.path().join("store"), StoreOptions::default());
        store.unwrap().scan_prefix(&[], usize::MAX).unwrap()
    }

    /// The node comes back over `bytes` in the place of its store, relays, and
    /// tells what it did in one line.
    fn comes_back(&self, bytes: &[u8]) -> (Vec<TicketRow>, String) {
        fs::write(self.data(), bytes).unwrap();
        let settings = [("LOG_LEVEL", "warn")];
        let node = Node::start_with(self.home.path(), &settings);
        assert_eq!(node.id(), self.node_id);
        carries_100_mb(self.home.path(), &node);
        let said = stop(node);
        let lines: Vec<&str> = said
            .lines()
            .filter(|line| line.contains("started anew"))
            .collect();
        assert!(lines.len() <= 1, "{said}");
        (self.rows(), lines.first().unwrap_or(&"").to_string())
    }
}

#[test]
fn a_truncated_store_is_set_aside_and_the_relay_goes_on() {
    let veteran = Veteran::new();
    let whole = fs::read(veteran.data()).unwrap();
    let cut = &whole[..whole.len() * 2 / 3];
    let (rows, said) = veteran.comes_back(cut);
    assert!(said.contains("data.mdb.damaged-1"), "{said}");
    assert!(said.contains("are lost"), "{said}");
    // Some rows were before the cut, and the devices of this run are there.
    assert!(rows.len() > 100, "{}", rows.len());
    let aside = veteran.home.path().join("store/data.mdb.damaged-1");
    assert!(fs::read(aside).unwrap() == cut);
}

#[test]
fn sixty_four_flipped_bits_cost_rows_and_not_the_relay() {
    let veteran = Veteran::new();
    let whole = fs::read(veteran.data()).unwrap();
    let places = noise(64, 64 * 4);
    let mut bytes = whole.clone();
    for place in places.chunks(4) {
        let at = u32::from_be_bytes(place.try_into().unwrap()) as usize;
        bytes[at / 8 % whole.len()] ^= 1 << (at % 8);
    }
    let (rows, said) = veteran.comes_back(&bytes);
    // Each bit costs its row, or the rows of its page.
    let kept = rows.iter().filter(|row| row.device.0[8..] == [0; 12]);
    let kept = kept.count() as u64;
    assert!(kept > ROWS / 2, "{kept} rows kept; {said}");
}

#[test]
fn the_store_of_a_32_bit_build_is_carried_over_and_the_relay_goes_on() {
    let veteran = Veteran::new();
    let before = veteran.rows();
    let mut tables: [(&str, Vec<Row>); 2] = [("meta", Vec::new()), ("tickets", Vec::new())];
    let mut take = |table: &[u8], key: &[u8], value: Option<&[u8]>| {
        let table = usize::from(table == b"tickets");
        tables[table]
            .1
            .push((key.to_vec(), value.unwrap().to_vec()));
        Ok(())
    };
    let file = fs::File::open(veteran.data()).unwrap();
    let survey = pages::survey(&file, Mode::Strict, Some(&mut take)).unwrap();
    assert_eq!(survey.flaws, []);
    let bytes = lmdb_file(BITS_32, &tables);
    let (after, said) = veteran.comes_back(&bytes);
    assert!(said.contains("written by a 32-bit program"), "{said}");
    assert!(said.contains("none is lost"), "{said}");
    for row in &before {
        let found = after.iter().find(|other| other.device == row.device);
        // The devices of this run have used more since.
        let found = found.expect("the device's row is carried over");
        assert!(found.usage >= row.usage, "{row:?} {found:?}");
    }
    let aside = veteran.home.path().join("store/data.mdb.32-bit-1");
    assert!(fs::read(aside).unwrap() == bytes);
}

#[test]
fn a_tiny_full_disk_does_not_stop_the_relay() {
    // From the start: not even the lock's table finds room.
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("store");
    fs::create_dir(&store).unwrap();
    let Some(command) = node_behind(&small_disk(&store, "64k", 1 << 20)) else {
        return;
    };
    let node = Node::start_command(command, home.path(), &[]);
    carries_100_mb(home.path(), &node);
    let said = stop(node);
    assert!(said.contains("full: free some space"), "{said}");

    // Later: the store is open, and then somebody else fills the disk.
    let Some(command) = node_behind(&small_disk(&store, "512k", 0)) else {
        return;
    };
    let node = Node::start_command(command, home.path(), &[]);
    let route = Route::tcp(home.path(), &node.address(), digest_server());
    carry(&mut route.connect(), 1);
    assert_eq!(health(&node)["status"], "ok");
    let inside = PathBuf::from(format!("/proc/{}/root", node.program.child.id()));
    let filler = inside.join(store.strip_prefix("/").unwrap()).join("filler");
    let filled = fs::File::create(&filler).and_then(|mut file| {
        let block = [7; 4096];
        while file.write_all(&block).is_ok() {}
        file.sync_all()
    });
    filled.unwrap();
    carry(&mut route.connect(), 100);
    // A row may still find a page that is free in the file.
    let seen = until(SOON, "health tells of the disk", || {
        carry(&mut route.connect(), 9);
        Some(health(&node)).filter(|health| health["status"] == "degraded")
    });
    assert!(seen.to_string().contains("free some space"), "{seen}");
    fs::remove_file(&filler).unwrap();
    until(SOON, "rows are stored again", || {
        carry(&mut route.connect(), 9);
        Some(()).filter(|()| health(&node)["status"] == "ok")
    });
    stop(node);
}

/// Carrying rows over takes room; begun again every minute it would wear the
/// flash out.
#[test]
fn a_damaged_store_on_a_full_disk_stays_as_it_is() {
    let veteran = Veteran::new();
    let home = veteran.home.path();
    let whole = fs::read(veteran.data()).unwrap();
    let cut = &whole[..whole.len() / 2];
    let copy = home.join("copy");
    fs::write(&copy, cut).unwrap();
    let store = home.join("store");
    let script = format!(
        "mount -t tmpfs -o size={}k none {}\ncp {} {}/data.mdb",
        cut.len() / 1024 + 200,
        store.display(),
        copy.display(),
        store.display()
    );
    let Some(command) = node_behind(&script) else {
        return;
    };
    let node = Node::start_command(command, home, &[]);
    carries_100_mb(home, &node);
    let inside = PathBuf::from(format!("/proc/{}/root", node.program.child.id()));
    let inside = inside.join(store.strip_prefix("/").unwrap());
    assert!(fs::read(inside.join("data.mdb")).unwrap() == cut);
    assert!(!inside.join("rebuild").exists());
    let said = stop(node);
    assert!(said.contains("full: free some space"), "{said}");
}

#[test]
fn a_read_only_mount_does_not_stop_the_relay() {
    let veteran = Veteran::new();
    let home = veteran.home.path();
    let before = fs::read(veteran.data()).unwrap();
    // The store's folder, with a store in it and empty.
    for folder in ["store", "empty"] {
        if folder == "empty" {
            fs::rename(home.join("store"), home.join("kept")).unwrap();
            fs::create_dir(home.join("store")).unwrap();
        }
        let Some(command) = node_behind(&read_only(&home.join("store"))) else {
            return;
        };
        let node = Node::start_command(command, home, &[]);
        carries_100_mb(home, &node);
        let said = stop(node);
        assert!(said.contains("read-only file system: remount"), "{said}");
    }
    assert!(fs::read(home.join("kept/data.mdb")).unwrap() == before);
    assert_eq!(fs::read_dir(home.join("store")).unwrap().count(), 0);
}

#[test]
fn a_disk_without_room_or_rights_for_anything_is_named_in_one_line() {
    let veteran = Veteran::new();
    let home = veteran.home.path();
    let empty = tempfile::tempdir().unwrap();
    let scripts = [
        (read_only(home), home),
        (read_only(empty.path()), empty.path()),
        (small_disk(empty.path(), "16k", 1 << 20), empty.path()),
    ];
    for (script, data) in scripts {
        let Some(mut command) = node_behind(&script) else {
            return;
        };
        command
            .env("DATA_DIR", data)
            .env("EDGE2_PORT", "0")
            .env("PEER2_PORT", "0")
            .env("RPC_PORT", "0")
            .env("RPCS_PORT", "off")
            .env("CHR_NETWORK__BIND", "127.0.0.1");
        let mut program = Program::start(&mut command);
        // Either it serves, though it cannot write down where, or it says why
        // it does not.
        let served = until(SOON, "it serves or ends", || {
            if program.child.try_wait().unwrap().is_some() {
                return Some(None);
            }
            let said = program.stderr();
            let (before, after) = said.split_once(" serves devices on ")?;
            let id = before.rsplit(' ').next()?;
            let (place, _) = after.split_once('\n')?;
            Some(Some(format!("{id}@{place}")))
        });
        match served {
            Some(address) => {
                let devices = tempfile::tempdir().unwrap();
                let route = Route::tcp(devices.path(), &address, digest_server());
                carry(&mut route.connect(), 100);
            }
            None => {
                let status = program.wait(SOON);
                let said = program.stderr();
                assert_eq!(status.code(), Some(1), "{said}");
                let last = said.lines().last().unwrap_or_default();
                assert!(last.starts_with("chr-node: "), "{said}");
                println!("{last}");
            }
        }
    }
}

#[test]
fn a_store_of_somebody_else_does_not_stop_the_relay() {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("store");
    fs::create_dir(&store).unwrap();
    fs::set_permissions(&store, fs::Permissions::from_mode(0o500)).unwrap();
    if fs::write(store.join("probe"), "x").is_ok() {
        fs::remove_file(store.join("probe")).unwrap();
        // Root is refused nothing, but for a folder that even root may not change.
        let marked = Command::new("chattr").arg("+i").arg(&store).status();
        if !marked.is_ok_and(|status| status.success()) {
            println!("skipped: nothing is forbidden to this user");
            return;
        }
    }
    let node = Node::start(home.path());
    carries_100_mb(home.path(), &node);
    let said = stop(node);
    let _ = Command::new("chattr").arg("-i").arg(&store).status();
    assert!(said.contains("no permission to write"), "{said}");
}

/// Stands before the C library and refuses what some file systems lack, for the
/// store's files alone.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
static int is(int fd, const char *name) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return strstr(path, name) != 0;
}
#ifdef NO_LOCK
int flock(int fd, int how) {
    int (*real)(int, int) = dlsym(RTLD_NEXT, "flock");
    if (is(fd, "store.lock")) { errno = ENOSYS; return -1; }
    return real(fd, how);
}
#elif defined HANG
/* A disk that does not answer for as long as there is a file "hang" beside the store. */
int fdatasync(int fd) {
    int (*real)(int) = dlsym(RTLD_NEXT, "fdatasync");
    const char *flag = getenv("HANG_WHILE");
    while (flag && access(flag, F_OK) == 0) usleep(20000);
    return real(fd);
}
#else
static void *refuse(const char *name, void *at, size_t n, int prot, int flags, int fd, off_t off) {
    void *(*real)(void *, size_t, int, int, int, off_t) = dlsym(RTLD_NEXT, name);
    if (fd >= 0 && is(fd, "data.mdb")) { errno = ENODEV; return MAP_FAILED; }
    return real(at, n, prot, flags, fd, off);
}
void *mmap(void *at, size_t n, int prot, int flags, int fd, off_t off) {
    return refuse("mmap", at, n, prot, flags, fd, off);
}
void *mmap64(void *at, size_t n, int prot, int flags, int fd, off_t off) {
    return refuse("mmap64", at, n, prot, flags, fd, off);
}
#endif
"#;

/// The shim with one of its faults, built in `home`.
fn shim(home: &Path, define: &str) -> Option<PathBuf> {
    let compiler = find_or_skip("cc")?;
    let source = home.join("shim.c");
    let shim = home.join("shim.so");
    fs::write(&source, SHIM).unwrap();
    let built = Command::new(&compiler)
        .args(["-shared", "-fPIC", "-D", define, "-o"])
        .args([&shim, &source])
        .arg("-ldl")
        .output()
        .unwrap();
    if !built.status.success() {
        println!("skipped: {}", String::from_utf8_lossy(&built.stderr));
        return None;
    }
    Some(shim)
}

#[test]
fn a_disk_that_hangs_is_told_and_the_relay_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let Some(shim) = shim(home.path(), "HANG") else {
        return;
    };
    let flag = home.path().join("hang");
    let mut command = chr_node();
    command
        .arg("run")
        .env("LD_PRELOAD", &shim)
        .env("HANG_WHILE", &flag);
    let node = Node::start_command(command, home.path(), &[]);
    fs::write(&flag, "").unwrap();
    // Its tickets wait for the disk; its ports do not.
    carries_100_mb(home.path(), &node);
    until(SOON, "health tells of the disk", || {
        let health = health(&node).to_string();
        health.contains("has not finished a write").then_some(())
    });
    fs::remove_file(&flag).unwrap();
    until(SOON, "the disk answers again", || {
        (health(&node)["status"] == "ok").then_some(())
    });
    stop(node);
}

#[test]
fn a_disk_that_cannot_lock_or_map_is_named_and_the_relay_goes_on() {
    for (define, words) in [("NO_LOCK", "cannot lock"), ("NO_MAP", "cannot map")] {
        let home = tempfile::tempdir().unwrap();
        let Some(shim) = shim(home.path(), define) else {
            return;
        };
        let mut command = chr_node();
        command.arg("run").env("LD_PRELOAD", &shim);
        let node = Node::start_command(command, home.path(), &[]);
        carries_100_mb(home.path(), &node);
        let said = stop(node);
        assert!(
            said.contains(words) && said.contains("--data-dir"),
            "{said}"
        );
    }
}

#[test]
fn fat_holds_the_store_or_is_named() {
    let Some(mkfs) = find_or_skip("mkfs.vfat") else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let (store, image) = (home.path().join("store"), home.path().join("fat"));
    fs::create_dir(&store).unwrap();
    fs::File::create(&image).unwrap().set_len(8 << 20).unwrap();
    assert!(Command::new(mkfs)
        .arg(&image)
        .output()
        .unwrap()
        .status
        .success());
    let script = format!("mount -o loop {} {}", image.display(), store.display());
    let Some(command) = node_behind(&script) else {
        return;
    };
    let node = Node::start_command(command, home.path(), &[]);
    carries_100_mb(home.path(), &node);
    let good = health(&node)["status"] == "ok";
    let said = stop(node);
    assert!(good || said.contains("--data-dir"), "{said}");
}

/// `chr-node store check`
fn check(data: &Path, options: &[&str]) -> Ran {
    let mut command = chr_node();
    command.args(["store", "check", "--data-dir"]).arg(data);
    run(command.args(options), SOON)
}

#[test]
fn a_check_tells_what_is_in_the_file_and_changes_nothing() {
    let veteran = Veteran::new();
    let home = veteran.home.path();
    let whole = fs::read(veteran.data()).unwrap();
    let ran = check(home, &[]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{}", ran.out);
    assert!(ran.out.ends_with("sound\n"), "{}", ran.out);
    let answer = |ran: &Ran| -> serde_json::Value { serde_json::from_str(&ran.out).unwrap() };
    let ran = check(home, &["--json"]);
    let said = answer(&ran);
    assert_eq!((ran.code, &said["sound"]), (0, &true.into()), "{said}");
    assert_eq!(said["bytes"], whole.len());
    assert_eq!(said["schema"], chr_node::store::SCHEMA_VERSION);
    let tickets = said["tables"].as_array().unwrap().iter();
    let tickets = tickets.clone().find(|table| table["name"] == "tickets");
    assert_eq!(tickets.unwrap()["rows"], ROWS + 2);
    assert_eq!(tickets.unwrap()["damaged"], 0);

    // A bit in a row, which LMDB does not mind: some page's last row.
    let page = said["page_size"].as_u64().unwrap() as usize;
    let mut bytes = whole.clone();
    let hit = |at: &usize| {
        let mut bytes = whole.clone();
        bytes[(at + 1) * page - 5] ^= 1;
        fs::write(veteran.data(), &bytes).unwrap();
        let seen = store_check(&home.join("store")).unwrap();
        seen.survey.flaw_count == 0 && seen.tables.iter().any(|table| table.damaged == 1)
    };
    let at = (2..whole.len() / page).rev().find(hit).unwrap();
    let ran = check(home, &["--json"]);
    assert_eq!(answer(&ran)["sound"], false);
    ran.assert_one_line(1, &["1 row is damaged", "check the disk"]);

    // The same page without its number.
    bytes[at * page] ^= 1;
    fs::write(veteran.data(), &bytes).unwrap();
    let ran = check(home, &[]);
    ran.assert_one_line(1, &["structure is damaged", "carries over"]);
    let flaw = format!("flaw: page {at}: ");
    assert!(ran.out.contains(&flaw), "{}", ran.out);
    fs::write(veteran.data(), &whole[..whole.len() / 2]).unwrap();
    let ran = check(home, &[]);
    ran.assert_one_line(1, &["structure is damaged"]);
    assert!(fs::read(veteran.data()).unwrap() == whole[..whole.len() / 2]);
    fs::write(veteran.data(), noise(5, 50_000)).unwrap();
    check(home, &[]).assert_one_line(1, &["structure is damaged"]);

    fs::remove_file(veteran.data()).unwrap();
    check(home, &[]).assert_one_line(1, &["there is no", "first start", "--data-dir"]);
    assert!(!veteran.data().exists());
    let node = Node::start(home);
    check(home, &["--json"]).assert_one_line(1, &["in use", "stop the node"]);
    stop(node);
    assert_eq!(check(home, &[]).code, 0);
}

//! The status page as people see it: the real node, a real browser. Leaves
//! screenshots in target/screenshots/.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "page/browser.rs"]
mod browser;
mod common;

use browser::Browser;
use common::servers::{source_server, Route};
use common::tools::until;
use common::{chr_node, Node, SOON};
use serde_json::{json, Value};
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

const PHONE: (u32, u32) = (390, 844);
/// The narrowest phones in use.
const NARROW: (u32, u32) = (360, 640);
const DESKTOP: (u32, u32) = (1440, 900);

fn origin(node: &Node) -> String {
    format!("http://{}/", node.rpc())
}

/// A download through the node that does not end before it is dropped, some MB a second.
struct Traffic {
    stop: Arc<AtomicBool>,
    _route: Route,
}

impl Traffic {
    fn start(home: &Path, node: &Node) -> Traffic {
        let route = Route::tcp(home, &node.address(), source_server(7));
        let mut stream = route.connect();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        std::thread::spawn(move || {
            let mut buffer = vec![0; 128 * 1024];
            while !stopped.load(Ordering::Relaxed) && stream.read_exact(&mut buffer).is_ok() {
                // The pace of a line, so that the node has time for the page.
                std::thread::sleep(Duration::from_millis(40));
            }
        });
        Traffic {
            stop,
            _route: route,
        }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// The number in `1.42 MB`.
fn bytes(text: &str) -> f64 {
    let (number, unit) = text.trim_end_matches("/s").split_once(' ').expect(text);
    let units = ["B", "kB", "MB", "GB", "TB"];
    let place = units.iter().position(|u| *u == unit).expect(text);
    number.parse::<f64>().expect(text) * 1000f64.powi(place as i32)
}

fn wait_live(browser: &Browser) {
    until(SOON, "the page is live", || {
        (browser.text("#live") == "live").then_some(())
    });
}

fn assert_no_overflow(browser: &Browser, what: &str) {
    let wide = browser.run(
        "const w = document.documentElement.clientWidth;
         return [document.documentElement.scrollWidth - w,
           [...document.querySelectorAll('body *')].filter(e => {
             const b = e.getBoundingClientRect(), s = getComputedStyle(e);
             return b.width > 1 && b.right > w + 1 && s.clipPath === 'none' && !e.closest('thead');
           }).map(e => e.outerHTML.slice(0, 120))]",
    );
    assert_eq!(wide, json!([0, []]), "{what}");
}

/// The contrast of what is written, by WCAG 2: at least 4.5 for text.
fn assert_contrast(browser: &Browser, what: &str) {
    let weak = browser.run(
        r"const parts = c => { const [r, g, b, a = 1] = c.match(/[\d.]+/g).map(Number); return [r, g, b, a]; };
        const light = c => { const [r, g, b] = c.map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
        const behind = e => { for (; e; e = e.parentElement) { const c = parts(getComputedStyle(e).backgroundColor); if (c[3] === 1) return c; if (c[3] > 0) throw e.outerHTML; } return [255, 255, 255, 1]; };
        const weak = []; let seen = 0;
        for (const e of document.querySelectorAll('body *')) {
          const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
          if (!own || !e.checkVisibility() || ['SCRIPT', 'NOSCRIPT', 'TITLE', 'DESC'].includes(e.tagName)) continue;
          seen++;
          const a = light(parts(getComputedStyle(e).color)), b = light(behind(e));
          const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
          if (ratio < 4.5) weak.push(ratio.toFixed(2) + ' ' + e.outerHTML.slice(0, 100));
        }
        return [seen, weak]",
    );
    assert!(weak[0].as_u64().unwrap() > 60, "{weak}");
    assert_eq!(weak[1], json!([]), "{what}");
}

fn assert_stays_at_home(browser: &Browser, node: &Node) {
    let asked = browser.requests();
    assert!(asked.contains(&origin(node)), "{asked:?}");
    let foreign: Vec<&String> = asked
        .iter()
        // What the browser is made of, and what is in the page itself.
        .filter(|url| !url.starts_with("chrome://") && !url.starts_with("data:"))
        .filter(|url| !url.starts_with(&origin(node)))
        .collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn what_moves_in_the_node_moves_on_the_page_and_is_what_rpc_says() {
    let Some(browser) = Browser::open(true) else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let node = Node::start_with(home.path(), &[("NAME", "attic-pi")]);
    let _traffic = Traffic::start(home.path(), &node);
    let elsewhere = tempfile::tempdir().unwrap();
    let other = Node::start_with(elsewhere.path(), &[("SEED_LIST", &node.seed())]);
    until(SOON, "bytes flow and another node is known", || {
        let knows = node.known().iter().any(|id| id == other.id());
        knows.then_some(())?;
        (node.ask("network_stats")["bytes_in"].as_u64()? > 2_000_000).then_some(())
    });

    browser.screen(DESKTOP, false);
    browser.go(&origin(&node));
    browser.run(
        "window.shift = 0; new PerformanceObserver(l => { for (const e of l.getEntries()) shift += e.value })
           .observe({ type: 'layout-shift', buffered: true })",
    );
    wait_live(&browser);
    assert_eq!(browser.text("#name"), "attic-pi");
    assert_eq!(browser.text("#id"), node.id());

    // Numbers: those of RPC, between a look before and one after.
    for id in ["bytes_in", "bytes_out"] {
        let selector = format!("#{}", id.replace('_', "-"));
        let before = node.ask("network_stats")[id].as_f64().unwrap();
        let shown = until(SOON, "the page follows", || {
            let shown = bytes(&browser.text(&selector));
            (shown >= before * 0.994).then_some(shown)
        });
        let after = node.ask("network_stats")[id].as_f64().unwrap();
        assert!(shown <= after * 1.006, "{id}: {before} {shown} {after}");
        until(SOON, "the page moves on", || {
            (bytes(&browser.text(&selector)) > shown).then_some(())
        });
    }
    until(SOON, "the throughput of now", || {
        (bytes(&browser.text("#now-in")) > 100_000.0).then_some(())
    });
    until(SOON, "the chart's line", || {
        let line = browser.run("return document.getElementById('c-il').getAttribute('d')");
        line.as_str().unwrap().starts_with('M').then_some(())
    });

    // Sessions: each device with its full address, for a reader on this machine.
    let sessions = node.ask("session_list");
    assert_eq!(sessions.as_array().unwrap().len(), 2);
    for session in sessions.as_array().unwrap() {
        let row = browser.run(&format!(
            "return [...document.querySelectorAll('[data-each=sessions] tr')].filter(r => r.textContent.includes({})).length",
            session["device"]
        ));
        assert_eq!(row, 1, "{session}");
    }
    every_value_is_in_the_status(&browser, &node);

    // Spans: each shows what the node has of it.
    for span in ["hour", "day", "week", "month", "year", "10min"] {
        browser.press(&format!("[value='{span}']"));
        until(SOON, span, || {
            let from = browser.text("#from");
            ((span == "10min") == (from == "10 min ago") && from != "–").then_some(())
        });
    }
    // What was carried at a time can be read without a pointer.
    browser.run("document.getElementById('chart').dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowLeft' }))");
    let at = browser.text("#at");
    assert!(at.contains(" UTC"), "{at}");
    browser.run("document.getElementById('chart').dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape' }))");
    assert_eq!(browser.text("#at"), "");
    browser.press("#copy");
    until(SOON, "the address is copied", || {
        (browser.text("#copy") == "Copied").then_some(())
    });
    let shift = browser.run("return shift").as_f64().unwrap();
    assert!(shift < 0.01, "what is seen jumps: {shift}");

    for (size, name) in [(DESKTOP, "desktop"), (PHONE, "phone")] {
        for (dark, scheme) in [(false, "light"), (true, "dark")] {
            browser.screen(size, dark);
            wait_live(&browser);
            browser.shoot(&format!("live-{name}-{scheme}"), true);
            assert_contrast(&browser, scheme);
            assert_no_overflow(&browser, name);
        }
    }
    browser.screen(NARROW, false);
    assert_no_overflow(&browser, "a narrow phone");
    browser.run("document.querySelector('details').open = true");
    assert_no_overflow(&browser, "the settings on a narrow phone");
    assert_stays_at_home(&browser, &node);
}

/// A field that was renamed would show as a dash for ever.
fn every_value_is_in_the_status(browser: &Browser, node: &Node) {
    let status = node.ask("node_status");
    let named = browser.run(
        "const of = (e, root) => [...e.querySelectorAll('*')].filter(x => (x.closest('[data-each] > *')?.closest('[data-each]') ?? null) === root)
           .flatMap(x => Object.entries(x.dataset).filter(([n]) => n !== 'l').map(([, w]) => w.replace('!', '').split(':')[0]));
         const rows = {};
         for (const box of document.querySelectorAll('[data-each]')) rows[box.dataset.each] = of(box.firstElementChild.content, null);
         return [of(document, null), rows]",
    );
    let known = |scope: &Value, path: &str| {
        let mut at = scope;
        for name in path.split('.') {
            // Below what is not there nothing can be said.
            if at.is_null() {
                return true;
            }
            match at.get(name) {
                Some(next) => at = next,
                None => return false,
            }
        }
        true
    };
    let paths: Vec<&str> = named[0]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p.as_str().unwrap())
        .collect();
    assert!(paths.len() > 60, "{paths:?}");
    let mut missing: Vec<String> = Vec::new();
    for path in paths {
        if !path.starts_with("page.") && path != "settings" && !known(&status, path) {
            missing.push(path.to_owned());
        }
    }
    for (list, paths) in named[1].as_object().unwrap() {
        let list = list.replace("page.happened", "events");
        let items = list.split('.').fold(&status, |at, name| &at[name]);
        let Some(item) = items.as_array().and_then(|items| items.first()) else {
            continue;
        };
        for path in paths
            .as_array()
            .unwrap()
            .iter()
            .map(|p| p.as_str().unwrap())
        {
            // What an event tells depends on what it is about.
            if !path.starts_with("data.") && !known(item, path) {
                missing.push(format!("{list}: {path}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    for list in [
        "sessions",
        "health.layers",
        "tickets.latest",
        "page.happened",
    ] {
        let rows = browser.run(&format!(
            "return document.querySelector('[data-each=\"{list}\"]').children.length - 1"
        ));
        assert!(rows.as_u64().unwrap() > 0, "nothing in {list}");
    }
}

#[test]
fn without_a_script_the_page_is_complete() {
    let Some(browser) = Browser::open(false) else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let node = Node::start_with(home.path(), &[("NAME", "attic-pi")]);
    let _traffic = Traffic::start(home.path(), &node);
    for (size, dark, name) in [
        (DESKTOP, false, "plain-desktop-light"),
        (PHONE, true, "plain-phone-dark"),
    ] {
        browser.screen(size, dark);
        browser.go(&origin(&node));
        browser.shoot(name, true);
        assert_no_overflow(&browser, name);
    }
    let seen = browser
        .run("document.querySelector('details').open = true; return document.body.innerText");
    let seen = seen.as_str().unwrap();
    for session in node.ask("session_list").as_array().unwrap() {
        assert!(seen.contains(session["device"].as_str().unwrap()), "{seen}");
    }
    for words in [
        node.id(),
        "attic-pi",
        "Well",
        "Every part of the node does its work.",
        "No rates are set, so nothing is claimed as earned.",
        "network.edge_ports",
        "renewed every 15 s",
    ] {
        assert!(seen.contains(words), "no {words:?} in {seen}");
    }
    for words in ["Copy", "connecting", "Connection lost", "undefined", "null"] {
        assert!(!seen.contains(words), "{words:?} in {seen}");
    }
    assert_stays_at_home(&browser, &node);
}

#[test]
fn a_node_that_is_gone_does_not_look_alive_and_its_return_is_seen() {
    let Some(browser) = Browser::open(true) else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let mut node = Node::start(home.path());
    let port = node.rpc().port().to_string();
    browser.screen(DESKTOP, false);
    browser.go(&origin(&node));
    wait_live(&browser);
    until(SOON, "it runs for some seconds", || {
        (node.ask("chr_node_info")["uptime_seconds"].as_u64()? >= 4).then_some(())
    });
    node.program.signal("-TERM");
    assert!(node.program.wait(SOON).success());
    until(SOON, "the loss is told", || {
        (browser.text("#live") == "connection lost").then_some(())
    });
    assert_eq!(browser.text("#verdict"), "No connection");
    assert!(browser
        .text("#why")
        .starts_with("The node has not been heard since "));
    let title = browser.run("return document.title");
    assert!(
        title.as_str().unwrap().starts_with("No connection"),
        "{title}"
    );
    assert_eq!(
        browser.run("return document.getElementById('lost').checkVisibility()"),
        true
    );
    browser.shoot("lost-desktop-light", false);
    browser.screen(PHONE, true);
    browser.shoot("lost-phone-dark", false);

    let node = Node::start_with(home.path(), &[("RPC_PORT", &port)]);
    wait_live(&browser);
    assert_eq!(browser.text("#verdict"), "Well");
    assert_eq!(
        browser.run("return document.getElementById('lost').checkVisibility()"),
        false
    );
    let moved = browser.text("#bytes-in");
    assert_eq!(moved, "0 B", "of the node that was");
    drop(node);
}

#[test]
fn a_fresh_node_says_what_to_do_and_a_failed_service_what_it_means() {
    let Some(browser) = Browser::open(true) else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let fresh = Node::start(home.path());
    browser.screen(DESKTOP, true);
    browser.go(&origin(&fresh));
    wait_live(&browser);
    let seen = browser.run("return document.body.innerText");
    let seen = seen.as_str().unwrap();
    let publish = format!(
        "chr-node publish 8080:public --node {}@127.0.0.1:{}",
        fresh.id(),
        fresh.edge().port()
    );
    for words in [
        &publish,
        "Nothing was carried yet.",
        "No other node is known.",
        "No ticket has come since the node started.",
        "No device and no node has come or gone lately",
    ] {
        assert!(seen.contains(words), "no {words:?} in {seen}");
    }
    browser.shoot("empty-desktop-dark", true);
    assert_contrast(&browser, "empty, dark");
    browser.screen(PHONE, false);
    browser.shoot("empty-phone-light", true);
    assert_no_overflow(&browser, "empty, on a phone");
    assert_stays_at_home(&browser, &fresh);

    let other = tempfile::tempdir().unwrap();
    let mut command = chr_node();
    command
        .env("TEST_FAULT", "cron:panic")
        .env("RUST_BACKTRACE", "0");
    let node = Node::start_command(command, other.path(), &[]);
    browser.screen(DESKTOP, false);
    browser.go(&origin(&node));
    until(SOON, "the failure is told", || {
        (browser.text("#verdict") == "Degraded").then_some(())
    });
    let health = node.ask("node_status")["health"].clone();
    let told = browser.text(".reasons");
    for reason in health["reasons"].as_array().unwrap() {
        for words in [&reason["reason"], &reason["remedy"]] {
            assert!(told.contains(words.as_str().unwrap()), "{told} {reason}");
        }
    }
    browser.shoot("degraded-desktop-light", false);
    assert_contrast(&browser, "degraded, light");
    browser.screen(PHONE, true);
    assert_contrast(&browser, "degraded, dark");
    assert_no_overflow(&browser, "degraded, on a phone");
    browser.shoot("degraded-phone-dark", false);
}

#[test]
fn a_stranger_sees_no_address_of_others_neither_at_first_nor_later() {
    let Some(browser) = Browser::open(true) else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    let _traffic = Traffic::start(home.path(), &node);
    let sessions = node.ask("session_list");
    let headers = json!({ "headers": { "X-Forwarded-For": "192.0.2.9" } });
    browser.devtools("Network.enable", json!({}));
    browser.devtools("Network.setExtraHTTPHeaders", headers);
    browser.screen(DESKTOP, false);
    browser.go(&origin(&node));
    let look = || {
        let page = browser.run("return document.documentElement.outerHTML");
        let page = page.as_str().unwrap().to_owned();
        assert!(
            page.contains(node.id()),
            "the node's own address is no secret"
        );
        for session in sessions.as_array().unwrap() {
            let device = session["device"].as_str().unwrap();
            assert!(!page.contains(device), "{device} is in the page");
            assert!(page.contains(&device[..6]), "{device} is not in the page");
        }
        browser.text("body")
    };
    look();
    wait_live(&browser);
    let seen = look();
    assert!(
        seen.contains("You read this from another machine"),
        "{seen}"
    );
    assert!(seen.contains("Settings are shown on the node's own machine alone"));
    assert!(
        !seen.contains("network.edge_ports"),
        "settings are not for strangers"
    );
    browser.shoot("stranger-desktop-light", true);
}

#[test]
fn the_script_writes_values_as_the_node_does() {
    let Some(browser) = Browser::open(true) else {
        return;
    };
    let room = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/rpc/page");
    let script = std::fs::read_to_string(room.join("script.js")).unwrap();
    let (forms, _) = script.split_once("// Filling.").unwrap();
    let (_, forms) = forms.split_once("'use strict';").unwrap();
    let cases = std::fs::read_to_string(room.join("forms.json")).unwrap();
    let wrong = browser.run(&format!(
        "{forms}; now = 1700000000; return {cases}.slice(1).map(([v, f, want]) => [v, f, want, form(v, f)]).filter(([,, a, b]) => a !== b)"
    ));
    assert_eq!(wrong, json!([]));
}

//! A node and the chain that it asks, through the built program: a real EVM node
//! (anvil), TLS by certificates of an authority, and chains that do not behave.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use common::chain::{anvil_or_skip, ask, made_up, Anvil};
use common::tools::{find_or_skip, run, until};
use common::*;
use serde_json::{json, Value};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;

/// Answers 42.
const ANSWERS: &str = "602a60005260206000f3";
/// Refuses, and says 42.
const REFUSES: &str = "602a60005260206000fd";

fn node_of(url: &str) -> (tempfile::TempDir, Node) {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start_with(home.path(), &[("CHR_CHAIN__URL", url)]);
    (home, node)
}

/// The result that a node gives; who is told to wait waits.
fn result(node: &Node, method: &str, params: Value) -> Value {
    let answer = until(SOON, "the node asks for others again", || {
        let answer = ask(node, method, params.clone());
        (answer["error"]["code"] != -32005).then_some(answer)
    });
    assert!(answer.get("error").is_none(), "{method}: {answer}");
    assert!(answer.get("stale_seconds").is_none(), "{method}: {answer}");
    answer["result"].clone()
}

/// What an answer says that is no result.
fn refusal(answer: &Value) -> String {
    let message = answer["error"]["message"].as_str();
    message.map_or_else(|| panic!("{answer}"), str::to_owned)
}

fn chain(node: &Node) -> Value {
    node.ask("node_status")["chain"].clone()
}

fn reasons(node: &Node) -> String {
    let health = node.http("GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let (_, body) = health.split_once("\r\n\r\n").unwrap();
    let health: Value = serde_json::from_str(body).expect(body);
    health["reasons"].to_string()
}

#[test]
fn what_the_node_says_of_the_chain_is_what_the_chain_says() {
    let Some(program) = anvil_or_skip() else {
        return;
    };
    let anvil = Anvil::start(&program, 0, 1284);
    let (_home, node) = node_of(&anvil.url());
    let contract = anvil.deploy(ANSWERS);
    let account = anvil.ask("eth_accounts", json!([]))[0].clone();

    assert_eq!(result(&node, "eth_chainId", json!([])), "0x504");
    until(SOON, "the chain is known", || {
        (result(&node, "net_version", json!([])) == "1284").then_some(())
    });
    let number = |value: &Value| u64::from_str_radix(&value.as_str().unwrap()[2..], 16).unwrap();
    let at = result(&node, "eth_blockNumber", json!([]));
    assert!(number(&at) <= number(&anvil.ask("eth_blockNumber", json!([]))));

    // What is the newest is asked for every few seconds.
    let answer = format!("0x{:064x}", 42);
    until(SOON, "the contract answers", || {
        let said = result(&node, "eth_call", json!([{"to": contract}]));
        (said == answer).then_some(())
    });
    let at = result(&node, "eth_blockNumber", json!([]));
    let questions = [
        ("eth_getBalance", json!([account, at])),
        ("eth_getBalance", json!([account, "0x0"])),
        ("eth_getCode", json!([contract, at])),
        ("eth_getTransactionCount", json!([account, at])),
        ("eth_getStorageAt", json!([contract, "0x0", at])),
        ("eth_call", json!([{"to": contract, "input": "0x1234"}, at])),
        (
            "eth_estimateGas",
            json!([{"to": contract, "from": account}, at]),
        ),
        ("eth_getBlockByNumber", json!([at, true])),
        ("eth_getBlockByNumber", json!(["0x0", false])),
        ("eth_getBlockByNumber", json!(["0xffffffff", false])),
    ];
    for (method, params) in &questions {
        let direct = anvil.ask(method, params.clone());
        assert_eq!(
            result(&node, method, params.clone()),
            direct,
            "{method}{params}"
        );
    }
    let code = result(&node, "eth_getCode", json!([contract]));
    assert_eq!(code, format!("0x{ANSWERS}"));
    let block = anvil.ask("eth_getBlockByNumber", json!([at, false]));
    assert_eq!(
        result(&node, "eth_getBlockByHash", json!([block["hash"], false])),
        block
    );

    // The same once more comes from memory: the chain is not asked again.
    let before = node.ask("network_stats")["cache"].clone();
    for (method, params) in &questions {
        result(&node, method, params.clone());
    }
    let after = node.ask("network_stats")["cache"].clone();
    let hits = |stats: &Value| stats["l1"]["hits"].as_u64().unwrap();
    // What is null is asked for again.
    assert!(
        hits(&after) >= hits(&before) + questions.len() as u64 - 1,
        "{before} {after}"
    );

    // A refusal of a contract comes through whole, and is not kept.
    let refuses = anvil.deploy(REFUSES);
    let error = until(SOON, "the contract refuses", || {
        let answer = ask(&node, "eth_call", json!([{"to": refuses}, "latest"]));
        answer.get("error").cloned()
    });
    assert_eq!(
        (&error["code"], &error["data"]),
        (&json!(3), &json!(answer)),
        "{error}"
    );

    // A transaction is not there, then it is: null is not kept.
    let sent = anvil.ask(
        "eth_sendTransaction",
        json!([{"from": account, "to": contract}]),
    );
    let receipt = until(SOON, "the receipt is there", || {
        let receipt = result(&node, "eth_getTransactionReceipt", json!([sent]));
        (!receipt.is_null()).then_some(receipt)
    });
    assert_eq!(receipt["transactionHash"], sent);
    let mined = result(&node, "eth_getTransactionByHash", json!([sent]));
    assert_eq!(mined["blockHash"], receipt["blockHash"]);

    let told = until(SOON, "the chain is in step", || {
        let chain = chain(&node);
        (chain["synced"] == true).then_some(chain)
    });
    assert_eq!(
        (&told["chain_id"], &told["error"]),
        (&json!(1284), &Value::Null)
    );
    assert_eq!(
        (&told["url"], &told["remark"]),
        (&json!(anvil.url()), &Value::Null)
    );
}

#[test]
fn new_blocks_are_told_to_those_who_listen() {
    let Some(program) = anvil_or_skip() else {
        return;
    };
    let anvil = Anvil::start(&program, 0, 5);
    let (_home, node) = node_of(&anvil.url());
    let mut stream = TcpStream::connect(node.rpc()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    stream
        .write_all(b"GET /events?topics=block HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    let mut told = lines.filter_map(|line| {
        let data = line.strip_prefix("data:")?;
        let data: Value = serde_json::from_str(data).ok()?;
        // The event's own text, bare or within what is common to all.
        Some(if data["data"].is_object() {
            data["data"].clone()
        } else {
            data
        })
    });
    let first = told.next().expect("a first block");
    let second = told.next().expect("a second block");
    assert!(
        second["number"].as_u64() > first["number"].as_u64(),
        "{first} {second}"
    );
    let hex = format!("0x{:x}", second["number"].as_u64().unwrap());
    let block = anvil.ask("eth_getBlockByNumber", json!([hex, false]));
    assert_eq!(block["hash"], second["hash"]);
    assert!(second["time"].as_u64().unwrap() > 1_700_000_000);
    // It is another chain than the one that tickets are for: told, not refused.
    let remark = chain(&node)["remark"].as_str().unwrap().to_owned();
    assert!(
        remark.contains("chain 5") && remark.contains("1284"),
        "{remark}"
    );
}

#[test]
fn a_chain_that_is_away_is_told_its_answers_are_marked_and_it_comes_back() {
    let Some(program) = anvil_or_skip() else {
        return;
    };
    let anvil = Anvil::start(&program, 0, 1284);
    let (_home, node) = node_of(&anvil.url());
    let account = anvil.ask("eth_accounts", json!([]))[0].clone();
    let balance = || ask(&node, "eth_getBalance", json!([account]));
    let before = until(SOON, "the balance is known", || {
        let answer = balance();
        answer
            .get("error")
            .is_none()
            .then(|| answer["result"].clone())
    });
    assert!(!reasons(&node).contains("chain"), "{}", reasons(&node));
    let port = anvil.place.port();
    drop(anvil);
    let (mut marked, limit) = (None, Duration::from_secs(60));
    until(limit, "the answer is marked as stale", || {
        let answer = balance();
        marked = answer["stale_seconds"].as_u64();
        // It may be asked at a block that was never asked about.
        assert!(
            answer.get("error").is_none() || marked.is_none(),
            "{answer}"
        );
        marked
            .is_some()
            .then(|| assert_eq!(answer["result"], before))
    });
    let why = until(limit, "health says so", || {
        let reasons = reasons(&node);
        reasons.contains("the chain").then_some(reasons)
    });
    assert!(
        why.contains("integration") && why.contains("chain.url"),
        "{why}"
    );
    let told = chain(&node);
    assert_eq!(told["synced"], false);
    assert!(
        told["error"].as_str().unwrap().contains("refused"),
        "{told}"
    );
    // What was never asked cannot be answered; it says when to ask again.
    let other = "0x0000000000000000000000000000000000000001";
    let error = ask(&node, "eth_getCode", json!([other]))["error"].clone();
    assert_eq!(error["code"], -32000, "{error}");
    assert!(
        error["message"].as_str().unwrap().contains("chain.url"),
        "{error}"
    );
    assert!(error["data"]["retry_after_ms"].is_u64(), "{error}");

    let anvil = Anvil::start(&program, port, 1284);
    until(Duration::from_secs(120), "the chain is back", || {
        let answer = balance();
        let well = answer.get("error").is_none() && answer.get("stale_seconds").is_none();
        (well && chain(&node)["error"].is_null()).then_some(())
    });
    until(limit, "health is well again", || {
        (!reasons(&node).contains("the chain")).then_some(())
    });
    until(limit, "the chain is in step", || {
        (chain(&node)["synced"] == true).then_some(())
    });
    drop(anvil);
}

#[test]
fn what_stays_true_is_answered_after_a_restart_without_the_chain() {
    let Some(program) = anvil_or_skip() else {
        return;
    };
    let anvil = Anvil::start(&program, 0, 1284);
    let contract = anvil.deploy(ANSWERS);
    let at = anvil.ask("eth_blockNumber", json!([]));
    anvil.ask("anvil_mine", json!(["0x50"]));
    let home = tempfile::tempdir().unwrap();
    let url = anvil.url();
    let settings = [("CHR_CHAIN__URL", url.as_str())];
    let node = Node::start_with(home.path(), &settings);
    result(&node, "eth_blockNumber", json!([]));
    let question = json!([{"to": contract}, at]);
    let answer = result(&node, "eth_call", question.clone());
    assert_eq!(answer, format!("0x{:064x}", 42));
    // Asked for twice it is worth a row.
    assert_eq!(result(&node, "eth_call", question.clone()), answer);
    assert_eq!(node.ask("network_stats")["cache"]["disk_rows"], 1);
    node.program.signal("-TERM");
    let mut node = node;
    node.program.wait(SOON);
    drop((node, anvil));

    let node = Node::start_with(home.path(), &settings);
    assert_eq!(result(&node, "eth_call", question), answer);
    let cache = node.ask("network_stats")["cache"].clone();
    assert_eq!(cache["l2"]["hits"], 1, "{cache}");
}

/// Keys and certificates of an authority and of servers that it has signed.
struct Authority {
    openssl: PathBuf,
    folder: tempfile::TempDir,
}

impl Authority {
    fn new(name: &str, kind: &[&str]) -> Option<Authority> {
        let openssl = find_or_skip("openssl")?;
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority { openssl, folder };
        let key = authority.key("ca", kind);
        let extra = [
            "-addext",
            "basicConstraints=critical,CA:TRUE",
            "-addext",
            "keyUsage=critical,keyCertSign",
        ];
        authority.openssl(
            &[
                "req",
                "-x509",
                "-new",
                "-key",
                &key,
                "-subj",
                &format!("/CN={name}"),
                "-days",
                "2",
                "-out",
                &authority.path("ca.pem"),
            ],
            &extra,
        );
        Some(authority)
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn openssl(&self, args: &[&str], more: &[&str]) {
        let ran = run(Command::new(&self.openssl).args(args).args(more), SOON);
        assert_eq!(ran.code, 0, "{}", ran.err);
    }

    fn key(&self, name: &str, kind: &[&str]) -> String {
        let file = self.path(&format!("{name}.key"));
        self.openssl(&["genpkey", "-out", &file], kind);
        file
    }

    /// A certificate for `names`.
    fn sign(&self, name: &str, kind: &[&str], names: &str, days: &str) -> (String, String) {
        let key = self.key(name, kind);
        let (request, file) = (self.path("request"), self.path(&format!("{name}.pem")));
        self.openssl(
            &[
                "req",
                "-new",
                "-key",
                &key,
                "-subj",
                "/CN=server",
                "-out",
                &request,
            ],
            &[],
        );
        let extensions = self.path("extensions");
        std::fs::write(
            &extensions,
            format!("subjectAltName={names}\nextendedKeyUsage=serverAuth\n"),
        )
        .unwrap();
        let (ca, ca_key) = (self.path("ca.pem"), self.path("ca.key"));
        self.openssl(
            &[
                "x509",
                "-req",
                "-in",
                &request,
                "-CA",
                &ca,
                "-CAkey",
                &ca_key,
                "-CAcreateserial",
                "-days",
                days,
                "-extfile",
                &extensions,
                "-out",
                &file,
            ],
            &[],
        );
        (file, key)
    }
}

const RSA: &[&str] = &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
const P256: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
const P384: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"];

/// TLS in front of the server at `port`.
fn front(python: &Path, pair: &(String, String), port: u16, old: bool) -> (Program, u16) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/tls_front.py");
    let mut command = Command::new(python);
    command
        .arg(script)
        .args([&pair.0, &pair.1, &port.to_string()]);
    if old {
        command.arg("1.2");
    }
    let mut program = Program::start(command.stdout(Stdio::piped()));
    let mut line = String::new();
    let out = program.child.stdout.take().unwrap();
    BufReader::new(out).read_line(&mut line).unwrap();
    let port = line.trim().parse().unwrap();
    (program, port)
}

/// A chain that says that it is chain 7.
fn seven() -> u16 {
    made_up(|_, _| json!({"result": "0x7"}))
}

#[test]
#[cfg_attr(
    not(feature = "chain-https"),
    ignore = "needs cargo test --features chain-https --test chain"
)]
fn a_chain_behind_tls_is_asked_if_its_authority_is_known() {
    let Some(python) = find_or_skip("python3") else {
        return;
    };
    let plain = seven();
    for (ca, server, old) in [
        (RSA, RSA, false),
        (RSA, RSA, true),
        (P384, P256, false),
        (P384, P384, false),
    ] {
        let Some(authority) = Authority::new("authority", ca) else {
            return;
        };
        let pair = authority.sign("server", server, "DNS:localhost,IP:127.0.0.1", "1");
        let (_front, port) = front(&python, &pair, plain, old);
        for host in ["127.0.0.1", "localhost"] {
            let home = tempfile::tempdir().unwrap();
            let url = format!("https://{host}:{port}/v1/secret");
            let settings = [
                ("CHR_CHAIN__URL", url.as_str()),
                ("CHR_CHAIN__CA_FILE", &authority.path("ca.pem")),
            ];
            let node = Node::start_with(home.path(), &settings);
            assert_eq!(
                result(&node, "eth_chainId", json!([])),
                "0x7",
                "{ca:?} {server:?} {old}"
            );
            // Kept: the second question needs no second handshake, and works as well.
            assert_eq!(result(&node, "eth_gasPrice", json!([])), "0x7");
            assert!(!chain(&node).to_string().contains("secret"));
        }
    }
}

#[test]
#[cfg_attr(
    not(feature = "chain-https"),
    ignore = "needs cargo test --features chain-https --test chain"
)]
fn a_chain_that_proves_nothing_is_not_believed_and_the_reason_is_told() {
    let Some(python) = find_or_skip("python3") else {
        return;
    };
    let plain = seven();
    let Some(authority) = Authority::new("authority", P256) else {
        return;
    };
    let Some(stranger) = Authority::new("stranger", P256) else {
        return;
    };
    let good = "DNS:localhost,IP:127.0.0.1";
    let other = authority.sign("other", P256, "DNS:other.example", "1");
    let foreign = stranger.sign("foreign", P256, good, "1");
    let (ca, none) = (authority.path("ca.pem"), authority.path("other.key"));
    let missing = authority.path("missing.pem");
    for (pair, ca, wanted) in [
        (&other, &ca, "not valid for"),
        (&foreign, &ca, "UnknownIssuer"),
        (&foreign, &none, "chain.ca_file"),
        (&foreign, &missing, "missing.pem"),
    ] {
        let (_front, port) = front(&python, pair, plain, false);
        let home = tempfile::tempdir().unwrap();
        let url = format!("https://127.0.0.1:{port}/");
        let settings = [("CHR_CHAIN__URL", url.as_str()), ("CHR_CHAIN__CA_FILE", ca)];
        let node = Node::start_with(home.path(), &settings);
        let answer = ask(&node, "eth_chainId", json!([]));
        let message = refusal(&answer);
        assert!(message.contains(wanted), "{wanted}: {message}");
    }
    // And HTTPS towards a server that speaks HTTP.
    let home = tempfile::tempdir().unwrap();
    let url = format!("https://127.0.0.1:{plain}/");
    let settings = [
        ("CHR_CHAIN__URL", url.as_str()),
        ("CHR_CHAIN__CA_FILE", &ca),
    ];
    let node = Node::start_with(home.path(), &settings);
    let answer = ask(&node, "eth_chainId", json!([]));
    assert!(
        answer["error"]["message"].as_str().unwrap().contains("TLS"),
        "{answer}"
    );
}

#[test]
fn a_node_without_a_chain_says_which_setting_is_missing_and_answers_the_rest() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path());
    for (method, params) in [
        ("eth_blockNumber", json!([])),
        ("eth_getBalance", json!([node.id()])),
        ("eth_chainId", json!([])),
    ] {
        let error = ask(&node, method, params)["error"].clone();
        assert_eq!(error["code"], -32000);
        assert!(
            error["message"].as_str().unwrap().contains("chain.url"),
            "{error}"
        );
    }
    assert_eq!(chain(&node), Value::Null);
    for (method, wanted) in [
        ("eth_accounts", json!([])),
        ("eth_syncing", json!(false)),
        ("eth_mining", json!(false)),
        ("eth_hashrate", json!("0x0")),
        ("eth_coinbase", json!(node.id())),
        ("net_listening", json!(true)),
        ("net_version", json!("1284")),
        ("net_peerCount", json!("0x0")),
        ("net_edgeCount", json!("0x0")),
    ] {
        assert_eq!(result(&node, method, json!([])), wanted, "{method}");
    }
    let version = result(&node, "web3_clientVersion", json!([]));
    assert!(
        version.as_str().unwrap().starts_with("chr-node/v"),
        "{version}"
    );
    // The hash of nothing, and of "abc".
    for (data, hash) in [
        (
            "0x",
            "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470",
        ),
        (
            "0x616263",
            "0x4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45",
        ),
    ] {
        assert_eq!(result(&node, "web3_sha3", json!([data])), hash);
    }
    for data in ["616263", "0x1", "0xzz", ""] {
        assert_eq!(
            ask(&node, "web3_sha3", json!([data]))["error"]["code"],
            -32602
        );
    }
}

#[test]
fn nothing_is_passed_on_that_writes_or_is_wrong() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counts = asked.clone();
    let port = made_up(move |method, _| {
        if !["eth_blockNumber", "eth_chainId", "eth_getBlockByNumber"].contains(&method) {
            counts.fetch_add(1, Ordering::SeqCst);
        }
        json!({"result": "0x1"})
    });
    let (_home, node) = node_of(&format!("http://127.0.0.1:{port}"));
    for method in [
        "eth_sendRawTransaction",
        "eth_sendTransaction",
        "eth_sign",
        "eth_getLogs",
        "eth_newFilter",
        "personal_unlockAccount",
        "debug_traceTransaction",
        "anvil_setBalance",
    ] {
        let error = ask(&node, method, json!(["0x00"]))["error"].clone();
        assert_eq!(error["code"], -32601, "{method}: {error}");
    }
    let long = format!("0x{}", "00".repeat(50_000));
    for (method, params) in [
        ("eth_getBalance", json!([])),
        ("eth_getBalance", json!(["0x12", "latest"])),
        ("eth_getBalance", json!([node.id(), "newest"])),
        ("eth_getBalance", json!([node.id(), "latest", 1])),
        ("eth_call", json!([{"to": node.id(), "data": long}])),
        ("eth_call", json!([{"to": node.id(), "stateOverride": {}}])),
        ("eth_getBlockByHash", json!([node.id(), false])),
    ] {
        let error = ask(&node, method, params.clone())["error"].clone();
        assert_eq!(error["code"], -32602, "{method}{params}: {error}");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[test]
fn strangers_cannot_use_up_the_operators_share_with_the_provider() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counts = asked.clone();
    let port = made_up(move |method, _| {
        counts.fetch_add(usize::from(method == "eth_getCode"), Ordering::SeqCst);
        json!({"result": "0x10"})
    });
    let (_home, node) = node_of(&format!("http://127.0.0.1:{port}"));
    let began = std::time::Instant::now();
    let mut refused = BTreeSet::new();
    for n in 0..200 {
        let answer = ask(&node, "eth_getCode", json!([format!("0x{n:040x}"), "0x1"]));
        if let Some(error) = answer.get("error") {
            assert_eq!(error["code"], -32005, "{error}");
            assert!(
                error["data"]["retry_after_ms"].as_u64().unwrap() > 0,
                "{error}"
            );
            refused.insert(n);
        }
    }
    let seconds = began.elapsed().as_secs() as usize + 1;
    let passed = asked.load(Ordering::SeqCst);
    assert!(
        passed >= 20 && passed <= 20 + 20 * seconds,
        "{passed} in {seconds} s"
    );
    assert_eq!(passed + refused.len(), 200);
    assert_eq!(chain(&node)["refused"], refused.len());
    // The head is followed all the same.
    result(&node, "eth_blockNumber", json!([]));
}

#[test]
fn a_chain_that_talks_nonsense_harms_nobody() {
    for (said, wanted) in [
        (json!({"result": "0xzz"}), "no number"),
        (json!({"result": {"a": 1}}), "no number"),
        (json!({}), "not JSON-RPC"),
        (
            json!({"error": {"code": -32601, "message": "no such method"}}),
            "no such method",
        ),
        (json!({"error": "words"}), "error without words"),
        (json!({"result": "x".repeat(2 << 20)}), "longer than"),
    ] {
        let port = made_up(move |_, _| said.clone());
        let (_home, node) = node_of(&format!("http://127.0.0.1:{port}"));
        let answer = ask(&node, "eth_blockNumber", json!([]));
        let message = refusal(&answer);
        assert!(message.contains(wanted), "{wanted}: {message}");
        assert!(node.ask("chr_node_info")["node_id"].is_string());
    }
}

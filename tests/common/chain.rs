//! Chains for nodes to ask: a real one (anvil), one that a test makes up, and
//! questions by JSON-RPC.

use super::servers::serve;
use super::tools::until;
use super::{Node, Program, SOON};
use serde_json::{json, Value};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

/// The whole answer to one call.
pub fn call(place: SocketAddr, method: &str, params: &Value) -> Value {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
    let mut stream = TcpStream::connect(place).unwrap();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").expect(&answer);
    // Of an answer in chunks there is one.
    let start = body.find('{').expect(&answer);
    let end = body.rfind('}').expect(&answer);
    serde_json::from_str(&body[start..=end]).expect(body)
}

/// The whole answer of a node.
pub fn ask(node: &Node, method: &str, params: Value) -> Value {
    call(node.rpc(), method, &params)
}

/// An EVM node.
pub struct Anvil {
    pub program: Program,
    pub place: SocketAddr,
}

/// Where the program is that scripts/test installs; says that the test is skipped
/// when it is missing.
pub fn anvil_or_skip() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/anvil/node_modules/@foundry-rs");
    let found = std::fs::read_dir(folder).ok().and_then(|entries| {
        let mut files = entries.filter_map(|entry| Some(entry.ok()?.path().join("bin/anvil")));
        files.find(|file| file.is_file())
    });
    if found.is_none() {
        println!("skipped: anvil missing (scripts/test installs it into tests/anvil)");
    }
    found
}

impl Anvil {
    /// A block a second on this port, 0 for any.
    pub fn start(program: &Path, port: u16, chain_id: u64) -> Anvil {
        let mut command = Command::new(program);
        command.stdout(Stdio::piped());
        command.args(["--host", "127.0.0.1", "--block-time", "1"]);
        command.args([
            "--port",
            &port.to_string(),
            "--chain-id",
            &chain_id.to_string(),
        ]);
        let mut program = Program::start(&mut command);
        let out = program.child.stdout.take().unwrap();
        let mut lines = BufReader::new(out).lines().map_while(Result::ok);
        let place = lines
            .find_map(|line| line.strip_prefix("Listening on ").map(str::to_owned))
            .expect("anvil listens");
        let place = place.trim().parse().unwrap();
        // It goes on to say what it does.
        std::thread::spawn(move || lines.for_each(drop));
        Anvil { program, place }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.place)
    }

    /// The result of a call.
    pub fn ask(&self, method: &str, params: Value) -> Value {
        let answer = call(self.place, method, &params);
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// Puts a contract with this code on the chain; its address.
    pub fn deploy(&self, code: &str) -> String {
        let from = self.ask("eth_accounts", json!([]))[0].clone();
        let length = code.len() / 2;
        assert!(length <= 32);
        // PUSHn code, PUSH1 0, MSTORE, PUSH1 n, PUSH1 32 - n, RETURN
        let init = format!(
            "0x{:02x}{code}60005260{length:02x}60{:02x}f3",
            0x5f + length,
            32 - length
        );
        let sent = self.ask(
            "eth_sendTransaction",
            json!([{"from": from, "data": init, "gas": "0x100000"}]),
        );
        let receipt = until(SOON, "the contract is in a block", || {
            let receipt = self.ask("eth_getTransactionReceipt", json!([sent]));
            (!receipt.is_null()).then_some(receipt)
        });
        receipt["contractAddress"].as_str().unwrap().to_owned()
    }
}

/// A chain whose answers a test makes up: method and parameters to the whole body,
/// without its id.
pub fn made_up(answer: impl Fn(&str, &Value) -> Value + Send + Sync + 'static) -> u16 {
    let answer = Arc::new(answer);
    serve(move |stream| {
        let mut write = stream.try_clone().unwrap();
        let mut read = BufReader::new(stream);
        loop {
            let mut length = 0;
            let mut line = String::new();
            loop {
                line.clear();
                if read.read_line(&mut line).unwrap_or(0) == 0 {
                    return;
                }
                let lower = line.trim().to_ascii_lowercase();
                if let Some(number) = lower.strip_prefix("content-length:") {
                    length = number.trim().parse().unwrap();
                }
                if lower.is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            if read.read_exact(&mut body).is_err() {
                return;
            }
            let asked: Value = serde_json::from_slice(&body).unwrap();
            let mut said = answer(asked["method"].as_str().unwrap(), &asked["params"]);
            said["jsonrpc"] = json!("2.0");
            said["id"] = asked["id"].clone();
            let said = said.to_string();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{said}",
                said.len()
            );
            if write.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    })
}

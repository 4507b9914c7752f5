//! Asking a node that runs: where its HTTP port is, one call of JSON-RPC.

use super::args::RpcArgs;
use super::Failure;
use crate::config::value::shown;
use crate::config::{Loaded, Request};
use crate::platform::resolver;
use serde_json::{json, Value};
use std::ffi::OsString;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

/// How long a connection may take; a node that is there answers in a millisecond.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take on a busy device.
const ANSWER: Duration = Duration::from_secs(15);
/// What to do where a node is asked for HTTPS: a self-signed certificate says
/// nothing without being compared, and the node's own machine needs none.
const HTTPS: &str = "these commands speak HTTP, not HTTPS; name the port of network.rpc_port";
/// Longest answer: far above what the node sends.
const ANSWER_MAX: u64 = 16 << 20;

/// Where a node answers HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// As a URL has it: `host:port`, an IPv6 address in brackets.
    authority: String,
}

impl Endpoint {
    /// From `http://HOST:PORT/…` or `HOST:PORT`.
    ///
    /// # Errors
    /// A phrase that says what is wrong.
    pub fn parse(url: &str) -> Result<Endpoint, String> {
        let url = url.trim();
        let rest = match url.split_once("://") {
            None => url,
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => {
                return Err(HTTPS.to_owned());
            }
            Some(_) => return Err("a URL is http://HOST:PORT".to_owned()),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !host.ends_with(':') => (host, port),
            _ => (authority, "80"),
        };
        let plain = host.bytes().all(|b| b.is_ascii_graphic() && b != b'@');
        let bracketed = host.contains(':') != host.starts_with('[');
        let number = port.parse::<u16>().is_ok_and(|port| port != 0);
        if host.is_empty() || !plain || bracketed || !number {
            return Err("a URL is http://HOST:PORT, an IPv6 host in brackets".to_owned());
        }
        Ok(Endpoint {
            authority: format!("{host}:{port}"),
        })
    }

    /// The one of `--rpc`, else the one of the node that runs in the data folder,
    /// else the one that the settings name.
    ///
    /// # Errors
    /// A setting that cannot be, or no node is to be found.
    pub fn find(
        args: &RpcArgs,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Endpoint, Failure> {
        if let Some(endpoint) = &args.rpc {
            return Ok(endpoint.clone());
        }
        let settings = &args.settings;
        let request = Request::new(&settings.assignments, settings.file.as_deref(), environment);
        let loaded = request.load()?;
        let file = loaded.settings.storage.data_dir.join("run.json");
        match std::fs::read_to_string(&file) {
            Ok(text) => from_run_file(&text, &file),
            Err(e) if e.kind() == ErrorKind::NotFound => from_settings(&loaded, &file),
            Err(e) => Err(Failure::Failed(format!(
                "{}: {e}; name the node's HTTP port by --rpc URL",
                file.display()
            ))),
        }
    }

    /// The result of a method without parameters.
    ///
    /// # Errors
    /// Nobody answers there, or not as a node does.
    pub fn call(&self, method: &str) -> Result<Value, Failure> {
        let failed = |why: String| Failure::Failed(format!("http://{}: {why}", self.authority));
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method}).to_string();
        let request = format!(
            "POST /rpc HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.authority,
            body.len()
        );
        let answer = self.ask(&request).map_err(failed)?;
        if let Some(error) = answer.get("error") {
            let said = error.get("message").and_then(Value::as_str);
            let said = shown(said.unwrap_or("an error without words"));
            let older = error.get("code").and_then(Value::as_i64) == Some(-32601);
            let advice = if older {
                "; it is an older version"
            } else {
                ""
            };
            return Err(failed(format!("the node says: {said}{advice}")));
        }
        match answer.get("result") {
            Some(result) => Ok(result.clone()),
            None => Err(failed("the answer is not JSON-RPC".to_owned())),
        }
    }

    /// What `/health` says, well or not. It is answered even while JSON-RPC is not.
    ///
    /// # Errors
    /// Nobody answers there, or not as a node does.
    pub fn health(&self) -> Result<Value, Failure> {
        let failed = |why: String| Failure::Failed(format!("http://{}: {why}", self.authority));
        let request = format!(
            "GET /health HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.authority
        );
        let health = self.ask(&request).map_err(failed)?;
        match health.get("status") {
            Some(Value::String(_)) => Ok(health),
            _ => Err(failed("the answer is not that of a node".to_owned())),
        }
    }

    /// The JSON that answers a request.
    fn ask(&self, request: &str) -> Result<Value, String> {
        let answer = self.exchange(request)?;
        // A TLS alert: record type 21, version 3.x.
        if answer.starts_with(&[21, 3]) {
            return Err(HTTPS.to_owned());
        }
        let answer = String::from_utf8(answer).map_err(|_| "the answer is not text".to_owned())?;
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .ok_or_else(|| "the answer is not HTTP".to_owned())?;
        let status = head.lines().next().unwrap_or_default();
        serde_json::from_str::<Value>(body)
            .map_err(|_| format!("no node answers there ({})", shown(status)))
    }

    /// Where the authority leads to.
    fn places(&self) -> Result<Vec<SocketAddr>, String> {
        // `parse` has seen to it that a number follows.
        let (host, port) = self.authority.rsplit_once(':').unwrap_or_default();
        let port = port.parse().unwrap_or_default();
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let found = resolver::lookup(bare.unwrap_or(host))?;
        Ok(found
            .into_iter()
            .map(|ip| SocketAddr::new(ip, port))
            .collect())
    }

    fn exchange(&self, request: &str) -> Result<Vec<u8>, String> {
        let mut stream = connect(self.places()?)?;
        let words = |e: std::io::Error| match e.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                format!("no answer within {} s", ANSWER.as_secs())
            }
            _ => e.to_string(),
        };
        stream.set_read_timeout(Some(ANSWER)).map_err(words)?;
        stream.set_write_timeout(Some(ANSWER)).map_err(words)?;
        stream.write_all(request.as_bytes()).map_err(words)?;
        let mut answer = Vec::new();
        let mut bounded = stream.take(ANSWER_MAX);
        bounded.read_to_end(&mut answer).map_err(words)?;
        Ok(answer)
    }
}

fn connect(places: Vec<SocketAddr>) -> Result<TcpStream, String> {
    let mut last = "the name has no address".to_owned();
    for place in places {
        match TcpStream::connect_timeout(&place, CONNECT) {
            Ok(stream) => return Ok(stream),
            Err(e) if e.kind() == ErrorKind::ConnectionRefused => {
                last = "nothing listens there: start the node, or name its HTTP port by --rpc URL"
                    .to_owned();
            }
            Err(e) => last = e.to_string(),
        }
    }
    Err(last)
}

fn from_run_file(text: &str, file: &Path) -> Result<Endpoint, Failure> {
    let run: Value = serde_json::from_str(text).map_err(|e| {
        Failure::Failed(format!(
            "{}: it is not JSON ({e}); name the node's HTTP port by --rpc URL",
            file.display()
        ))
    })?;
    match run.get("rpc").and_then(Value::as_str).map(Endpoint::parse) {
        Some(Ok(endpoint)) => Ok(endpoint),
        _ => Err(Failure::Failed(format!(
            "the node of {} has no HTTP port{}: set network.rpc_port and start it again",
            file.display(),
            match run.get("rpcs").and_then(Value::as_str) {
                Some(_) => ", only one for HTTPS, which this command does not speak",
                None => "",
            }
        ))),
    }
}

fn from_settings(loaded: &Loaded, file: &Path) -> Result<Endpoint, Failure> {
    let network = &loaded.settings.network;
    let port = network.rpc_port.filter(|port| *port != 0);
    match (network.rpc_bind.first(), port) {
        (Some(ip), Some(port)) => {
            let place = crate::node::runfile::dial(SocketAddr::new(*ip, port));
            Ok(Endpoint {
                authority: place.to_string(),
            })
        }
        _ => Err(Failure::Failed(format!(
            "no node runs here: {} is missing; name its folder by --data-dir DIR or its HTTP port by --rpc URL",
            file.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::cli::args::SettingsArgs;
    use std::net::TcpListener;

    #[test]
    fn a_url_is_understood_in_every_form_that_people_write() {
        for (url, authority) in [
            ("http://127.0.0.1:8545", "127.0.0.1:8545"),
            ("http://127.0.0.1:8545/rpc?x", "127.0.0.1:8545"),
            ("HTTP://node.lan/", "node.lan:80"),
            ("node.lan:8545", "node.lan:8545"),
            ("http://[::1]:8545/", "[::1]:8545"),
        ] {
            assert_eq!(Endpoint::parse(url).unwrap().authority, authority, "{url}");
        }
        for url in [
            "https://a.b:8443",
            "ftp://a.b:1",
            "http://",
            "http://a.b:0",
            "http://a.b:x",
            "::1:8545",
            "http://u@a.b:1",
            "http://a b:1",
            "http://a\r\nb:1",
        ] {
            assert!(Endpoint::parse(url).is_err(), "{url:?}");
        }
    }

    #[test]
    fn the_node_that_runs_in_the_data_folder_is_asked_before_the_settings() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().to_str().unwrap().to_owned();
        let environment = || vec![("DATA_DIR".into(), data.clone().into())];
        let args = RpcArgs {
            rpc: None,
            settings: SettingsArgs::default(),
            json: false,
            once: false,
        };
        let found = Endpoint::find(&args, environment()).unwrap();
        assert_eq!(found.authority, "127.0.0.1:8545");
        let file = dir.path().join("run.json");
        std::fs::write(&file, r#"{"rpc":"127.0.0.1:7"}"#).unwrap();
        let found = Endpoint::find(&args, environment()).unwrap();
        assert_eq!(found.authority, "127.0.0.1:7");
        std::fs::write(&file, r#"{"rpc":null}"#).unwrap();
        let error = Endpoint::find(&args, environment()).unwrap_err();
        assert!(error.to_string().contains("no HTTP port:"), "{error}");
        std::fs::write(&file, r#"{"rpc":null,"rpcs":"127.0.0.1:8"}"#).unwrap();
        let error = Endpoint::find(&args, environment()).unwrap_err();
        assert!(error.to_string().contains("only one for HTTPS"), "{error}");
        std::fs::remove_file(&file).unwrap();
        let off = [("RPC_PORT".into(), "off".into())];
        let environment = environment().into_iter().chain(off);
        let error = Endpoint::find(&args, environment).unwrap_err();
        assert!(error.to_string().contains("no node runs here"), "{error}");
    }

    /// What is said of a server that answers with these bytes, and of its health.
    fn answered(answer: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer);
        });
        let told = Endpoint { authority }.health().unwrap_err().to_string();
        server.join().unwrap();
        told
    }

    #[test]
    fn what_is_no_node_is_told_apart() {
        let https = answered(&[21, 3, 1, 0, 2, 2, 70]);
        assert!(https.contains("network.rpc_port"), "{https}");
        let other = answered(b"HTTP/1.1 403 Forbidden\r\n\r\n<html>");
        assert!(other.contains("403 Forbidden"), "{other}");
        let odd = answered(b"HTTP/1.1 200 OK\r\n\r\n[1]");
        assert!(odd.contains("not that of a node"), "{odd}");
        assert!(answered(b"hello").contains("not HTTP"));
    }
}

//! rathole: a server that is reached from outside, and a client beside the
//! service that connects to it. `scripts/bench` builds it and says where it is.

use super::{free_port, wait_for, Side, Tunnel};
use crate::programs::{folder, Running};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Server and client.
pub struct Route {
    server: Running,
    client: Running,
    listen: String,
    _home: TempDir,
}

impl Route {
    pub fn open(service: u16, noise: bool) -> Result<Route, String> {
        let program = program()?;
        let home = folder();
        // Neither takes port 0.
        let (control, outside) = (free_port(), free_port());
        let (mut at_server, mut at_client) = (String::new(), String::new());
        if noise {
            let (secret, public) = key_pair(&program)?;
            let head = |side| {
                format!(
                    "[{side}.transport]\ntype = \"noise\"\n[{side}.transport.noise]\npattern = \"Noise_NK_25519_ChaChaPoly_BLAKE2s\"\n"
                )
            };
            at_server = head("server") + &format!("local_private_key = \"{secret}\"\n");
            at_client = head("client") + &format!("remote_public_key = \"{public}\"\n");
        }
        let server = format!(
            "[server]\nbind_addr = \"127.0.0.1:{control}\"\ndefault_token = \"bench\"\n{at_server}[server.services.s]\nbind_addr = \"127.0.0.1:{outside}\"\n"
        );
        let client = format!(
            "[client]\nremote_addr = \"127.0.0.1:{control}\"\ndefault_token = \"bench\"\n{at_client}[client.services.s]\nlocal_addr = \"127.0.0.1:{service}\"\n"
        );
        let mut server = start(&program, home.path(), "server", &server)?;
        wait_for(&format!("127.0.0.1:{control}"), || server.died("rathole"))?;
        let mut client = start(&program, home.path(), "client", &client)?;
        // The server listens for users once the client has offered the service.
        let listen = format!("127.0.0.1:{outside}");
        wait_for(&listen, || {
            server.died("rathole").or_else(|| client.died("rathole"))
        })?;
        Ok(Route {
            server,
            client,
            listen,
            _home: home,
        })
    }
}

impl Tunnel for Route {
    fn place(&self) -> &str {
        &self.listen
    }

    fn pids(&self, side: Side) -> Vec<u32> {
        match side {
            Side::Near => Vec::new(),
            Side::Middle => vec![self.server.pid()],
            Side::Far => vec![self.client.pid()],
        }
    }
}

fn program() -> Result<PathBuf, String> {
    let file = std::env::var_os("BENCH_RATHOLE").filter(|file| !file.is_empty());
    file.map(PathBuf::from).ok_or_else(|| {
        std::env::var("BENCH_NO_RATHOLE")
            .unwrap_or_else(|_| "rathole is missing; scripts/bench installs it".to_owned())
    })
}

fn start(program: &Path, home: &Path, side: &str, config: &str) -> Result<Running, String> {
    let file = home.join(format!("{side}.toml"));
    std::fs::write(&file, config).unwrap();
    let mut command = Command::new(program);
    command
        .arg(format!("--{side}"))
        .arg(&file)
        .env("RUST_LOG", "error")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let child = command
        .spawn()
        .map_err(|e| format!("{}: {e}", program.display()))?;
    Ok(Running::new(child))
}

/// A key of the server, as rathole prints them.
fn key_pair(program: &Path) -> Result<(String, String), String> {
    let output = Command::new(program)
        .args(["--genkey", "x25519"])
        .output()
        .map_err(|e| format!("{}: {e}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let after = |title: &str| {
        let mut lines = text.lines().skip_while(|line| !line.contains(title));
        lines.nth(1).map(|key| key.trim().to_owned())
    };
    match (after("Private Key"), after("Public Key")) {
        (Some(secret), Some(public)) => Ok((secret, public)),
        _ => Err(format!("rathole --genkey said {text:?}")),
    }
}

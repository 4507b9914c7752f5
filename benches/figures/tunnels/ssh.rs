//! `ssh -L` to an sshd of our own, with keys that live as long as the tunnel.

use super::{find, free_port, wait_for, Side, Tunnel};
use crate::machine;
use crate::programs::{folder, Running};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A client, and a server with the processes of its one session.
pub struct Route {
    client: Running,
    server: Running,
    listen: String,
    _home: TempDir,
}

impl Route {
    /// With OpenSSH's first choice of cipher, or this one.
    pub fn open(service: u16, cipher: Option<&str>) -> Result<Route, String> {
        let [ssh, sshd, keygen] =
            ["ssh", "sshd", "ssh-keygen"].map(|name| find(name).ok_or(missing(name)));
        let (ssh, sshd, keygen) = (ssh?, sshd?, keygen?);
        let home = folder();
        let (mut server, port) = serve(&sshd, &keygen, home.path())?;
        wait_for(&format!("127.0.0.1:{port}"), || server.died("sshd"))?;
        let listen = format!("127.0.0.1:{}", free_port());
        let log = home.path().join("ssh.log");
        let mut command = Command::new(ssh);
        command
            .args(["-N", "-F", "none", "-o", "BatchMode=yes"])
            .args(["-o", "ExitOnForwardFailure=yes", "-o", "IdentitiesOnly=yes"])
            .args(["-o", "StrictHostKeyChecking=no", "-o"])
            .arg(format!(
                "UserKnownHostsFile={}",
                home.path().join("known_hosts").display()
            ))
            .arg("-E")
            .arg(&log)
            .arg("-i")
            .arg(home.path().join("client"))
            .args(["-p", &port.to_string(), "-L"])
            .arg(format!("{listen}:127.0.0.1:{service}"));
        if let Some(cipher) = cipher {
            command.args(["-c", cipher]);
        }
        command
            .arg(format!("{}@127.0.0.1", user()?))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut client = Running::new(command.spawn().map_err(|e| format!("ssh: {e}"))?);
        // It listens once it is logged in.
        wait_for(&listen, || {
            let end = client.died("ssh")?;
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            Some(match said.trim().lines().last() {
                Some(line) => format!("{end}: {line}"),
                None => end,
            })
        })?;
        Ok(Route {
            client,
            server,
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
            Side::Near => vec![self.client.pid()],
            Side::Middle => Vec::new(),
            // The listener itself serves all users of a machine and carries nothing.
            Side::Far => machine::descendants(self.server.pid()),
        }
    }
}

/// sshd and its port.
fn serve(sshd: &Path, keygen: &Path, home: &Path) -> Result<(Running, u16), String> {
    for name in ["host", "client"] {
        let made = Command::new(keygen)
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(home.join(name))
            .status()
            .map_err(|e| format!("ssh-keygen: {e}"))?;
        if !made.success() {
            return Err(format!("ssh-keygen: {made}"));
        }
    }
    std::fs::copy(home.join("client.pub"), home.join("authorized")).unwrap();
    let port = free_port();
    let config = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {0}/host\nAuthorizedKeysFile {0}/authorized\nPidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\nPermitRootLogin yes\n",
        home.display()
    );
    let file: PathBuf = home.join("sshd_config");
    std::fs::write(&file, config).unwrap();
    // Its privileged half wants this folder; only root can make it.
    let _ = std::fs::create_dir_all("/run/sshd");
    let child = Command::new(sshd)
        .args(["-D", "-e", "-f"])
        .arg(file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| format!("sshd: {e}"))?;
    Ok((Running::new(child), port))
}

fn missing(program: &str) -> String {
    let told = std::env::var("BENCH_NO_SSH").unwrap_or_default();
    if told.is_empty() {
        format!("{program} is missing (apt-get install openssh-client openssh-server)")
    } else {
        told
    }
}

fn user() -> Result<String, String> {
    let output = Command::new("id")
        .arg("-un")
        .output()
        .map_err(|e| format!("id: {e}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

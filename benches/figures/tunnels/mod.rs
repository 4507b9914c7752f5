//! Ways from a local port to a service of this machine, ours and others', behind
//! one trait: each job (`jobs.rs`) is written once and measured for all of them.
//!
//! They do different things, so processes are named by where they stand:
//!
//! | tunnel | near (where the user connects) | middle | far (at the service) |
//! | --- | --- | --- | --- |
//! | chr-node | `forward` | the node | `publish` |
//! | rathole | | the server | the client |
//! | `ssh -L` | ssh | | sshd's processes of the session |

mod ours;
mod rathole;
mod ssh;

use super::machine;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long a tunnel may take to stand.
const PATIENCE: Duration = Duration::from_secs(20);

/// Which tunnel, and how it is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `publish` and `forward` with the default options: TLS to the node, and
    /// TLS from device to device inside.
    ChrNode,
    /// The same with `--plain` on both sides: TLS to the node alone.
    ChrNodePlain,
    /// rathole with its default transport, TCP.
    Rathole,
    /// rathole with its noise transport and its default pattern.
    RatholeNoise,
    /// `ssh -L` with OpenSSH's default cipher.
    Ssh,
    /// `ssh -L` with the cipher that CPUs with AES instructions are best at.
    SshAes,
}

impl Kind {
    pub const ALL: [Kind; 6] = [
        Kind::ChrNode,
        Kind::ChrNodePlain,
        Kind::Rathole,
        Kind::RatholeNoise,
        Kind::Ssh,
        Kind::SshAes,
    ];

    /// In names of samples and keys.
    pub fn name(self) -> &'static str {
        match self {
            Kind::ChrNode => "chr-node",
            Kind::ChrNodePlain => "chr-node-plain",
            Kind::Rathole => "rathole",
            Kind::RatholeNoise => "rathole-noise",
            Kind::Ssh => "ssh",
            Kind::SshAes => "ssh-aes",
        }
    }

    /// Heading of its column.
    pub fn title(self) -> &'static str {
        match self {
            Kind::ChrNode => "chr-node",
            Kind::ChrNodePlain => "chr-node `--plain`",
            Kind::Rathole => "rathole",
            Kind::RatholeNoise => "rathole, noise",
            Kind::Ssh => "`ssh -L`",
            Kind::SshAes => "`ssh -L`, AES",
        }
    }

    /// What stands at that place.
    pub fn process(self, side: Side) -> Option<&'static str> {
        match (self, side) {
            (Kind::ChrNode | Kind::ChrNodePlain, Side::Near) => Some("forward"),
            (Kind::ChrNode | Kind::ChrNodePlain, Side::Middle) => Some("node"),
            (Kind::ChrNode | Kind::ChrNodePlain, Side::Far) => Some("publish"),
            (Kind::Rathole | Kind::RatholeNoise, Side::Middle) => Some("server"),
            (Kind::Rathole | Kind::RatholeNoise, Side::Far) => Some("client"),
            (Kind::Ssh | Kind::SshAes, Side::Near) => Some("ssh"),
            (Kind::Ssh | Kind::SshAes, Side::Far) => Some("sshd"),
            _ => None,
        }
    }

    /// Builds the tunnel to a TCP port of this machine and waits until it stands.
    ///
    /// # Errors
    /// Why it cannot be measured here.
    pub fn open(self, service: u16) -> Result<Box<dyn Tunnel>, String> {
        // Every process that is started inherits the limit.
        let _ = chr_node::platform::limits::raise_descriptors();
        Ok(match self {
            Kind::ChrNode => Box::new(ours::Route::open(service, &[])?),
            Kind::ChrNodePlain => Box::new(ours::Route::open(service, &["--plain"])?),
            Kind::Rathole => Box::new(rathole::Route::open(service, false)?),
            Kind::RatholeNoise => Box::new(rathole::Route::open(service, true)?),
            Kind::Ssh => Box::new(ssh::Route::open(service, None)?),
            Kind::SshAes => Box::new(ssh::Route::open(service, Some("aes128-gcm@openssh.com"))?),
        })
    }
}

/// Where a process of a tunnel stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Near,
    Middle,
    Far,
}

impl Side {
    pub const ALL: [Side; 3] = [Side::Near, Side::Middle, Side::Far];

    /// In keys.
    pub fn name(self) -> &'static str {
        match self {
            Side::Near => "near",
            Side::Middle => "middle",
            Side::Far => "far",
        }
    }
}

/// A tunnel that stands for as long as this lives.
pub trait Tunnel {
    /// Where a connection comes out at the service.
    fn place(&self) -> &str;

    /// The processes of a side; none where nobody stands.
    fn pids(&self, side: Side) -> Vec<u32>;

    /// All of its processes.
    fn all_pids(&self) -> Vec<u32> {
        Side::ALL
            .into_iter()
            .flat_map(|side| self.pids(side))
            .collect()
    }

    /// CPU seconds of a side so far.
    fn cpu(&self, side: Side) -> Option<f64> {
        sum(&self.pids(side), machine::cpu)
    }

    /// Resident bytes of a side.
    fn memory(&self, side: Side) -> Option<f64> {
        sum(&self.pids(side), |pid| machine::memory(pid) as f64)
    }
}

fn sum(pids: &[u32], of: impl Fn(u32) -> f64) -> Option<f64> {
    (!pids.is_empty()).then(|| pids.iter().map(|pid| of(*pid)).sum())
}

/// A port that is free now, for programs that cannot be told to take any.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Waits until somebody listens there. The connection is closed at once:
/// services behind a tunnel must bear one that says nothing.
fn wait_for(place: &str, mut died: impl FnMut() -> Option<String>) -> Result<(), String> {
    let end = Instant::now() + PATIENCE;
    while TcpStream::connect(place).is_err() {
        if let Some(words) = died() {
            return Err(words);
        }
        if Instant::now() > end {
            return Err(format!("nobody listens at {place} after {PATIENCE:?}"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// A program of the system; sbin is where a plain user's PATH does not look.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

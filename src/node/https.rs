//! The certificate of HTTPS: the operator's files, or one of our own.
//!
//! Files are looked at when the service starts, every ten seconds and at SIGHUP,
//! and read when they are others than before; connections that come from then on
//! get the new certificate. A pair that is broken, such as a certificate that is
//! replaced before its key, changes nothing: the old one stays in force, and the
//! log and health say why. Without settings the node signs its own certificate at
//! its first start and keeps it, so that a user who has compared its fingerprint
//! once need not do so again.

use super::house::House;
use crate::config::Settings;
use crate::identity::keyfile::write_secret;
use crate::parts::HTTPS;
use crate::platform::udp::interfaces;
use crate::rpc::HttpsInfo;
use crate::task;
use crate::tls::{WebConfig, WebPair};
use std::fs;
use std::future::Future;
use std::io::Read;
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Our own certificate and its key, in the data folder.
const FILE: &str = "https.pem";
/// Most bytes of a file: eight certificates of authorities have 20 KB.
const FILE_BYTES: u64 = 64 * 1024;
/// Most addresses in our own certificate: a machine with more is reached by one of them.
const ADDRESSES_MAX: usize = 16;

/// What is in force, and where it comes from.
#[derive(Default)]
pub struct Https(Mutex<State>);

#[derive(Default)]
struct State {
    source: Option<Source>,
    stamps: Vec<Stamp>,
    pair: Option<InForce>,
    fault: Option<String>,
}

#[derive(Clone)]
struct InForce {
    config: WebConfig,
    fingerprint: String,
}

impl Https {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the files that were named are not in force.
    pub fn fault(&self) -> Option<String> {
        self.lock().fault.clone()
    }

    /// The fingerprint of the certificate in force.
    pub fn fingerprint(&self) -> Option<String> {
        let state = self.lock();
        state.pair.as_ref().map(|pair| pair.fingerprint.clone())
    }
}

/// Where the certificate comes from.
#[derive(Clone, PartialEq, Eq)]
enum Source {
    /// The operator's files.
    Files(PathBuf, PathBuf),
    /// Our own, kept in this file.
    Own(PathBuf),
    /// Our own, of a node that keeps nothing.
    Passing,
}

impl Source {
    fn of(settings: &Settings, data_dir: Option<PathBuf>) -> Result<Source, String> {
        let network = &settings.network;
        match (&network.rpcs_certificate, &network.rpcs_key, data_dir) {
            (Some(certificate), key, _) => {
                let key = key.as_ref().unwrap_or(certificate);
                Ok(Source::Files(certificate.clone(), key.clone()))
            }
            (None, Some(_), _) => Err(
                "network.rpcs_key is set without network.rpcs_certificate: set both or none".into(),
            ),
            (None, None, Some(folder)) => Ok(Source::Own(folder.join(FILE))),
            (None, None, None) => Ok(Source::Passing),
        }
    }

    fn files(&self) -> Vec<&Path> {
        match self {
            Source::Files(certificate, key) => vec![certificate, key],
            Source::Own(path) => vec![path],
            Source::Passing => Vec::new(),
        }
    }
}

/// What tells a file from the one that was read: another one is another inode, or
/// was written since.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp(u64, u64, i64, i64, u64);

fn stamps(source: &Source) -> Vec<Stamp> {
    let stamp = |path: &Path| {
        let meta = fs::metadata(path).ok()?;
        let at = (meta.ctime(), meta.ctime_nsec());
        Some(Stamp(meta.dev(), meta.ino(), at.0, at.1, meta.size()))
    };
    let nothing = Stamp(0, 0, 0, 0, 0);
    let files = source.files();
    let all = files.iter().map(|path| stamp(path).unwrap_or(nothing));
    all.collect()
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let told = |e: std::io::Error| format!("{}: {e}", path.display());
    let file = fs::File::open(path).map_err(told)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(told)?;
    if bytes.len() as u64 > FILE_BYTES {
        return Err(format!(
            "{} is longer than {FILE_BYTES} bytes; name a PEM file",
            path.display()
        ));
    }
    Ok(bytes)
}

/// The pair of `source`, made if it is our own and missing. Blocks.
fn load(source: &Source, subject: &Subject) -> Result<WebPair, String> {
    match source {
        Source::Files(certificate, key) => {
            WebPair::from_pem(&read(certificate)?, &zeroize::Zeroizing::new(read(key)?))
                .map_err(|e| format!("{} and {}: {e}", certificate.display(), key.display()))
        }
        Source::Passing => subject.sign(),
        Source::Own(path) => {
            if !path.exists() {
                let pair = subject.sign()?;
                let text = format!("{}{}", pair.certificates_pem(), *pair.key_pem());
                if write_secret(path, &text)? {
                    log::info!(
                        "new certificate for HTTPS in {} (it signs itself: compare its fingerprint)",
                        path.display()
                    );
                    return Ok(pair);
                }
                // Another program was faster.
            }
            let meta = fs::metadata(path).map_err(|e| format!("{}: {e}", path.display()))?;
            let mode = meta.permissions().mode() & 0o777;
            if mode & 0o077 != 0 {
                return Err(format!(
                    "{} is open to other users (mode {mode:04o}): close it with chmod 600, or remove it and a new one is made",
                    path.display()
                ));
            }
            let bytes = zeroize::Zeroizing::new(read(path)?);
            WebPair::from_pem(&bytes, &bytes)
                .map_err(|e| format!("{}: {e}; remove it, and a new one is made", path.display()))
        }
    }
}

/// Whom our own certificate is for.
struct Subject {
    name: String,
    names: Vec<String>,
    ips: Vec<IpAddr>,
}

impl Subject {
    fn of(settings: &Settings, node: &str) -> Subject {
        let network = &settings.network;
        let mut names = vec!["localhost".to_owned()];
        let mut ips: Vec<IpAddr> = vec![[127, 0, 0, 1].into(), IpAddr::V6(1.into())];
        let mut add = |ip: IpAddr| {
            if !ip.is_unspecified() && ips.len() < ADDRESSES_MAX && !ips.contains(&ip) {
                ips.push(ip);
            }
        };
        network.rpc_bind.iter().copied().for_each(&mut add);
        let told = network.host.iter().chain(&network.rpc_hosts);
        for name in told.chain([&settings.node.name]) {
            match name.parse() {
                Ok(ip) => add(ip),
                Err(_) if is_host(name) => names.push(name.to_ascii_lowercase()),
                // A name for people.
                Err(_) => {}
            }
        }
        if network.rpc_bind.iter().any(IpAddr::is_unspecified) {
            interfaces().into_iter().for_each(add);
        }
        names.dedup();
        Subject {
            name: format!("chr-node {node}"),
            names,
            ips,
        }
    }

    fn sign(&self) -> Result<WebPair, String> {
        WebPair::self_signed(&self.name, &self.names, &self.ips).map_err(|e| e.to_string())
    }
}

/// Whether it can be a host's name.
fn is_host(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

impl House {
    /// Reads the files of HTTPS if they are others than before, and puts them in
    /// force. Short, and off the executor where it touches files. On a tick (not
    /// `told`) our own file is not looked at: nobody renews it, and an idle node sleeps.
    pub fn look_at_https(&self, told: bool) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        match HTTPS.built {
            true => Box::pin(self.take_https_files(told)),
            false => Box::pin(std::future::ready(())),
        }
    }

    async fn take_https_files(&self, told: bool) {
        if self.rpcs.places.is_empty() {
            return;
        }
        let settings = self.settings();
        let found = Source::of(&settings, self.data_dir());
        if !told && !matches!(found, Ok(Source::Files(..)) | Err(_)) {
            let state = self.https.lock();
            if state.fault.is_none() && state.source.as_ref() == found.as_ref().ok() {
                return;
            }
        }
        let (before, have) = {
            let state = self.https.lock();
            (
                (state.source.clone(), state.stamps.clone()),
                state.pair.is_some() || state.fault.is_some(),
            )
        };
        let versions = self.tls_versions();
        let subject = Subject::of(&settings, &self.node.to_string());
        let look = move || {
            let source = found?;
            let seen = stamps(&source);
            if have && before == (Some(source.clone()), seen.clone()) {
                return Ok(None);
            }
            let read = load(&source, &subject).and_then(|pair| {
                let config = pair.config(versions).map_err(|e| e.to_string())?;
                let fingerprint = pair.fingerprint();
                Ok(InForce {
                    config,
                    fingerprint,
                })
            });
            // Once more: a file that was made just now is not another one at the next look.
            let seen = match &source {
                Source::Own(_) => stamps(&source),
                _ => seen,
            };
            Ok(Some((source, seen, read)))
        };
        let looked = task::unblock(look).await;
        let mut state = self.https.lock();
        let fault = match looked {
            Ok(None) => return,
            Ok(Some((source, seen, read))) => {
                state.source = Some(source);
                state.stamps = seen;
                match read {
                    Ok(pair) => {
                        self.tell_https(&pair);
                        state.pair = Some(pair);
                        None
                    }
                    Err(why) => Some(why),
                }
            }
            Err(why) => Some(why),
        };
        if let Some(why) = fault
            .as_ref()
            .filter(|why| state.fault.as_ref() != Some(*why))
        {
            let meanwhile = match state.pair {
                Some(_) => "the certificate from before stays in force",
                None => "HTTPS is not served until then",
            };
            log::error!("HTTPS: {why}; {meanwhile}");
        }
        state.fault = fault;
    }

    fn tell_https(&self, pair: &InForce) {
        if let Some(door) = self.door.get() {
            door.change_https(pair.config.clone());
        }
        // At the start the greeting tells.
        if self.ready.load(Ordering::Relaxed) {
            log::info!(
                "HTTPS: now the certificate with SHA-256 {}",
                pair.fingerprint
            );
        }
    }

    /// Gives a door that is new what is in force.
    pub fn show_https(&self) {
        let pair = self.https.lock().pair.clone();
        if let (Some(door), Some(pair)) = (self.door.get(), pair) {
            door.change_https(pair.config);
        }
    }

    /// What the status interfaces tell of HTTPS; `None`: it is off.
    pub fn https_info(&self) -> Option<HttpsInfo> {
        let place = self.rpcs.places.first()?;
        let state = self.https.lock();
        let own = !matches!(state.source, Some(Source::Files(..)));
        Some(HttpsInfo {
            address: super::runfile::dial(*place).to_string(),
            fingerprint: state.pair.as_ref().map(|pair| pair.fingerprint.clone()),
            self_signed: own,
            fault: state.fault.clone(),
        })
    }
}

#[cfg(test)]
mod tests;

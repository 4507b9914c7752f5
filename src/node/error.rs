//! What keeps a node from serving, in words for the person who started it.

use crate::identity::keyfile::KeyFileError;
use crate::platform::listen::ListenError;
use crate::store::StoreError;
use crate::tls::TlsError;
use std::fmt;
use std::path::PathBuf;

/// What kept the node from starting, or ended it.
#[derive(Debug)]
#[non_exhaustive]
pub enum NodeError {
    /// The folder of the data cannot be made.
    Folder(PathBuf, std::io::Error),
    /// The key file.
    Key(KeyFileError),
    /// The store.
    Store(StoreError),
    /// A listener.
    Listen(ListenError),
    /// TLS.
    Tls(TlsError),
    /// A setting that its text alone did not show to be wrong.
    Setting(String),
    /// Something else of the system: what, and its words.
    System(String, std::io::Error),
    /// A service panicked or did not come up.
    Service {
        /// Its name.
        name: &'static str,
        /// What was seen.
        why: String,
    },
    /// Services failed too often.
    GaveUp {
        /// The one that failed last.
        service: &'static str,
        /// Its last words.
        why: String,
    },
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NodeError::Folder(dir, e) => write!(
                f,
                "cannot make the data folder {}: {e}; choose another with --data-dir DIR, or run with --ephemeral (an identity for this run only)",
                dir.display()
            ),
            NodeError::Key(KeyFileError::InUse { path }) => write!(
                f,
                "the identity {} is in use: another node runs here; stop it, or give this one a folder of its own with --data-dir DIR",
                path.display()
            ),
            NodeError::Key(KeyFileError::Io {
                doing,
                path,
                source,
            }) if source.kind() != std::io::ErrorKind::PermissionDenied => write!(
                f,
                "cannot {doing} {}: {source}: mend its disk, choose another folder with --data-dir DIR, or run with --ephemeral (an identity for this run only)",
                path.display()
            ),
            NodeError::Key(e) => e.fmt(f),
            NodeError::Store(e) => e.fmt(f),
            NodeError::Listen(e) => e.fmt(f),
            NodeError::Tls(e) => e.fmt(f),
            NodeError::Setting(text) => f.write_str(text),
            NodeError::System(what, e) => write!(f, "{what}: {e}"),
            NodeError::Service { name, why } => write!(f, "service {name}: {why}"),
            NodeError::GaveUp { service, why } => write!(
                f,
                "services failed too often, last {service} ({why}); ending, so that init can start the node anew"
            ),
        }
    }
}

impl std::error::Error for NodeError {}

impl From<StoreError> for NodeError {
    fn from(e: StoreError) -> NodeError {
        NodeError::Store(e)
    }
}

impl From<ListenError> for NodeError {
    fn from(e: ListenError) -> NodeError {
        NodeError::Listen(e)
    }
}

impl From<TlsError> for NodeError {
    fn from(e: TlsError) -> NodeError {
        NodeError::Tls(e)
    }
}

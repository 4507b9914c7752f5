//! What can go wrong when the HTTP service starts.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why the HTTP worker is not there. The rest of the node goes on.
#[derive(Debug)]
#[non_exhaustive]
pub enum RpcError {
    /// No folder could hold the worker's socket; each with what it said.
    NoFolder(Vec<(PathBuf, io::Error)>),
    /// The worker's threads could not be started.
    Threads(io::Error),
    /// The worker's socket stands, but connecting to it failed.
    Link(io::Error),
    /// The service was stopped.
    Stopped,
}

impl fmt::Display for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RpcError::NoFolder(tried) => {
                write!(f, "rpc: no folder can hold the worker's socket")?;
                for (n, (path, error)) in tried.iter().enumerate() {
                    let lead = if n == 0 { " (" } else { "; " };
                    write!(f, "{lead}{}: {error}", path.display())?;
                }
                let close = if tried.is_empty() { "" } else { ")" };
                write!(
                    f,
                    "{close}; make one of them writable by this user, or set RUNTIME_DIRECTORY to a short path on a local file system"
                )
            }
            RpcError::Threads(error) => write!(
                f,
                "rpc: the worker's threads do not start: {error}; raise the limits on processes and memory"
            ),
            RpcError::Link(error) => write!(
                f,
                "rpc: no connection to the worker: {error}; raise the limit of open files (ulimit -n)"
            ),
            RpcError::Stopped => write!(f, "rpc: the service is stopping; ask again once the node runs"),
        }
    }
}

impl std::error::Error for RpcError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            RpcError::Threads(error) | RpcError::Link(error) => Some(error),
            RpcError::NoFolder(_) | RpcError::Stopped => None,
        }
    }
}

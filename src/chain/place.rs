//! Where the chain is.

use std::fmt;

/// A place of HTTP. Its path may hold the key of a provider's customer, so it is
/// never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Place {
    /// Over TLS.
    pub https: bool,
    /// Name or address, in lower case, without brackets.
    pub host: String,
    /// Never 0.
    pub port: u16,
    /// Begins with `/`; the query is part of it.
    pub path: String,
}

impl Place {
    /// What a request's Host says.
    pub(super) fn authority(&self) -> String {
        let usual = if self.https { 443 } else { 80 };
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        if self.port == usual {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }
}

/// Without the path.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_key_in_a_providers_path_is_never_shown() {
        let mut place = Place {
            https: true,
            host: "rpc.example".into(),
            port: 443,
            path: "/v2/secret".into(),
        };
        assert_eq!(place.to_string(), "https://rpc.example");
        place.port = 8545;
        assert_eq!(format!("{place:?}"), "https://rpc.example:8545");
        place.host = "::1".into();
        assert_eq!(place.authority(), "[::1]:8545");
    }
}

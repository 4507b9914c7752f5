//! The operator's token: 32 random bytes as text in `DATA_DIR/operator.token`.
//!
//! It is made when the HTTP service starts for the first time. A file that is there but no
//! good is never replaced: programs may hold the token that was in it. Then writing calls are refused with
//! the reason, everything else goes on. A node that keeps nothing has no token, so nobody
//! can change anything in it.

use super::house::House;
use crate::identity::hex;
use crate::identity::keyfile::{read_secret, write_secret};
use crate::rpc::{Token, TokenState};
use crate::task;
use std::path::Path;

/// Its name in the data folder.
pub const FILE: &str = "operator.token";

/// Reads the file, or makes it. Blocks: it is for the pool.
fn open(folder: &Path) -> TokenState {
    let path = folder.join(FILE);
    read_or_make(&path).map_or_else(
        |why| TokenState::Missing(format!("the operator's token: {why}")),
        TokenState::Known,
    )
}

fn read_or_make(path: &Path) -> Result<Token, String> {
    if let Some(token) = read(path)? {
        return Ok(token);
    }
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|e| format!("the system gives no random bytes: {e}"))?;
    if write_secret(path, &format!("{}\n", hex::encode(&bytes)))? {
        log::info!(
            "new operator's token in {} (who can read it may change settings)",
            path.display()
        );
        return Ok(Token::new(bytes));
    }
    // Another program was faster.
    read(path)?.ok_or_else(|| format!("{} came and went", path.display()))
}

fn read(path: &Path) -> Result<Option<Token>, String> {
    let Some(bytes) = read_secret(path)? else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&bytes).unwrap_or_default().trim();
    let token = Token::parse(text).ok_or_else(|| {
        format!(
            "{} is damaged, it has not 64 hexadecimal digits: put the right ones in, or remove it and send SIGHUP for a new one",
            path.display()
        )
    })?;
    Ok(Some(token))
}

impl House {
    /// Reads the token again and puts it in force. Returns it for a service that starts.
    pub async fn read_token(&self) -> TokenState {
        let state = match self.data_dir() {
            Some(folder) => task::unblock(move || open(&folder)).await,
            None => {
                TokenState::Missing("a node that keeps nothing has no operator's token".to_owned())
            }
        };
        let fault = match &state {
            TokenState::Missing(why) if self.data_dir().is_some() => Some(why.clone()),
            _ => None,
        };
        if let Some(why) = &fault {
            log::error!("{why}; settings cannot be changed by calls until then");
        }
        self.configuration.set_token_fault(fault);
        if let Some(door) = self.door.get() {
            door.change_token(state.clone());
        }
        state
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn why(folder: &Path) -> String {
        match open(folder) {
            TokenState::Missing(why) => why,
            TokenState::Known(_) => String::new(),
        }
    }

    #[test]
    fn a_token_is_made_once_and_nobody_else_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = open(folder.path());
        assert!(matches!(first, TokenState::Known(_)));
        let path = folder.path().join(FILE);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.len(), 65);
        assert_eq!(open(folder.path()), first);
        assert_eq!(TokenState::Known(Token::parse(text.trim()).unwrap()), first);
    }

    #[test]
    fn a_token_that_is_no_good_is_told_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        for text in [
            "",
            "abc",
            &"g".repeat(64),
            &"0".repeat(65),
            &"0".repeat(300),
        ] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert!(why(folder.path()).contains("is damaged"), "{text}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        fs::write(&path, "0".repeat(64)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(why(folder.path()).contains("chmod 600"));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(why(folder.path()).contains("not a plain file"));
    }
}

//! Programs in a mount namespace of their own.

use super::chr_node;
use std::path::Path;
use std::process::{Command, Stdio};

/// `chr-node run` after `script` has mounted what it likes, seen by nobody else.
/// None where that cannot be done, which is printed.
pub fn node_behind(script: &str) -> Option<Command> {
    behind(script, &["run"])
}

/// `chr-node` with these words, likewise.
pub fn behind(script: &str, words: &[&str]) -> Option<Command> {
    let flags = if nix::unistd::geteuid().is_root() {
        "-m"
    } else {
        "-rm"
    };
    let tried = Command::new("unshare")
        .args([flags, "sh", "-ec", script])
        .stdin(Stdio::null())
        .output();
    let why = match tried {
        Ok(done) if done.status.success() => None,
        Ok(done) => Some(String::from_utf8_lossy(&done.stderr).trim().to_owned()),
        Err(error) => Some(format!("unshare: {error}")),
    };
    if let Some(why) = why {
        println!("skipped: nothing can be mounted here: {why}");
        return None;
    }
    let node = chr_node();
    let mut command = Command::new("unshare");
    command
        .args([flags, "sh", "-ec", &format!("{script}\nexec \"$0\" \"$@\"")])
        .arg(node.get_program())
        .args(words);
    for (name, _) in node.get_envs().filter(|(_, value)| value.is_none()) {
        command.env_remove(name);
    }
    Some(command)
}

/// A tmpfs of this size over `folder`, with this many bytes used up.
pub fn small_disk(folder: &Path, size: &str, used: u64) -> String {
    let folder = folder.display();
    format!(
        "mount -t tmpfs -o size={size} none {folder}\n\
         head -c {used} /dev/zero > {folder}/filler 2>/dev/null || true"
    )
}

/// `folder` as it is, not to be written.
pub fn read_only(folder: &Path) -> String {
    let folder = folder.display();
    format!("mount --bind {folder} {folder}\nmount -o remount,bind,ro {folder}")
}

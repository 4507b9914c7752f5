//! Writes the manual page and the completions of shells, from the texts and tables
//! that the program itself has: `cargo run --example manual -- OUT DATE`, which
//! `scripts/manual OUT` does.

mod help;
mod page;
mod shells;

use std::fs;
use std::path::Path;

fn main() -> Result<(), String> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [out, date] = args.as_slice() else {
        return Err("say: manual OUT DATE (scripts/manual OUT does)".to_owned());
    };
    let manual = help::Manual::read()?;
    let out = Path::new(out);
    fs::create_dir_all(out).map_err(|e| format!("{}: {e}", out.display()))?;
    for (name, text) in [
        ("chr-node.1", page::page(&manual, date)),
        ("chr-node.bash", shells::bash(&manual)),
        ("_chr-node", shells::zsh(&manual)),
        ("chr-node.fish", shells::fish(&manual)),
    ] {
        let path = out.join(name);
        fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    Ok(())
}

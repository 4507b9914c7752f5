//! Our DHT beside the crate `mainline`, both in one go: a program of its own
//! (benches/mainline/), so that others' dependencies stay out of ours.

use std::process::{Command, Stdio};

/// Its answers are ours.
pub fn beside() -> Result<(), String> {
    let Ok(program) = std::env::var("BENCH_MAINLINE") else {
        return Err("benches/mainline is not built; scripts/bench does it".to_owned());
    };
    let output = Command::new(&program)
        .arg("--keys")
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| format!("{program}: {e}"))?;
    if !output.status.success() {
        return Err(format!("{program}: {}", output.status));
    }
    print!("{}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}

//! Our DHT beside BitTorrent's: 100 nodes each in this process, over UDP on this machine.
mod figures;
mod theirs;
fn main() -> std::process::ExitCode {
    let theirs = figures::measure(&mut theirs::Theirs::new().unwrap());
    figures::print(&theirs, &theirs);
    std::process::ExitCode::SUCCESS
}

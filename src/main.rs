//! The `chr-node` program: parses, then calls the library.
fn main() {}

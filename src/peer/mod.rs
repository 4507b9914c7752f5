//! Links between nodes: TLS with ALPN `chr-peer/1`, over which ports and messages
//! of devices on different nodes run.

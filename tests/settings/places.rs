//! Names, addresses and folders.

use super::{info, node_with};
use crate::common::tools::*;
use crate::common::*;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpStream};

pub fn node_name() {
    let (_home, node) = node_with(&[("CHR_NODE__NAME", "attic")]);
    assert_eq!(info(&node)["name"], "attic");
}

pub fn host() {
    let (_home, node) = node_with(&[("CHR_NETWORK__HOST", "node.example")]);
    assert_eq!(info(&node)["public_address"], "node.example");
}

pub fn edge_ports() {
    let (_home, node) = node_with(&[("EDGE2_PORT", "0, 0, 0")]);
    let edge = node.run["edge"].as_array().unwrap();
    assert_eq!(edge.len(), 3, "{edge:?}");
    for place in edge {
        TcpStream::connect(place.as_str().unwrap()).unwrap();
    }
}

pub fn rpc_port() {
    let (_home, node) = node_with(&[("RPC_PORT", "off")]);
    assert!(node.run["rpc"].is_null());
    drop(node);
    let (_home, node) = node_with(&[("RPC_PORT", "0")]);
    TcpStream::connect(node.rpc()).unwrap();
}

/// Listens at 127.0.0.2 and not at 127.0.0.1.
fn assert_only_second(place: SocketAddr) {
    assert_eq!(place.ip(), IpAddr::from([127, 0, 0, 2]));
    TcpStream::connect(place).unwrap();
    let first = TcpStream::connect(("127.0.0.1", place.port()));
    assert_eq!(first.unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

pub fn bind() {
    let (_home, node) = node_with(&[("CHR_NETWORK__BIND", "127.0.0.2")]);
    assert_only_second(node.edge());
}

pub fn rpc_bind() {
    let (_home, node) = node_with(&[("CHR_NETWORK__RPC_BIND", "127.0.0.2")]);
    assert_only_second(node.rpc());
}

pub fn rpc_hosts() {
    let status = |node: &Node| {
        let answer =
            node.http("GET /health HTTP/1.1\r\nHost: node.lan\r\nConnection: close\r\n\r\n");
        answer.lines().next().unwrap_or_default().to_owned()
    };
    let (_home, node) = node_with(&[]);
    assert!(!status(&node).contains("200"), "{}", status(&node));
    drop(node);
    let (_home, node) = node_with(&[("CHR_NETWORK__RPC_HOSTS", "node.lan")]);
    assert!(status(&node).contains("200"), "{}", status(&node));
}

pub fn store_dir() {
    let home = tempfile::tempdir().unwrap();
    let elsewhere = home.path().join("elsewhere");
    let data = home.path().join("data");
    let place = elsewhere.to_str().unwrap();
    let node = Node::start_with(&data, &[("CHR_STORAGE__STORE_DIR", place)]);
    assert!(elsewhere.join("data.mdb").is_file());
    assert!(data.join("node.key").is_file() && !data.join("store").exists());
    drop(node);
    let check = |place: &str| {
        let mut command = chr_node();
        command.args(["store", "check", "--data-dir"]).arg(&data);
        run(command.env("CHR_STORAGE__STORE_DIR", place), SOON)
    };
    assert_eq!(check(place).code, 0);
    assert_eq!(check("").code, 1, "there is none beside the key");
}

pub fn data_dir() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("deep").join("folder");
    let node = Node::start_with(&data, &[]);
    for file in ["node.key", "run.json", "store/data.mdb"] {
        assert!(data.join(file).is_file(), "no {file}");
    }
    // A relative one starts where the program was started, whoever says it.
    let file = home.path().join("chr.toml");
    std::fs::write(&file, "[storage]\ndata_dir = \"deep/folder\"\n").unwrap();
    let second = run(
        chr_node()
            .current_dir(home.path())
            .args(["run", "--config", "chr.toml", "--set"])
            .arg("network.edge_ports=0"),
        SOON,
    );
    second.assert_one_line_among(1, &["in use", "deep/folder"]);
    drop(node);
}

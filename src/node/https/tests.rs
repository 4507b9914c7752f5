#![allow(clippy::unwrap_used)]
use super::*;
use std::fs::Permissions;

fn subject() -> Subject {
    let mut settings = Settings::default();
    settings.network.rpc_bind = vec!["0.0.0.0".parse().unwrap(), "192.0.2.1".parse().unwrap()];
    settings.network.rpc_hosts = vec!["node.lan".to_owned()];
    settings.network.host = Some("203.0.113.9".to_owned());
    settings.node.name = "Ada's attic".to_owned();
    Subject::of(&settings, "0x00")
}

#[test]
fn our_own_certificate_is_for_every_name_that_the_node_is_asked_by() {
    let mut one = subject();
    assert_eq!(one.names, ["localhost", "node.lan"]);
    for ip in ["127.0.0.1", "::1", "192.0.2.1", "203.0.113.9"] {
        assert!(
            one.ips.contains(&ip.parse().unwrap()),
            "{ip}: {:?}",
            one.ips
        );
    }
    assert!(one.ips.iter().all(|ip| !ip.is_unspecified()));
    assert!(one.ips.len() <= ADDRESSES_MAX);
    let mut settings = Settings::default();
    settings.node.name = "Attic".to_owned();
    one = Subject::of(&settings, "0x00");
    assert_eq!(one.names, ["localhost", "attic"]);
    assert!(!is_host("") && !is_host("a..b") && !is_host(&"a".repeat(64)) && !is_host("a b"));
}

#[test]
fn our_own_certificate_is_kept_and_nobody_else_can_read_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let source = Source::Own(folder.path().join(FILE));
    let first = load(&source, &subject()).unwrap();
    let path = folder.path().join(FILE);
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = load(&source, &subject()).unwrap();
    assert_eq!(first.fingerprint(), again.fingerprint());

    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    let why = load(&source, &subject()).err().unwrap();
    assert!(why.contains("chmod 600"), "{why}");
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, "nonsense").unwrap();
    let why = load(&source, &subject()).err().unwrap();
    assert!(
        why.contains("https.pem") && why.contains("remove it"),
        "{why}"
    );
}

#[test]
fn a_pair_of_files_is_read_and_what_is_wrong_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (crt, key) = (folder.path().join("a.crt"), folder.path().join("a.key"));
    let pair = subject().sign().unwrap();
    fs::write(&crt, pair.certificates_pem()).unwrap();
    let source = Source::Files(crt.clone(), key.clone());
    let why = load(&source, &subject()).err().unwrap();
    assert!(why.contains("a.key"), "{why}");
    fs::write(&key, pair.key_pem().as_str()).unwrap();
    let before = stamps(&source);
    assert_eq!(
        load(&source, &subject()).unwrap().fingerprint(),
        pair.fingerprint()
    );
    fs::write(&key, vec![b'a'; FILE_BYTES as usize + 1]).unwrap();
    assert!(before != stamps(&source));
    let why = load(&source, &subject()).err().unwrap();
    assert!(why.contains("longer than"), "{why}");

    let mut settings = Settings::default();
    settings.network.rpcs_key = Some(key);
    assert!(Source::of(&settings, None).is_err());
}

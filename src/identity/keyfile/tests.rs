#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
use super::*;
use std::fs;
use std::os::unix::fs::{symlink, PermissionsExt};
use tempfile::TempDir;

struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Place {
        Place {
            folder: TempDir::new().unwrap(),
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("node.key")
    }

    fn backup(&self) -> PathBuf {
        backup_path(&self.file())
    }

    /// A place with an identity that nobody uses at the moment.
    fn with_identity() -> (Place, Address) {
        let place = Place::new();
        let (file, origin) = KeyFile::open_or_create(&place.file()).unwrap();
        assert_eq!(origin, Origin::Created);
        (place, file.address())
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// The error of opening, after which nothing may have changed on disk.
    fn refusal(&self) -> String {
        let before: Vec<_> = self.names();
        let contents = fs::read(self.file()).ok();
        let error = KeyFile::open_or_create(&self.file()).unwrap_err();
        assert_eq!(self.names(), before);
        assert_eq!(fs::read(self.file()).ok(), contents);
        let text = error.to_string();
        assert!(!text.contains('\n'), "one line: {text}");
        text
    }

    fn write(&self, text: &[u8]) {
        fs::write(self.file(), text).unwrap();
        set_mode(&self.file(), 0o600);
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn an_identity_stays_when_it_is_opened_again() {
    let (place, address) = Place::with_identity();
    let (file, origin) = KeyFile::open_or_create(&place.file()).unwrap();
    assert_eq!(
        (file.address(), origin, file.path()),
        (address, Origin::Existing, &*place.file())
    );
    drop(file);
    assert_eq!(KeyFile::open(&place.file()).unwrap().address(), address);
}

#[test]
fn a_new_identity_is_private_and_leaves_no_litter() {
    let (place, _) = Place::with_identity();
    assert_eq!(mode(&place.file()), 0o600);
    assert_eq!(mode(&place.backup()), 0o600);
    assert_eq!(place.names(), ["node.key", "node.key.bak"]);
    assert_eq!(
        fs::read(place.file()).unwrap(),
        fs::read(place.backup()).unwrap()
    );
}

#[test]
fn a_restored_copy_is_the_same_identity() {
    let (place, address) = Place::with_identity();
    fs::remove_file(place.file()).unwrap();
    let text = place.refusal();
    assert!(
        text.contains("cp -p") && text.contains(&address.to_string()),
        "{text}"
    );
    fs::copy(place.backup(), place.file()).unwrap();
    assert_eq!(KeyFile::open(&place.file()).unwrap().address(), address);
}

#[test]
fn a_truncated_key_file_is_never_replaced() {
    let (place, address) = Place::with_identity();
    let whole = fs::read(place.file()).unwrap();
    // Without its line end the file is still whole.
    for end in 0..whole.len() - 1 {
        place.write(&whole[..end]);
        let text = place.refusal();
        assert!(
            text.contains("cp -p") && text.contains(&address.to_string()),
            "{text}"
        );
    }
    place.write(whole.trim_ascii_end());
    assert_eq!(KeyFile::open(&place.file()).unwrap().address(), address);
}

#[test]
fn a_flipped_bit_never_becomes_another_identity() {
    let (place, address) = Place::with_identity();
    let whole = fs::read(place.file()).unwrap();
    for index in 0..whole.len() - 1 {
        let mut bytes = whole.clone();
        bytes[index] ^= 1 << (index % 8);
        // An upper-case digit says the same.
        match from_text(&bytes) {
            Ok(key) => assert_eq!(key.address(), address),
            Err(what) => assert!(!what.is_empty()),
        }
    }
    let mut zeroes = whole;
    zeroes.fill(0);
    place.write(&zeroes);
    assert!(place.refusal().contains("is not an identity file"));
}

#[test]
fn a_damaged_file_without_a_copy_is_never_replaced() {
    let (place, _) = Place::with_identity();
    fs::remove_file(place.backup()).unwrap();
    let long = [b'x'; 1000];
    for (text, reason) in [
        (&b""[..], "is empty"),
        (b"\n\n", "is empty"),
        (b"\xff\xfe", "is not text"),
        (
            b"-----BEGIN EC PRIVATE KEY-----",
            "is not an identity file of chr-node",
        ),
        (b"chr-key-2 00", "newer version"),
        (&long, "too long"),
    ] {
        place.write(text);
        let error = place.refusal();
        assert!(error.contains(reason), "{error}");
        assert!(error.contains(".broken"), "{error}");
    }
}

#[test]
fn two_damaged_files_never_make_a_new_identity() {
    let (place, _) = Place::with_identity();
    fs::write(place.backup(), b"").unwrap();
    place.write(b"");
    assert!(place.refusal().contains("no usable copy"));
    fs::remove_file(place.file()).unwrap();
    assert!(place.refusal().contains("is damaged"));
}

#[test]
fn a_lost_copy_is_made_again() {
    let (place, address) = Place::with_identity();
    fs::remove_file(place.backup()).unwrap();
    drop(KeyFile::open(&place.file()).unwrap());
    fs::remove_file(place.file()).unwrap();
    assert!(place.refusal().contains(&address.to_string()));
}

#[test]
fn the_copy_of_another_identity_is_never_overwritten() {
    let (place, old) = Place::with_identity();
    let (other, _) = Place::with_identity();
    fs::copy(other.file(), place.file()).unwrap();
    drop(KeyFile::open(&place.file()).unwrap());
    fs::remove_file(place.file()).unwrap();
    assert!(place.refusal().contains(&old.to_string()));
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let (place, address) = Place::with_identity();
    for bad in [0o640, 0o604, 0o620, 0o602, 0o666] {
        set_mode(&place.file(), bad);
        let text = place.refusal();
        assert!(
            text.contains("chmod 600") && text.contains(&format!("{bad:04o}")),
            "{text}"
        );
    }
    set_mode(&place.file(), 0o400);
    assert_eq!(KeyFile::open(&place.file()).unwrap().address(), address);
}

#[test]
fn a_key_on_a_fat_drive_is_not_refused_for_its_mode() {
    assert!(disk::is_acceptable(0o666, || false));
    assert!(!disk::is_acceptable(0o666, || true));
    assert!(disk::is_acceptable(0o600, || unreachable!()));
}

#[test]
fn two_programs_never_use_one_identity() {
    let place = Place::new();
    let (first, _) = KeyFile::open_or_create(&place.file()).unwrap();
    let text = place.refusal();
    assert!(
        text.contains("in use") && text.contains("--identity FILE"),
        "{text}"
    );
    assert!(text.contains("node.key"), "{text}");
    assert!(matches!(
        KeyFile::open(&place.file()),
        Err(KeyFileError::InUse { .. })
    ));
    drop(first);
    KeyFile::open(&place.file()).unwrap();
}

#[test]
fn two_first_starts_at_once_make_one_identity() {
    for _ in 0..20 {
        let place = Place::new();
        let barrier = std::sync::Barrier::new(4);
        let results: Vec<_> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        KeyFile::open_or_create(&place.file())
                    })
                })
                .collect();
            starts
                .into_iter()
                .map(|start| start.join().unwrap())
                .collect()
        });
        let holders = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!(holders, 1, "{results:?}");
        for error in results.iter().filter_map(|result| result.as_ref().err()) {
            assert!(matches!(error, KeyFileError::InUse { .. }), "{error}");
        }
        let held = results.iter().find_map(|result| result.as_ref().ok());
        assert_eq!(
            from_text(&fs::read(place.file()).unwrap())
                .unwrap()
                .address(),
            held.unwrap().0.address()
        );
    }
}

#[test]
fn a_link_a_folder_or_a_pipe_is_refused() {
    let (place, _) = Place::with_identity();
    let link = place.folder.path().join("link.key");
    symlink(place.file(), &link).unwrap();
    let text = KeyFile::open_or_create(&link).unwrap_err().to_string();
    assert!(
        text.contains("symbolic link") && text.contains("node.key"),
        "{text}"
    );
    fs::remove_file(&link).unwrap();
    symlink("/nonexistent", &link).unwrap();
    let text = KeyFile::open_or_create(&link).unwrap_err().to_string();
    assert!(text.contains("symbolic link"), "{text}");
    let text = KeyFile::open_or_create(place.folder.path()).unwrap_err();
    assert!(matches!(text, KeyFileError::NotAFile { .. }), "{text}");
    let pipe = place.folder.path().join("pipe");
    std::process::Command::new("mkfifo")
        .arg(&pipe)
        .status()
        .unwrap();
    let error = KeyFile::open_or_create(&pipe).unwrap_err();
    assert!(matches!(error, KeyFileError::NotAFile { .. }), "{error}");
}

#[test]
fn an_unmounted_drive_never_makes_a_new_identity() {
    let place = Place::new();
    let path = place.folder.path().join("usb/node.key");
    let error = KeyFile::open_or_create(&path).unwrap_err();
    assert!(matches!(error, KeyFileError::NoFolder { .. }), "{error}");
    assert!(!place.folder.path().join("usb").exists());
}

#[test]
fn opening_alone_never_makes_an_identity() {
    let place = Place::new();
    let error = KeyFile::open(&place.file()).unwrap_err();
    assert!(matches!(error, KeyFileError::Missing { .. }));
    assert!(error.to_string().contains("identity new"), "{error}");
    assert_eq!(place.names(), Vec::<String>::new());
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    // /proc refuses new files even to root.
    let error = KeyFile::open_or_create(Path::new("/proc/node.key")).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("cannot make a file in /proc"), "{text}");
}

#[test]
fn a_space_in_a_path_never_breaks_the_command_of_the_remedy() {
    let error = KeyFileError::NotPrivate {
        path: PathBuf::from("/mnt/it's mine/node.key"),
        mode: 0o644,
    };
    assert!(error
        .to_string()
        .ends_with(r"chmod 600 '/mnt/it'\''s mine/node.key'"));
}

#[test]
fn the_secret_never_shows_in_debug_output() {
    let place = Place::new();
    let (file, _) = KeyFile::open_or_create(&place.file()).unwrap();
    let secret = hex::encode(&*file.key().to_bytes());
    assert!(!format!("{file:?}").contains(&secret));
}

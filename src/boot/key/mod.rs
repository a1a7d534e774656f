//! Getting the key that an entry names, without a prompt: from a file, from another device, from a program, from a
//! socket.
//!
//! [`locate`] checks whether it is available, and takes no time. [`Located::read`] may take as long as its [`Limits`]
//! allow: it is for a separate thread.

mod erase;
mod script;
mod stream;

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use keyslots::secret::Passphrase;
use nix::libc;

use super::crypttab::{Entry, KeySource};
use super::devices::Devices;
use super::in_flight::InFlight;
use super::mount::Mounted;
use super::source::Place;
use crate::block_device::{DevNo, disk_sequence};
use crate::passphrase::{self, KeyFileRange, PassphraseError, Question};

pub(super) use self::erase::erase;
pub(super) use self::stream::Limits;

/// Where systemd's crypttab(5) looks for the key of a volume whose line names none: `NAME.key`.
const KEY_FOLDERS: [&str; 2] = ["/etc/cryptsetup-keys.d", "/run/cryptsetup-keys.d"];

/// Why there is no key.
#[derive(Debug)]
pub(super) enum NoKey {
    /// Its device or its file does not exist yet.
    NotYet,
    /// It is unavailable, for this reason.
    Failed(String),
}

impl NoKey {
    fn because(what: &dyn std::fmt::Display, error: &dyn std::fmt::Display) -> Self {
        Self::Failed(format!("{what}: {error}"))
    }
}

/// A key that can be read now.
#[derive(Debug)]
pub(super) enum Located {
    /// A file, a device, a FIFO or a socket here.
    Here(PathBuf),
    /// A file on another device's file system.
    On(PathBuf, Place),
    /// A file on one of these devices' file systems.
    OnAny(Vec<PathBuf>, PathBuf),
    /// The output of a program: its name, and its argument.
    Script(String, String),
}

/// Finds the key of an entry; `None` if a person has to be prompted from the start. Reading changes nothing, so that
/// arrays that may or may not hold the disk are not waited for.
///
/// # Errors
/// [`NoKey`].
pub(super) fn locate(entry: &Entry, devices: &Devices, searched: &mut Searched) -> Result<Option<Located>, NoKey> {
    let devices = devices.giving_way();
    let located = match &entry.key {
        KeySource::Ask => return Ok(default_key(entry, &KEY_FOLDERS, Path::exists).map(Located::Here)),
        KeySource::Search(path) if path.exists() => Located::Here(path.clone()),
        KeySource::Search(path) => match searched.new_ones(devices.with_file_systems()) {
            all if all.is_empty() => return Err(NoKey::NotYet),
            all => Located::OnAny(all, path.clone()),
        },
        KeySource::File(place) => match &place.device {
            Some(device) => Located::On(devices.find(device).ok_or(NoKey::NotYet)?, place.clone()),
            None => match fs::metadata(&place.path) {
                Ok(_) => Located::Here(place.path.clone()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(NoKey::NotYet),
                Err(error) => return Err(NoKey::because(place, &error)),
            },
        },
        KeySource::Raw(device) => Located::Here(devices.find(device).ok_or(NoKey::NotYet)?),
        KeySource::Script { program, argument } => Located::Script(program.clone(), argument.clone()),
    };
    Ok(Some(located))
}

/// The key file that has the name of the volume. Not for a key script that is replaced here: its argument is not a file.
fn default_key(entry: &Entry, folders: &[&str], is_there: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    let name = format!("{}.key", entry.name);
    let mut paths = folders.iter().map(|folder| Path::new(folder).join(&name));
    paths.find(|path| entry.options.keyscript.is_none() && is_there(path))
}

/// Whether there is such a file in an installed system, not in an initramfs.
pub(super) fn has_default_key(entry: &Entry, is_there: impl Fn(&Path) -> bool) -> bool {
    default_key(entry, &KEY_FOLDERS[..1], is_there).is_some()
}

/// The devices on which a key was looked for: each once, and a disk that has replaced another one as well.
#[derive(Debug, Default)]
pub(super) struct Searched(Vec<(PathBuf, Option<u64>)>);

impl Searched {
    fn new_ones(&mut self, devices: Vec<PathBuf>) -> Vec<PathBuf> {
        let which = |path: PathBuf| {
            let number = DevNo::of_path(&path).ok().flatten();
            (path, number.and_then(disk_sequence))
        };
        let new: Vec<_> = devices
            .into_iter()
            .map(which)
            .filter(|one| !self.0.contains(one))
            .collect();
        self.0.extend(new.iter().cloned());
        new.into_iter().map(|(path, _)| path).collect()
    }
}

impl Located {
    /// Reads it. `tried` is the number of earlier tries.
    ///
    /// # Errors
    /// [`NoKey`].
    pub(super) fn read(&self, entry: &Entry, source: &Path, tried: u32, limits: &Limits) -> Result<Passphrase, NoKey> {
        let range = KeyFileRange::new(entry.options.keyfile_offset, entry.options.keyfile_size);
        match self {
            Self::Here(path) => from_path(path, &entry.name, range, limits),
            Self::On(device, place) => {
                let failed = |error: io::Error| NoKey::because(place, &error);
                let mounted = Mounted::new(device).map_err(failed)?;
                from_path(&mounted.file(&place.path).map_err(failed)?, &entry.name, range, limits)
            }
            Self::OnAny(devices, path) => {
                for device in devices {
                    limits
                        .check()
                        .map_err(|error| NoKey::because(&path.display(), &error))?;
                    // If it cannot be mounted, it has no file.
                    if let Ok(mounted) = Mounted::new(device)
                        && let Ok(file) = mounted.file(path)
                    {
                        return from_path(&file, &entry.name, range, limits);
                    }
                }
                Err(NoKey::NotYet)
            }
            Self::Script(program, argument) => script::run(program, argument, entry, source, tried, limits),
        }
    }
}

fn from_path(path: &Path, volume: &str, range: KeyFileRange, limits: &Limits) -> Result<Passphrase, NoKey> {
    let failed = |error: io::Error| NoKey::because(&path.display(), &error);
    let kind = fs::metadata(path).map_err(failed)?.file_type();
    if kind.is_socket() {
        // As in systemd: the server of the socket sends the key and closes.
        let stream = stream::connect(path, volume, limits).map_err(failed)?;
        return stream::read(stream, KeyFileRange::ALL, limits).map_err(failed);
    }
    if kind.is_fifo() || kind.is_char_device() {
        let flags = libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(path)
            .map_err(failed)?;
        return stream::read(file.into(), range, limits).map_err(failed);
    }
    let _held = kind.is_block_device().then(|| InFlight::at(path));
    let question = Question {
        prompt: "",
        verify: false,
        timeout: None,
        range,
    };
    passphrase::from_key_file(path, &question).map_err(|error| match &error {
        PassphraseError::Open(source) | PassphraseError::Read(source) => NoKey::because(&path.display(), source),
        _ => NoKey::because(&path.display(), &error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::crypttab::Crypttab;
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixListener;
    use std::time::{Duration, Instant};

    fn key_of(line: &str) -> Result<Option<Vec<u8>>, NoKey> {
        let entry = Crypttab::parse(line).entries.remove(0);
        let limits = Limits::new(Some(Duration::from_secs(3)));
        let Some(located) = locate(&entry, &Devices::now(), &mut Searched::default())? else {
            return Ok(None);
        };
        let key = located.read(&entry, Path::new("/dev/source"), 2, &limits)?;
        Ok(Some(key.expose().to_vec()))
    }

    #[test]
    fn a_file_is_taken_as_the_options_say() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        fs::write(&path, b"0123456789\n").expect("a key");
        let line = |options: &str| format!("x /dev/x {} {options}", path.display());
        assert_eq!(
            key_of(&line("luks")).expect("a key").as_deref(),
            Some(&b"0123456789\n"[..])
        );
        let part = key_of(&line("keyfile-offset=2,keyfile-size=3")).expect("a key");
        assert_eq!(part.as_deref(), Some(&b"234"[..]));
        assert!(matches!(key_of(&line("keyfile-offset=20")), Err(NoKey::Failed(_))));
        assert!(matches!(key_of("x /dev/x /nonexistent luks"), Err(NoKey::NotYet)));
        assert!(matches!(
            key_of("x /dev/x /k:LABEL=no-such-label luks"),
            Err(NoKey::NotYet)
        ));
        assert!(matches!(key_of("x /dev/x none luks"), Ok(None)));
    }

    #[test]
    fn a_script_has_its_environment_and_its_output_counts_byte_for_byte() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("script");
        let text = "#!/bin/sh\nprintf '%s|' \"$1\" \"$CRYPTTAB_NAME\" \"$CRYPTTAB_SOURCE\" \"$_CRYPTTAB_SOURCE\" \
                    \"$CRYPTTAB_TRIED\" \"$CRYPTTAB_OPTION_keyslot\" \"$CRYPTTAB_OPTION_luks\"\necho\nexit 3\n";
        fs::write(&path, text).expect("a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
        let line = format!("x UUID=ab arg luks,key-slot=1,keyscript={}", path.display());
        let key = key_of(&line).expect("a key").expect("one");
        assert_eq!(String::from_utf8_lossy(&key), "arg|x|/dev/source|UUID=ab|2|1|yes|\n");
        assert!(matches!(
            key_of("x /dev/x a luks,keyscript=/nonexistent"),
            Err(NoKey::Failed(_))
        ));
    }

    #[test]
    fn a_volume_without_a_key_in_its_line_has_the_file_of_its_name() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("x.key"), "abc").expect("a key");
        let found = |line: &str| {
            let entry = Crypttab::parse(line).entries.remove(0);
            let folders = ["/nonexistent", &folder.path().display().to_string()];
            default_key(&entry, &folders, Path::exists)
        };
        assert_eq!(found("x /dev/x none luks"), Some(folder.path().join("x.key")));
        assert_eq!(found("y /dev/x none luks"), None);
        assert_eq!(found("x /dev/x shared luks,keyscript=decrypt_keyctl"), None);
    }

    #[test]
    fn a_socket_sends_the_key() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).expect("a socket");
        let server = std::thread::spawn(move || {
            let (mut stream, client) = listener.accept().expect("a client");
            stream.write_all(&[7; 10_000]).expect("written");
            let name = std::os::linux::net::SocketAddrExt::as_abstract_name(&client);
            String::from_utf8_lossy(name.expect("it has an abstract name")).into_owned()
        });
        let key = key_of(&format!("x /dev/x {} luks", path.display())).expect("a key");
        let client = server.join().expect("the server ends");
        assert_eq!(key, Some(vec![7; 10_000]));
        // It tells a server of several volumes which one is meant.
        let (random, rest) = client.split_once('/').expect("a random word first");
        assert!(
            random.len() == 16 && random.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{client}"
        );
        assert_eq!(rest, "cryptsetup/x");
    }

    #[test]
    fn a_socket_that_says_nothing_has_no_key() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).expect("a socket");
        let server = std::thread::spawn(move || drop(listener.accept().expect("a client")));
        let key = key_of(&format!("x /dev/x {} luks", path.display()));
        server.join().expect("the server ends");
        assert!(matches!(key, Err(NoKey::Failed(_))), "{key:?}");
    }

    #[test]
    fn nothing_is_waited_for_without_an_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let fifo = at("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
        let _silent = UnixListener::bind(at("socket")).expect("a socket");
        // Its child has the pipe open, too.
        fs::write(at("script"), "#!/bin/sh\nsleep 1000 &\nwait\n").expect("a script");
        fs::set_permissions(at("script"), fs::Permissions::from_mode(0o755)).expect("its mode");
        let lines = [
            format!("x /dev/x {} luks", fifo.display()),
            format!("x /dev/x {} luks", at("socket").display()),
            format!("x /dev/x none luks,keyscript={}", at("script").display()),
        ];
        for line in lines {
            let started = Instant::now();
            let reason = match key_of(&line) {
                Err(NoKey::Failed(reason)) => reason,
                other => panic!("{line}: {other:?}"),
            };
            assert!(reason.contains("timed out"), "{line}: {reason}");
            assert!(started.elapsed() < Duration::from_secs(30), "{line}");
        }
    }

    #[test]
    fn a_fifo_gives_what_is_written_to_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
        let (to, line) = (
            path.clone(),
            format!("x /dev/x {} luks,keyfile-offset=2", path.display()),
        );
        let writer = std::thread::spawn(move || fs::write(to, "0123456789"));
        let key = key_of(&line).expect("a key");
        writer.join().expect("it ends").expect("written");
        assert_eq!(key.as_deref(), Some(&b"23456789"[..]));
        let random = key_of("x /dev/x /dev/urandom plain,keyfile-size=32").expect("a key");
        assert_eq!(random.map(|key| key.len()), Some(32));
    }
}

//! Getting the key that an entry names, without a person: from a file, from another device, from a program, from a
//! socket.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use keyslots::secret::{Passphrase, Secret};

use super::crypttab::{Entry, KeySource};
use super::devices::Devices;
use super::mount::Mounted;
use super::source::Place;
use crate::passphrase::{self, KeyFileRange, MAX_KEY_FILE, PassphraseError, Question};

/// Where Debian's crypttab(5) looks for a program that is not named by its path.
const SCRIPTS: &str = "/lib/cryptsetup/scripts";

/// Why there is no key.
#[derive(Debug)]
pub(super) enum NoKey {
    /// Its device or its file is not there yet.
    NotYet,
    /// It cannot be had, for this reason.
    Failed(String),
}

impl NoKey {
    fn because(what: &dyn std::fmt::Display, error: &dyn std::fmt::Display) -> Self {
        Self::Failed(format!("{what}: {error}"))
    }
}

/// Gets the key of an entry; `None` where a person has to be asked from the start. `tried` is how often it was tried
/// before.
///
/// # Errors
/// [`NoKey`].
pub(super) fn fetch(entry: &Entry, devices: &Devices, source: &Path, tried: u32) -> Result<Option<Passphrase>, NoKey> {
    let range = KeyFileRange::new(entry.options.keyfile_offset, entry.options.keyfile_size);
    match &entry.key {
        KeySource::Ask => Ok(None),
        KeySource::File(place) => from_place(place, devices, range).map(Some),
        KeySource::Raw(device) => {
            let path = devices.find(device).ok_or(NoKey::NotYet)?;
            from_file(&path, range).map(Some)
        }
        KeySource::Script { program, argument } => from_script(program, argument, entry, source, tried).map(Some),
    }
}

/// A file here, or on another device's file system.
fn from_place(place: &Place, devices: &Devices, range: KeyFileRange) -> Result<Passphrase, NoKey> {
    let Some(device) = &place.device else {
        let path = match fs::metadata(&place.path) {
            Ok(metadata) if metadata.file_type().is_socket() => return from_socket(&place.path),
            Ok(_) => place.path.clone(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(NoKey::NotYet),
            Err(error) => return Err(NoKey::because(place, &error)),
        };
        return from_file(&path, range);
    };
    let device = devices.find(device).ok_or(NoKey::NotYet)?;
    let mounted = Mounted::new(&device).map_err(|error| NoKey::because(place, &error))?;
    let path = mounted
        .file(&place.path)
        .map_err(|error| NoKey::because(place, &error))?;
    from_file(&path, range)
}

fn from_file(path: &Path, range: KeyFileRange) -> Result<Passphrase, NoKey> {
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

/// As systemd has it: who serves the socket sends the key and closes.
fn from_socket(path: &Path) -> Result<Passphrase, NoKey> {
    let failed = |error: io::Error| NoKey::because(&path.display(), &error);
    let mut stream = UnixStream::connect(path).map_err(failed)?;
    read_to_end(&mut stream).map_err(failed)
}

/// A key script of Debian's: its environment is documented in crypttab(5), its exit status says nothing.
fn from_script(program: &str, argument: &str, entry: &Entry, source: &Path, tried: u32) -> Result<Passphrase, NoKey> {
    let path = script_path(program);
    let failed = |error: io::Error| NoKey::because(&path.display(), &error);
    let [name, device, key, options] = &entry.fields;
    let mut command = Command::new(&path);
    command.arg(argument).stdout(Stdio::piped());
    command.env("CRYPTTAB_NAME", &entry.name).env("_CRYPTTAB_NAME", name);
    command.env("CRYPTTAB_SOURCE", source).env("_CRYPTTAB_SOURCE", device);
    command.env("CRYPTTAB_KEY", argument).env("_CRYPTTAB_KEY", key);
    command
        .env("CRYPTTAB_OPTIONS", super::crypttab::unescape(options))
        .env("_CRYPTTAB_OPTIONS", options);
    command.env("CRYPTTAB_TRIED", tried.to_string());
    for (option, value) in &entry.options.given {
        command.env(format!("CRYPTTAB_OPTION_{}", option.replace('-', "_")), value);
    }
    let mut child = command.spawn().map_err(failed)?;
    let read = match child.stdout.take() {
        Some(mut output) => read_to_end(&mut output),
        None => Err(io::ErrorKind::BrokenPipe.into()),
    };
    // It has closed its output, or is not worth waiting for after it failed.
    let waited = child.wait();
    let passphrase = read.and_then(|passphrase| waited.map(|_| passphrase)).map_err(failed)?;
    if passphrase.is_empty() {
        return Err(NoKey::Failed(format!("{} printed no key", path.display())));
    }
    Ok(passphrase)
}

fn script_path(program: &str) -> PathBuf {
    if program.starts_with('/') {
        program.into()
    } else {
        Path::new(SCRIPTS).join(program)
    }
}

/// All of a stream, into memory that is wiped.
fn read_to_end(stream: &mut dyn Read) -> io::Result<Passphrase> {
    let limit = MAX_KEY_FILE.to_usize().unwrap_or(usize::MAX);
    let mut secret = Secret::zeroed(4096)?;
    let mut len = 0;
    loop {
        if len == secret.len() {
            if len >= limit {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            let mut grown = Secret::zeroed(len.saturating_mul(2).min(limit))?;
            grown.expose_mut()[..len].copy_from_slice(secret.expose());
            secret = grown;
        }
        match stream.read(&mut secret.expose_mut()[len..]) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    secret.truncate(len);
    Ok(Passphrase::new(secret))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::initramfs::crypttab::Crypttab;
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixListener;

    fn key_of(line: &str) -> Result<Option<Vec<u8>>, NoKey> {
        let entry = Crypttab::parse(line).entries.remove(0);
        fetch(&entry, &Devices::now(), Path::new("/dev/source"), 2).map(|key| key.map(|key| key.expose().to_vec()))
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
    fn a_socket_sends_the_key() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).expect("a socket");
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            stream.write_all(&[7; 10_000]).expect("written");
        });
        let key = key_of(&format!("x /dev/x {} luks", path.display())).expect("a key");
        server.join().expect("the server ends");
        assert_eq!(key, Some(vec![7; 10_000]));
    }
}

//! The source of a table: the command line, a file, or standard input. It may hold a key, and is read into memory that
//! is wiped.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;

use keyslots::secret::Secret;

use super::error::Failure;
use super::options::Opt;
use super::session::Session;
use crate::dm::{Printable, TableError, TableText};

/// A table is never larger than one request to the kernel.
const LARGEST: usize = 32 * 1024 * 1024;

/// The table for a verb: `--table`, else the named file, else standard input.
pub(super) fn table(session: &Session, file: Option<&OsString>) -> Result<TableText, Failure> {
    if let Some(text) = session.options.bytes(Opt::Table) {
        return parsed(text, "");
    }
    match file {
        Some(path) if path != "-" => {
            let unreadable = |_| {
                Failure::because(format_args!(
                    "Couldn't open '{}' for reading.",
                    Printable(path.as_bytes())
                ))
            };
            let text = File::open(path).and_then(read_all).map_err(unreadable)?;
            parsed(text.expose(), &shown(path))
        }
        _ => parsed(standard_input()?.expose(), ""),
    }
}

/// All of standard input.
pub(super) fn standard_input() -> Result<Secret, Failure> {
    // Not through the buffer of `io::stdin`, which is not wiped.
    let input = io::stdin().as_fd().try_clone_to_owned().map(File::from);
    input
        .and_then(read_all)
        .map_err(|error| Failure::because(format_args!("Cannot read standard input: {error}")))
}

/// A table in text.
pub(super) fn parsed(text: &[u8], file: &str) -> Result<TableText, Failure> {
    TableText::parse(text).map_err(|error| match error {
        TableError::BadLine { line } => {
            Failure::because(format_args!("Invalid format on line {line} of table {file}."))
        }
        other => Failure::because(other),
    })
}

fn shown(path: &OsStr) -> String {
    path.to_string_lossy().into_owned()
}

fn read_all(mut input: impl Read) -> io::Result<Secret> {
    let mut text = Secret::zeroed(64 * 1024)?;
    let mut used = 0;
    loop {
        if used == text.len() {
            if used >= LARGEST {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            let mut larger = Secret::zeroed(used * 2)?;
            larger.expose_mut()[..used].copy_from_slice(text.expose());
            text = larger;
        }
        match input.read(&mut text.expose_mut()[used..]) {
            Ok(0) => break,
            Ok(read) => used += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    text.truncate(used);
    Ok(text)
}

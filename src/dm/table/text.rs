//! A table as text, in wiped memory: the form that the kernel takes and returns.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::ops::Range;

use keyslots::secret::Secret;
use keyslots::units::Sectors;
use zeroize::Zeroize;

use super::tokenize::{Params, TableError, digits};

/// The name of a target type: 1 to 15 printable bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetType {
    bytes: [u8; 15],
    len: u8,
}

/// A table whose parameters are text. Its memory is wiped on drop; its `Debug` shows no parameters.
pub struct TableText {
    lines: Vec<Stored>,
    params: ParamsBuffer,
    used: usize,
}

/// The buffer for parameters. A wiped one is kept for the next table: locking memory takes longer than requesting a table,
/// and some commands request a thousand.
struct ParamsBuffer(Option<Secret>);

thread_local! {
    static SPARE: Cell<Option<Secret>> = const { Cell::new(None) };
}

/// Room that most tables fit in, and the most that is kept.
const COMMON: usize = 4096;

struct Stored {
    start: Sectors,
    length: Sectors,
    kind: TargetType,
    params: Range<usize>,
}

/// One line of a [`TableText`].
#[derive(Clone, Copy)]
pub struct Line<'a> {
    /// Its start on the device.
    pub start: Sectors,
    /// Its length.
    pub length: Sectors,
    /// The target type.
    pub kind: TargetType,
    /// Parameters, or the target's state. They may hold a key: [`Line::shown`] does not.
    pub params: &'a [u8],
}

impl TargetType {
    /// dm-crypt.
    pub const CRYPT: Self = Self::constant("crypt");
    /// A piece of another device.
    pub const LINEAR: Self = Self::constant("linear");
    /// Pieces of several devices in turns.
    pub const STRIPED: Self = Self::constant("striped");
    /// Each access fails.
    pub const ERROR: Self = Self::constant("error");
    /// Reads zeros.
    pub const ZERO: Self = Self::constant("zero");
    /// A snapshot of an origin.
    pub const SNAPSHOT: Self = Self::constant("snapshot");
    /// A device that has snapshots.
    pub const SNAPSHOT_ORIGIN: Self = Self::constant("snapshot-origin");
    /// A snapshot that is being merged back into its origin.
    pub const SNAPSHOT_MERGE: Self = Self::constant("snapshot-merge");
    /// Encryption by the disk's own hardware, with a key as dm-crypt's.
    pub const INLINE_CRYPT: Self = Self::constant("inlinecrypt");
    /// dm-integrity.
    pub const INTEGRITY: Self = Self::constant("integrity");

    /// The type with this name.
    ///
    /// # Errors
    /// [`TableError::BadType`] where the kernel could not hold it.
    pub fn new(name: &[u8]) -> Result<Self, TableError> {
        let mut bytes = [0; 15];
        if name.is_empty() || name.len() > bytes.len() || !name.iter().all(u8::is_ascii_graphic) {
            return Err(TableError::BadType);
        }
        bytes[..name.len()].copy_from_slice(name);
        Ok(Self {
            bytes,
            len: name.len() as u8,
        })
    }

    const fn constant(name: &str) -> Self {
        let mut bytes = [0; 15];
        let mut i = 0;
        while i < name.len() {
            bytes[i] = name.as_bytes()[i];
            i += 1;
        }
        Self {
            bytes,
            len: name.len() as u8,
        }
    }

    /// The name's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("a target type is ASCII by construction")
    }
}

impl TableText {
    /// An empty table with room for this many bytes of parameters; it grows when they are more.
    ///
    /// # Errors
    /// The system's, if it cannot allocate the memory.
    pub fn with_room(bytes: usize) -> io::Result<Self> {
        Ok(Self {
            lines: Vec::new(),
            params: ParamsBuffer::of(bytes)?,
            used: 0,
        })
    }

    /// Reads lines of `start length type parameters…`, as dmsetup takes them. Empty lines and lines that begin with `#`
    /// are passed over.
    ///
    /// # Errors
    /// [`TableError::BadLine`] with the number of the line, [`TableError::BadType`], or no memory.
    pub fn parse(text: &[u8]) -> Result<Self, TableError> {
        let mut table = Self::with_room(text.len())?;
        for (i, line) in text.split(|b| *b == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line[0] == b'#' {
                continue;
            }
            let bad = || TableError::BadLine { line: i + 1 };
            let (start, rest) = word(line).ok_or_else(bad)?;
            let (length, rest) = word(rest).ok_or_else(bad)?;
            let (kind, params) = word(rest).ok_or_else(bad)?;
            let number = |w: &[u8]| {
                std::str::from_utf8(w)
                    .ok()
                    .and_then(digits)
                    .map(Sectors::new)
                    .ok_or_else(bad)
            };
            if params.contains(&0) {
                return Err(bad());
            }
            table.push(number(start)?, number(length)?, TargetType::new(kind)?, params)?;
        }
        Ok(table)
    }

    /// Adds a line.
    ///
    /// # Errors
    /// The system's, if it cannot allocate the memory.
    pub fn push(&mut self, start: Sectors, length: Sectors, kind: TargetType, params: &[u8]) -> io::Result<()> {
        let from = self.used;
        self.append(params)?;
        self.lines.push(Stored {
            start,
            length,
            kind,
            params: from..self.used,
        });
        Ok(())
    }

    pub(super) fn push_with(
        &mut self,
        start: Sectors,
        length: Sectors,
        kind: TargetType,
        write: impl FnOnce(&mut Params<'_>) -> Result<(), TableError>,
    ) -> Result<(), TableError> {
        let from = self.used;
        write(&mut Params {
            text: self,
            first: true,
        })?;
        self.lines.push(Stored {
            start,
            length,
            kind,
            params: from..self.used,
        });
        Ok(())
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let end = self.used.checked_add(bytes.len()).ok_or(io::ErrorKind::OutOfMemory)?;
        if end > self.params.expose().len() {
            let mut larger = ParamsBuffer::of(end.next_power_of_two())?;
            larger.expose_mut()[..self.used].copy_from_slice(&self.params.expose()[..self.used]);
            self.params = larger;
        }
        self.params.expose_mut()[self.used..end].copy_from_slice(bytes);
        self.used = end;
        Ok(())
    }

    /// The lines in order.
    pub fn lines(&self) -> impl ExactSizeIterator<Item = Line<'_>> {
        self.lines.iter().map(|line| Line {
            start: line.start,
            length: line.length,
            kind: line.kind,
            params: &self.params.expose()[line.params.clone()],
        })
    }

    /// The end of the last line: the size of the device.
    pub fn size(&self) -> Option<Sectors> {
        self.lines
            .last()
            .map_or(Some(Sectors::ZERO), |line| line.start.checked_add(line.length))
    }
}

impl ParamsBuffer {
    fn of(bytes: usize) -> io::Result<Self> {
        let spare = SPARE.try_with(Cell::take).ok().flatten();
        Ok(Self(Some(match spare {
            Some(spare) if bytes <= spare.len() => spare,
            _ => Secret::zeroed(bytes.max(COMMON))?,
        })))
    }

    fn expose(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], Secret::expose)
    }

    fn expose_mut(&mut self) -> &mut [u8] {
        self.0.as_mut().map_or(&mut [], Secret::expose_mut)
    }
}

impl Drop for ParamsBuffer {
    fn drop(&mut self) {
        let Some(mut secret) = self.0.take() else { return };
        if secret.len() == COMMON {
            secret.expose_mut().zeroize();
            // Freed when the thread ends.
            let _ = SPARE.try_with(|spare| spare.set(Some(secret)));
        }
    }
}

impl Line<'_> {
    /// The parameters with each key replaced by as many zeros. A key that stays in the kernel's keyring is shown by its
    /// name.
    pub fn shown(&self) -> Vec<u8> {
        let crypt = matches!(self.kind, TargetType::CRYPT | TargetType::INLINE_CRYPT);
        let integrity = self.kind == TargetType::INTEGRITY;
        let mut shown = Vec::with_capacity(self.params.len());
        for (i, word) in self.params.split(|b| *b == b' ').enumerate() {
            if i > 0 {
                shown.push(b' ');
            }
            if crypt && i == 1 && !word.starts_with(b":") && word != b"-" {
                shown.resize(shown.len() + word.len(), b'0');
            } else if let Some(key) = integrity.then(|| integrity_key(word)).flatten() {
                shown.extend_from_slice(&word[..key]);
                shown.resize(shown.len() + word.len() - key, b'0');
            } else {
                shown.extend_from_slice(word);
            }
        }
        shown
    }
}

/// Where the key begins in an option of dm-integrity such as `internal_hash:hmac(sha256):<key>`.
fn integrity_key(word: &[u8]) -> Option<usize> {
    let keyed = [&b"internal_hash:"[..], b"journal_crypt:", b"journal_mac:"];
    let prefix = keyed.into_iter().find(|prefix| word.starts_with(prefix))?.len();
    let colon = word[prefix..].iter().position(|b| *b == b':')?;
    Some(prefix + colon + 1)
}

/// The first word and what follows it, without the white space around either.
fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.trim_ascii_start();
    let end = text.iter().position(u8::is_ascii_whitespace).unwrap_or(text.len());
    (end > 0).then(|| (&text[..end], text[end..].trim_ascii_start()))
}

impl fmt::Display for TargetType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for TargetType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for TableText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.lines()).finish()
    }
}

impl fmt::Debug for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} …", self.start.get(), self.length.get(), self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_as_dmsetup_reads_it() {
        let text = b"# comment\n\n 0 8  linear /dev/a 0 \n8 16 error\n";
        let table = TableText::parse(text).expect("a good table");
        let lines: Vec<_> = table
            .lines()
            .map(|l| (l.start.get(), l.kind, l.params.to_vec()))
            .collect();
        assert_eq!(lines[0], (0, TargetType::LINEAR, b"/dev/a 0".to_vec()));
        assert_eq!(lines[1], (8, TargetType::ERROR, vec![]));
        assert_eq!(table.size(), Some(Sectors::new(24)));
        for bad in [
            "0 8",
            "x 8 linear",
            "0 +8 linear",
            "0 99999999999999999999 zero",
            "0 8 linear a\0b",
        ] {
            assert!(
                matches!(TableText::parse(bad.as_bytes()), Err(TableError::BadLine { line: 1 })),
                "{bad}"
            );
        }
        assert!(matches!(
            TableText::parse(b"0 8 averylongtargettype"),
            Err(TableError::BadType)
        ));
    }

    #[test]
    fn growing_keeps_what_is_there() {
        let mut table = TableText::with_room(0).expect("memory");
        for i in 0..100_u64 {
            let params = format!("{i} {}", "x".repeat(50));
            table
                .push(Sectors::new(i), Sectors::new(1), TargetType::LINEAR, params.as_bytes())
                .expect("memory");
        }
        for (i, line) in table.lines().enumerate() {
            assert!(line.params.starts_with(format!("{i} x").as_bytes()));
        }
    }

    #[test]
    fn what_is_kept_for_the_next_table_is_wiped() {
        let table = TableText::parse(b"0 8 crypt aes c0ffee 0 8:1 0").expect("a good table");
        let place = table.params.expose().as_ptr();
        drop(table);
        let next = TableText::with_room(8).expect("memory");
        assert_eq!(next.params.expose().as_ptr(), place, "the same memory");
        assert!(next.params.expose().iter().all(|byte| *byte == 0));
        // One more at the same time has its own.
        let other = TableText::with_room(COMMON + 1).expect("memory");
        assert_ne!(other.params.expose().as_ptr(), place);
    }

    #[test]
    fn keys_are_never_shown() {
        let text =
            b"0 8 crypt aes-xts-plain64 c0ffee 0 8:1 0\n8 8 crypt aes-xts-plain64 :64:logon:cryptsetup:x-d0 0 8:1 0\n\
            16 8 integrity 8:1 0 32 J 3 block_size:512 internal_hash:hmac(sha256):c0ffee journal_mac:crc32c\n\
            24 8 inlinecrypt aes-xts-plain64 c0ffee 0 8:1 0 1 keytype:raw";
        let table = TableText::parse(text).expect("a good table");
        let shown: Vec<_> = table
            .lines()
            .map(|l| String::from_utf8(l.shown()).expect("text"))
            .collect();
        assert_eq!(shown[0], "aes-xts-plain64 000000 0 8:1 0");
        assert_eq!(shown[1], "aes-xts-plain64 :64:logon:cryptsetup:x-d0 0 8:1 0");
        assert_eq!(
            shown[2],
            "8:1 0 32 J 3 block_size:512 internal_hash:hmac(sha256):000000 journal_mac:crc32c"
        );
        assert_eq!(shown[3], "aes-xts-plain64 000000 0 8:1 0 1 keytype:raw");
        assert!(!format!("{table:?}").contains("c0ffee"));
    }
}

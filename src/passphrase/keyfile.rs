//! Passphrases from files and pipes, byte for byte, and never a byte further than requested.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use keyslots::secret::{Passphrase, Secret};
use keyslots::units::Bytes;
use nix::errno::Errno;
use nix::sys::statfs::{SYSFS_MAGIC, fstatfs};

use super::PassphraseError;

/// The default limit of a key file's size.
pub const MAX_KEY_FILE: Bytes = Bytes::mib(8);

/// First buffer for input of unknown length; it doubles from there.
const FIRST: usize = 4096;

/// Returns when there is something to read, or with an error when the reader gives up.
pub(crate) type Wait<'a> = &'a dyn Fn(BorrowedFd<'_>) -> io::Result<()>;

/// The range of a key file that is the passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyFileRange {
    /// Bytes that are skipped.
    pub offset: Bytes,
    /// Bytes that are read, no more and no fewer; `None` for all up to [`MAX_KEY_FILE`].
    pub size: Option<Bytes>,
}

impl KeyFileRange {
    /// All of the file.
    pub const ALL: Self = Self {
        offset: Bytes::ZERO,
        size: None,
    };

    /// The range as given by the user; a size of 0 means all.
    pub fn new(offset: Option<Bytes>, size: Option<Bytes>) -> Self {
        Self {
            offset: offset.unwrap_or_default(),
            size: size.filter(|size| *size != Bytes::ZERO),
        }
    }

    /// The limit of the passphrase's length.
    fn limit(self) -> Result<usize, PassphraseError> {
        self.size
            .unwrap_or(MAX_KEY_FILE)
            .to_usize()
            .ok_or(PassphraseError::TooLong)
    }
}

/// Reads a key file.
pub(super) fn read_file(path: &Path, range: KeyFileRange) -> Result<Passphrase, PassphraseError> {
    let mut file = File::open(path).map_err(PassphraseError::Open)?;
    let metadata = file.metadata().map_err(PassphraseError::Read)?;
    if metadata.is_file() {
        if range.offset.get() > metadata.len() {
            return Err(PassphraseError::Offset);
        }
        file.seek(SeekFrom::Start(range.offset.get()))
            .map_err(|_| PassphraseError::Offset)?;
        let passphrase = read_all(&Input::of(file.as_fd()), range)?;
        let expected = metadata.len() - range.offset.get();
        // Without this, a file that is emptied while it is being read would be an empty passphrase.
        let is_short = (passphrase.len() as u64) < expected;
        if range.size.is_none() && is_short && (passphrase.is_empty() || has_its_size(&file)) {
            return Err(PassphraseError::CutOff {
                read: passphrase.len(),
                expected,
            });
        }
        return Ok(passphrase);
    }
    // The bytes before the key on a device may be many, or unreadable.
    let mut rest = range;
    if metadata.file_type().is_block_device() {
        file.seek(SeekFrom::Start(range.offset.get()))
            .map_err(|_| PassphraseError::Offset)?;
        rest.offset = Bytes::ZERO;
    }
    read_stream(&Input::of(file.as_fd()), rest)
}

/// Whether a file ends where its size says: each file of sysfs (`product_uuid` of a machine, for one) claims a page, whatever
/// it holds.
fn has_its_size(file: &File) -> bool {
    !fstatfs(file).is_ok_and(|system| system.filesystem_type() == SYSFS_MAGIC)
}

/// Reads standard input as a key file.
pub(super) fn read_stdin(range: KeyFileRange) -> Result<Passphrase, PassphraseError> {
    read_stream(&Input::of(io::stdin().as_fd()), range)
}

/// Reads a pipe or a device. Empty input is not an empty passphrase: its writer has failed.
fn read_stream(input: &Input<'_>, range: KeyFileRange) -> Result<Passphrase, PassphraseError> {
    skip(input, range.offset)?;
    let passphrase = read_all(input, range)?;
    if passphrase.is_empty() {
        Err(PassphraseError::NothingToRead)
    } else {
        Ok(passphrase)
    }
}

/// Reads a range of a stream that does not block, and may have nothing yet; `wait` is called before each read.
///
/// [`PassphraseError::Read`], also with an error of `wait`; the others as for a key file.
/// [`PassphraseError::Read`] with that of `wait` too; the others as for a key file.
pub(crate) fn from_slow_stream(
    stream: BorrowedFd<'_>,
    range: KeyFileRange,
    wait: Wait<'_>,
) -> Result<Passphrase, PassphraseError> {
    let input = Input {
        fd: stream,
        wait: Some(wait),
    };
    read_stream(&input, range)
}

/// Reads one line of standard input, and nothing behind it.
pub(super) fn read_line(range: KeyFileRange) -> Result<Passphrase, PassphraseError> {
    let stdin = io::stdin();
    let input = Input::of(stdin.as_fd());
    skip(&input, range.offset)?;
    line_from(&input, range)
}

fn line_from(input: &Input<'_>, range: KeyFileRange) -> Result<Passphrase, PassphraseError> {
    let limit = range.limit()?;
    let mut buffer = SecretBuffer::new(limit)?;
    while buffer.len < limit {
        let ended = buffer.read(input, 1)? == 0;
        if ended || buffer.drop_newline() {
            return match range.size {
                None if ended && buffer.len == 0 => Err(PassphraseError::NothingToRead),
                None => Ok(buffer.finish()),
                Some(_) => Err(PassphraseError::TooShort),
            };
        }
    }
    // Without a size, the line exceeds the limit.
    range.size.map(|_| buffer.finish()).ok_or(PassphraseError::TooLong)
}

fn read_all(input: &Input<'_>, range: KeyFileRange) -> Result<Passphrase, PassphraseError> {
    let limit = range.limit()?;
    let mut buffer = SecretBuffer::new(limit)?;
    while buffer.len < limit && buffer.read(input, limit - buffer.len)? > 0 {}
    match range.size {
        Some(_) if buffer.len < limit => Err(PassphraseError::TooShort),
        None if buffer.len == limit && SecretBuffer::new(1)?.read(input, 1)? > 0 => Err(PassphraseError::TooLong),
        _ => Ok(buffer.finish()),
    }
}

/// Skips `count` bytes that cannot be seeked over. They are as secret as the rest.
fn skip(input: &Input<'_>, count: Bytes) -> Result<(), PassphraseError> {
    let mut left = count.get();
    let mut scratch = Secret::zeroed(FIRST).map_err(PassphraseError::Memory)?;
    while left > 0 {
        let step = usize::try_from(left).unwrap_or(FIRST).min(FIRST);
        match input.read(&mut scratch.expose_mut()[..step])? {
            0 => return Err(PassphraseError::Offset),
            n => left -= n as u64,
        }
    }
    Ok(())
}

/// A passphrase being read: a secret that grows, each step into a new wiped buffer.
pub(super) struct SecretBuffer {
    secret: Secret,
    len: usize,
    limit: usize,
}

impl SecretBuffer {
    /// Makes an empty one that takes up to `limit` bytes.
    pub(super) fn new(limit: usize) -> Result<Self, PassphraseError> {
        let secret = Secret::zeroed(limit.min(FIRST)).map_err(PassphraseError::Memory)?;
        Ok(Self { secret, len: 0, limit })
    }

    /// Reads up to `most` bytes more in one call; 0 at the end of the input, and where the limit is reached.
    pub(super) fn read(&mut self, input: &Input<'_>, most: usize) -> Result<usize, PassphraseError> {
        if self.len == self.secret.len() && self.len < self.limit {
            let larger = self.len.saturating_mul(2).min(self.limit);
            let mut grown = Secret::zeroed(larger).map_err(PassphraseError::Memory)?;
            grown.expose_mut()[..self.len].copy_from_slice(self.secret.expose());
            self.secret = grown;
        }
        let end = self.len.saturating_add(most).min(self.secret.len());
        let read = input.read(&mut self.secret.expose_mut()[self.len..end])?;
        self.len += read;
        Ok(read)
    }

    /// Drops a new line at the end; returns whether there was one.
    pub(super) fn drop_newline(&mut self) -> bool {
        let found = self.secret.expose()[..self.len].ends_with(b"\n");
        self.len -= usize::from(found);
        found
    }

    /// Drops the last byte; the next one read overwrites it.
    pub(super) fn drop_last(&mut self) {
        self.len = self.len.saturating_sub(1);
    }

    /// The number of bytes so far.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The passphrase.
    pub(super) fn finish(mut self) -> Passphrase {
        self.secret.truncate(self.len);
        Passphrase::new(self.secret)
    }
}

/// The source of bytes. Never a buffered reader, which would read ahead.
pub(super) struct Input<'a> {
    fd: BorrowedFd<'a>,
    /// A nonblocking source, with the function to call before each read.
    wait: Option<Wait<'a>>,
}

impl<'a> Input<'a> {
    /// A source that blocks until it has something.
    pub(super) fn of(fd: BorrowedFd<'a>) -> Self {
        Self { fd, wait: None }
    }

    /// One `read`, repeated only if a signal interrupted it, or another reader was faster.
    fn read(&self, buffer: &mut [u8]) -> Result<usize, PassphraseError> {
        loop {
            if let Some(wait) = self.wait {
                wait(self.fd).map_err(PassphraseError::Read)?;
            }
            match nix::unistd::read(self.fd, buffer) {
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) if self.wait.is_some() => {}
                outcome => return outcome.map_err(|errno| PassphraseError::Read(errno.into())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn range(offset: u64, size: u64) -> KeyFileRange {
        KeyFileRange::new(Some(Bytes::new(offset)), Some(Bytes::new(size)))
    }

    fn from_file(contents: &[u8], range: KeyFileRange) -> Result<Vec<u8>, String> {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(contents).expect("written");
        read_file(file.path(), range)
            .map(|p| p.expose().to_vec())
            .map_err(|e| e.to_string())
    }

    fn pipe(bytes: &[u8]) -> io::PipeReader {
        let (reader, mut writer) = io::pipe().expect("a pipe");
        writer.write_all(bytes).expect("written");
        reader
    }

    #[test]
    fn a_key_file_is_taken_byte_for_byte() {
        assert_eq!(from_file(b"a\nb\n\0c", KeyFileRange::ALL), Ok(b"a\nb\n\0c".to_vec()));
        assert_eq!(from_file(b"", KeyFileRange::ALL), Ok(vec![]));
        assert_eq!(from_file(b"abcdef", range(2, 3)), Ok(b"cde".to_vec()));
        assert_eq!(from_file(b"abc", range(3, 0)), Ok(vec![]));
        assert_eq!(
            from_file(b"abc", range(4, 0)),
            Err("Cannot seek to requested keyfile offset.".into())
        );
        assert_eq!(
            from_file(b"abc", range(1, 3)),
            Err("Cannot read requested amount of data.".into())
        );
    }

    /// Each file of sysfs says that it is a page long.
    #[test]
    fn a_file_may_be_shorter_than_the_kernel_says() {
        let path = Path::new("/sys/kernel/uevent_seqnum");
        let key = read_file(path, KeyFileRange::ALL).expect("a key");
        assert!(!key.is_empty() && (key.len() as u64) < path.metadata().expect("sysfs").len());
    }

    #[test]
    fn the_limit_holds_unless_a_size_is_named() {
        let most = MAX_KEY_FILE.to_usize().expect("fits");
        assert_eq!(from_file(&vec![7; most], KeyFileRange::ALL).map(|p| p.len()), Ok(most));
        assert_eq!(
            from_file(&vec![7; most + 1], KeyFileRange::ALL),
            Err("Maximum keyfile size exceeded.".into())
        );
        assert_eq!(
            from_file(&vec![7; most + 1], range(0, most as u64 + 1)).map(|p| p.len()),
            Ok(most + 1)
        );
        let zero = Path::new("/dev/zero");
        assert!(matches!(
            read_file(zero, KeyFileRange::ALL),
            Err(PassphraseError::TooLong)
        ));
        assert_eq!(read_file(zero, range(3, 64)).expect("endless").expose(), [0; 64]);
    }

    #[test]
    fn what_cannot_be_read_says_so() {
        assert!(matches!(
            read_file(Path::new("/nonexistent"), KeyFileRange::ALL),
            Err(PassphraseError::Open(_))
        ));
        assert!(matches!(
            read_file(Path::new("/"), KeyFileRange::ALL),
            Err(PassphraseError::Read(_))
        ));
    }

    #[test]
    fn a_line_leaves_the_rest_of_the_stream_alone() {
        let reader = pipe(b"old\n\nnew");
        let line = || line_from(&Input::of(reader.as_fd()), KeyFileRange::ALL).map(|p| p.expose().to_vec());
        assert_eq!(line().expect("a line"), b"old");
        assert_eq!(line().expect("an empty line"), b"");
        assert_eq!(line().expect("a line without its end"), b"new");
        assert!(matches!(line(), Err(PassphraseError::NothingToRead)));
    }

    #[test]
    fn two_keys_stand_back_to_back_on_one_stream() {
        let reader = pipe(b"abc\ndef");
        let next = |size| read_all(&Input::of(reader.as_fd()), range(0, size)).map(|p| p.expose().to_vec());
        assert_eq!(next(4).expect("four bytes"), b"abc\n");
        assert_eq!(next(3).expect("three bytes"), b"def");
        assert!(matches!(next(1), Err(PassphraseError::TooShort)));
    }

    #[test]
    fn a_line_with_a_size_must_have_it() {
        let line = |bytes: &[u8], size| {
            line_from(&Input::of(pipe(bytes).as_fd()), range(0, size))
                .map(|p| p.expose().to_vec())
                .map_err(|e| e.to_string())
        };
        assert_eq!(line(b"abcdef\n", 3), Ok(b"abc".to_vec()));
        assert_eq!(line(b"ab\n", 3), Err("Cannot read requested amount of data.".into()));
        assert_eq!(line(b"ab", 3), Err("Cannot read requested amount of data.".into()));
    }
}

//! The files in an initramfs: archives of cpio(5), format `newc`, one behind the other, of which the last may be compressed,
//! as the kernel reads them (driver-api/early-userspace/buffer-format). Each is read once, from its beginning to its end, and
//! nothing is kept but names and the wanted files; the system's own programs unpack.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::process::{Child, Command, Stdio};
use std::thread;

/// The limits of all images together.
#[derive(Debug)]
pub(super) struct Allowance {
    /// Unpacked bytes: an image of a gigabyte would be a large one.
    bytes: u64,
    files: u32,
    /// Bytes of names, which are kept.
    names: u64,
}

impl Default for Allowance {
    fn default() -> Self {
        Self {
            bytes: 8 << 30,
            files: 1_000_000,
            names: 64 << 20,
        }
    }
}

impl Allowance {
    /// Counts a file with a name of this length.
    fn file(&mut self, name: usize) -> Result<(), ArchiveError> {
        let files = self.files.checked_sub(1).ok_or(TOO_LARGE)?;
        let names = self.names.checked_sub(name as u64).ok_or(TOO_LARGE)?;
        (self.files, self.names) = (files, names);
        Ok(())
    }

    fn bytes(&mut self, len: u64) -> Result<(), ArchiveError> {
        self.bytes = self.bytes.checked_sub(len).ok_or(TOO_LARGE)?;
        Ok(())
    }
}

const TOO_LARGE: ArchiveError = ArchiveError::Damaged("it is too large");
/// The longest path that the kernel takes, with its NUL.
const LONGEST_NAME: u64 = 4096;
/// The most of one file that is kept.
const MOST_KEPT: u64 = 1 << 20;

/// Why an image cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ArchiveError {
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("it is not a cpio archive, or is compressed in an unknown way")]
    Unknown,
    #[error("its archive is damaged: {0}")]
    Damaged(&'static str),
    #[error("{0} is not installed, which unpacks it")]
    NoProgram(&'static str),
}

/// Receives the path of each file, and the content of those that it wants.
pub(super) trait Visitor {
    fn wants(&mut self, path: &str) -> bool;
    fn content(&mut self, path: &str, content: Vec<u8>);
}

/// The compression of an archive, and the program that unpacks it.
const PROGRAMS: [(&[u8], &[&str]); 8] = [
    (b"\x1f\x8b", &["gzip", "-dc"]),
    (b"\xfd7zXZ\0", &["xz", "-dc"]),
    (b"\x28\xb5\x2f\xfd", &["zstd", "-dc"]),
    (b"\x02\x21\x4c\x18", &["lz4", "-dc"]),
    (b"\x04\x22\x4d\x18", &["lz4", "-dc"]),
    (b"BZh", &["bzip2", "-dc"]),
    (b"\x5d\0\0", &["xz", "--format=lzma", "-dc"]),
    (b"\x89LZO", &["lzop", "-dc"]),
];

/// Reads the archives in a part of a file.
pub(super) fn read(
    file: &File,
    part: Range<u64>,
    left: &mut Allowance,
    visitor: &mut dyn Visitor,
) -> Result<(), ArchiveError> {
    let reader = BufReader::new(Part {
        file,
        part: part.clone(),
    });
    let mut stream = Stream::new(reader, left);
    let mut read_any = false;
    while stream.skip_zeros()? {
        let mut magic = [0; 6];
        let at = part.start + stream.position;
        let left = usize::try_from(part.end - at).unwrap_or(magic.len()).min(magic.len());
        file.read_exact_at(&mut magic[..left], at)?;
        if is_cpio(&magic) {
            stream.archive(visitor)?;
        } else {
            let packed = |(start, _): &&(&[u8], &[&str])| magic.starts_with(start);
            let (_, program) = PROGRAMS.iter().find(packed).ok_or(ArchiveError::Unknown)?;
            // It reaches to the end: only the unpacker knows where that is.
            return unpack(program, file, at..part.end, stream.left, visitor);
        }
        read_any = true;
    }
    if read_any {
        Ok(())
    } else {
        Err(ArchiveError::Damaged("it is empty"))
    }
}

fn unpack(
    program: &[&'static str],
    file: &File,
    part: Range<u64>,
    left: &mut Allowance,
    visitor: &mut dyn Visitor,
) -> Result<(), ArchiveError> {
    let mut command = Command::new(program[0]);
    command
        .args(&program[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ArchiveError::NoProgram(program[0]),
        _ => error.into(),
    })?;
    let mut child = Ended(child);
    let (input, output) = child
        .0
        .stdin
        .take()
        .zip(child.0.stdout.take())
        .ok_or_else(|| io::Error::from(io::ErrorKind::BrokenPipe))?;
    thread::scope(|scope| {
        let feed = move || {
            let (mut input, mut packed) = (input, Part { file, part });
            // The program may end before its input does.
            let _ = io::copy(&mut packed, &mut input).and_then(|_| input.flush());
        };
        thread::Builder::new().spawn_scoped(scope, feed)?;
        let mut stream = Stream::new(BufReader::with_capacity(1 << 16, output), left);
        let mut read_any = false;
        let read = loop {
            match stream.skip_zeros() {
                Ok(true) => match stream.archive(visitor) {
                    Ok(()) => read_any = true,
                    // Anything after the archives is ignored.
                    Err(_) if read_any => break Ok(()),
                    Err(error) => break Err(error),
                },
                Ok(false) if read_any => break Ok(()),
                Ok(false) => break Err(ArchiveError::Damaged("it cannot be unpacked")),
                Err(error) => break Err(error),
            }
        };
        drop(stream);
        // The thread that feeds it ends when the program stops reading.
        drop(child);
        read
    })
}

/// A program that is killed on drop.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn is_cpio(magic: &[u8]) -> bool {
    magic.starts_with(b"070701") || magic.starts_with(b"070702")
}

/// A part of a file.
struct Part<'a> {
    file: &'a File,
    part: Range<u64>,
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.part.end.saturating_sub(self.part.start);
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.file.read_at(&mut buffer[..len], self.part.start)?;
        self.part.start += read as u64;
        Ok(read)
    }
}

/// Archives one behind the other.
struct Stream<'a, R> {
    reader: R,
    position: u64,
    left: &'a mut Allowance,
}

impl<'a, R: BufRead> Stream<'a, R> {
    fn new(reader: R, left: &'a mut Allowance) -> Self {
        Self {
            reader,
            position: 0,
            left,
        }
    }

    /// Whether anything follows the zeros here.
    fn skip_zeros(&mut self) -> Result<bool, ArchiveError> {
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                return Ok(false);
            }
            let zeros = buffer.iter().take_while(|byte| **byte == 0).count();
            let found = zeros < buffer.len();
            self.reader.consume(zeros);
            self.position += zeros as u64;
            self.left.bytes(zeros as u64)?;
            if found {
                return Ok(true);
            }
        }
    }

    /// One archive, up to its trailer.
    fn archive(&mut self, visitor: &mut dyn Visitor) -> Result<(), ArchiveError> {
        let start = self.position;
        loop {
            let header = self.take(110)?;
            let field = |number: usize| {
                let digits = header.get(6 + number * 8..)?.first_chunk::<8>()?;
                let text = std::str::from_utf8(digits).ok().filter(|text| !text.starts_with('+'))?;
                u64::from_str_radix(text, 16).ok()
            };
            let sizes = field(6).zip(field(11)).filter(|_| is_cpio(&header));
            let (size, name_len) = sizes.ok_or(ArchiveError::Damaged("there is no header where one should be"))?;
            if name_len == 0 || name_len > LONGEST_NAME {
                return Err(ArchiveError::Damaged("a name is too long"));
            }
            let mut name = self.take(name_len)?;
            name.truncate(name.iter().position(|byte| *byte == 0).unwrap_or(name.len()));
            self.align(start)?;
            if name == b"TRAILER!!!" {
                return Ok(());
            }
            self.left.file(name.len())?;
            let name = String::from_utf8_lossy(&name);
            let path = name.trim_start_matches("./").trim_start_matches('/');
            if visitor.wants(path) && size <= MOST_KEPT {
                let content = self.take(size)?;
                visitor.content(path, content);
            } else {
                self.skip(size)?;
            }
            self.align(start)?;
        }
    }

    /// Reads this many bytes, of which there are few.
    fn take(&mut self, len: u64) -> Result<Vec<u8>, ArchiveError> {
        self.left.bytes(len)?;
        let mut bytes = Vec::new();
        let read = self.reader.by_ref().take(len).read_to_end(&mut bytes)?;
        self.position += read as u64;
        if read as u64 == len { Ok(bytes) } else { Err(CUT) }
    }

    fn skip(&mut self, len: u64) -> Result<(), ArchiveError> {
        self.left.bytes(len)?;
        let read = io::copy(&mut self.reader.by_ref().take(len), &mut io::sink())?;
        self.position += read;
        if read == len { Ok(()) } else { Err(CUT) }
    }

    /// To a multiple of four from the start of the archive.
    fn align(&mut self, start: u64) -> Result<(), ArchiveError> {
        self.skip((start.wrapping_sub(self.position)) % 4)
    }
}

const CUT: ArchiveError = ArchiveError::Damaged("it ends in the middle of a file");

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Names(Vec<String>, String);

    impl Visitor for Names {
        fn wants(&mut self, path: &str) -> bool {
            self.0.push(path.to_owned());
            path == "etc/crypttab"
        }

        fn content(&mut self, _path: &str, content: Vec<u8>) {
            self.1 = String::from_utf8_lossy(&content).into_owned();
        }
    }

    fn entry(name: &str, content: &[u8]) -> Vec<u8> {
        let mut bytes = b"070701".to_vec();
        for (field, value) in [(6, content.len()), (11, name.len() + 1)] {
            bytes.resize(6 + field * 8, b'0');
            bytes.extend(format!("{value:08x}").bytes());
        }
        bytes.resize(110, b'0');
        let pad = |bytes: &mut Vec<u8>| bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(name.bytes().chain([0]));
        pad(&mut bytes);
        bytes.extend(content);
        pad(&mut bytes);
        bytes
    }

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes: Vec<u8> = files.iter().flat_map(|(name, content)| entry(name, content)).collect();
        bytes.extend(entry("TRAILER!!!", b""));
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }

    fn read_bytes(bytes: &[u8]) -> Result<Names, ArchiveError> {
        let file = tempfile::tempfile().expect("a file");
        file.write_all_at(bytes, 0).expect("written");
        let mut names = Names::default();
        read(&file, 0..bytes.len() as u64, &mut Allowance::default(), &mut names).map(|()| names)
    }

    #[test]
    fn archives_stand_one_behind_the_other() {
        let early = archive(&[("kernel/x86/microcode/GenuineIntel.bin", &[7; 1001])]);
        let main = archive(&[("./etc/crypttab", b"root x\n"), ("/bin/sh", b"")]);
        let names = read_bytes(&[early, vec![0; 515], main].concat()).expect("read");
        assert_eq!(
            names.0,
            ["kernel/x86/microcode/GenuineIntel.bin", "etc/crypttab", "bin/sh"]
        );
        assert_eq!(names.1, "root x\n");
    }

    #[test]
    fn names_have_an_end() {
        let name = "n".repeat(4095);
        let one = entry(&name, b"");
        let many = |count: usize| read_bytes(&[one.repeat(count), archive(&[])].concat());
        assert!(many(100).is_ok_and(|names| names.0.len() == 100));
        let most = usize::try_from(Allowance::default().names / 4095).expect("few");
        assert!(matches!(many(most + 1), Err(ArchiveError::Damaged("it is too large"))));
    }

    #[test]
    fn what_is_no_image_is_told() {
        assert!(matches!(read_bytes(b"not an image"), Err(ArchiveError::Unknown)));
        assert!(matches!(read_bytes(b""), Err(ArchiveError::Damaged(_))));
        assert!(matches!(read_bytes(&[0; 4096]), Err(ArchiveError::Damaged(_))));
        assert!(matches!(
            read_bytes(b"\x1f\x8bnot really"),
            Err(ArchiveError::Damaged(_))
        ));
        let whole = archive(&[("etc/crypttab", b"root x\n")]);
        let trailer = entry("TRAILER!!!", b"").len();
        let end = entry("etc/crypttab", b"root x\n").len() + trailer;
        for cut in 1..end {
            assert!(read_bytes(&whole[..cut]).is_err(), "{cut}");
        }
        // Each byte of a header, changed to a non-digit and to the largest digit.
        for at in 0..110 {
            for byte in [b'z', b'f', 0, b'+', 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = byte;
                let _ = read_bytes(&bytes);
            }
        }
    }
}

//! The ground of an open file or device, down to the lowest devices: whether two of them end on the same bytes.
//!
//! A path says little. A file has hard links, other mounts and loop devices; a partition is a piece of a disk; a mapping and
//! a RAID are made of other devices. A command that reads from one and writes to the other must know. The answer holds for as
//! long as both files stay open: numbers of devices and of files are reused.
//!
//! The device-mapper's tables come from the caller ([`crate::same_bytes`]), which can read them.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use keyslots::units::{Bytes, SECTOR_SIZE, Sectors};
use nix::sys::statfs::{OVERLAYFS_SUPER_MAGIC, fstatfs};

use super::loop_device::{Backing, backing};
use super::{DevNo, sysfs};

/// No stack of devices is deeper; the limit ends a circular description.
const DEEPEST: u32 = 32;

/// All devices and files below an open file or device.
#[derive(Clone, Debug, Default)]
pub struct Ground {
    parts: Vec<Part>,
}

/// A range of bytes of a file or device.
#[derive(Clone, Debug)]
struct Part {
    node: Node,
    range: Range<u64>,
    /// The device below which only the kernel knows which of these bytes are used; `None` if all of them are. Two parts
    /// with the same one have been compared on that device.
    lost: Option<DevNo>,
}

#[derive(Clone, Debug)]
enum Node {
    Device(DevNo),
    File(FileId),
}

/// The identity of the file.
#[derive(Clone, Debug)]
struct FileId {
    dev: u64,
    ino: u64,
    /// For a file that is, or may be, also seen through an overlay: an overlay gives it another device number, but these
    /// are the same. Size, and the times of the last change of content and of status.
    stamp: Option<(u64, i64, i64, i64, i64)>,
    overlay: bool,
}

/// A run of sectors of a mapping, and their place on another device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its start on the mapping.
    pub start: Sectors,
    /// Its length.
    pub length: Sectors,
    /// The device below.
    pub device: DevNo,
    /// Its start there.
    pub offset: Sectors,
    /// How much of the device the sectors are spread over, if their order changes.
    pub spread: Option<Sectors>,
}

/// The contents of a mapping's table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pieces {
    /// The runs that are passed on sector by sector.
    pub exact: Vec<Piece>,
    /// Whether that is all. If not, only the kernel knows how the mapping uses its devices.
    pub complete: bool,
    /// If not, whether mappings of its kind share devices without sharing bytes, as the volumes of a pool and snapshots do.
    pub apart: bool,
}

/// Reads the table of a mapping; `None` if it cannot be queried.
pub type Tables<'a> = &'a dyn Fn(DevNo) -> Option<Pieces>;

impl Ground {
    /// The ground of the bytes from `start` on: `length` of them, or all. A pipe has none.
    ///
    /// # Errors
    /// The system's, if the descriptor cannot be queried.
    pub fn of(file: &File, start: Bytes, length: Option<Bytes>, tables: Tables<'_>) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let end = length.map_or(u64::MAX, |length| start.get().saturating_add(length.get()));
        let mut walk = Walk::new(Path::new("/sys"), tables);
        if let Some(number) = DevNo::of_file(file)? {
            walk.device(number, start.get()..end, None, DEEPEST);
        } else if metadata.is_file() {
            walk.push(Node::File(FileId::of(file, &metadata)), start.get()..end, None);
        }
        Ok(Self { parts: walk.parts })
    }

    /// The ground of all of a device.
    pub fn of_device(number: DevNo, tables: Tables<'_>) -> Self {
        let mut walk = Walk::new(Path::new("/sys"), tables);
        walk.device(number, 0..u64::MAX, None, DEEPEST);
        Self { parts: walk.parts }
    }

    /// The ground of the file system that a file is on, as far as the file's device number tells it.
    ///
    /// # Errors
    /// As [`Ground::of`].
    pub fn of_file_system(file: &File, tables: Tables<'_>) -> io::Result<Self> {
        let number = DevNo::from_raw(file.metadata()?.dev());
        let mut walk = Walk::new(Path::new("/sys"), tables);
        if number.major != 0 {
            walk.device(number, 0..u64::MAX, Some(number), DEEPEST);
        }
        Ok(Self { parts: walk.parts })
    }

    /// Whether data written to one can be read from the other.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.parts.iter().any(|one| {
            other.parts.iter().any(|other| {
                (one.lost.is_none() || one.lost != other.lost)
                    && one.range.start < other.range.end
                    && other.range.start < one.range.end
                    && one.node.is(&other.node)
            })
        })
    }
}

impl Node {
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Device(one), Self::Device(other)) => one == other,
            (Self::File(one), Self::File(other)) => one.is(other),
            _ => false,
        }
    }
}

impl FileId {
    fn of(file: &File, metadata: &fs::Metadata) -> Self {
        let stamp = (
            metadata.len(),
            metadata.mtime(),
            metadata.mtime_nsec(),
            metadata.ctime(),
            metadata.ctime_nsec(),
        );
        let overlay = fstatfs(file.as_fd()).is_ok_and(|system| system.filesystem_type() == OVERLAYFS_SUPER_MAGIC);
        Self {
            dev: metadata.dev(),
            ino: metadata.ino(),
            stamp: Some(stamp),
            overlay,
        }
    }

    /// An overlay keeps the number of the file below, in its low bits at least.
    fn is(&self, other: &Self) -> bool {
        let through_overlay = (self.overlay || other.overlay)
            && self.stamp.is_some()
            && self.stamp == other.stamp
            && self.ino as u32 == other.ino as u32;
        (self.dev, self.ino) == (other.dev, other.ino) || through_overlay
    }
}

/// On the way down.
struct Walk<'a> {
    sysfs: &'a Path,
    tables: Tables<'a>,
    parts: Vec<Part>,
}

impl<'a> Walk<'a> {
    fn new(sysfs: &'a Path, tables: Tables<'a>) -> Self {
        Self {
            sysfs,
            tables,
            parts: Vec::new(),
        }
    }

    /// Adds a part; returns whether it is new.
    fn push(&mut self, node: Node, range: Range<u64>, lost: Option<DevNo>) -> bool {
        let known = self.parts.iter().any(|part| {
            let as_exact = part.lost.is_none() || part.lost == lost;
            part.node.is(&node) && as_exact && part.range.start <= range.start && range.end <= part.range.end
        });
        if !known {
            self.parts.push(Part { node, range, lost });
        }
        !known
    }

    fn device(&mut self, number: DevNo, range: Range<u64>, lost: Option<DevNo>, deeper: u32) {
        if range.is_empty() || !self.push(Node::Device(number), range.clone(), lost) || deeper == 0 {
            return;
        }
        let dir = self.sysfs.join(format!("dev/block/{number}"));
        if let Some((disk, piece)) = partition(&dir) {
            if let Some(range) = shifted(&range, &(0..piece.end - piece.start), piece.start) {
                self.device(disk, range, lost, deeper - 1);
            }
        } else if let Some(below) = backing(number, &dir, self.sysfs == Path::new("/sys")) {
            self.behind_loop(&below, &range, lost, deeper);
        } else {
            self.made_of(number, &dir, &range, lost, deeper);
        }
    }

    fn behind_loop(&mut self, below: &Backing, range: &Range<u64>, lost: Option<DevNo>, deeper: u32) {
        let whole = 0..if below.size_limit == 0 {
            u64::MAX
        } else {
            below.size_limit
        };
        let Some(range) = shifted(range, &whole, below.offset) else {
            return;
        };
        match below.device {
            Some(device) => self.device(device, range, lost, deeper - 1),
            None => {
                let file = FileId {
                    dev: below.file.0,
                    ino: below.file.1,
                    stamp: None,
                    overlay: false,
                };
                self.push(Node::File(file), range, lost);
            }
        }
    }

    /// A mapping by its table, or else by the devices that it is made of.
    fn made_of(&mut self, number: DevNo, dir: &Path, range: &Range<u64>, lost: Option<DevNo>, deeper: u32) {
        let is_mapping = dir.join("dm").exists();
        let pieces = is_mapping.then(|| (self.tables)(number)).flatten();
        // Arrays of one container share disks, devices of bcache a cache. A mapping whose table is unavailable, as without
        // root, counts as such: most are.
        let pieces = pieces.unwrap_or_else(|| Pieces {
            apart: true,
            ..Pieces::default()
        });
        for piece in &pieces.exact {
            let bytes = |sectors: Sectors| sectors.get().saturating_mul(SECTOR_SIZE);
            let (start, offset) = (bytes(piece.start), bytes(piece.offset));
            let Some(mut range) = shifted(range, &(start..start.saturating_add(bytes(piece.length))), offset) else {
                continue;
            };
            if let Some(spread) = piece.spread {
                range = offset..offset.saturating_add(bytes(spread));
            }
            self.device(piece.device, range, lost, deeper - 1);
        }
        if !pieces.complete {
            for below in sysfs::links_in(&dir.join("slaves")) {
                let lost = if pieces.apart { below } else { number };
                self.device(below, 0..u64::MAX, Some(lost), deeper - 1);
            }
        }
    }
}

/// The part of a range that is within `piece`, at `to` instead of the piece's start.
fn shifted(range: &Range<u64>, piece: &Range<u64>, to: u64) -> Option<Range<u64>> {
    let (start, end) = (range.start.max(piece.start), range.end.min(piece.end));
    let place = |at: u64| {
        if at == u64::MAX {
            at
        } else {
            (at - piece.start).saturating_add(to)
        }
    };
    (start < end).then(|| place(start)..place(end))
}

/// The disk of a partition, and which bytes of it those of the partition are.
fn partition(dir: &Path) -> Option<(DevNo, Range<u64>)> {
    let number = |file: PathBuf| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok();
    number(dir.join("partition"))?;
    let disk = fs::read_to_string(dir.join("../dev")).ok()?.trim().parse().ok()?;
    let start = number(dir.join("start"))?.checked_mul(SECTOR_SIZE)?;
    let length = number(dir.join("size"))?.checked_mul(SECTOR_SIZE)?;
    Some((disk, start..start.checked_add(length)?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    /// A sysfs for the test.
    struct Sysfs(TempDir);

    impl Sysfs {
        fn new() -> Self {
            let sysfs = Self(TempDir::new().expect("a folder"));
            fs::create_dir_all(sysfs.0.path().join("dev/block")).expect("a folder");
            sysfs
        }

        /// A device in a folder below `devices`, with files.
        fn device(&self, number: &str, folder: &str, files: &[(&str, &str)]) -> &Self {
            let dir = self.0.path().join("devices").join(folder);
            fs::create_dir_all(&dir).expect("a folder");
            fs::write(dir.join("dev"), number).expect("a file");
            for (file, text) in files {
                let file = dir.join(file);
                fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
                fs::write(file, text).expect("a file");
            }
            symlink(&dir, self.0.path().join("dev/block").join(number)).expect("a link");
            self
        }

        /// The devices below a device.
        fn slaves(&self, folder: &str, slaves: &[&str]) -> &Self {
            let dir = self.0.path().join("devices").join(folder).join("slaves");
            fs::create_dir_all(&dir).expect("a folder");
            for slave in slaves {
                symlink(
                    self.0.path().join("devices").join(slave),
                    dir.join(slave.replace('/', "!")),
                )
                .expect("a link");
            }
            self
        }

        fn ground(&self, number: &str, tables: Tables<'_>) -> Ground {
            let mut walk = Walk::new(self.0.path(), tables);
            walk.device(number.parse().expect("a number"), 0..u64::MAX, None, DEEPEST);
            Ground { parts: walk.parts }
        }
    }

    fn linear(start: u64, length: u64, device: &str, offset: u64) -> Piece {
        Piece {
            start: Sectors::new(start),
            length: Sectors::new(length),
            device: device.parse().expect("a number"),
            offset: Sectors::new(offset),
            spread: None,
        }
    }

    #[test]
    fn a_partition_is_a_piece_of_its_disk() {
        let sysfs = Sysfs::new();
        sysfs
            .device("4000:0", "sda", &[])
            .device(
                "4000:1",
                "sda/sda1",
                &[("partition", "1\n"), ("start", "2048\n"), ("size", "1000\n")],
            )
            .device(
                "4000:2",
                "sda/sda2",
                &[("partition", "2\n"), ("start", "3048\n"), ("size", "1000\n")],
            );
        let ground = |number| sysfs.ground(number, &|_| None);
        assert!(ground("4000:0").overlaps(&ground("4000:1")) && ground("4000:1").overlaps(&ground("4000:0")));
        assert!(ground("4000:1").overlaps(&ground("4000:1")));
        assert!(!ground("4000:1").overlaps(&ground("4000:2")));
    }

    #[test]
    fn mappings_share_what_their_tables_say() {
        let sysfs = Sysfs::new();
        sysfs.device("4000:0", "sda", &[]);
        for minor in 1..=9 {
            let name = format!("dm-{minor}");
            sysfs
                .device(&format!("4001:{minor}"), &name, &[("dm/name", "x\n")])
                .slaves(&name, &["sda"]);
        }
        let tables = |number: DevNo| {
            let pieces = match number.minor {
                1 => vec![linear(0, 100, "4000:0", 0)],
                2 => vec![linear(0, 100, "4000:0", 100)],
                3 => vec![linear(0, 50, "4000:0", 500), linear(50, 50, "4000:0", 199)],
                // Their tables are unreadable.
                4 | 5 => return None,
                _ => Vec::new(),
            };
            Some(Pieces {
                exact: pieces,
                complete: number.minor < 6,
                // Two of a pool; the others may use any bytes.
                apart: number.minor < 8,
            })
        };
        let ground = |minor: u32| sysfs.ground(&format!("4001:{minor}"), &tables);
        let disk = sysfs.ground("4000:0", &tables);
        for (one, other, same) in [
            (1, 2, false),
            (2, 3, true),
            (1, 3, false),
            (4, 5, false),
            (1, 4, true),
            (4, 4, true),
            (6, 7, false),
            (6, 6, true),
            (8, 9, true),
            (7, 8, true),
            (1, 8, true),
        ] {
            assert_eq!(ground(one).overlaps(&ground(other)), same, "{one} {other}");
            assert_eq!(ground(other).overlaps(&ground(one)), same, "{other} {one}");
        }
        for minor in 1..=9 {
            assert!(ground(minor).overlaps(&disk), "{minor}");
        }
    }

    #[test]
    fn a_raid_is_on_its_members_and_on_no_others() {
        let sysfs = Sysfs::new();
        sysfs
            .device("4000:0", "sda", &[])
            .device("4000:16", "sdb", &[])
            .device("4000:32", "sdc", &[]);
        for (number, name) in [("9:0", "md0"), ("9:1", "md1")] {
            sysfs.device(number, name, &[]).slaves(name, &["sda", "sdb"]);
        }
        let ground = |number| sysfs.ground(number, &|_| None);
        assert!(ground("9:0").overlaps(&ground("4000:0")) && ground("4000:16").overlaps(&ground("9:0")));
        // Two arrays of one container.
        assert!(!ground("9:0").overlaps(&ground("9:1")) && ground("9:1").overlaps(&ground("4000:0")));
        // Partitions of an array are compared on the array, and not again on its members.
        for (number, folder, start) in [("259:0", "md0/md0p1", "0"), ("259:1", "md0/md0p2", "1000")] {
            sysfs.device(
                number,
                folder,
                &[("partition", "1"), ("start", start), ("size", "1000")],
            );
        }
        assert!(!ground("259:0").overlaps(&ground("259:1")) && ground("259:0").overlaps(&ground("259:0")));
        assert!(ground("259:1").overlaps(&ground("9:0")) && ground("259:1").overlaps(&ground("4000:0")));
        assert!(!ground("9:0").overlaps(&ground("4000:32")) && !ground("4000:0").overlaps(&ground("4000:16")));
    }

    #[test]
    fn circles_and_absurd_numbers_end() {
        let sysfs = Sysfs::new();
        sysfs.device("4000:0", "a", &[]).device("4000:1", "b", &[]);
        sysfs.slaves("a", &["b"]).slaves("b", &["a"]);
        let size = u64::MAX.to_string();
        sysfs.device(
            "4000:2",
            "a/p",
            &[("partition", "1"), ("start", &size), ("size", &size)],
        );
        let ground = |number| sysfs.ground(number, &|_| None);
        assert!(ground("4000:0").overlaps(&ground("4000:1")));
        assert!(!ground("4000:2").overlaps(&ground("4000:0")));
        assert_eq!(
            shifted(&(5..u64::MAX), &(0..u64::MAX), u64::MAX),
            Some(u64::MAX..u64::MAX)
        );
    }

    #[test]
    fn hard_links_and_pieces_of_one_file() {
        let folder = TempDir::new().expect("a folder");
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        fs::write(&one, [0; 100]).expect("a file");
        fs::hard_link(&one, &two).expect("a link");
        let ground = |path: &Path, start, length: Option<u64>| {
            let file = File::open(path).expect("a file");
            Ground::of(&file, Bytes::new(start), length.map(Bytes::new), &|_| None).expect("a ground")
        };
        assert!(ground(&one, 0, None).overlaps(&ground(&two, 0, None)));
        assert!(!ground(&one, 0, Some(50)).overlaps(&ground(&two, 50, None)));
        assert!(ground(&one, 0, Some(51)).overlaps(&ground(&two, 50, None)));
        fs::write(folder.path().join("other"), [0; 100]).expect("a file");
        assert!(!ground(&one, 0, None).overlaps(&ground(&folder.path().join("other"), 0, None)));
        assert!(!ground(Path::new("/dev/null"), 0, None).overlaps(&ground(Path::new("/dev/null"), 0, None)));
    }
}

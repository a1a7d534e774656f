//! `stats create --filemap` and `update_filemap`: regions for the extents of a file, reported together as a group with the
//! file's name. The file system reports the extents; [`super::monitor`] follows them.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::libc;
use serde_json::json;

use super::arguments::{number, one_word};
use super::create::Request;
use super::monitor::{self, Follow};
use super::region::{self, Group, Region};
use crate::block_device::{DevNo, Extent, extents};
use crate::dm::{DeviceId, Printable, system_text};
use crate::dmsetup::error::Failure;
use crate::dmsetup::options::Opt;
use crate::dmsetup::session::Session;
use crate::mapping;

/// A file on a device of the device-mapper.
pub(super) struct Mapped {
    pub(super) file: File,
    /// The device that its file system is on.
    pub(super) device: DeviceId,
}

impl Mapped {
    /// The regular file at a path.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let refused = |error: std::io::Error| {
            let why = error
                .raw_os_error()
                .map(|number| system_text(nix::errno::Errno::from_raw(number)));
            Failure::because(format_args!(
                "{}: open failed: {}",
                shown(path),
                why.unwrap_or("not possible")
            ))
        };
        if !fs::metadata(path).map_err(refused)?.is_file() {
            return Err(Failure::because("Not a regular file"));
        }
        // The file may have been replaced by one that blocks.
        let mut options = File::options();
        let file = options
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path)
            .map_err(refused)?;
        Self::of(file)
    }

    /// An open file.
    pub(super) fn of(file: File) -> Result<Self, Failure> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(Failure::because("Not a regular file"));
        }
        let number = DevNo::from_raw(metadata.dev());
        if !mapping::is_mapped(number) {
            return Err(Failure::because("Cannot map file: not a device-mapper device."));
        }
        Ok(Self {
            file,
            device: DeviceId::Number(number),
        })
    }

    /// Its extents, of which there must be some. `sync` writes delayed data out first.
    pub(super) fn extents(&self, sync: bool) -> Result<Vec<Extent>, Failure> {
        let found = extents(&self.file, sync).map_err(|error| {
            let why = error
                .raw_os_error()
                .map(|number| system_text(nix::errno::Errno::from_raw(number)));
            Failure::because(format_args!(
                "Cannot map file: its file system does not tell its extents: {}",
                why.unwrap_or("its answer makes no sense")
            ))
        })?;
        match found.is_empty() {
            true => Err(Failure::because("Cannot map file: no allocated extents.")),
            false => Ok(found),
        }
    }
}

pub(super) fn create(session: &Session, words: &[OsString]) -> Result<(), Failure> {
    let has = |option| session.options.has(option);
    let refused = [
        (has(Opt::AllDevices), "--alldevices is incompatible with --filemap."),
        (
            session.has_device_option(),
            "--uuid and --major are incompatible with --filemap.",
        ),
        (has(Opt::Segments), "--filemap and --segments are incompatible."),
        (
            has(Opt::Start) || has(Opt::Length),
            "--filemap is incompatible with --start and --length.",
        ),
        (
            has(Opt::Areas) || has(Opt::AreaSize),
            "--filemap is incompatible with --areas and --area-size.",
        ),
        (has(Opt::UserData), "--userdata is not yet supported with --filemap."),
        (words.is_empty(), "--filemap requires a file path argument"),
        (
            has(Opt::Foreground) && has(Opt::NoGroup),
            "--foreground needs a group to monitor: leave --nogroup out.",
        ),
    ];
    if let Some((_, why)) = refused.iter().find(|(is, _)| *is) {
        return Err(Failure::because(why));
    }
    let (request, follow) = (Request::of(session)?, Follow::of(session)?);
    for word in words {
        let path = canonical(word)?;
        let failed = |failure: Failure| failure.and(&format!("Could not create regions from file {}.", shown(&path)));
        let mapped = Mapped::open(&path).map_err(failed)?;
        let made = regions(session, &mapped, &request).map_err(failed)?;
        let typed = shown(Path::new(word));
        if has(Opt::NoGroup) {
            for number in &made {
                session.tell_each(
                    "regions",
                    [json!({ "file": typed, "region_id": number, "area_count": 1 })],
                );
                session.say(format!(
                    "{typed}: Created new region with 1 area as region ID {number}.\n"
                ))?;
            }
            continue;
        }
        let alias = match one_word(session, Opt::Alias)? {
            Some(alias) => alias,
            None => alias_of(&path),
        };
        let (count, group) = (made.len(), made.iter().min().copied().unwrap_or_default());
        group_up(session, &mapped.device, &request, alias, made).map_err(failed)?;
        session.tell_each(
            "groups",
            [json!({ "file": typed, "group_id": group, "region_count": count })],
        );
        session.say(format!(
            "{typed}: Created new group with {count} region(s) as group ID {group}.\n"
        ))?;
        if !has(Opt::NoMonitor) {
            monitor::begin(session, mapped, group, &path, follow)?;
        }
    }
    Ok(())
}

pub(super) fn update(session: &Session, words: &[OsString]) -> Result<(), Failure> {
    if words.is_empty() {
        return Err(Failure::because("update_filemap requires a file path argument"));
    }
    let Some(group) = number(session, Opt::GroupId)? else {
        return Err(Failure::because("--groupid is required to update a filemap group."));
    };
    let follow = Follow::of(session)?;
    for word in words {
        let path = canonical(word)?;
        let failed = |failure: Failure| failure.and(&format!("Could not update regions from file {}", shown(&path)));
        let mapped = Mapped::open(&path).map_err(failed)?;
        if !session.options.has(Opt::NoMonitor) {
            let there = region::list(session, &mapped.device, None).map_err(failed)?;
            find(&there, group).map_err(failed)?;
            monitor::begin(session, mapped, group, &path, follow)?;
            continue;
        }
        let extents = mapped.extents(true).map_err(failed)?;
        let now = remap(session, &mapped.device, group, &extents).map_err(failed)?;
        if now != group {
            session.say(format!("Group ID changed from {group} to {now}\n"))?;
        }
        let (file, count) = (shown(Path::new(word)), extents.len());
        session.say(format!("{file}: Updated group ID {now} with {count} region(s).\n"))?;
        session.tell_each(
            "groups",
            [json!({ "file": file, "group_id": now, "region_count": count })],
        );
    }
    Ok(())
}

/// One region for each extent, in the order of the file; none where one of them is refused.
fn regions(session: &Session, mapped: &Mapped, request: &Request) -> Result<Vec<u64>, Failure> {
    let mut made = Vec::new();
    for extent in mapped.extents(true)? {
        match request.region(session, &mapped.device, extent.start, extent.length) {
            Ok((_, number)) => made.push(number),
            Err(failure) => {
                // The refusal is reported, whatever the outcome for these.
                for number in made {
                    let _ = region::delete(session, &mapped.device, number);
                }
                return Err(failure);
            }
        }
    }
    Ok(made)
}

/// Groups regions that were just made.
fn group_up(
    session: &Session,
    device: &DeviceId,
    request: &Request,
    alias: String,
    mut members: Vec<u64>,
) -> Result<(), Failure> {
    members.sort_unstable();
    let there = region::list(session, device, Some(request.program()))?;
    let first = there.into_iter().find(|region| Some(&region.id) == members.first());
    let mut first = first.ok_or_else(|| Failure::because("Could not create group: its regions went."))?;
    first.group = Some(Group { alias, members });
    region::keep(session, device, &first)
}

/// The first region of a group, and the group.
pub(super) fn find(there: &[Region], group: u64) -> Result<(&Region, &Group), Failure> {
    let first = there.iter().find(|region| region.id == group);
    let found = first.and_then(|first| Some((first, first.group.as_ref()?)));
    found.ok_or_else(|| Failure::because(format_args!("Group ID {group} does not exist.")))
}

/// Updates a group's regions to a file's extents: unchanged ones keep their counters, the others are removed and created.
/// Returns the group's number, which is that of its first region.
pub(super) fn remap(session: &Session, device: &DeviceId, group: u64, extents: &[Extent]) -> Result<u64, Failure> {
    let there = region::list(session, device, None)?;
    let (first, Group { alias, members }) = find(&there, group)?;
    let plan = Plan::of(there.iter().filter(|region| members.contains(&region.id)), extents);
    for number in &plan.gone {
        region::delete(session, device, *number)?;
    }
    let request = Request::like(first);
    let mut now = plan.kept;
    let mut outcome = Ok(());
    for extent in &plan.new {
        match request.region(session, device, extent.start, extent.length) {
            Ok((_, number)) => now.push(number),
            Err(failure) => {
                outcome = Err(failure);
                break;
            }
        }
    }
    now.sort_unstable();
    // The regions so far are a group anyway, so that it can be tried again.
    let Some(leader) = now.first().copied() else {
        return outcome.map(|()| group);
    };
    if leader != group && now.contains(&group) {
        let plain = Region {
            group: None,
            ..first.clone()
        };
        region::keep(session, device, &plain)?;
    }
    let leader_is_new = there.iter().all(|region| region.id != leader) || plan.gone.contains(&leader);
    let mut led = match there.iter().find(|region| region.id == leader) {
        Some(region) if !leader_is_new => region.clone(),
        _ => Region {
            id: leader,
            user_data: String::new(),
            ..first.clone()
        },
    };
    led.group = Some(Group {
        alias: alias.clone(),
        members: now,
    });
    region::keep(session, device, &led)?;
    outcome.map(|()| leader)
}

/// The changes to a group's regions.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    kept: Vec<u64>,
    gone: Vec<u64>,
    new: Vec<Extent>,
}

impl Plan {
    pub(super) fn of<'a>(regions: impl Iterator<Item = &'a Region>, extents: &[Extent]) -> Self {
        let mut plan = Self {
            new: extents.to_vec(),
            ..Self::default()
        };
        for region in regions {
            let same = |extent: &Extent| (extent.start, extent.length) == (region.start, region.length);
            match plan.new.iter().position(same) {
                Some(at) => {
                    plan.new.remove(at);
                    plan.kept.push(region.id);
                }
                None => plan.gone.push(region.id),
            }
        }
        plan
    }

    /// Whether nothing needs to change.
    pub(super) fn is_nothing(&self) -> bool {
        self.gone.is_empty() && self.new.is_empty()
    }
}

fn canonical(word: &OsString) -> Result<PathBuf, Failure> {
    fs::canonicalize(word).map_err(|_| {
        Failure::because(format_args!(
            "Could not canonicalize file name: {}",
            shown(Path::new(word))
        ))
    })
}

/// The name of a file's group: the file's name. The kernel takes one word: separators are mangled.
fn alias_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut alias = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_whitespace() || c.is_control() {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                alias += &format!("\\x{byte:02x}");
            }
        } else {
            alias.push(c);
        }
    }
    alias
}

fn shown(path: &Path) -> String {
    Printable(path.as_os_str().as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(id: u64, start: u64, length: u64) -> Region {
        Region::plain(id, start, length)
    }

    #[test]
    fn what_lies_as_it_did_is_left_alone() {
        let extent = |start, length| Extent { start, length };
        let there = [region(1, 0, 8), region(4, 8, 8), region(5, 100, 8), region(7, 100, 8)];
        let plan = Plan::of(there.iter(), &[extent(100, 8), extent(8, 16), extent(0, 8)]);
        assert_eq!(
            plan,
            Plan {
                kept: vec![1, 5],
                gone: vec![4, 7],
                new: vec![extent(8, 16)]
            }
        );
        assert!(!plan.is_nothing());
        assert!(Plan::of(there[..2].iter(), &[extent(8, 8), extent(0, 8)]).is_nothing());
    }

    #[test]
    fn a_group_is_called_as_its_file_in_one_word() {
        assert_eq!(alias_of(Path::new("/a/b.img")), "b.img");
        assert_eq!(alias_of(Path::new("/a/my file\n")), "my\\x20file\\x0a");
    }
}

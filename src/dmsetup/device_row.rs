//! The fields of a report for one device, found on demand.

use std::cell::OnceCell;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;

use super::error::Failure;
use super::report::{Cell, Id, Row};
use super::session::{About, Session};

use crate::block_device::{self, DevNo};
use crate::dm::{
    DeviceId, DeviceInfo, DeviceName, DeviceUuid, Dm, DmError, Mangling, Printable, Which, nodes, system_text,
};
use crate::mapping::lvm::{self, Parts};
use crate::mapping::{Mapping, Node, Tree};

/// One device.
#[derive(Debug)]
pub(super) struct DeviceRow<'a> {
    session: &'a Session,
    name: DeviceName,
    uuid: Option<DeviceUuid>,
    number: DevNo,
    event_nr: u32,
    tree: Option<&'a Tree>,
    /// Whether the devices that it uses are needed too, so that one request serves both.
    with_deps: bool,
    info: OnceCell<DeviceInfo>,
    deps: OnceCell<Vec<DevNo>>,
}

/// Why a field is unavailable.
#[derive(Debug)]
pub(super) enum Untold {
    /// The device was removed since it was listed.
    Gone,
    /// The lines of the message.
    Because(String),
    /// No field of any device is available.
    Failed(Failure),
}

impl<'a> DeviceRow<'a> {
    /// A device from the list. The kernel is queried further only as needed.
    pub(super) fn listed(session: &'a Session, mapping: &Mapping, tree: Option<&'a Tree>, with_deps: bool) -> Self {
        Self {
            session,
            name: mapping.name.clone(),
            uuid: mapping.uuid.clone(),
            number: mapping.number,
            event_nr: mapping.event_nr,
            tree,
            with_deps,
            info: OnceCell::new(),
            deps: OnceCell::new(),
        }
    }

    /// A device that was named.
    pub(super) fn asked(
        session: &'a Session,
        id: &DeviceId,
        tree: Option<&'a Tree>,
        with_deps: bool,
    ) -> Result<Self, Failure> {
        let (info, deps) = match ask(session.dm()?, session.which(), id, with_deps) {
            Err(error) if error.is_not_found() => Err(Failure::because("Device does not exist.")),
            other => other.about(id),
        }?;
        Ok(Self {
            session,
            name: info.name.clone(),
            uuid: info.uuid.clone(),
            number: info.number,
            event_nr: info.event_nr,
            tree,
            with_deps,
            info: OnceCell::from(info),
            deps: deps.map(OnceCell::from).unwrap_or_default(),
        })
    }

    fn find_out(&self) -> Result<(), Untold> {
        let id = DeviceId::Number(self.number);
        let dm = self.session.dm().map_err(Untold::Failed)?;
        let (info, deps) = ask(dm, self.session.which(), &id, self.with_deps).map_err(|error| {
            if error.is_not_found() {
                Untold::Gone
            } else {
                Untold::Failed(Failure::refused(error, &id))
            }
        })?;
        let _ = self.info.set(info);
        if let Some(deps) = deps {
            let _ = self.deps.set(deps);
        }
        Ok(())
    }

    fn info(&self) -> Result<&DeviceInfo, Untold> {
        if self.info.get().is_none() {
            self.find_out()?;
        }
        self.info.get().ok_or(Untold::Gone)
    }

    fn deps(&self) -> Result<&[DevNo], Untold> {
        if self.deps.get().is_none() {
            self.find_out()?;
        }
        Ok(self.deps.get().map_or(&[], Vec::as_slice))
    }

    fn node(&self) -> Option<&'a Node> {
        self.tree?.by_number(self.number)
    }

    /// The mapped devices in one of the node's lists.
    fn mapped(&self, list: fn(&Node) -> &[usize]) -> Vec<&'a Mapping> {
        let (Some(tree), Some(node)) = (self.tree, self.node()) else {
            return Vec::new();
        };
        let nodes = list(node).iter().map(|place| &tree.nodes()[*place]);
        nodes.filter_map(|node| node.mapping.as_ref()).collect()
    }

    fn shown_uuid(&self, show: impl Fn(&DeviceUuid) -> Vec<u8>) -> Cell {
        Cell::text(self.uuid.as_ref().map(show).unwrap_or_default())
    }

    fn parts(&self) -> Parts {
        lvm::parts(self.name.as_bytes(), self.subsystem())
    }

    fn subsystem(&self) -> &[u8] {
        self.uuid.as_ref().and_then(DeviceUuid::subsystem).unwrap_or_default()
    }

    fn kernel_name(&self) -> Result<Vec<u8>, Untold> {
        let name = self.number.kernel_name().map(String::into_bytes);
        name.ok_or_else(|| Untold::Because(format!("Could not resolve block device name for {}.\n", self.number)))
    }

    fn read_ahead(&self) -> u64 {
        if let Some(sectors) = block_device::read_ahead(self.number) {
            return sectors;
        }
        // A device that never had a table is in no sysfs; its node says why.
        let node = nodes::mapper_dir().join(self.name.as_os_str());
        if let Err(error) = File::open(&node) {
            let text = system_text(Errno::from_raw(error.raw_os_error().unwrap_or_default()));
            self.session.complain(format!(
                "{}: open failed: {text}\n",
                Printable(node.as_os_str().as_bytes())
            ));
        }
        0
    }
}

fn ask(dm: &Dm, which: Which, id: &DeviceId, with_deps: bool) -> Result<(DeviceInfo, Option<Vec<DevNo>>), DmError> {
    if with_deps {
        let (info, deps) = dm.info_and_deps(id, which)?;
        return Ok((info, Some(deps)));
    }
    Ok((dm.info_of_table(id, which)?, None))
}

impl Row<Untold> for DeviceRow<'_> {
    fn cell(&self, id: Id) -> Result<Cell, Untold> {
        let list = |parts: Vec<Vec<u8>>| Cell::text(parts.join(&b","[..]));
        let names = |mappings: Vec<&Mapping>| list(mappings.iter().map(|m| self.session.shown(&m.name)).collect());
        let uses: fn(&Node) -> &[usize] = |node| &node.uses;
        let used_by: fn(&Node) -> &[usize] = |node| &node.used_by;
        Ok(match id {
            Id::Name => Cell::text(self.session.shown(&self.name)),
            Id::MangledName => Cell::text(match DeviceName::mangled(self.name.as_bytes(), Mangling::Auto) {
                Ok(mangled) => mangled.as_bytes().to_vec(),
                // The ambiguous name cannot be resolved.
                Err(_) => self.name.as_bytes().to_vec(),
            }),
            Id::UnmangledName => Cell::text(self.name.unmangled(Mangling::Auto)),
            Id::Uuid => self.shown_uuid(|uuid| uuid.unmangled(self.session.mangling())),
            Id::MangledUuid => self.shown_uuid(|uuid| match DeviceUuid::mangled(uuid.as_bytes(), Mangling::Auto) {
                Ok(mangled) => mangled.as_bytes().to_vec(),
                Err(_) => uuid.as_bytes().to_vec(),
            }),
            Id::UnmangledUuid => self.shown_uuid(|uuid| uuid.unmangled(Mangling::Auto)),
            Id::ReadAhead => Cell::number(self.read_ahead()),
            Id::Blkdevname => Cell::text(self.kernel_name()?),
            Id::Attr => Cell::text(attributes(self.info()?)),
            Id::TablesLoaded => Cell::text(tables(self.info()?)),
            Id::Suspended => Cell::text(if self.info()?.suspended { "Suspended" } else { "Active" }),
            Id::Readonly => Cell::text(if self.info()?.read_only {
                "Read-only"
            } else {
                "Writeable"
            }),
            Id::Devno => Cell::text(self.number.to_string()),
            Id::Major => Cell::number(self.number.major),
            Id::Minor => Cell::number(self.number.minor),
            Id::Open => Cell::number(self.info()?.open_count),
            Id::Segments => Cell::number(self.info()?.target_count),
            Id::Events => Cell::number(self.event_nr),
            Id::DeviceCount => Cell::number(self.deps()?.len() as u64),
            Id::DevnosUsed => list(self.deps()?.iter().map(|dep| dep.to_string().into_bytes()).collect()),
            Id::BlkdevsUsed => {
                let name = |dep: &DevNo| dep.kernel_name().unwrap_or_else(|| dep.to_string()).into_bytes();
                list(self.deps()?.iter().map(name).collect())
            }
            Id::DevsUsed => names(self.mapped(uses)),
            Id::DeviceRefCount => Cell::number(self.mapped(used_by).len() as u64),
            Id::NamesUsingDev => names(self.mapped(used_by)),
            Id::DevnosUsingDev => list(
                self.mapped(used_by)
                    .iter()
                    .map(|m| m.number.to_string().into_bytes())
                    .collect(),
            ),
            Id::Subsystem => Cell::text(self.subsystem()),
            Id::VgName => Cell::text(self.parts().group),
            Id::LvName => Cell::text(self.parts().volume),
            Id::LvLayer => Cell::text(self.parts().layer),
            id => return Err(Untold::Because(no_data(id))),
        })
    }
}

/// dmsetup's message for a field that a report's rows do not have.
pub(super) fn no_data(id: Id) -> String {
    format!("_do_report_object: no data assigned to field {}\n", id.name())
}

fn attributes(info: &DeviceInfo) -> String {
    [
        if info.live_table { 'L' } else { '-' },
        if info.inactive_table { 'I' } else { '-' },
        if info.suspended { 's' } else { '-' },
        if info.read_only { 'r' } else { 'w' },
    ]
    .iter()
    .collect()
}

fn tables(info: &DeviceInfo) -> &'static str {
    match (info.live_table, info.inactive_table) {
        (true, true) => "Both",
        (true, false) => "Live",
        (false, true) => "Inactive",
        (false, false) => "None",
    }
}

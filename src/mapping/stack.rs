//! The stack of devices beyond the device-mapper: file systems and swap above its devices, and below them partitions,
//! disks, RAIDs, loop devices and the files behind those. Only stacks with a mapping in them.

use std::path::PathBuf;

use super::health::{Reason, Thresholds};
use super::{Examined, Mapping, Mappings, Tree};
use crate::block_device::{self, DevNo, Mounts};
use crate::dm::{DeviceId, DeviceUuid, Dm, DmError};

/// All mappings with the layers above and below them.
#[derive(Debug, Default)]
pub struct Stack {
    layers: Vec<Layer>,
}

/// One layer.
#[derive(Debug)]
pub struct Layer {
    /// The kind of layer.
    pub kind: LayerKind,
    /// Its number, where it is a block device.
    pub number: Option<DevNo>,
    /// The layers below it: indices into [`Stack::layers`].
    pub uses: Vec<usize>,
    /// Whether there is a layer above it.
    pub used: bool,
    /// The types of its targets, for a mapping whose UUID does not tell what made it.
    pub targets: Vec<String>,
    /// What is wrong with a mapping.
    pub(crate) reasons: Vec<Reason>,
}

/// The kind of a layer.
#[derive(Debug)]
pub enum LayerKind {
    /// A device of the device-mapper.
    Mapped(Mapping),
    /// A mounted file system.
    FileSystem {
        /// Its type, as the kernel calls it.
        kind: String,
        /// The mount point.
        points: Vec<PathBuf>,
    },
    /// A swap area that is in use.
    Swap,
    /// A partition of a disk.
    Partition,
    /// A loop device.
    Loop,
    /// The file behind a loop device.
    File(PathBuf),
    /// A RAID or the like, made of other devices.
    Made,
    /// A device with nothing below it.
    Disk,
}

/// Whether the UUID says which program made the device.
fn names_maker(uuid: &DeviceUuid) -> bool {
    uuid.subsystem().is_some_and(|subsystem| !subsystem.is_empty())
}

impl Stack {
    /// Queries what every mapping uses, and reads the rest from the system.
    ///
    /// # Errors
    /// The device-mapper's.
    pub fn of(dm: &Dm, mappings: &Mappings) -> Result<Self, DmError> {
        let tree = Tree::of(dm, mappings)?;
        let layers = tree.nodes().iter().map(|node| Layer {
            kind: node.mapping.clone().map_or(LayerKind::Disk, LayerKind::Mapped),
            number: Some(node.number),
            uses: node.uses.clone(),
            used: !node.used_by.is_empty(),
            targets: Vec::new(),
            reasons: Vec::new(),
        });
        let mut stack = Self {
            layers: layers.collect(),
        };
        for layer in &mut stack.layers {
            let LayerKind::Mapped(mapping) = &layer.kind else {
                continue;
            };
            let examined = match Examined::of(dm, &DeviceId::Number(mapping.number), true) {
                // It was removed since it was listed.
                Err(error) if error.is_not_found() => continue,
                examined => examined?,
            };
            if mapping.uuid.as_ref().is_none_or(|uuid| !names_maker(uuid)) {
                layer.targets = examined.kinds();
            }
            layer.reasons = examined.reasons(Thresholds::default());
        }
        stack.dig();
        stack.top();
        Ok(stack)
    }

    /// All layers.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Finds the layers below devices that are not mappings.
    fn dig(&mut self) {
        let mut at = 0;
        while at < self.layers.len() {
            let layer = &self.layers[at];
            if let (LayerKind::Disk, Some(number)) = (&layer.kind, layer.number) {
                let made_of = block_device::made_of(number);
                self.layers[at].kind = if let Some(file) = block_device::loop_backing_file(number) {
                    self.stand(at, Layer::new(LayerKind::File(file), None));
                    LayerKind::Loop
                } else if let Some(disk) = block_device::disk_of_partition(number) {
                    self.stand_on_device(at, disk);
                    LayerKind::Partition
                } else if made_of.is_empty() {
                    LayerKind::Disk
                } else {
                    made_of.into_iter().for_each(|part| self.stand_on_device(at, part));
                    LayerKind::Made
                };
            }
            at += 1;
        }
    }

    fn stand_on_device(&mut self, above: usize, number: DevNo) {
        match self.layers.iter().position(|layer| layer.number == Some(number)) {
            // The kernel allows no cycles, but queries take time, and devices come and go.
            Some(known) if self.reaches(known, above) => {}
            Some(known) => {
                self.layers[above].uses.push(known);
                self.layers[known].used = true;
            }
            None => self.stand(above, Layer::new(LayerKind::Disk, Some(number))),
        }
    }

    fn reaches(&self, from: usize, to: usize) -> bool {
        let mut seen = vec![false; self.layers.len()];
        let mut open = vec![from];
        while let Some(at) = open.pop() {
            if at == to {
                return true;
            }
            if !std::mem::replace(&mut seen[at], true) {
                open.extend(&self.layers[at].uses);
            }
        }
        false
    }

    fn stand(&mut self, above: usize, below: Layer) {
        let place = self.layers.len();
        self.layers[above].uses.push(place);
        self.layers.push(Layer { used: true, ..below });
    }

    /// Adds file systems and swap on top.
    fn top(&mut self) {
        let mounts = Mounts::read();
        for at in 0..self.layers.len() {
            let Some(number) = self.layers[at].number else { continue };
            let mut above = Vec::new();
            let points = mounts.points(number);
            if !points.is_empty() {
                above.push(LayerKind::FileSystem {
                    kind: mounts.kind(number).unwrap_or_default(),
                    points,
                });
            }
            if mounts.is_swap(number) {
                above.push(LayerKind::Swap);
            }
            for kind in above {
                self.layers[at].used = true;
                self.layers.push(Layer {
                    uses: vec![at],
                    ..Layer::new(kind, None)
                });
            }
        }
    }
}

impl Layer {
    fn new(kind: LayerKind, number: Option<DevNo>) -> Self {
        Self {
            kind,
            number,
            uses: Vec::new(),
            used: false,
            targets: Vec::new(),
            reasons: Vec::new(),
        }
    }
}

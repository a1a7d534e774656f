//! The targets of old-style snapshots: snapshot, snapshot-origin, snapshot-merge.

use serde_json::{Map, Value};

use super::record::{Field as _, Fill, Record, Unit, record};
use super::words::Words;
use crate::dm::table::DeviceRef;

record!(Origin {
    origin_device: DeviceRef,
});

record!(Snapshot {
    origin_device: DeviceRef,
    cow_device: DeviceRef,
    /// Whether it outlives a restart.
    persistent: bool,
    chunk_sectors: u64,
    features: Vec<String>,
});

/// How full a snapshot is, or why it cannot be used any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SnapshotState {
    Active {
        snap: Fill,
        metadata_sectors: Option<u64>,
    },
    /// The contents are lost: in the kernel's words.
    Lost(&'static str),
    /// The kernel does not know.
    Unknown,
}

impl Origin {
    pub(super) fn read(words: &mut Words<'_>) -> Option<Self> {
        Some(Self {
            origin_device: words.device()?,
        })
    }
}

impl Snapshot {
    pub(super) fn read(words: &mut Words<'_>) -> Option<Self> {
        Some(Self {
            origin_device: words.device()?,
            cow_device: words.device()?,
            persistent: words.maybe(|word| match word {
                "P" | "PO" => Some(true),
                "N" => Some(false),
                _ => None,
            })?,
            chunk_sectors: words.number()?,
            features: words.list()?,
        })
    }
}

impl SnapshotState {
    pub(super) fn read(words: &mut Words<'_>) -> Option<Self> {
        if let Some((used, total)) = words.ratio() {
            let metadata_sectors = words.number();
            // As lvm2 counts: metadata alone are nothing.
            let used = if metadata_sectors == Some(used) { 0 } else { used };
            return Some(Self::Active {
                snap: Fill::new((used, total), Unit::SECTORS),
                metadata_sectors,
            });
        }
        Some(match words.word()? {
            "Invalid" => Self::Lost("invalid"),
            "Overflow" => Self::Lost("overflow"),
            "Merge" if words.is("failed") => Self::Lost("merge failed"),
            "Unknown" => Self::Unknown,
            _ => return None,
        })
    }
}

impl Record for SnapshotState {
    fn put_all(&self, out: &mut Map<String, Value>) {
        let state = match self {
            Self::Active { .. } => "active",
            Self::Lost(state) => state,
            Self::Unknown => "unknown",
        };
        state.put("state", out);
        if let Self::Active { snap, metadata_sectors } = self {
            snap.put("snap", out);
            // lvm2 shows the same in both columns.
            out.insert("data_percent".into(), snap.percent());
            metadata_sectors.put("metadata_sectors", out);
        }
    }
}

//! The parameters of the targets that have no secrets: linear, striped and the three of snapshots.

use keyslots::units::Sectors;

use super::text::TargetType;
use super::tokenize::{DeviceRef, Params, TableError, Words};

/// A piece of another device: `<device> <offset>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linear {
    /// The device.
    pub device: DeviceRef,
    /// The start of the piece on it.
    pub offset: Sectors,
}

/// Pieces of several devices in turns: `<n> <chunk> [<device> <offset>]…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Striped {
    /// How much is taken from one device before the next one's turn.
    pub chunk: Sectors,
    /// The devices.
    pub stripes: Vec<Stripe>,
}

/// One device of a [`Striped`] target.
pub type Stripe = Linear;

/// A snapshot target of one of three types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Snapshot {
    /// `snapshot-origin <origin>`.
    Origin {
        /// The device whose former contents the snapshots keep.
        origin: DeviceRef,
    },
    /// `snapshot` or `snapshot-merge`, both `<origin> <store> <P|PO|N> <chunk> [<n> <features…>]`.
    Store {
        /// Whether the store is being merged back into the origin.
        merging: bool,
        /// The device whose former contents it keeps.
        origin: DeviceRef,
        /// The device that keeps them.
        store: DeviceRef,
        /// `P`, `PO` or `N`: whether they outlive a restart.
        persistence: String,
        /// The unit of copying.
        chunk: Sectors,
        /// The rest, verbatim.
        features: Vec<String>,
    },
}

impl Linear {
    const TARGET: &str = "linear";

    pub(super) fn parse(params: &[u8]) -> Result<Self, TableError> {
        let mut words = Words::new(Self::TARGET, params);
        let linear = Self::take(&mut words)?;
        words.end()?;
        Ok(linear)
    }

    fn take(words: &mut Words<'_>) -> Result<Self, TableError> {
        Ok(Self {
            device: words.device("device")?,
            offset: words.sectors("offset")?,
        })
    }

    pub(super) fn render(&self, out: &mut Params<'_>) -> Result<(), TableError> {
        out.device(&self.device)?;
        out.number(self.offset.get())
    }
}

impl Striped {
    pub(super) fn parse(params: &[u8]) -> Result<Self, TableError> {
        let mut words = Words::new("striped", params);
        let count: u32 = words.number("number of stripes")?;
        let chunk = words.sectors("chunk size")?;
        let stripes = (0..count).map(|_| Linear::take(&mut words)).collect::<Result<_, _>>()?;
        words.end()?;
        Ok(Self { chunk, stripes })
    }

    pub(super) fn render(&self, out: &mut Params<'_>) -> Result<(), TableError> {
        out.number(self.stripes.len() as u64)?;
        out.number(self.chunk.get())?;
        self.stripes.iter().try_for_each(|stripe| stripe.render(out))
    }
}

impl Snapshot {
    pub(super) fn kind(&self) -> TargetType {
        match self {
            Self::Origin { .. } => TargetType::SNAPSHOT_ORIGIN,
            Self::Store { merging: false, .. } => TargetType::SNAPSHOT,
            Self::Store { merging: true, .. } => TargetType::SNAPSHOT_MERGE,
        }
    }

    pub(super) fn parse(kind: TargetType, params: &[u8]) -> Result<Self, TableError> {
        let mut words = Words::new("snapshot", params);
        let origin = words.device("origin")?;
        if kind == TargetType::SNAPSHOT_ORIGIN {
            words.end()?;
            return Ok(Self::Origin { origin });
        }
        let store = words.device("store")?;
        let persistence = words.text("persistence")?.to_owned();
        let chunk = words.sectors("chunk size")?;
        let mut features = Vec::new();
        while let Some(word) = words.next() {
            features.push(std::str::from_utf8(word).map_err(|_| words.bad("feature"))?.to_owned());
        }
        Ok(Self::Store {
            merging: kind == TargetType::SNAPSHOT_MERGE,
            origin,
            store,
            persistence,
            chunk,
            features,
        })
    }

    pub(super) fn render(&self, out: &mut Params<'_>) -> Result<(), TableError> {
        match self {
            Self::Origin { origin } => out.device(origin),
            Self::Store {
                origin,
                store,
                persistence,
                chunk,
                features,
                ..
            } => {
                out.device(origin)?;
                out.device(store)?;
                out.word(persistence.as_bytes(), "persistence")?;
                out.number(chunk.get())?;
                features
                    .iter()
                    .try_for_each(|feature| out.word(feature.as_bytes(), "feature"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Table, TableText};
    use super::*;

    #[test]
    fn simple_targets_go_there_and_back() {
        for line in [
            "0 8 linear 8:1 63",
            "0 8 linear /dev/mapper/a 0",
            "0 2056320 striped 2 32 8:1 0 8:2 5",
            "0 8 error",
            "0 8 zero",
            "0 8 snapshot-origin 253:4",
            "0 8 snapshot 253:4 253:5 PO 16",
            "0 8 snapshot-merge 253:4 253:5 P 16 1 discard_zeroes_cow",
            "0 8 thin-pool 253:1 253:2 128 0 1 skip_block_zeroing",
        ] {
            let text = TableText::parse(line.as_bytes()).expect(line);
            let again = Table::from_text(&text).and_then(|table| table.to_text()).expect(line);
            let (a, b) = (
                text.lines().next().expect("a line"),
                again.lines().next().expect("a line"),
            );
            assert_eq!((a.kind, a.params), (b.kind, b.params), "{line}");
        }
    }

    #[test]
    fn bad_parameters_are_refused() {
        for line in [
            "0 8 linear",
            "0 8 linear 8:1",
            "0 8 linear 8:1 0 0",
            "0 8 striped 4294967295 8 8:1 0",
            "0 8 striped 1 8",
            "0 8 snapshot-origin",
            "0 8 snapshot 253:4 253:5 P",
        ] {
            let text = TableText::parse(line.as_bytes()).expect(line);
            assert!(
                matches!(Table::from_text(&text), Err(TableError::BadField { .. })),
                "{line}"
            );
        }
    }
}

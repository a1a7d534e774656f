//! "Do these two end on the same bytes?" for open files and devices, tables of the device-mapper included. The walk is
//! [`Ground`]'s; here are the tables.

use std::fs::File;
use std::io;

use keyslots::units::{Bytes, Sectors};

use crate::block_device::{DevNo, Ground, Piece, Pieces};
use crate::dm::table::{DeviceRef, Table, Target};
use crate::dm::{DeviceId, Dm, Which};

/// The devices and files that an open file or device is on.
///
/// # Errors
/// The system's.
pub fn ground(file: &File) -> io::Result<Ground> {
    Ground::of(file, Bytes::ZERO, None, &pieces)
}

/// The same for all of a device, also one that may not be opened.
pub fn ground_of_device(number: DevNo) -> Ground {
    Ground::of_device(number, &pieces)
}

/// The same for a range of it: `length` bytes, or all from `start` on.
///
/// # Errors
/// The system's.
pub fn ground_of_range(file: &File, start: Bytes, length: Option<Bytes>) -> io::Result<Ground> {
    Ground::of(file, start, length, &pieces)
}

/// Whether data written to one can be read from the other.
///
/// # Errors
/// The system's.
pub fn is_same(one: &File, other: &File) -> io::Result<bool> {
    Ok(ground(one)?.overlaps(&ground(other)?))
}

/// Whether a file is on a file system on this device: then it is unreachable while it is needed to open the device.
///
/// # Errors
/// The system's.
pub fn lies_on(file: &File, device: &File) -> io::Result<bool> {
    Ok(Ground::of_file_system(file, &pieces)?.overlaps(&ground(device)?))
}

/// The table of a mapping; `None` without permission to ask the device-mapper.
fn pieces(number: DevNo) -> Option<Pieces> {
    let (_, text) = Dm::open().ok()?.table(&DeviceId::Number(number), Which::Live).ok()?;
    Some(pieces_of(&Table::from_text(&text).ok()?))
}

fn pieces_of(table: &Table) -> Pieces {
    let mut pieces = Pieces {
        exact: Vec::new(),
        complete: true,
        apart: true,
    };
    for line in &table.lines {
        let mut add = |device: &DeviceRef, offset: Sectors, spread: Option<Sectors>| match device.number() {
            Some(device) => pieces.exact.push(Piece {
                start: line.start,
                length: line.length,
                device,
                offset,
                spread,
            }),
            None => (pieces.complete, pieces.apart) = (false, false),
        };
        match &line.target {
            Target::Linear(linear) => add(&linear.device, linear.offset, None),
            Target::Crypt(crypt) => add(&crypt.device, crypt.offset, None),
            Target::Striped(striped) => {
                let count = striped.stripes.len().max(1) as u64;
                let each = Sectors::new(line.length.get().div_ceil(count));
                striped
                    .stripes
                    .iter()
                    .for_each(|stripe| add(&stripe.device, stripe.offset, Some(each)));
            }
            Target::Error | Target::Zero => {}
            Target::Snapshot(_) => pieces.complete = false,
            Target::Other(other) => {
                pieces.complete = false;
                pieces.apart &= other.kind.as_str() == "thin";
            }
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dm::table::TableText;

    #[test]
    fn what_a_table_passes_on() {
        let pieces =
            |text: &[u8]| pieces_of(&Table::from_text(&TableText::parse(text).expect("a table")).expect("a table"));
        let linear = pieces(b"0 10 linear 8:1 384\n10 6 zero");
        assert!(linear.complete);
        let piece = Piece {
            start: Sectors::ZERO,
            length: Sectors::new(10),
            device: DevNo::new(8, 1),
            offset: Sectors::new(384),
            spread: None,
        };
        assert_eq!(linear.exact, [piece]);
        let striped = pieces(b"0 64 striped 2 16 8:1 0 8:17 8");
        assert_eq!(
            striped
                .exact
                .iter()
                .map(|piece| piece.spread.map(Sectors::get))
                .collect::<Vec<_>>(),
            [Some(32), Some(32)]
        );
        for (text, apart) in [
            (b"0 10 snapshot-origin 8:1".as_slice(), true),
            (b"0 10 thin 8:1 5", true),
            (b"0 10 mirror core 1 1024 2 8:1 0 8:17 0", false),
            (b"0 10 thin 8:1 5\n10 10 delay 8:1 0 5", false),
        ] {
            let pieces = pieces(text);
            assert_eq!((pieces.complete, pieces.apart), (false, apart));
        }
    }
}

//! `splitname`: what a device's name says of the program that made it.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;

use super::error::Failure;
use super::options::Opt;
use super::session::Session;

/// The parts of a name that LVM made: volume group, logical volume, layer. A hyphen inside of a part is doubled.
pub(super) fn lvm_parts(name: &[u8]) -> [Vec<u8>; 3] {
    let mut parts: [Vec<u8>; 3] = Default::default();
    let mut part = 0;
    let mut bytes = name.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte != b'-' {
            parts[part].push(byte);
        } else if bytes.peek() == Some(&b'-') {
            bytes.next();
            parts[part].push(b'-');
        } else if part < 2 {
            part += 1;
        } else {
            parts[part].push(b'-');
        }
    }
    parts
}

const HEADINGS: [&str; 3] = ["VG", "LV", "LVLayer"];
const FIELDS: [&str; 3] = ["DM_VG_NAME", "DM_LV_NAME", "DM_LV_LAYER"];

pub(super) fn splitname(session: &Session, words: &[OsString]) -> Result<(), Failure> {
    let [name, subsystem @ ..] = words else {
        return Err(Failure::Arguments);
    };
    let is_lvm = subsystem.first().is_none_or(|subsystem| subsystem == "LVM");
    let parts = if is_lvm {
        lvm_parts(name.as_bytes())
    } else {
        Default::default()
    };
    let options = &session.options;
    let rows = options.has(Opt::Rows);
    let mut out = session.out();
    if options.has(Opt::NamePrefixes) {
        for (i, (field, part)) in FIELDS.iter().zip(&parts).enumerate() {
            let before = if i > 0 && !rows { " " } else { "" };
            write!(out, "{before}{field}='")?;
            out.write_all(part)?;
            write!(out, "'{}", if rows { "\n" } else { "" })?;
        }
        if !rows {
            writeln!(out)?;
        }
        return Ok(());
    }
    let widths: Vec<usize> = HEADINGS.iter().zip(&parts).map(|(h, p)| h.len().max(p.len())).collect();
    let mut line = |cells: [&[u8]; 3]| -> std::io::Result<()> {
        for (i, (cell, width)) in cells.iter().zip(&widths).enumerate() {
            out.write_all(if i > 0 { b" " } else { b"" })?;
            out.write_all(cell)?;
            write!(out, "{:1$}", "", width - cell.len())?;
        }
        writeln!(out)
    };
    if !options.has(Opt::NoHeadings) {
        line(HEADINGS.map(str::as_bytes))?;
    }
    line([&parts[0], &parts[1], &parts[2]])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_lvm_come_apart_at_single_hyphens() {
        for (name, parts) in [
            ("vg-lv", ["vg", "lv", ""]),
            ("vg--a-lv--b-layer", ["vg-a", "lv-b", "layer"]),
            ("vg", ["vg", "", ""]),
            ("", ["", "", ""]),
        ] {
            assert_eq!(
                lvm_parts(name.as_bytes()),
                parts.map(|p| p.as_bytes().to_vec()),
                "{name}"
            );
        }
    }
}

//! Devices on one line: `name,uuid,minor,flags,table line,…;name,…`, with a backslash before each literal comma,
//! semicolon and backslash. `table --concise` writes it, `create --concise` reads it.

use std::io::{self, Write};

use keyslots::secret::Secret;

use super::error::Failure;
use super::naming;
use super::options::Opt;
use super::session::Session;
use super::table::write_line;
use crate::dm::{DeviceInfo, DeviceName, DeviceUuid, Mangling, TableText};

/// Writes one device, after `before` others.
pub(super) fn write(session: &Session, info: &DeviceInfo, table: &TableText, before: usize) -> Result<(), Failure> {
    let mut out = session.out();
    if before > 0 {
        write!(out, ";")?;
    }
    Escaped(&mut *out).write_all(&session.shown(&info.name))?;
    write!(out, ",")?;
    if let Some(uuid) = &info.uuid {
        Escaped(&mut *out).write_all(&session.shown_uuid(uuid))?;
    }
    let flags = if info.read_only { "ro" } else { "rw" };
    write!(out, ",{},{flags}", info.number.minor)?;
    let wanted = session.options.bytes(Opt::Target);
    let with_keys = session.options.has(Opt::ShowKeys);
    for line in table.lines() {
        if wanted.is_none_or(|kind| line.kind.as_bytes() == kind) {
            write!(out, ",")?;
            write_line(&mut Escaped(&mut *out), &line, with_keys)?;
        }
    }
    Ok(())
}

/// Adds the backslashes.
struct Escaped<'a, W>(&'a mut W);

impl<W: Write> Write for Escaped<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for byte in bytes {
            if matches!(byte, b',' | b';' | b'\\') {
                self.0.write_all(b"\\")?;
            }
            self.0.write_all(&[*byte])?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// One device of a concise specification.
#[derive(Debug)]
pub(super) struct Specified {
    pub(super) name: DeviceName,
    pub(super) uuid: Option<DeviceUuid>,
    pub(super) minor: Option<u32>,
    pub(super) read_only: bool,
    /// Line by line.
    pub(super) table: Secret,
}

/// Reads devices.
pub(super) fn parse(text: &[u8], mangling: Mangling) -> Result<Vec<Specified>, Failure> {
    let mut rest = text;
    let mut devices = Vec::new();
    while !rest.trim_ascii().is_empty() {
        let (device, left) = device(rest, mangling)?;
        devices.push(device);
        rest = left;
    }
    Ok(devices)
}

/// Fields in front of the table.
const FIELDS: usize = 4;

fn device(text: &[u8], mangling: Mangling) -> Result<(Specified, &[u8]), Failure> {
    let no_memory = |error: io::Error| Failure::because(format_args!("No memory for the table: {error}"));
    let mut fields = Fields {
        rest: text,
        ended: false,
    };
    let mut head = Vec::with_capacity(FIELDS);
    for _ in 0..FIELDS {
        let Some(field) = fields.next() else {
            return Err(Failure::because(
                "Five comma-separated fields are required for each device",
            ));
        };
        // Blanks before a field are ignored, as in `a; b`.
        head.push(field.map_err(no_memory)?.expose().trim_ascii_start().to_vec());
    }
    let [name, uuid, minor, flags] = head.try_into().unwrap_or_default();
    let mut table = Secret::zeroed(text.len()).map_err(no_memory)?;
    let mut used = 0;
    let mut lines = fields.by_ref().peekable();
    if lines.peek().is_none() {
        return Err(Failure::because(
            "Five comma-separated fields are required for each device",
        ));
    }
    for line in lines {
        let line = line.map_err(no_memory)?;
        // A line and its end are never longer than the field and its comma were.
        table.expose_mut()[used..used + line.len()].copy_from_slice(line.expose());
        used += line.len();
        if used < table.len() {
            table.expose_mut()[used] = b'\n';
            used += 1;
        }
    }
    table.truncate(used);
    let left = fields.rest;
    let name = naming::name(&name, mangling)?;
    let bad = |what: &str| {
        Failure::because(format_args!(
            "Invalid {what} for device {name} in concise specification."
        ))
    };
    let uuid = match uuid.as_slice() {
        [] => None,
        uuid => Some(naming::uuid(uuid, mangling)?),
    };
    let minor = match std::str::from_utf8(minor.trim_ascii()).map_err(|_| bad("minor number"))? {
        "" => None,
        minor => Some(
            super::options::digits(minor)
                .filter(|minor| *minor < 1 << 20)
                .ok_or_else(|| bad("minor number"))?,
        ),
    };
    let read_only = match flags.trim_ascii() {
        b"" | b"rw" => false,
        b"ro" => true,
        flags => {
            return Err(Failure::because(format_args!(
                "Invalid flags parameter '{}' must be 'ro' or 'rw' or empty.",
                flags.escape_ascii()
            )));
        }
    };
    let specified = Specified {
        name,
        uuid,
        minor,
        read_only,
        table,
    };
    Ok((specified, left))
}

/// The fields of one device, without their backslashes. A semicolon ends them.
struct Fields<'a> {
    rest: &'a [u8],
    ended: bool,
}

impl Iterator for Fields<'_> {
    type Item = io::Result<Secret>;

    fn next(&mut self) -> Option<io::Result<Secret>> {
        if self.ended {
            return None;
        }
        let mut end = 0;
        while let Some(byte) = self.rest.get(end) {
            match byte {
                b',' | b';' => break,
                b'\\' => end += 2,
                _ => end += 1,
            }
        }
        let end = end.min(self.rest.len());
        let field = unescaped(&self.rest[..end]);
        self.ended = self.rest.get(end) != Some(&b',');
        self.rest = self.rest.get(end + 1..).unwrap_or(&[]);
        Some(field)
    }
}

fn unescaped(field: &[u8]) -> io::Result<Secret> {
    let mut plain = Secret::zeroed(field.len())?;
    let mut used = 0;
    let mut bytes = field.iter();
    while let Some(byte) = bytes.next() {
        let byte = if *byte == b'\\' {
            bytes.next().unwrap_or(byte)
        } else {
            byte
        };
        plain.expose_mut()[used] = *byte;
        used += 1;
    }
    plain.truncate(used);
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<Specified> {
        parse(text.as_bytes(), Mangling::Auto).expect(text)
    }

    #[test]
    fn devices_are_read_field_by_field() {
        let devices = parsed("one,,,,0 100 linear 253:1 0,100 100 error;two,UUID,7,ro,0 1 error");
        assert_eq!(devices.len(), 2);
        assert_eq!(devices[0].name.to_string(), "one");
        assert_eq!((devices[0].minor, devices[0].read_only), (None, false));
        assert_eq!(devices[0].table.expose(), b"0 100 linear 253:1 0\n100 100 error\n");
        assert_eq!(
            devices[1].uuid.as_ref().map(ToString::to_string),
            Some("UUID".to_owned())
        );
        assert_eq!((devices[1].minor, devices[1].read_only), (Some(7), true));
        assert!(parsed("x,,,rw,")[0].table.expose().trim_ascii().is_empty());
        assert_eq!(parsed("x , , 8 ,rw,0 1 zero")[0].name.to_string(), r"x\x20");
        assert_eq!(parsed(r"a\,b\;c,,,,0 1 zero")[0].name.to_string(), r"a\x2cb\x3bc");
    }

    #[test]
    fn what_is_none_is_refused() {
        for bad in [
            ",,,,0 1 zero",
            "a",
            "a,,,rw",
            "a,,x,,",
            "a,,-1,,",
            "a,,,wo,0 1 zero",
            "a,,1048576,,",
        ] {
            assert!(parse(bad.as_bytes(), Mangling::Auto).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_text_is_too_odd_to_be_read_or_refused() {
        let letters = br"a,;\ 01r\xw";
        for seed in 0..3_000_u64 {
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let text: Vec<u8> = (0..seed % 40)
                .map(|_| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    letters[(state % letters.len() as u64) as usize]
                })
                .collect();
            let devices = parse(&text, Mangling::Auto).unwrap_or_default();
            assert!(devices.len() <= text.len());
        }
    }

    #[test]
    fn backslashes_go_in_and_out() {
        let mut text = Vec::new();
        Escaped(&mut text).write_all(br"a,b;c\d").expect("memory");
        assert_eq!(text, br"a\,b\;c\\d");
        assert_eq!(unescaped(&text).expect("memory").expose(), br"a,b;c\d");
    }
}

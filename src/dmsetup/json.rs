//! `--json`, under our own name alone: the answer of a verb as one object in the envelope of [`crate::console::envelope`], in
//! place of its text. The members of `result` are listed in `man/luksmith-dm.8`.
//!
//! Tables go straight from memory that is wiped into output that is wiped: with `--showkeys` there are keys in them.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::error::Failure;
use crate::console::ExitCode;
use crate::console::{SCHEMA_VERSION, json_text};
use crate::dm::{DeviceInfo, TableText};
use crate::mapping::describe;
use crate::terminal_text::acts;

/// The largest number that every reader of JSON handles exactly.
const LARGEST: u64 = 1 << 53;

/// The answer of a verb so far.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// The verb, as in `dm stats list`.
    command: String,
    members: Map<String, Value>,
    tables: Vec<Tables>,
}

/// A device and its targets, or their status.
#[derive(Debug)]
pub(super) struct Tables {
    pub(super) info: DeviceInfo,
    pub(super) table: TableText,
    /// The text after a target's type: its parameters, its status.
    pub(super) texts: &'static str,
    pub(super) with_keys: bool,
    /// The only type of target that was requested.
    pub(super) wanted: Option<Vec<u8>>,
}

impl Answer {
    pub(super) fn name(&mut self, command: String) {
        self.command = command;
    }

    /// Takes the answer; later members belong to the same command.
    pub(super) fn take(&mut self) -> Self {
        let command = self.command.clone();
        std::mem::replace(
            self,
            Self {
                command,
                ..Self::default()
            },
        )
    }

    pub(super) fn put(&mut self, member: &str, value: Value) {
        self.members.insert(member.into(), value);
    }

    /// The array of that name, which exists from now on.
    pub(super) fn list(&mut self, member: &str) -> &mut Vec<Value> {
        let list = self.members.entry(member).or_insert_with(|| Value::Array(Vec::new()));
        if !list.is_array() {
            *list = Value::Array(Vec::new());
        }
        list.as_array_mut().expect("it was just made one")
    }

    pub(super) fn add_tables(&mut self, tables: Tables) {
        self.tables.push(tables);
    }
}

/// A number, as a decimal string if it is too large for some readers.
pub(super) fn number(number: u64) -> Value {
    if number > LARGEST {
        number.to_string().into()
    } else {
        number.into()
    }
}

/// Writes the object, and begins another. An invalid command line is reported on standard error alone.
pub(super) fn write(out: &mut impl Write, answer: Answer, outcome: Result<(), &Failure>) -> io::Result<()> {
    let error = match outcome {
        Ok(()) => None,
        Err(failure) => match failure.message() {
            Some(message) => Some(json!({
                "code": ExitCode::Failure.number(),
                "reason": ExitCode::Failure.text(),
                "message": message.trim_end(),
            })),
            None => return Ok(()),
        },
    };
    let head = json!({ "schema_version": SCHEMA_VERSION, "command": answer.command }).to_string();
    out.write_all(json_text(head.trim_end_matches('}')).as_bytes())?;
    if let Some(error) = &error {
        write!(out, ",\"error\":{}", json_text(&error.to_string()))?;
    }
    if error.is_none() || !answer.members.is_empty() || !answer.tables.is_empty() {
        write!(out, ",\"result\":")?;
        write_result(out, answer)?;
    }
    out.write_all(b"}\n")?;
    out.flush()
}

fn write_result(out: &mut impl Write, answer: Answer) -> io::Result<()> {
    let text = json_text(&Value::Object(answer.members).to_string());
    if answer.tables.is_empty() {
        return out.write_all(text.as_bytes());
    }
    out.write_all(b"{\"devices\":[")?;
    for (n, tables) in answer.tables.iter().enumerate() {
        if n > 0 {
            out.write_all(b",")?;
        }
        tables.write(out)?;
    }
    out.write_all(b"]}")
}

impl Tables {
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        open_object(out, &Value::Object(describe::device(&self.info)))?;
        out.write_all(b",\"targets\":[")?;
        let wanted = self.wanted.as_deref();
        let lines = self
            .table
            .lines()
            .filter(|line| wanted.is_none_or(|kind| line.kind.as_bytes() == kind));
        for (n, line) in lines.enumerate() {
            if n > 0 {
                out.write_all(b",")?;
            }
            open_object(out, &describe::target(&line))?;
            write!(out, ",\"{}\":", self.texts)?;
            if self.with_keys {
                write_string(out, line.params)?;
            } else {
                write_string(out, &line.shown())?;
            }
            out.write_all(b"}")?;
        }
        out.write_all(b"]}")
    }
}

/// An object that has members and will get more.
fn open_object(out: &mut impl Write, value: &Value) -> io::Result<()> {
    let text = json_text(&value.to_string());
    out.write_all(text.strip_suffix('}').unwrap_or(&text).as_bytes())
}

/// A text in JSON form, byte by byte: no copy of it is made. Invalid UTF-8 is replaced.
fn write_string(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    out.write_all(b"\"")?;
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => write!(out, "\\{c}")?,
                c if acts(c) => write!(out, "\\u{:04x}", u32::from(c))?,
                c => out.write_all(c.encode_utf8(&mut [0; 4]).as_bytes())?,
            }
        }
        if !chunk.invalid().is_empty() {
            out.write_all("\u{fffd}".as_bytes())?;
        }
    }
    out.write_all(b"\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_is_a_string() {
        for bytes in [
            b"plain".as_slice(),
            b"",
            b"a\"b\\c\nd\x1b[2J\x7f",
            "\u{9b}31m ü€😀 \u{2028}".as_bytes(),
            b"\xff\xfeabc\xc3",
        ] {
            let mut out = Vec::new();
            write_string(&mut out, bytes).expect("memory");
            let text = String::from_utf8(out).expect("text");
            assert!(!text.chars().any(acts), "{text:?}");
            let read: String = serde_json::from_str(&text).expect("a string");
            assert_eq!(read, String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn large_numbers_are_strings() {
        assert_eq!(number(1 << 53), json!(9_007_199_254_740_992_u64));
        assert_eq!(number((1 << 53) + 1), json!("9007199254740993"));
    }
}

//! The JSON form of every command's answer.
//!
//! With `--json` standard output holds exactly one object and a new line, whether the command succeeded or failed; only
//! an invalid command line is reported on standard error alone:
//!
//! ```json
//! {"schema_version":1,"command":"luksUUID","result":{"uuid":"…"}}
//! {"schema_version":1,"command":"open","error":{"code":2,"reason":"no permission or bad passphrase",
//!  "message":"No key available with this passphrase.","remedy":"…"}}
//! ```
//!
//! `command` is the current name of the action, even if an older one was typed; `result` is an object that depends on the
//! action, empty where there is nothing to show; `remedy` may be missing, and `note` (who holds a device) is there only at
//! times, as is `result` beside an `error` (the volumes of `unlock`, the findings of `doctor`). Members are added without
//! notice; where one changes its meaning or is removed, `schema_version` grows. Numbers above 2⁵³ are decimal strings.

use std::fmt::Write as _;

use crate::terminal_text::acts;

/// Grows when a member of the JSON output changes its meaning or is removed.
pub const SCHEMA_VERSION: u32 = 1;

/// JSON text in which characters are escaped too that JSON allows but a terminal acts on. They occur in strings alone, and
/// none needs two units of UTF-16.
pub fn json_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if acts(c) && !c.is_ascii_whitespace() {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

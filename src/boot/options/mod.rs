//! The fourth field of crypttab(5): every option in Debian's and systemd's manual pages. An unknown one is a warning, as
//! with both of them; so is one with an invalid value, which is then ignored.

use std::time::Duration;

use keyslots::units::{Bytes, Sectors};

use super::crypttab::unescape;
use super::source::Place;
use crate::slot_names::SlotRef;

/// The format of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// LUKS of either version.
    Luks,
    /// dm-crypt without a header.
    Plain,
    /// A format of another system, by its option's name, which Luksmith cannot open.
    Foreign(&'static str),
}

/// The visibility of typed characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Echo {
    /// As it is typed.
    Plain,
    /// A star for each character; the systemd agent's choice.
    #[default]
    Masked,
    /// Nothing.
    Silent,
}

/// The options of one volume. `None` is for the reader's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    missing_docs,
    reason = "each is an option of crypttab(5) of the same name"
)]
pub struct VolumeOptions {
    pub kind: Option<Kind>,
    pub cipher: Option<String>,
    pub hash: Option<String>,
    /// Length of the volume key in bits, for plain volumes.
    pub size: Option<u32>,
    pub sector_size: Option<u32>,
    pub offset: Option<Sectors>,
    pub skip: Option<Sectors>,
    pub keyfile_offset: Option<Bytes>,
    pub keyfile_size: Option<Bytes>,
    pub keyfile_timeout: Option<Duration>,
    pub keyfile_erase: bool,
    pub key_slot: Option<SlotRef>,
    pub header: Option<Place>,
    pub verify: bool,
    pub read_only: bool,
    pub discard: bool,
    pub same_cpu_crypt: bool,
    pub submit_from_crypt_cpus: bool,
    pub no_read_workqueue: bool,
    pub no_write_workqueue: bool,
    /// The number of passphrase tries; 0 is no limit.
    pub tries: Option<u32>,
    /// The time that a person may take; zero is for ever.
    pub timeout: Option<Duration>,
    /// The time that the device may take to appear; zero is for ever.
    pub device_timeout: Option<Duration>,
    pub swap: bool,
    /// The type of the file system to make.
    pub tmp: Option<String>,
    pub check: Option<String>,
    pub checkargs: Option<String>,
    pub initramfs: bool,
    pub noauto: bool,
    pub nofail: bool,
    pub quiet: bool,
    pub keyscript: Option<String>,
    pub password_echo: Echo,
    pub headless: bool,
    pub try_empty_password: bool,
    /// Name and value of each option as it was given, for the environment of a key script; aliases by their first name.
    pub given: Vec<(String, String)>,
}

/// Options in both manual pages that do not concern an unlocker: they are about other programs, or about when it is
/// called.
const OF_OTHERS: &[&str] = &[
    "_netdev",
    "noearly",
    "loud",
    "x-initrd.attach",
    "auto",
    "password-cache",
    "luks-2",
];
/// systemd's ways to a key through a device of its own. A prompt for the passphrase replaces them.
const TOKENS: &[&str] = &[
    "fido2-device",
    "fido2-cid",
    "fido2-rp",
    "fido2-pin",
    "fido2-up",
    "fido2-uv",
    "tpm2-device",
    "tpm2-pcrs",
    "tpm2-pin",
    "tpm2-signature",
    "tpm2-pcrlock",
    "tpm2-measure-pcr",
    "tpm2-measure-bank",
    "tpm2-measure-keyslot-nvpcr",
    "pkcs11-uri",
    "token-timeout",
    "link-volume-key",
    "fixate-volume-key",
];
/// Options of formats that cannot be opened, without a meaning for the others.
const OF_FOREIGN: &[&str] = &[
    "tcrypt-keyfile",
    "tcrypt-hidden",
    "tcrypthidden",
    "tcrypt-system",
    "tcrypt-veracrypt",
    "veracrypt",
    "veracrypt-pim",
    "veracrypt-query-pim",
];
/// The names under which a key script finds an option with several names.
const ALIASES: &[(&str, &str)] = &[
    ("key-slot", "keyslot"),
    ("read-only", "readonly"),
    ("tcrypt-hidden", "tcrypthidden"),
    ("tcrypt-veracrypt", "veracrypt"),
];

impl VolumeOptions {
    /// Parses a list separated by commas, and adds a warning for each invalid part. `\\054` and the like are decoded in each
    /// option, as in Debian: a comma that is written so separates nothing.
    pub fn parse(list: &str, warnings: &mut Vec<String>) -> Self {
        let mut options = Self::default();
        for word in list.split(',').filter(|word| !word.is_empty()) {
            if matches!(word, "none" | "defaults" | "-") {
                continue;
            }
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (unescape(name), Some(unescape(value))),
                None => (unescape(word), None),
            };
            let (name, value) = (name.as_str(), value.as_deref());
            match options.set(name, value) {
                Ok(()) => {
                    let first = ALIASES.iter().find(|(alias, _)| *alias == name);
                    let first = first.map_or(name, |(_, first)| first);
                    options
                        .given
                        .push((first.to_owned(), value.unwrap_or("yes").to_owned()));
                }
                Err(problem) => warnings.push(problem.text(name, value)),
            }
        }
        options
    }

    fn set(&mut self, name: &str, value: Option<&str>) -> Result<(), Problem> {
        match name {
            "cipher" => self.cipher = Some(text(value)?),
            "hash" => self.hash = Some(text(value)?),
            "size" => self.size = Some(number(value)?),
            "sector-size" => {
                let size: u32 = number(value)?;
                if !matches!(size, 512 | 1024 | 2048 | 4096) {
                    return Err(Problem::Value);
                }
                self.sector_size = Some(size);
            }
            "offset" => self.offset = Some(Sectors::new(number(value)?)),
            "skip" => self.skip = Some(Sectors::new(number(value)?)),
            "keyfile-offset" => self.keyfile_offset = Some(Bytes::new(number(value)?)),
            "keyfile-size" => self.keyfile_size = Some(Bytes::new(number(value)?)),
            "keyfile-timeout" => self.keyfile_timeout = span(value)?,
            "keyfile-erase" => self.keyfile_erase = boolean(value)?,
            "keyslot" | "key-slot" => {
                self.key_slot = Some(value.and_then(SlotRef::parse).ok_or(Problem::Value)?);
            }
            "header" => self.header = Some(Place::parse(&text(value)?)),
            "verify" => self.verify = boolean(value)?,
            "readonly" | "read-only" => self.read_only = boolean(value)?,
            "discard" | "allow-discards" => self.discard = boolean(value)?,
            "same-cpu-crypt" | "perf-same_cpu_crypt" => self.same_cpu_crypt = boolean(value)?,
            "submit-from-crypt-cpus" | "perf-submit_from_crypt_cpus" => self.submit_from_crypt_cpus = boolean(value)?,
            "no-read-workqueue" | "perf-no_read_workqueue" => self.no_read_workqueue = boolean(value)?,
            "no-write-workqueue" | "perf-no_write_workqueue" => self.no_write_workqueue = boolean(value)?,
            "tries" => self.tries = Some(number(value)?),
            "timeout" => self.timeout = span(value)?,
            "x-systemd.device-timeout" => self.device_timeout = span(value)?,
            "luks" => self.kind = Some(Kind::Luks),
            "plain" => self.kind = Some(Kind::Plain),
            "tcrypt" => self.kind = Some(Kind::Foreign("tcrypt")),
            "bitlk" => self.kind = Some(Kind::Foreign("bitlk")),
            "fvault2" => self.kind = Some(Kind::Foreign("fvault2")),
            "swap" => self.swap = boolean(value)?,
            "tmp" => self.tmp = Some(value.filter(|value| !value.is_empty()).unwrap_or("ext4").to_owned()),
            "check" => self.check = Some(value.unwrap_or("blkid").to_owned()),
            "checkargs" => self.checkargs = Some(text(value)?),
            "initramfs" => self.initramfs = boolean(value)?,
            "noauto" => self.noauto = boolean(value)?,
            "nofail" => self.nofail = boolean(value)?,
            "quiet" => self.quiet = boolean(value)?,
            "keyscript" => self.keyscript = Some(text(value)?),
            "password-echo" => {
                self.password_echo = match value {
                    Some("masked") | None => Echo::Masked,
                    Some(_) if boolean(value)? => Echo::Plain,
                    Some(_) => Echo::Silent,
                }
            }
            "headless" => self.headless = boolean(value)?,
            "try-empty-password" => self.try_empty_password = boolean(value)?,
            "loud" => self.quiet = false,
            _ if OF_OTHERS.contains(&name) || OF_FOREIGN.contains(&name) || name.starts_with("x-systemd.") => {}
            _ if TOKENS.contains(&name) => return Err(Problem::Token),
            _ => return Err(Problem::Unknown),
        }
        Ok(())
    }
}

/// Why an option is invalid.
enum Problem {
    Unknown,
    Value,
    Token,
}

impl Problem {
    fn text(&self, name: &str, value: Option<&str>) -> String {
        match (self, value) {
            (Self::Unknown, _) => format!("unknown option '{name}' is ignored"),
            (Self::Token, _) => format!("option '{name}' is ignored: the volume is unlocked by passphrase or key file"),
            (Self::Value, Some(value)) => format!("option '{name}' cannot be '{value}', and is ignored"),
            (Self::Value, None) => format!("option '{name}' needs a value, and is ignored"),
        }
    }
}

fn text(value: Option<&str>) -> Result<String, Problem> {
    value
        .filter(|value| !value.is_empty())
        .map(str::to_owned)
        .ok_or(Problem::Value)
}

fn number<T: std::str::FromStr>(value: Option<&str>) -> Result<T, Problem> {
    let digits = value.filter(|value| value.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|digits| digits.parse().ok()).ok_or(Problem::Value)
}

/// A flag, or a boolean in systemd's syntax.
fn boolean(value: Option<&str>) -> Result<bool, Problem> {
    match value {
        None | Some("1" | "yes" | "y" | "true" | "t" | "on") => Ok(true),
        Some("0" | "no" | "n" | "false" | "f" | "off") => Ok(false),
        Some(_) => Err(Problem::Value),
    }
}

/// A time in the syntax of systemd.time(7). Zero and `infinity` are for ever, which is `Some(0)`.
fn span(value: Option<&str>) -> Result<Option<Duration>, Problem> {
    let value = value.ok_or(Problem::Value)?;
    if value == "infinity" {
        return Ok(Some(Duration::ZERO));
    }
    duration(value).map(Some).ok_or(Problem::Value)
}

/// `90`, `90s`, `1min30s`, `1min 30s`, `500ms`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let letters = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let micros: u64 = match &rest[..letters] {
            "" | "s" | "sec" | "second" | "seconds" => 1_000_000,
            "us" | "usec" => 1,
            "ms" | "msec" => 1_000,
            "m" | "min" | "minute" | "minutes" => 60_000_000,
            "h" | "hr" | "hour" | "hours" => 3_600_000_000,
            "d" | "day" | "days" => 86_400_000_000,
            _ => return None,
        };
        rest = rest[letters..].trim_start();
        total = total.checked_add(Duration::from_micros(number.checked_mul(micros)?))?;
    }
    Some(total)
}

#[cfg(test)]
mod tests;

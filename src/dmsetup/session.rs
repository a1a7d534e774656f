//! The context of every verb: the options, the device-mapper, the output, and the named device.

use std::cell::{OnceCell, RefCell, RefMut};
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde_json::Value;

use super::error::Failure;
use super::json::{self, Answer, Tables};
use super::options::{Opt, Options};
use super::output::Output;
use super::{naming, shared_cookie};
use crate::block_device;
use crate::dm::udev::{NoUdev, UdevFlags, UdevMode};
use crate::dm::{DeviceId, DeviceName, DeviceUuid, Dm, DmError, Mangling, Printable, Which};
use crate::mapping::{self, LookupError, Mappings};

/// One run of a verb.
#[derive(Debug)]
pub(super) struct Session {
    /// The parsed command line.
    pub(super) options: Options,
    /// Whether `stats` is implied, as for dmstats.
    pub(super) as_dmstats: bool,
    dm: OnceCell<Dm>,
    out: RefCell<Output>,
    /// The answer of `--json`; `None` if the answer is text.
    answer: Option<RefCell<Answer>>,
}

impl Session {
    pub(super) fn new(options: Options) -> io::Result<Self> {
        Ok(Self {
            as_dmstats: false,
            dm: OnceCell::new(),
            out: RefCell::new(Output::new()?),
            answer: options.has(Opt::Json).then(RefCell::default),
            options,
        })
    }

    /// Whether the answer is JSON: no text goes to standard output then.
    pub(super) fn json(&self) -> bool {
        self.answer.is_some()
    }

    /// The name of the command in the JSON answer.
    pub(super) fn name_command(&self, name: impl FnOnce() -> String) {
        if let Some(answer) = &self.answer {
            answer.borrow_mut().name(name());
        }
    }

    /// A member of the JSON answer.
    pub(super) fn tell(&self, member: &str, value: impl FnOnce() -> Value) {
        if let Some(answer) = &self.answer {
            answer.borrow_mut().put(member, value());
        }
    }

    /// Adds an entry to a member that is an array; without entries, the array is empty.
    pub(super) fn tell_each(&self, member: &str, values: impl IntoIterator<Item = Value>) {
        if let Some(answer) = &self.answer {
            answer.borrow_mut().list(member).extend(values);
        }
    }

    /// Adds a device with its targets.
    pub(super) fn tell_tables(&self, tables: Tables) {
        if let Some(answer) = &self.answer {
            answer.borrow_mut().add_tables(tables);
        }
    }

    /// Writes the answer, and begins another; the command continues under its name.
    pub(super) fn write_answer(&self, outcome: Result<(), &Failure>) -> io::Result<()> {
        match &self.answer {
            Some(answer) => json::write(&mut *self.out(), answer.borrow_mut().take(), outcome),
            None => Ok(()),
        }
    }

    /// Writes text, unless the answer is JSON.
    pub(super) fn say(&self, text: impl AsRef<[u8]>) -> io::Result<()> {
        if self.json() {
            return Ok(());
        }
        self.out().write_all(text.as_ref())
    }

    /// The device-mapper, opened when it is first needed.
    pub(super) fn dm(&self) -> Result<&Dm, Failure> {
        if let Some(dm) = self.dm.get() {
            return Ok(dm);
        }
        let mut dm = Dm::open().map_err(Failure::Unreachable)?;
        let mut policy = dm.udev_policy();
        if let (Some(key), UdevMode::Sync | UdevMode::Shared(_)) = (self.options.cookie, policy.mode) {
            policy.mode = UdevMode::Shared(key);
        }
        if self.options.has(Opt::NoUdevSync) && !matches!(policy.mode, UdevMode::Off(_)) {
            policy.mode = UdevMode::Off(NoUdev::NotWanted);
        }
        // udev's record of the device; the node is checked in any case.
        if self.options.has(Opt::VerifyUdev) {
            policy.flags = UdevFlags::default();
        }
        if self.options.has(Opt::NoUdevRules) {
            policy = policy.with_flags(UdevFlags::DISABLE_DM_RULES);
        }
        dm.set_udev_policy(policy);
        Ok(self.dm.get_or_init(|| dm))
    }

    /// The device-mapper for a change with a uevent: a shared cookie must exist.
    pub(super) fn changing(&self) -> Result<&Dm, Failure> {
        let dm = self.dm()?;
        if let UdevMode::Shared(key) = dm.udev_policy().mode {
            shared_cookie::known(key)?;
        }
        Ok(dm)
    }

    /// Standard output.
    pub(super) fn out(&self) -> RefMut<'_, Output> {
        self.out.borrow_mut()
    }

    /// Writes to standard error, after the output so far. If that is closed, there is nothing left to do.
    pub(super) fn complain(&self, text: impl AsRef<[u8]>) {
        let _ = self.out().flush();
        let _ = io::stderr().write_all(text.as_ref());
    }

    /// Flushes the output.
    pub(super) fn finish(&self) -> io::Result<()> {
        match self.out().flush() {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(()),
        }
    }

    pub(super) fn mangling(&self) -> Mangling {
        self.options.mangling
    }

    /// The table that is requested.
    pub(super) fn which(&self) -> Which {
        if self.options.has(Opt::Inactive) {
            Which::Inactive
        } else {
            Which::Live
        }
    }

    /// A name as a user would type it, less the characters that a terminal would act on.
    pub(super) fn shown(&self, name: &DeviceName) -> Vec<u8> {
        Printable(&name.unmangled(self.mangling())).to_string().into_bytes()
    }

    /// A UUID in the same form.
    pub(super) fn shown_uuid(&self, uuid: &DeviceUuid) -> Vec<u8> {
        Printable(&uuid.unmangled(self.mangling())).to_string().into_bytes()
    }

    /// The device that an argument names, or else the one that `-u` or `-j -m` does.
    pub(super) fn device(&self, word: Option<&OsString>) -> Result<DeviceId, Failure> {
        if let Some(word) = word {
            return self.named(word);
        }
        if let Some(uuid) = self.options.bytes(Opt::Uuid) {
            return Ok(DeviceId::Uuid(self.uuid(uuid)?));
        }
        match self.options.number {
            Some(number) => Ok(DeviceId::Number(number)),
            None => Err(Failure::because("No device specified.")),
        }
    }

    /// All devices.
    pub(super) fn all(&self) -> Result<Mappings, Failure> {
        Mappings::enumerate(self.dm()?).map_err(Failure::refused_for_all)
    }

    /// Whether `-u` or `-j -m` names a device.
    pub(super) fn has_device_option(&self) -> bool {
        self.options.has(Opt::Uuid) || self.options.number.is_some()
    }

    /// The device that an argument names, by name or path.
    pub(super) fn named(&self, word: &OsStr) -> Result<DeviceId, Failure> {
        if !word.as_bytes().contains(&b'/') {
            return Ok(DeviceId::Name(self.new_name(word)?));
        }
        let text = word.to_string_lossy();
        let id = mapping::resolve(&text, self.mangling()).map_err(|error| match error {
            LookupError::NotMapped { path } => {
                let path = Path::new(&path);
                let shown = if path.exists() { path.file_name() } else { None };
                Failure::because(format_args!(
                    "Device {} not found",
                    Printable(shown.unwrap_or(path.as_os_str()).as_bytes())
                ))
            }
            LookupError::Name(error) => Failure::because(error),
        })?;
        // By its name, for the messages.
        let DeviceId::Number(number) = id else { return Ok(id) };
        let name = block_device::dm_name_and_uuid(number).and_then(|(name, _)| DeviceName::new(name).ok());
        Ok(name.map_or(id, DeviceId::Name))
    }

    /// A name as it was typed, for a device that need not exist.
    pub(super) fn new_name(&self, word: &OsStr) -> Result<DeviceName, Failure> {
        naming::name(word.as_bytes(), self.mangling())
    }

    /// A UUID as it was typed.
    pub(super) fn uuid(&self, typed: &[u8]) -> Result<DeviceUuid, Failure> {
        naming::uuid(typed, self.mangling())
    }

    /// Every device that arguments, `-u` or `-j -m` name; an empty list for all.
    pub(super) fn devices(&self, words: &[OsString]) -> Result<Vec<DeviceId>, Failure> {
        if !words.is_empty() {
            return words.iter().map(|word| self.named(word)).collect();
        }
        if self.has_device_option() {
            return Ok(vec![self.device(None)?]);
        }
        Ok(Vec::new())
    }
}

/// Adds the device to a refusal of the kernel.
pub(super) trait About<T> {
    fn about(self, device: &DeviceId) -> Result<T, Failure>;
}

impl<T> About<T> for Result<T, DmError> {
    fn about(self, device: &DeviceId) -> Result<T, Failure> {
        self.map_err(|error| Failure::refused(error, device))
    }
}

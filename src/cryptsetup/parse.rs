//! From the words of a command line to an [`Invocation`], or to an error.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::actions::{DeviceType, Verb};
use super::error::CliError;
use super::flags::defs::Options;
use super::flags::{self, Flag};
use super::request::{Action, Invocation, Spoken, TokenAction};
use super::rules;
use super::usage::UsageError;
use super::values::{ANY_TOKEN, SlotRef, ValueError};
use crate::console::ExitCode;
use crate::console::Persona;

/// The request of a command line.
#[derive(Debug)]
pub enum Request {
    /// An action, past every check of its options and the number of its arguments.
    Run(Box<Checked>),
    /// Help, for one action if one was named.
    Help(Option<Verb>),
    /// The short list of options.
    Usage,
    /// The version.
    Version,
}

/// A command line whose options are known, so that errors from here on can be reported in the requested form.
#[derive(Debug)]
pub struct Checked {
    spoken: Spoken,
    options: Options,
    /// `None` if `--type` is unknown.
    device_type: Option<DeviceType>,
}

impl Checked {
    /// The action's name.
    pub fn verb(&self) -> Verb {
        self.spoken.verb
    }

    /// The options.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Warnings for the user.
    pub fn note(&self) -> Option<&'static str> {
        let twice = matches!(self.spoken.verb, Verb::Format | Verb::RemoveKey)
            && self.spoken.arguments.len() > 1
            && !self.options.key_file.is_empty();
        twice.then_some("Option --key-file takes precedence over specified key file argument.")
    }

    /// cryptsetup's error for an unknown type: it is not a type of LUKS, so that no device has it; but it is ignored
    /// where nothing depends on a type. `erase` refuses it in any case, as it may be mistyped.
    fn without_type(&self, persona: Persona) -> Result<DeviceType, CliError> {
        let unknown = UsageError::UnknownType(self.options.device_type.clone().unwrap_or_default());
        match self.spoken.verb {
            _ if persona == Persona::Luksmith => Err(unknown.into()),
            Verb::IsLuks | Verb::Uuid => Err(CliError::Silent(ExitCode::Failure)),
            Verb::Dump | Verb::AddKey | Verb::KillSlot | Verb::RemoveKey | Verb::ChangeKey => Err(CliError::NotLuks {
                device: self.spoken.arguments.first().map(PathBuf::from).unwrap_or_default(),
                kind: "LUKS",
            }),
            Verb::Open | Verb::Format | Verb::Repair | Verb::Resume | Verb::Erase | Verb::Reencrypt => {
                Err(unknown.into())
            }
            _ => Ok(DeviceType::Luks),
        }
    }

    /// Parses the arguments.
    ///
    /// # Errors
    /// If they do not fit the action.
    pub fn invocation(self, persona: Persona) -> Result<Invocation, CliError> {
        let verb = self.spoken.verb;
        let device_type = match self.device_type {
            Some(device_type) => device_type,
            None => self.without_type(persona)?,
        };
        let action = action(persona, self.spoken, &self.options, device_type)?;
        Ok(Invocation {
            verb,
            action,
            options: self.options,
        })
    }
}

/// Parses a command line, without the program's name.
///
/// # Errors
/// If no action accepts it.
pub fn parse(persona: Persona, words: &[OsString]) -> Result<Request, UsageError> {
    Reader::default().parse(persona, words)
}

/// The parser: laying out the options takes longer than reading a line, so that a caller with many lines (a fuzzer) does
/// it once.
#[derive(Debug, Default)]
pub struct Reader {
    options: Option<clap::Command>,
    /// The same for lines whose errors do not matter.
    tolerant: Option<clap::Command>,
}

impl Reader {
    /// As [`parse`].
    ///
    /// # Errors
    /// If no action accepts it.
    pub fn parse(&mut self, persona: Persona, words: &[OsString]) -> Result<Request, UsageError> {
        match self.read(words) {
            Ok(read) => request(persona, read),
            Err(error) if error.kind() == ErrorKind::DisplayHelp => Ok(Request::Help(self.named_action(words))),
            Err(error) if error.kind() == ErrorKind::DisplayVersion => Ok(Request::Version),
            Err(error) => Err(usage_error(&error, words)),
        }
    }

    /// The options, and the entries of those that were typed. If none was, the many are not examined: for a short command
    /// that would take longer than all the rest.
    fn read(&mut self, words: &[OsString]) -> Result<Read, clap::Error> {
        if !words.iter().any(|word| word.as_encoded_bytes().starts_with(b"-")) {
            let arguments = words.to_vec();
            let options = Options {
                arguments,
                ..Options::default()
            };
            return Ok((options, Vec::new()));
        }
        let command = self.options.get_or_insert_with(flags::command);
        Ok(flags::read(command.try_get_matches_from_mut(words)?))
    }

    /// The action in a line that asks for help, even if the rest of the line is invalid.
    fn named_action(&mut self, words: &[OsString]) -> Option<Verb> {
        let words = words
            .iter()
            .filter(|word| !["--help", "-?"].iter().any(|help| word == help));
        let tolerant = self
            .tolerant
            .get_or_insert_with(|| flags::command().ignore_errors(true));
        let (options, _) = flags::read(tolerant.try_get_matches_from_mut(words).ok()?);
        let first = options.arguments.into_iter().next()?;
        // The arguments do not matter here, only their number.
        let padding = [OsString::new(), OsString::new()];
        Spoken::from_arguments(std::iter::once(first).chain(padding).collect())
            .ok()
            .map(|spoken| spoken.verb)
    }
}

/// What was typed, and the entries of the options in it.
type Read = (Options, Vec<&'static Flag>);

fn request(persona: Persona, (mut options, mut typed): Read) -> Result<Request, UsageError> {
    if options.usage {
        return Ok(Request::Usage);
    }
    settle(persona, &mut options)?;
    let spoken = Spoken::from_arguments(std::mem::take(&mut options.arguments))?;
    // `--all` replaces every name.
    if spoken.verb == Verb::Close && spoken.arguments.is_empty() && !options.all {
        return Err(UsageError::Arguments(spoken.verb));
    }
    if let Some(option) = typed.iter().find(|flag| !flag.is_taken(persona, spoken.verb)) {
        return Err(UsageError::NotAllowed {
            option,
            verb: spoken.verb,
        });
    }
    options.refresh |= spoken.refresh;
    if spoken.verb == Verb::Format {
        // An empty type counts as missing to cryptsetup here.
        options.device_type = options.device_type.take().filter(|name| !name.is_empty());
    }
    let named = options.device_type.as_deref();
    let device_type = match (spoken.device_type, named.map(DeviceType::from_name)) {
        // `luksOpen --type luks2` narrows down; otherwise the older name wins.
        (Some(DeviceType::Luks), Some(Some(luks))) if luks.is_luks() => Some(luks),
        (Some(spoken), _) => Some(spoken),
        (None, Some(named)) => named,
        (None, None) => Some(DeviceType::Luks),
    };
    typed.retain(|flag| match flag.long {
        "key-size" => options.key_size.is_some(),
        "token-id" => options.token_id.is_some(),
        _ => true,
    });
    rules::check(persona, &spoken, &options, &typed, device_type)?;
    if persona == Persona::Luksmith && spoken.arguments.len() > spoken.verb.info().most {
        return Err(UsageError::TooManyArguments(spoken.verb));
    }
    Ok(Request::Run(Box::new(Checked {
        spoken,
        options,
        device_type,
    })))
}

/// Drops values that mean "not given"; for cryptsetup's checks, a keyslot's name is not a number.
fn settle(persona: Persona, options: &mut Options) -> Result<(), UsageError> {
    options.key_size = options.key_size.filter(|size| size.bits() > 0);
    options.token_id = options.token_id.filter(|&token| token != ANY_TOKEN);
    let slots = [("key-slot", &options.key_slot), ("new-key-slot", &options.new_key_slot)];
    for (option, slot) in slots {
        if let (Persona::Cryptsetup, Some(SlotRef::Name(name))) = (persona, slot) {
            return Err(UsageError::Value {
                option: option.into(),
                value: name.clone(),
                error: ValueError::Number,
            });
        }
    }
    Ok(())
}

/// Translates the parser's error into cryptsetup's terms.
fn usage_error(error: &clap::Error, words: &[OsString]) -> UsageError {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    };
    let invalid = text(ContextKind::InvalidArg);
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<ValueError>());
    match (error.kind(), source) {
        (_, Some(value_error)) => UsageError::Value {
            option: option_name(&invalid).to_owned(),
            value: text(ContextKind::InvalidValue),
            error: *value_error,
        },
        (ErrorKind::InvalidUtf8, _) => UsageError::NotUtf8,
        (ErrorKind::TooManyValues, _) => UsageError::NoValueTaken(as_typed(&invalid, words)),
        (ErrorKind::InvalidValue, _) => UsageError::MissingValue(
            words
                .last()
                .map(|word| word.to_string_lossy().into_owned())
                .unwrap_or_default(),
        ),
        _ => UsageError::UnknownOption(as_typed(&invalid, words)),
    }
}

/// `tries` from `--tries <INT>`.
fn option_name(invalid: &str) -> &str {
    invalid
        .trim_start_matches('-')
        .split([' ', '='])
        .next()
        .unwrap_or_default()
}

/// The whole word that contained an option: `--nosuch=3` for `--nosuch`, `-qz` for `-z`.
fn as_typed(invalid: &str, words: &[OsString]) -> String {
    let name = option_name(invalid);
    let holds = |word: &str| match word.strip_prefix("--") {
        Some(long) => invalid.starts_with("--") && long.split('=').next() == Some(name),
        None => word.starts_with('-') && !invalid.starts_with("--") && word.contains(name),
    };
    let words = words
        .iter()
        .take_while(|word| *word != "--")
        .map(|word| word.to_string_lossy());
    words
        .into_iter()
        .find(|word| holds(word))
        .map_or_else(|| invalid.to_owned(), |word| word.into_owned())
}

fn action(persona: Persona, spoken: Spoken, options: &Options, device_type: DeviceType) -> Result<Action, CliError> {
    let mut arguments = spoken.arguments.into_iter();
    let mut next = || arguments.next();
    // The number of arguments was checked against the action's row.
    let first = next().unwrap_or_default();
    let device = device_path(&first);
    let name = || text(&first);
    Ok(match spoken.verb {
        Verb::Open if options.refresh => {
            let (name, device) = match next() {
                Some(name) => (text(&name)?, Some(device)),
                None => (name()?, None),
            };
            let given = spoken.device_type.is_some() || options.device_type.is_some();
            Action::Refresh {
                name,
                device,
                device_type: given.then_some(device_type),
            }
        }
        Verb::Open => {
            let name = next().map(|name| text(&name)).transpose()?;
            if name.is_none() && !options.test_passphrase {
                return Err(CliError::NameMissing);
            }
            Action::Open {
                device,
                name,
                device_type,
            }
        }
        Verb::Close if options.all => Action::CloseAll,
        Verb::Close => Action::Close { name: name()? },
        Verb::Unlock => {
            let names = std::iter::once(first.clone()).chain(std::iter::from_fn(&mut next));
            let names = names.filter(|name| !name.is_empty()).map(|name| text(&name));
            Action::Unlock {
                names: names.collect::<Result<_, _>>()?,
            }
        }
        Verb::Answer => Action::Answer,
        Verb::Doctor => Action::Doctor,
        Verb::Resize => Action::Resize { name: name()? },
        Verb::Status => Action::Status { name: name()? },
        Verb::List => Action::List,
        Verb::Info | Verb::Deps | Verb::Table => {
            let typed = Some(&first).filter(|first| !first.is_empty()).cloned();
            let devices = typed.into_iter().chain(arguments).map(|word| text(&word));
            let devices = devices.collect::<Result<_, _>>()?;
            match spoken.verb {
                Verb::Info => Action::Info { devices },
                Verb::Deps => Action::Deps { devices },
                _ => Action::Table { devices },
            }
        }
        Verb::Tree => Action::Tree,
        Verb::Benchmark => Action::Benchmark,
        Verb::Repair => Action::Repair { device },
        Verb::Reencrypt => Action::Reencrypt {
            device: (!first.is_empty()).then_some(device),
            name: next().map(|name| text(&name)).transpose()?,
        },
        Verb::Erase => Action::Erase { device },
        Verb::Convert => match device_type {
            DeviceType::Luks1 | DeviceType::Luks2 => Action::Convert {
                device,
                to: device_type,
            },
            _ => return Err(CliError::ConversionTarget),
        },
        Verb::Config => Action::Config { device },
        Verb::Format => {
            let device_type = match device_type {
                DeviceType::Luks | DeviceType::Luks2 => DeviceType::Luks2,
                DeviceType::Luks1 => DeviceType::Luks1,
                _ => return Err(UsageError::UnknownType(options.device_type.clone().unwrap_or_default()).into()),
            };
            Action::Format {
                device,
                key_file: key_file(options, next()),
                device_type,
            }
        }
        Verb::AddKey => Action::AddKey {
            device,
            // As with cryptsetup, and not as with --key-file.
            new_key_file: next().map(Into::into).or(options.new_keyfile.clone()),
        },
        Verb::RemoveKey => Action::RemoveKey {
            device,
            key_file: key_file(options, next()),
        },
        Verb::ChangeKey => Action::ChangeKey {
            device,
            new_key_file: next().map(Into::into),
        },
        Verb::ConvertKey => Action::ConvertKey {
            device,
            // cryptsetup ignores a second argument.
            key_file: key_file(options, next().filter(|_| persona == Persona::Luksmith)),
        },
        Verb::KillSlot => {
            let slot = text(&next().unwrap_or_default())?;
            let slot = slot.parse().map_err(|error| UsageError::Value {
                option: "key-slot".into(),
                value: slot,
                error,
            })?;
            Action::KillSlot { device, slot }
        }
        Verb::Uuid => Action::Uuid { device },
        Verb::Cat => Action::Cat { device },
        Verb::Write => Action::Write {
            device,
            file: next().map(Into::into),
        },
        Verb::Image => Action::Image {
            source: device,
            target: device_path(&next().unwrap_or_default()),
        },
        Verb::IsLuks if next().is_some() => return Err(CliError::OneDevice),
        Verb::IsLuks => Action::IsLuks { device, device_type },
        Verb::Dump => Action::Dump { device },
        Verb::TcryptDump => Action::TcryptDump { device },
        Verb::BitlkDump => Action::BitlkDump { device },
        Verb::Fvault2Dump => Action::Fvault2Dump { device },
        Verb::Suspend => Action::Suspend { name: name()? },
        Verb::Resume => Action::Resume { name: name()? },
        Verb::HeaderBackup => Action::HeaderBackup {
            device,
            file: backup_file(options)?,
        },
        Verb::HeaderRestore => Action::HeaderRestore {
            device,
            file: backup_file(options)?,
        },
        Verb::Token => Action::Token {
            device: device_path(&next().unwrap_or_default()),
            action: token(&first, options)?,
        },
    })
}

fn token(action: &OsStr, options: &Options) -> Result<TokenAction, CliError> {
    const INVALID: UsageError = UsageError::Rule("Invalid token action.");
    let token = || options.token_id.ok_or(INVALID);
    Ok(match action.to_str() {
        Some("add") => TokenAction::Add {
            key_description: options.key_description.clone().ok_or(INVALID)?,
        },
        Some("remove") => TokenAction::Remove { token: token()? },
        Some("import") => TokenAction::Import,
        Some("export") => TokenAction::Export { token: token()? },
        Some("unassign") => TokenAction::Unassign {
            token: token()?,
            slot: options.key_slot.clone().ok_or(INVALID)?,
        },
        _ => return Err(INVALID.into()),
    })
}

/// `--key-file` if given, otherwise the argument.
fn key_file(options: &Options, argument: Option<OsString>) -> Option<PathBuf> {
    options.key_file.first().cloned().or(argument.map(Into::into))
}

fn backup_file(options: &Options) -> Result<PathBuf, CliError> {
    options.header_backup_file.clone().ok_or(CliError::BackupFileMissing)
}

fn text(argument: &OsStr) -> Result<String, CliError> {
    argument
        .to_str()
        .map(str::to_owned)
        .ok_or_else(|| UsageError::NotUtf8.into())
}

/// A device as named on the command line: a path, or a tag as in fstab(5), for which udev keeps links.
fn device_path(argument: &OsStr) -> PathBuf {
    const TAGS: [(&str, &str); 5] = [
        ("UUID=", "by-uuid"),
        ("PARTUUID=", "by-partuuid"),
        ("LABEL=", "by-label"),
        ("PARTLABEL=", "by-partlabel"),
        ("ID=", "by-id"),
    ];
    let tagged = argument.to_str().and_then(|text| {
        TAGS.iter()
            .find_map(|(tag, folder)| Some((*folder, text.strip_prefix(tag)?.trim_matches('"'))))
    });
    match tagged {
        Some((folder, value)) if folder.ends_with("uuid") => {
            PathBuf::from(format!("/dev/disk/{folder}/{}", value.to_ascii_lowercase()))
        }
        Some((folder, value)) => PathBuf::from(format!("/dev/disk/{folder}/{value}")),
        None => argument.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_options_is_read_alike_either_way() {
        for line in ["", "list", "status name", "open device name"] {
            let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
            let (quick, none) = Reader::default().read(&words).expect("words");
            assert!(none.is_empty());
            let matches = flags::command().try_get_matches_from(&words).expect("words");
            let (thorough, none) = flags::read(matches);
            assert!(none.is_empty());
            assert_eq!(format!("{quick:?}"), format!("{thorough:?}"));
        }
    }
}

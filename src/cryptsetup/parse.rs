//! From the words of a command line to an [`Invocation`], or to an error.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::actions::{DeviceType, VERBS, Verb};
use super::error::CliError;
use super::flags::defs::Options;
use super::flags::{Flag, parser};
use super::request::{Invocation, ParsedArgs};
use super::usage::UsageError;
use super::values::{ANY_TOKEN, SlotRef, ValueError};
use super::{arguments, rules};
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
    parsed: ParsedArgs,
    options: Options,
    /// `None` if `--type` is unknown.
    device_type: Option<DeviceType>,
}

impl Checked {
    /// The action's name.
    pub fn verb(&self) -> Verb {
        self.parsed.verb
    }

    /// The options.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Warnings for the user.
    pub fn note(&self) -> Option<&'static str> {
        let twice = matches!(self.parsed.verb, Verb::Format | Verb::RemoveKey)
            && self.parsed.arguments.len() > 1
            && !self.options.key_file.is_empty();
        twice.then_some("Option --key-file takes precedence over specified key file argument.")
    }

    /// cryptsetup's error for an unknown type: it is not a type of LUKS, so that no device has it; but it is ignored
    /// where nothing depends on a type. `erase` refuses it in any case, as it may be mistyped.
    fn without_type(&self, persona: Persona) -> Result<DeviceType, CliError> {
        let unknown = UsageError::UnknownType(self.options.device_type.clone().unwrap_or_default());
        match self.parsed.verb {
            _ if persona == Persona::Luksmith => Err(unknown.into()),
            Verb::IsLuks | Verb::Uuid => Err(CliError::Silent(ExitCode::Failure)),
            Verb::Dump | Verb::AddKey | Verb::KillSlot | Verb::RemoveKey | Verb::ChangeKey => Err(CliError::NotLuks {
                device: self.parsed.arguments.first().map(PathBuf::from).unwrap_or_default(),
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
        let verb = self.parsed.verb;
        let device_type = match self.device_type {
            Some(device_type) => device_type,
            None => self.without_type(persona)?,
        };
        let action = arguments::action(persona, self.parsed, &self.options, device_type)?;
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

/// The action of a command line, even if the rest of the line is invalid.
pub fn action(words: &[OsString]) -> Option<Verb> {
    let first = || words.iter().find(|word| !word.as_encoded_bytes().starts_with(b"-"));
    let named = || VERBS.iter().find(|info| first().is_some_and(|word| word == info.name));
    let action = Reader::default().named_action(words);
    action.or_else(|| named().map(|info| info.verb))
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
        let command = self.options.get_or_insert_with(parser::command);
        Ok(parser::read(command.try_get_matches_from_mut(words)?))
    }

    /// The action in a line that asks for help, even if the rest of the line is invalid.
    fn named_action(&mut self, words: &[OsString]) -> Option<Verb> {
        let words = words
            .iter()
            .filter(|word| !["--help", "-?"].iter().any(|help| word == help));
        let tolerant = self
            .tolerant
            .get_or_insert_with(|| parser::command().ignore_errors(true));
        let (options, _) = parser::read(tolerant.try_get_matches_from_mut(words).ok()?);
        let first = options.arguments.into_iter().next()?;
        // The arguments do not matter here, only their number.
        let padding = [OsString::new(), OsString::new()];
        ParsedArgs::from_arguments(std::iter::once(first).chain(padding).collect())
            .ok()
            .map(|parsed| parsed.verb)
    }
}

/// What was typed, and the entries of the options in it.
type Read = (Options, Vec<&'static Flag>);

fn request(persona: Persona, (mut options, mut typed): Read) -> Result<Request, UsageError> {
    if options.usage {
        return Ok(Request::Usage);
    }
    settle(persona, &mut options)?;
    let parsed = ParsedArgs::from_arguments(std::mem::take(&mut options.arguments))?;
    // `--all` replaces every name.
    if parsed.verb == Verb::Close && parsed.arguments.is_empty() && !options.all {
        return Err(UsageError::Arguments(parsed.verb));
    }
    if let Some(option) = typed.iter().find(|flag| !flag.is_taken(persona, parsed.verb)) {
        return Err(UsageError::NotAllowed {
            option,
            verb: parsed.verb,
        });
    }
    options.refresh |= parsed.refresh;
    if parsed.verb == Verb::Format {
        // An empty type counts as missing to cryptsetup here.
        options.device_type = options.device_type.take().filter(|name| !name.is_empty());
    }
    let named = options.device_type.as_deref();
    let device_type = match (parsed.device_type, named.map(DeviceType::from_name)) {
        // `luksOpen --type luks2` narrows down; otherwise the older name wins.
        (Some(DeviceType::Luks), Some(Some(luks))) if luks.is_luks() => Some(luks),
        (Some(parsed), _) => Some(parsed),
        (None, Some(named)) => named,
        (None, None) => Some(DeviceType::Luks),
    };
    typed.retain(|flag| match flag.long {
        "key-size" => options.key_size.is_some(),
        "token-id" => options.token_id.is_some(),
        _ => true,
    });
    rules::check(persona, &parsed, &options, &typed, device_type)?;
    if persona == Persona::Luksmith && parsed.arguments.len() > parsed.verb.info().most {
        return Err(UsageError::TooManyArguments(parsed.verb));
    }
    Ok(Request::Run(Box::new(Checked {
        parsed,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_options_is_read_alike_either_way() {
        for line in ["", "list", "status name", "open device name"] {
            let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
            let (quick, none) = Reader::default().read(&words).expect("words");
            assert!(none.is_empty());
            let matches = parser::command().try_get_matches_from(&words).expect("words");
            let (thorough, none) = parser::read(matches);
            assert!(none.is_empty());
            assert_eq!(format!("{quick:?}"), format!("{thorough:?}"));
        }
    }
}

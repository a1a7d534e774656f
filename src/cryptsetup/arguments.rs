//! From the arguments of an action to the [`Action`].

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::actions::{DeviceType, Verb};
use super::error::CliError;
use super::flags::defs::Options;
use super::request::{Action, ParsedArgs, TokenAction};
use super::usage::UsageError;
use crate::console::Persona;

/// The action with its arguments, whose number was checked.
pub(super) fn action(
    persona: Persona,
    parsed: ParsedArgs,
    options: &Options,
    device_type: DeviceType,
) -> Result<Action, CliError> {
    let mut arguments = parsed.arguments.into_iter();
    let mut next = || arguments.next();
    // The number of arguments was checked against the action's row.
    let first = next().unwrap_or_default();
    let device = device_path(&first);
    let name = || text(&first);
    Ok(match parsed.verb {
        Verb::Open if options.refresh => {
            let (name, device) = match next() {
                Some(name) => (text(&name)?, Some(device)),
                None => (name()?, None),
            };
            let given = parsed.device_type.is_some() || options.device_type.is_some();
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
        Verb::Info | Verb::Deps | Verb::Table | Verb::Check => {
            let typed = Some(&first).filter(|first| !first.is_empty()).cloned();
            let devices = typed.into_iter().chain(arguments).map(|word| text(&word));
            let devices = devices.collect::<Result<_, _>>()?;
            match parsed.verb {
                Verb::Info => Action::Info { devices },
                Verb::Deps => Action::Deps { devices },
                Verb::Check => Action::Check { devices },
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

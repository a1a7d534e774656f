//! The parser of a command line, made from the entries.

use std::ffi::{OsStr, OsString};

use clap::builder::TypedValueParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::defs::{FLAGS, Options};
use super::{Flag, OURS, Set};

/// The name of the words that are not options.
const ARGUMENTS: &str = "arguments";

/// The parser of the command line, without help texts.
pub(in crate::cryptsetup) fn command() -> Command {
    let arguments = Arg::new(ARGUMENTS)
        .num_args(1..)
        .action(ArgAction::Append)
        .value_name("ARGUMENT")
        .value_parser(clap::value_parser!(OsString));
    Command::new("luksmith")
        .version(env!("CARGO_PKG_VERSION"))
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .args_override_self(true)
        .override_help(" ")
        .args(FLAGS.iter().map(arg))
        .arg(arguments)
}

/// What was typed, and the entries of the options in it.
pub(in crate::cryptsetup) fn read(mut matches: ArgMatches) -> (Options, Vec<&'static Flag>) {
    let mut options = Options::default();
    let typed = |flag: &&Flag| matches.value_source(flag.long) == Some(ValueSource::CommandLine);
    let typed: Vec<&Flag> = FLAGS.iter().filter(typed).collect();
    let mut values = |name| matches.remove_many::<OsString>(name).into_iter().flatten();
    for flag in &typed {
        match flag.set {
            Set::Switch(set) => set(&mut options),
            Set::Path(set) => values(flag.long).for_each(|value| set(&mut options, value.into())),
            Set::Text(set) => {
                for value in values(flag.long) {
                    let text = value.to_str().expect("the parser has checked it");
                    set(&mut options, text).expect("the parser has checked it");
                }
            }
        }
    }
    options.arguments = values(ARGUMENTS).collect();
    (options, typed)
}

/// The option for the parser.
pub(in crate::cryptsetup) fn arg(flag: &'static Flag) -> Arg {
    let mut arg = Arg::new(flag.long).long(flag.long).action(flag.action.clone());
    if flag.ours {
        arg = arg.help_heading(OURS);
    }
    if let Some(short) = flag.short {
        arg = arg.short(short);
    }
    if let Some(alias) = flag.alias {
        arg = arg.alias(alias);
    }
    match flag.value {
        Some(name) => arg
            .value_name(name)
            .allow_hyphen_values(true)
            .value_parser(ValueParser(flag)),
        None => arg,
    }
}

/// The parser of an option's value. It only checks the value, so that of several mistakes the first on the line is
/// reported: [`read`] stores it.
#[derive(Clone)]
struct ValueParser(&'static Flag);

impl TypedValueParser for ValueParser {
    type Value = OsString;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<OsString, clap::Error> {
        match self.0.set {
            Set::Text(set) => {
                let check = move |text: &str| set(&mut Options::default(), text).map(|()| OsString::from(text));
                check.parse_ref(command, arg, value)
            }
            Set::Switch(_) | Set::Path(_) => Ok(value.to_owned()),
        }
    }
}

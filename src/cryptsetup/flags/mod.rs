//! The options of the command line for volumes. [`defs`] has one entry for each; this is the form of an entry, and what
//! parsing, checks, help, manual pages and completions ask of it.

pub mod defs;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::builder::TypedValueParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use self::defs::{FLAGS, Options};
use super::actions::{DeviceType, VERBS, Verb, VerbInfo};
use super::values::ValueError;
use crate::console::Persona;

/// Heading of the options that cryptsetup does not have.
pub const OURS: &str = "Luksmith's own options";

/// The name of the words that are not options.
const ARGUMENTS: &str = "arguments";

/// A set of actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verbs(u64);

impl Verbs {
    const NONE: Self = Self(0);
    const ALL: Self = Self(u64::MAX);

    const fn and(self, verbs: &[Verb]) -> Self {
        let (mut bits, mut n) = (self.0, 0);
        while n < verbs.len() {
            bits |= 1 << verbs[n] as u32;
            n += 1;
        }
        Self(bits)
    }

    const fn has(self, verb: Verb) -> bool {
        self.0 & 1 << verb as u32 != 0
    }
}

/// An option.
#[derive(Debug)]
pub struct Flag {
    /// The long name, without dashes.
    pub long: &'static str,
    /// The short name.
    pub short: Option<char>,
    /// An older long name.
    pub alias: Option<&'static str>,
    /// What its value is called, if it takes one.
    pub value: Option<&'static str>,
    /// Whether cryptsetup does not have it.
    pub ours: bool,
    /// Whether what it asks for is always refused: help and manual pages under our own name do not show it.
    pub refused: bool,
    help: &'static str,
    /// The only action that it is for, where the list of all options has to say so.
    only_with: Option<&'static str>,
    senses: &'static [For],
    /// The actions that use it under either name.
    used: Verbs,
    /// Further actions that use it under our own name; cryptsetup refuses it there.
    own: Verbs,
    /// Actions with which cryptsetup takes it, and which do not use it here.
    idle: Verbs,
    /// Whether cryptsetup ignores it with the other actions; it refuses it otherwise.
    lax: bool,
    pub(super) rules: &'static [Rule],
    action: ArgAction,
    set: Set,
}

/// What an option means for some actions, where that differs from its usual meaning.
#[derive(Clone, Copy, Debug)]
enum For {
    /// Another description.
    Help(&'static [Verb], &'static str),
    /// Another name, or unit, of its value.
    Value(&'static [Verb], &'static str),
}

/// How an option gets into [`Options`].
#[derive(Clone, Copy, Debug)]
enum Set {
    Switch(fn(&mut Options)),
    Text(fn(&mut Options, &str) -> Result<(), ValueError>),
    /// A path may be empty: opening it then fails with an error of its own.
    Path(fn(&mut Options, PathBuf)),
}

/// When an option is refused for the sake of the others: the place in cryptsetup's order of checks (of several messages, the
/// lowest is shown), the condition, and the message. From [`Rule::OWN`] on, rules hold under our own name only.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule(pub(super) u8, pub(super) fn(&Case<'_>) -> bool, pub(super) &'static str);

impl Rule {
    /// The first rule that cryptsetup does not have: it ignores these options, and here they would do nothing.
    pub(super) const OWN: u8 = 100;
}

/// The input of a rule.
#[derive(Debug)]
pub(super) struct Case<'a> {
    pub(super) verb: Verb,
    /// The type of volume for `open`; `None` if `--type` is unknown.
    pub(super) device_type: Option<DeviceType>,
    pub(super) options: &'a Options,
    /// The first argument, which names a token action.
    pub(super) first: &'a str,
}

impl Case<'_> {
    fn opens_other_than(&self, types: &[DeviceType]) -> bool {
        self.verb == Verb::Open && !self.device_type.is_some_and(|device_type| types.contains(&device_type))
    }

    /// Whether a new mapping is for another type than these.
    fn maps_other_than(&self, types: &[DeviceType]) -> bool {
        !self.options.refresh && self.opens_other_than(types)
    }

    /// Whether the data are read or written without a mapping.
    fn is_unmapped(&self) -> bool {
        matches!(self.verb, Verb::Cat | Verb::Write)
    }

    /// Whether the volume is a plain one.
    fn is_plain(&self) -> bool {
        let named = || self.options.device_type.as_deref().and_then(DeviceType::from_name);
        self.verb == Verb::Open && self.device_type == Some(DeviceType::Plain)
            || self.is_unmapped() && named() == Some(DeviceType::Plain)
    }

    fn maps_luks(&self) -> bool {
        self.verb == Verb::Open && !self.options.refresh && self.device_type.is_some_and(DeviceType::is_luks)
    }

    /// Whether it is this action on tokens.
    pub(super) fn is_token(&self, action: &str) -> bool {
        self.verb == Verb::Token && self.first == action
    }

    fn makes_luks1(&self) -> bool {
        self.verb == Verb::Format && self.device_type == Some(DeviceType::Luks1)
    }
}

/// An option that every action takes, without a value, until the entry says otherwise.
const fn flag(long: &'static str) -> Flag {
    Flag {
        long,
        short: None,
        alias: None,
        value: None,
        ours: false,
        refused: false,
        help: "",
        only_with: None,
        senses: &[],
        used: Verbs::ALL,
        own: Verbs::NONE,
        idle: Verbs::NONE,
        lax: true,
        rules: &[],
        action: ArgAction::SetTrue,
        set: Set::Switch(|_| {}),
    }
}

/// The parts of an entry.
impl Flag {
    const fn short(mut self, short: char) -> Self {
        self.short = Some(short);
        self
    }

    const fn alias(mut self, alias: &'static str) -> Self {
        self.alias = Some(alias);
        self
    }

    const fn value(mut self, name: &'static str) -> Self {
        self.value = Some(name);
        self.action = ArgAction::Set;
        self
    }

    const fn ours(mut self) -> Self {
        self.ours = true;
        self
    }

    const fn refused(mut self) -> Self {
        self.refused = true;
        self
    }

    /// For these actions. cryptsetup refuses it with any other.
    const fn only(mut self, verbs: &[Verb]) -> Self {
        self.used = Verbs::NONE.and(verbs);
        self.lax = false;
        self
    }

    /// For these actions. cryptsetup ignores it with any other; under our own name it is refused, since an option without
    /// effect is a misunderstanding.
    const fn lax(mut self, verbs: &[Verb]) -> Self {
        self.used = Verbs::NONE.and(verbs);
        self
    }

    /// For these actions too.
    const fn and(mut self, verbs: &[Verb]) -> Self {
        self.used = self.used.and(verbs);
        self
    }

    const fn own(mut self, verbs: &[Verb]) -> Self {
        self.own = Verbs::NONE.and(verbs);
        self
    }

    const fn idle(mut self, verbs: &[Verb]) -> Self {
        self.idle = Verbs::NONE.and(verbs);
        self
    }

    const fn only_with(mut self, action: &'static str) -> Self {
        self.only_with = Some(action);
        self
    }

    const fn senses(mut self, senses: &'static [For]) -> Self {
        self.senses = senses;
        self
    }

    const fn rules(mut self, rules: &'static [Rule]) -> Self {
        self.rules = rules;
        self
    }

    const fn action(mut self, action: ArgAction) -> Self {
        self.action = action;
        self
    }
}

impl Flag {
    /// Whether every action takes it.
    pub fn is_common(&self) -> bool {
        self.used == Verbs::ALL
    }

    /// Whether `verb` makes use of it.
    pub fn is_used(&self, verb: Verb) -> bool {
        self.used.has(verb) || self.own.has(verb)
    }

    /// Whether `verb` accepts it under a name that we are called by.
    pub fn is_taken(&self, persona: Persona, verb: Verb) -> bool {
        match persona {
            Persona::Luksmith => self.is_used(verb),
            Persona::Cryptsetup => self.lax || self.used.has(verb) || self.idle.has(verb),
        }
    }

    /// The actions that make use of it and that are carried out.
    pub fn users(&self) -> impl Iterator<Item = &'static VerbInfo> {
        let uses = |info: &&VerbInfo| !self.refused && info.is_shown() && self.is_used(info.verb);
        VERBS.iter().filter(uses)
    }

    /// Its description in a list of all options.
    pub fn list_help(&self) -> String {
        let help = sentence(self.help);
        match self.only_with {
            Some(action) => format!("With `{action}`: {}{}", help[..1].to_lowercase(), &help[1..]),
            None => help.to_owned(),
        }
    }

    /// Its description among the options of `verb`.
    pub fn help(&self, verb: Verb) -> &'static str {
        let own = self.senses.iter().find_map(|sense| match sense {
            For::Help(verbs, help) if verbs.contains(&verb) => Some(*help),
            _ => None,
        });
        sentence(own.unwrap_or(self.help))
    }

    /// What its value is called among the options of `verb`.
    pub fn value_name(&self, verb: Verb) -> Option<&'static str> {
        let own = self.senses.iter().find_map(|sense| match sense {
            For::Value(verbs, name) if verbs.contains(&verb) => Some(*name),
            _ => None,
        });
        own.or(self.value)
    }

    /// The option for the parser.
    pub fn arg(&'static self) -> Arg {
        let mut arg = Arg::new(self.long).long(self.long).action(self.action.clone());
        if self.ours {
            arg = arg.help_heading(OURS);
        }
        if let Some(short) = self.short {
            arg = arg.short(short);
        }
        if let Some(alias) = self.alias {
            arg = arg.alias(alias);
        }
        match self.value {
            Some(name) => arg
                .value_name(name)
                .allow_hyphen_values(true)
                .value_parser(Reader(self)),
            None => arg,
        }
    }

    /// The option as `verb` explains it, or as a list of all options does.
    pub fn explained(&'static self, verb: Option<Verb>) -> Arg {
        let arg = match verb {
            Some(verb) => self.arg().help(self.help(verb)),
            None => self.arg().help(self.list_help()),
        };
        match verb.and_then(|verb| self.value_name(verb)) {
            Some(name) => arg.value_name(name),
            None => arg,
        }
    }
}

/// Without the full stop at its end, as help texts have it.
fn sentence(help: &'static str) -> &'static str {
    let help = help.trim_start();
    help.strip_suffix('.').unwrap_or(help)
}

/// The parser of an option's value. It only checks the value, so that of several mistakes the first on the line is
/// reported: [`read`] stores it.
#[derive(Clone)]
struct Reader(&'static Flag);

impl TypedValueParser for Reader {
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

/// The parser of the command line, without help texts.
pub(super) fn command() -> Command {
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
        .args(FLAGS.iter().map(Flag::arg))
        .arg(arguments)
}

/// What was typed, and the entries of the options in it.
pub(super) fn read(mut matches: ArgMatches) -> (Options, Vec<&'static Flag>) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cryptsetup::actions::OUR_VERBS;

    #[test]
    fn cryptsetup_takes_and_refuses_what_the_golden_file_says() {
        let answers = include_str!("../../../tests/golden/cryptsetup-options.txt");
        let mut compared = 0;
        for line in answers.lines().filter(|line| !line.starts_with('#')) {
            let (option, actions) = line.split_once(':').expect("an option and its actions");
            let flag = FLAGS.iter().find(|flag| flag.long == option).expect(option);
            let taking: Vec<&str> = actions.split_whitespace().collect();
            for info in VERBS.iter().filter(|info| !OUR_VERBS.contains(&info.verb)) {
                let taken = taking == ["*"] || taking.contains(&info.name);
                let ours = flag.is_taken(Persona::Cryptsetup, info.verb);
                assert_eq!(ours, taken, "--{option} with {}", info.name);
                compared += 1;
            }
        }
        assert!(compared > 2900, "{compared}");
    }

    #[test]
    fn every_name_stands_once() {
        let names: Vec<_> = FLAGS
            .iter()
            .flat_map(|flag| {
                [
                    Some(flag.long.to_owned()),
                    flag.alias.map(str::to_owned),
                    flag.short.map(String::from),
                ]
            })
            .flatten()
            .collect();
        for (n, name) in names.iter().enumerate() {
            assert!(!names[..n].contains(name), "{name}");
        }
    }

    #[test]
    fn rules_of_one_place_have_one_message() {
        let rules: Vec<_> = FLAGS.iter().flat_map(|flag| flag.rules).collect();
        for Rule(place, _, text) in &rules {
            let others = rules.iter().filter(|Rule(other, ..)| other == place);
            assert!(
                others.into_iter().all(|Rule(.., other)| other == text),
                "{place}: {text}"
            );
        }
    }

    #[test]
    fn only_options_with_a_value_are_read() {
        for flag in FLAGS {
            assert_eq!(
                flag.value.is_none(),
                matches!(flag.set, Set::Switch(_)),
                "--{}",
                flag.long
            );
            let explained = flag.senses.iter().all(|sense| match sense {
                For::Help(verbs, _) | For::Value(verbs, _) => verbs.iter().any(|verb| flag.is_used(*verb)),
            });
            assert!(explained, "--{} is explained for an action without it", flag.long);
        }
    }
}

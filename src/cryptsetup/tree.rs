//! The program under our own name as a tree of actions with the options that each takes: for help, completions and manual pages.

use clap::builder::ValueHint;
use clap::{Arg, Command};
use clap_complete::Shell;

use super::actions::{VERBS, Verb, VerbInfo};
use super::flags::defs::FLAGS;
use super::flags::{Flag, parser};

/// Heading of the options that every action takes.
const COMMON: &str = "Common options";

/// Description of `luksmith dm`, which is dmsetup's command line.
pub const DM_ABOUT: &str = "any device of the device-mapper, as dmsetup serves it";

/// The options that every action takes.
pub fn common() -> impl Iterator<Item = &'static Flag> {
    FLAGS.iter().filter(|flag| flag.is_common())
}

/// The other options of an action that it carries out.
pub fn own(verb: Verb) -> impl Iterator<Item = &'static Flag> {
    FLAGS
        .iter()
        .filter(move |flag| !flag.is_common() && !flag.refused && flag.is_used(verb))
}

fn common_args() -> impl Iterator<Item = Arg> {
    common().map(|flag| parser::arg(flag).help(flag.list_help()).help_heading(COMMON))
}

/// An option as `verb` explains it.
fn explained(flag: &'static Flag, verb: Verb) -> Arg {
    let arg = parser::arg(flag).help(flag.help(verb));
    match flag.value_name(verb) {
        Some(name) => arg.value_name(name),
        None => arg,
    }
}

/// The program as a tree of actions, each with the options that it takes.
pub fn tree() -> Command {
    let mut root = Command::new("luksmith")
        .about("LUKS volumes: format, unlock, map, inspect")
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .override_usage("luksmith <action> [options] <arguments>")
        .subcommand_help_heading("Actions")
        .subcommand_value_name("action")
        .max_term_width(100)
        .args(common_args());
    for info in VERBS.iter().filter(|info| info.is_shown()) {
        root = root.subcommand(action(info));
    }
    let dm = Command::new("dm").about(DM_ABOUT);
    root = root.subcommand(
        dm.disable_help_flag(true)
            .disable_help_subcommand(true)
            .override_usage("luksmith dm <verb> [options] <arguments>"),
    );
    let shell = Arg::new("shell")
        .required(true)
        .value_parser(clap::value_parser!(Shell));
    root.subcommand(
        Command::new("completions")
            .about("print a completion script for a shell")
            .arg(shell)
            .disable_help_flag(true),
    )
}

fn action(info: &'static VerbInfo) -> Command {
    // A person reads "name a file or device"; completion offers paths for either.
    let arguments = Arg::new("arguments")
        .num_args(0..)
        .value_hint(ValueHint::AnyPath)
        .hide(true);
    Command::new(info.name)
        .about(info.summary)
        .version(env!("CARGO_PKG_VERSION"))
        .visible_aliases(info.older_names().collect::<Vec<_>>())
        .disable_help_flag(true)
        .override_usage(format!("luksmith {} [options] {}", info.name, info.arguments))
        .max_term_width(100)
        .args(own(info.verb).map(|flag| explained(flag, info.verb)))
        .args(common_args())
        .arg(arguments)
}

/// The output of `luksmith --help`, or `luksmith <action> --help`.
pub fn help(verb: Option<Verb>) -> String {
    let mut root = tree();
    root.build();
    match verb.and_then(|verb| root.find_subcommand_mut(verb.name())) {
        Some(action) => action.render_help().to_string(),
        None => root.render_help().to_string(),
    }
}

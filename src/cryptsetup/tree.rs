//! The program under our own name as a tree of actions with the options that each takes: for help, completions and manual pages.

use clap::builder::ValueHint;
use clap::{Arg, Command, CommandFactory as _};
use clap_complete::Shell;

use super::actions::{ALIASES, VERBS, Verb, VerbInfo};
use super::args::Options;
use super::takes;

/// Heading of the options that every action takes.
const COMMON: &str = "Common options";

/// Description of `luksmith dm`, which is dmsetup's command line.
pub const DM_ABOUT: &str = "any device of the device-mapper, as dmsetup serves it";

/// The options that every action takes.
pub fn common() -> Vec<Arg> {
    let takes_all = |arg: &&Arg| arg.get_long().is_some_and(|long| takes::of(long).actions.is_none());
    Options::command()
        .get_arguments()
        .filter(takes_all)
        .cloned()
        .map(|arg| arg.help_heading(COMMON))
        .collect()
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
        .args(common());
    for info in VERBS {
        root = root.subcommand(action(info, common()));
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

/// One action with its options, and with the common ones if they are given.
pub fn action(info: &'static VerbInfo, common: Vec<Arg>) -> Command {
    let own = |arg: &&Arg| {
        arg.get_long().is_some_and(|long| {
            let row = takes::of(long);
            row.actions.is_some() && row.with(info.verb)
        })
    };
    let aliases: Vec<_> = ALIASES
        .iter()
        .filter(|alias| alias.verb == info.verb)
        .map(|alias| alias.name)
        .collect();
    // A person reads "name a file or device"; completion offers paths for either.
    let arguments = Arg::new("arguments")
        .num_args(0..)
        .value_hint(ValueHint::AnyPath)
        .hide(true);
    Command::new(info.name)
        .about(info.summary)
        .version(env!("CARGO_PKG_VERSION"))
        .visible_aliases(aliases)
        .disable_help_flag(true)
        .override_usage(format!("luksmith {} [options] {}", info.name, info.arguments))
        .max_term_width(100)
        .args(Options::command().get_arguments().filter(own).cloned())
        .args(common)
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

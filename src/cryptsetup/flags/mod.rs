//! The options of the command line for volumes. [`defs`] has one entry for each; this module defines the form of an entry
//! and the queries for checks, help, manual pages and completions. `parser` reads a command line by them, and `rule` is how an
//! option is refused for the sake of the others.

pub mod defs;
pub(super) mod parser;
pub(super) mod rule;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use clap::ArgAction;

use self::defs::Options;
use self::rule::Rule;
use super::actions::{VERBS, Verb, VerbInfo};
use super::values::ValueError;
use crate::console::Persona;

/// Heading of the options that cryptsetup does not have.
pub const OURS: &str = "Luksmith's own options";

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
}

/// Without the full stop at its end, as help texts have it.
fn sentence(help: &'static str) -> &'static str {
    let help = help.trim_start();
    help.strip_suffix('.').unwrap_or(help)
}

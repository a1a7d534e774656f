//! The check of what a command line combines. Most rules stand in the entries of the options; those here are for the
//! arguments of an action.

use super::actions::{DeviceType, Verb};
use super::flags::Flag;
use super::flags::defs::Options;
use super::flags::rule::{Case, Rule};
use super::request::ParsedArgs;
use super::usage::UsageError;
use crate::console::Persona;

/// Checks the rules of the action and of the options that were typed. Of several broken ones the first in cryptsetup's
/// order is the error.
pub(super) fn check(
    persona: Persona,
    parsed: &ParsedArgs,
    options: &Options,
    typed: &[&'static Flag],
    device_type: Option<DeviceType>,
) -> Result<(), UsageError> {
    let first = parsed.arguments.first().and_then(|first| first.to_str());
    let case = Case {
        verb: parsed.verb,
        device_type,
        options,
        first: first.unwrap_or_default(),
    };
    let rules = typed.iter().flat_map(|flag| flag.rules).chain(ARGUMENT_RULES);
    rules
        .filter(|Rule(place, broken, _)| (*place < Rule::OWN || persona == Persona::Luksmith) && broken(&case))
        .min_by_key(|Rule(place, ..)| *place)
        .map_or(Ok(()), |Rule(.., text)| Err(UsageError::Rule(text)))
}

const ARGUMENT_RULES: &[Rule] = &[
    Rule(
        42,
        |c| c.verb == Verb::Token && !["add", "remove", "import", "export", "unassign"].contains(&c.first),
        "Invalid token action.",
    ),
    Rule(
        44,
        |c| c.is_token("add") && c.options.key_description.is_none(),
        "--key-description parameter is mandatory for token add action.",
    ),
    Rule(
        46,
        |c| c.is_token("unassign") && c.options.key_slot.is_none(),
        "Action requires specific keyslot. Use --key-slot parameter.",
    ),
    Rule(
        47,
        |c| ["remove", "export", "unassign"].iter().any(|name| c.is_token(name)) && c.options.token_id.is_none(),
        "Action requires specific token. Use --token-id parameter.",
    ),
];

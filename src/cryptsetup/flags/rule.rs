//! When an option is refused for the sake of the others, of the action or of the type of volume.

use super::defs::Options;
use crate::cryptsetup::actions::{DeviceType, Verb};

/// When an option is refused for the sake of the others: the place in cryptsetup's order of checks (of several messages, the
/// lowest is shown), the condition, and the message. From [`Rule::OWN`] on, rules hold under our own name only.
#[derive(Clone, Copy, Debug)]
pub(in crate::cryptsetup) struct Rule(
    pub(in crate::cryptsetup) u8,
    pub(in crate::cryptsetup) fn(&Case<'_>) -> bool,
    pub(in crate::cryptsetup) &'static str,
);

impl Rule {
    /// The first rule that cryptsetup does not have: it ignores these options, and here they would do nothing.
    pub(in crate::cryptsetup) const OWN: u8 = 100;
}

/// The input of a rule.
#[derive(Debug)]
pub(in crate::cryptsetup) struct Case<'a> {
    pub(in crate::cryptsetup) verb: Verb,
    /// The type of volume for `open`; `None` if `--type` is unknown.
    pub(in crate::cryptsetup) device_type: Option<DeviceType>,
    pub(in crate::cryptsetup) options: &'a Options,
    /// The first argument, which names a token action.
    pub(in crate::cryptsetup) first: &'a str,
}

impl Case<'_> {
    pub(in crate::cryptsetup) fn opens_other_than(&self, types: &[DeviceType]) -> bool {
        self.verb == Verb::Open && !self.device_type.is_some_and(|device_type| types.contains(&device_type))
    }

    /// Whether a new mapping is for another type than these.
    pub(in crate::cryptsetup) fn maps_other_than(&self, types: &[DeviceType]) -> bool {
        !self.options.refresh && self.opens_other_than(types)
    }

    /// Whether the data are read or written without a mapping.
    pub(in crate::cryptsetup) fn is_unmapped(&self) -> bool {
        matches!(self.verb, Verb::Cat | Verb::Write)
    }

    /// Whether the volume is a plain one.
    pub(in crate::cryptsetup) fn is_plain(&self) -> bool {
        let named = || self.options.device_type.as_deref().and_then(DeviceType::from_name);
        self.verb == Verb::Open && self.device_type == Some(DeviceType::Plain)
            || self.is_unmapped() && named() == Some(DeviceType::Plain)
    }

    pub(in crate::cryptsetup) fn maps_luks(&self) -> bool {
        self.verb == Verb::Open && !self.options.refresh && self.device_type.is_some_and(DeviceType::is_luks)
    }

    /// Whether it is this action on tokens.
    pub(in crate::cryptsetup) fn is_token(&self, action: &str) -> bool {
        self.verb == Verb::Token && self.first == action
    }

    pub(in crate::cryptsetup) fn makes_luks1(&self) -> bool {
        self.verb == Verb::Format && self.device_type == Some(DeviceType::Luks1)
    }
}

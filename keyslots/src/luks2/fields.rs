//! Taking typed members out of a JSON object, with the path of each in its defect.

use std::collections::{BTreeMap, HashSet};
use std::hash::Hash;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::Defect;
use super::json::Object;
use crate::units::Bytes;

/// One JSON object being parsed: members are taken one by one, and the rest is kept or refused.
#[derive(Clone, Debug)]
pub(super) struct Fields {
    path: String,
    members: Object,
}

impl Fields {
    pub(super) fn new(path: String, members: Object) -> Self {
        Self { path, members }
    }

    pub(super) fn from_value(path: String, value: Value) -> Result<Self, Defect> {
        match value {
            Value::Object(members) => Ok(Self { path, members }),
            _ => Err(Defect::WrongType {
                path,
                expected: "an object",
            }),
        }
    }

    pub(super) fn path(&self, member: &str) -> String {
        if self.path.is_empty() {
            member.to_owned()
        } else {
            format!("{}.{member}", self.path)
        }
    }

    pub(super) fn has(&self, member: &str) -> bool {
        self.members.contains_key(member)
    }

    /// The position of a member among the others.
    pub(super) fn position(&self, member: &str) -> Option<usize> {
        self.members.keys().position(|name| name == member)
    }

    pub(super) fn take(&mut self, member: &str) -> Result<Value, Defect> {
        self.members
            .shift_remove(member)
            .ok_or_else(|| Defect::Missing(self.path(member)))
    }

    /// A member that is an object.
    pub(super) fn object(&mut self, member: &str) -> Result<Self, Defect> {
        let value = self.take(member)?;
        Self::from_value(self.path(member), value)
    }

    /// A member that is an object whose own members are named by decimal numbers.
    pub(super) fn numbered(&mut self, member: &str) -> Result<BTreeMap<u32, (String, Value)>, Defect> {
        let inner = self.object(member)?;
        let mut numbered = BTreeMap::new();
        for (name, value) in inner.members {
            let path = format!("{}.{name}", inner.path);
            let id = object_name(&name).ok_or_else(|| Defect::ObjectName(path.clone()))?;
            numbered.insert(id, (path, value));
        }
        Ok(numbered)
    }

    pub(super) fn string(&mut self, member: &str) -> Result<String, Defect> {
        match self.take(member)? {
            Value::String(text) => Ok(text),
            _ => Err(Defect::WrongType {
                path: self.path(member),
                expected: "a string",
            }),
        }
    }

    pub(super) fn non_empty(&mut self, member: &str) -> Result<String, Defect> {
        match self.string(member)? {
            text if text.is_empty() => Err(Defect::Empty(self.path(member))),
            text => Ok(text),
        }
    }

    /// A 32-bit number: a JSON integer from 0 to 2^32−1.
    pub(super) fn u32(&mut self, member: &str) -> Result<u32, Defect> {
        let value = self.take(member)?;
        value
            .as_u64()
            .and_then(|number| u32::try_from(number).ok())
            .ok_or_else(|| Defect::Number {
                path: self.path(member),
                value: value.to_string(),
                expected: "an integer from 0 to 2^32-1",
            })
    }

    /// A 64-bit number: a string of decimal digits, up to 2^64−1.
    pub(super) fn u64(&mut self, member: &str) -> Result<u64, Defect> {
        let text = self.string(member)?;
        decimal(&text).ok_or_else(|| Defect::Number {
            path: self.path(member),
            value: text,
            expected: "a string of digits up to 2^64-1",
        })
    }

    pub(super) fn bytes(&mut self, member: &str) -> Result<Bytes, Defect> {
        self.u64(member).map(Bytes::new)
    }

    /// An array of object names, each a string of digits. A repeated one is returned once: other programs write such
    /// arrays, and their meaning is clear.
    pub(super) fn ids<T: Copy + Ord + Hash>(&mut self, member: &str, id: fn(u32) -> T) -> Result<Vec<T>, Defect> {
        let names = self.strings(member)?;
        let mut ids = Vec::with_capacity(names.len());
        for name in names {
            let number = object_name(&name).ok_or_else(|| Defect::Number {
                path: self.path(member),
                value: name,
                expected: "names of objects",
            })?;
            ids.push(id(number));
        }
        // A set of all of them would take longer than reading them.
        let mut different = ids.clone();
        different.sort_unstable();
        different.dedup();
        if different.len() < ids.len() {
            let mut seen = HashSet::with_capacity(different.len());
            ids.retain(|&id| seen.insert(id));
        }
        Ok(ids)
    }

    /// An array of strings.
    pub(super) fn strings(&mut self, member: &str) -> Result<Vec<String>, Defect> {
        let taken = self.take(member)?;
        let wrong_type = || Defect::WrongType {
            path: self.path(member),
            expected: "an array of strings",
        };
        let Value::Array(values) = taken else {
            return Err(wrong_type());
        };
        let strings = values.into_iter().map(|value| match value {
            Value::String(text) => Ok(text),
            _ => Err(wrong_type()),
        });
        strings.collect()
    }

    /// An optional array of strings; empty if it is missing.
    pub(super) fn optional_strings(&mut self, member: &str) -> Result<Vec<String>, Defect> {
        if self.has(member) {
            self.strings(member)
        } else {
            Ok(Vec::new())
        }
    }

    pub(super) fn base64(
        &mut self,
        member: &str,
        fits: impl Fn(usize) -> bool,
        expected: &'static str,
    ) -> Result<Vec<u8>, Defect> {
        let text = self.string(member)?;
        let bytes = STANDARD.decode(text).ok().filter(|bytes| fits(bytes.len()));
        bytes.ok_or_else(|| Defect::Base64 {
            path: self.path(member),
            expected,
        })
    }

    /// A defect of one member's value.
    pub(super) fn value(&self, member: &str, value: impl ToString, rule: &'static str) -> Defect {
        Defect::Value {
            path: self.path(member),
            value: value.to_string(),
            rule,
        }
    }

    /// The members that were not taken, to be kept on write.
    pub(super) fn rest(self) -> Object {
        self.members
    }

    /// Checks that all members were taken.
    pub(super) fn end(self) -> Result<(), Defect> {
        match self.members.into_iter().next() {
            Some((member, _)) => Err(Defect::UnexpectedMember {
                path: self.path,
                member,
            }),
            None => Ok(()),
        }
    }
}

/// Digits only: no sign, no space, no wrap.
pub(super) fn decimal<T: std::str::FromStr>(text: &str) -> Option<T> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// The number of an object. "1" and "01" would be one object under two names, so that a name must be canonical.
fn object_name(name: &str) -> Option<u32> {
    decimal::<u32>(name).filter(|_| name == "0" || !name.starts_with('0'))
}

/// Object names as the JSON has them.
pub(super) fn ids_to_value(ids: &[impl ToString]) -> Value {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().into()
}

pub(super) fn base64_to_value(bytes: &[u8]) -> Value {
    STANDARD.encode(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_neither_wrap_nor_take_signs() {
        assert_eq!(decimal::<u64>("18446744073709551615"), Some(u64::MAX));
        for text in ["18446744073709551616", "-1", "+1", " 1", "1 ", "", "0x1", "1e3"] {
            assert_eq!(decimal::<u64>(text), None, "{text:?}");
        }
    }

    #[test]
    fn an_object_has_one_name() {
        let fields = |text: &str| {
            Fields::new(
                String::new(),
                super::super::json::parse_object(text.as_bytes()).expect("JSON"),
            )
        };
        assert!(fields(r#"{"k":{"0":1,"10":2}}"#).numbered("k").is_ok());
        for name in ["01", "x", "-1", "4294967296", ""] {
            let text = format!(r#"{{"k":{{"{name}":1}}}}"#);
            assert!(
                matches!(fields(&text).numbered("k"), Err(Defect::ObjectName(_))),
                "{name:?}"
            );
        }
    }
}

//! The JSON metadata as types: the result of [`Metadata::parse`] has the right shape throughout.
//!
//! Members that are unknown here are kept and written back. Rules that span several objects are in [`super::validate`].
//! LUKS2 On-Disk Format Specification 1.1.x, section 3.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Value, json};

use super::Defect;
use super::fields::{Fields, base64_to_value, decimal, ids_to_value};
use super::json::Object;
use super::keyslot::{Keyslot, Priority};
use super::segment::Segment;
use super::tokens::Token;
use crate::KeyslotId;
use crate::hash::{HashName, MAX_OUTPUT_LEN};
use crate::units::Bytes;

/// The whole metadata.
#[derive(Clone, Debug, PartialEq)]
pub struct Metadata {
    /// Keyslots by their numbers.
    pub keyslots: BTreeMap<KeyslotId, Keyslot>,
    /// Tokens by their numbers.
    pub tokens: BTreeMap<u32, Token>,
    /// Segments of the data by their numbers.
    pub segments: BTreeMap<u32, Segment>,
    /// Digests by their numbers.
    pub digests: BTreeMap<u32, Digest>,
    /// Sizes, flags and requirements.
    pub config: Config,
    /// Members unknown here.
    pub extra: Object,
}

/// A digest, by which a key is recognised.
#[derive(Clone, Debug, PartialEq)]
pub struct Digest {
    /// The kind; only pbkdf2 is known.
    pub kind: DigestKind,
    /// The keyslots that hold the key.
    pub keyslots: Vec<KeyslotId>,
    /// The segments that the key encrypts.
    pub segments: Vec<u32>,
    /// Members unknown here.
    pub extra: Object,
}

/// The kinds of digests.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum DigestKind {
    /// PBKDF2 over the key.
    Pbkdf2 {
        /// Hash of the HMAC.
        hash: HashName,
        /// Iterations.
        iterations: u32,
        /// Salt, 32 bytes.
        salt: Vec<u8>,
        /// The digest, 20 to 64 bytes.
        digest: Vec<u8>,
    },
    /// A kind unknown here, by its type.
    Unknown(String),
}

/// The config object.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Size of the JSON area of one copy.
    pub json_size: Bytes,
    /// Size of the keyslots area.
    pub keyslots_size: Bytes,
    /// Persistent flags for activation; unknown ones are kept.
    pub flags: Vec<String>,
    /// Mandatory requirements.
    pub requirements: Vec<String>,
    /// Members unknown here.
    pub extra: Object,
    /// Members of the requirements object that are unknown here.
    pub requirements_extra: Object,
}

impl Metadata {
    /// Parses the JSON object into types.
    ///
    /// Leftover members of a key derivation function are dropped here and are gone with the next write: older programs
    /// left them behind, and they would only confuse.
    ///
    /// # Errors
    /// The first [`Defect`] with its path.
    pub fn parse(object: Object) -> Result<Self, Defect> {
        let mut fields = Fields::new(String::new(), object);
        let mut keyslots = BTreeMap::new();
        for (id, (path, value)) in fields.numbered("keyslots")? {
            keyslots.insert(KeyslotId::new(id), Keyslot::parse(Fields::from_value(path, value)?)?);
        }
        let mut tokens = BTreeMap::new();
        for (id, (path, value)) in fields.numbered("tokens")? {
            tokens.insert(id, Token::parse(Fields::from_value(path, value)?)?);
        }
        let mut segments = BTreeMap::new();
        for (id, (path, value)) in fields.numbered("segments")? {
            segments.insert(id, Segment::parse(Fields::from_value(path, value)?)?);
        }
        let mut digests = BTreeMap::new();
        for (id, (path, value)) in fields.numbered("digests")? {
            digests.insert(id, Digest::parse(Fields::from_value(path, value)?)?);
        }
        let config = Config::parse(fields.object("config")?)?;
        Ok(Self {
            keyslots,
            tokens,
            segments,
            digests,
            config,
            extra: fields.rest(),
        })
    }

    /// The JSON object. A digest that names neither keyslots nor segments is dropped.
    pub fn to_object(&self) -> Object {
        let mut object = Object::new();
        object.insert("keyslots".into(), numbered(&self.keyslots, Keyslot::to_value));
        object.insert("tokens".into(), numbered(&self.tokens, Token::to_value));
        object.insert("segments".into(), numbered(&self.segments, Segment::to_value));
        let used = self.digests.iter().filter(|(_, digest)| !digest.is_unused());
        object.insert("digests".into(), numbered(used, Digest::to_value));
        object.insert("config".into(), self.config.to_value());
        object.extend(self.extra.clone());
        object
    }

    /// Removes keyslot `slot`, and its number from tokens and digests.
    pub(super) fn remove_keyslot(&mut self, slot: KeyslotId) -> Option<Keyslot> {
        let removed = self.keyslots.remove(&slot)?;
        let tokens = self.tokens.values_mut().map(|token| &mut token.keyslots);
        for keyslots in tokens.chain(self.digests.values_mut().map(|digest| &mut digest.keyslots)) {
            keyslots.retain(|&id| id != slot);
        }
        Some(removed)
    }

    /// Removes all keyslots except `kept`, and their numbers from tokens and digests.
    pub(super) fn keep_only_keyslots(&mut self, kept: &[KeyslotId]) {
        let kept: HashSet<KeyslotId> = kept.iter().copied().collect();
        self.keyslots.retain(|id, _| kept.contains(id));
        let tokens = self.tokens.values_mut().map(|token| &mut token.keyslots);
        for keyslots in tokens.chain(self.digests.values_mut().map(|digest| &mut digest.keyslots)) {
            keyslots.retain(|id| kept.contains(id));
        }
        self.digests.retain(|_, digest| !digest.is_unused());
    }

    /// The digest that names `keyslot`.
    pub fn digest_of_keyslot(&self, keyslot: KeyslotId) -> Option<(u32, &Digest)> {
        self.digests
            .iter()
            .find(|(_, digest)| digest.keyslots.contains(&keyslot))
            .map(|(&id, digest)| (id, digest))
    }

    /// The digest of a keyslot's key, if it is a key of data that are there now.
    pub fn data_digest_of_keyslot(&self, keyslot: KeyslotId) -> Option<&Digest> {
        let holds_data = |id: &u32| self.segments.get(id).is_some_and(|segment| !segment.is_backup());
        let (_, digest) = self.digest_of_keyslot(keyslot)?;
        digest.segments.iter().any(holds_data).then_some(digest)
    }

    /// The digest that names `segment`.
    pub fn digest_of_segment(&self, segment: u32) -> Option<(u32, &Digest)> {
        self.digests
            .iter()
            .find(|(_, digest)| digest.segments.contains(&segment))
            .map(|(&id, digest)| (id, digest))
    }

    /// The keyslots in the order in which a passphrase is tried on them: preferred, then normal; ignored ones are left
    /// out, and so are those whose type is unknown.
    pub fn keyslots_to_try(&self) -> Vec<KeyslotId> {
        let with = |priority| {
            self.keyslots
                .iter()
                .filter(move |(_, slot)| slot.is_luks2() && slot.priority() == priority)
                .map(|(&id, _)| id)
        };
        with(Priority::Prefer).chain(with(Priority::Normal)).collect()
    }
}

impl Digest {
    fn parse(mut fields: Fields) -> Result<Self, Defect> {
        let kind = fields.non_empty("type")?;
        let keyslots = fields.ids("keyslots", KeyslotId::new)?;
        let segments = fields.ids("segments", |id| id)?;
        let kind = if kind == "pbkdf2" {
            Self::parse_pbkdf2(&mut fields)?
        } else {
            DigestKind::Unknown(kind)
        };
        Ok(Self {
            kind,
            keyslots,
            segments,
            extra: fields.rest(),
        })
    }

    fn parse_pbkdf2(fields: &mut Fields) -> Result<DigestKind, Defect> {
        let hash = parse_hash(fields, "hash")?;
        let iterations = fields.u32("iterations")?;
        if iterations == 0 {
            return Err(fields.value("iterations", iterations, "must be above 0"));
        }
        let salt = fields.base64("salt", |len| len == 32, "32 bytes")?;
        // LUKS1 volumes that were converted have 20 bytes, whatever the hash.
        let fits = |len| match hash.known() {
            Some(hash) => len == 20 || len == hash.output_len(),
            None => (1..=MAX_OUTPUT_LEN).contains(&len),
        };
        let digest = fields.base64("digest", fits, "20 bytes or the hash's size")?;
        Ok(DigestKind::Pbkdf2 {
            hash,
            iterations,
            salt,
            digest,
        })
    }

    /// Whether it is unreferenced.
    pub fn is_unused(&self) -> bool {
        self.keyslots.is_empty() && self.segments.is_empty()
    }

    /// The type as the JSON has it.
    pub fn type_name(&self) -> &str {
        match &self.kind {
            DigestKind::Pbkdf2 { .. } => "pbkdf2",
            DigestKind::Unknown(name) => name,
        }
    }

    fn to_value(&self) -> Value {
        let mut value = Object::new();
        value.insert("type".into(), self.type_name().into());
        value.insert("keyslots".into(), ids_to_value(&self.keyslots));
        value.insert("segments".into(), ids_to_value(&self.segments));
        if let DigestKind::Pbkdf2 {
            hash,
            iterations,
            salt,
            digest,
        } = &self.kind
        {
            value.insert("hash".into(), hash.as_str().into());
            value.insert("iterations".into(), (*iterations).into());
            value.insert("salt".into(), base64_to_value(salt));
            value.insert("digest".into(), base64_to_value(digest));
        }
        value.extend(self.extra.clone());
        Value::Object(value)
    }
}

impl Config {
    fn parse(mut fields: Fields) -> Result<Self, Defect> {
        let json_size = fields.bytes("json_size")?;
        let keyslots_size = fields.bytes("keyslots_size")?;
        let flags = fields.optional_strings("flags")?;
        let (requirements, requirements_extra) = if fields.has("requirements") {
            let mut inner = fields.object("requirements")?;
            (inner.optional_strings("mandatory")?, inner.rest())
        } else {
            Default::default()
        };
        Ok(Self {
            json_size,
            keyslots_size,
            flags,
            requirements,
            extra: fields.rest(),
            requirements_extra,
        })
    }

    fn to_value(&self) -> Value {
        let mut value = Object::new();
        value.insert("json_size".into(), self.json_size.get().to_string().into());
        value.insert("keyslots_size".into(), self.keyslots_size.get().to_string().into());
        if !self.flags.is_empty() {
            value.insert("flags".into(), self.flags.clone().into());
        }
        if !self.requirements.is_empty() || !self.requirements_extra.is_empty() {
            let mut requirements = Object::new();
            if !self.requirements.is_empty() {
                requirements.insert("mandatory".into(), json!(self.requirements));
            }
            requirements.extend(self.requirements_extra.clone());
            value.insert("requirements".into(), Value::Object(requirements));
        }
        value.extend(self.extra.clone());
        Value::Object(value)
    }
}

/// A hash by its name.
/// One that is unknown here makes its object unusable, and nothing else.
pub(super) fn parse_hash(fields: &mut Fields, member: &str) -> Result<HashName, Defect> {
    fields.non_empty(member).map(HashName::new)
}

/// `dynamic`, or a number of bytes above 0.
pub(super) fn parse_size(fields: &mut Fields, member: &str) -> Result<Option<Bytes>, Defect> {
    let text = fields.string(member)?;
    if text == "dynamic" {
        return Ok(None);
    }
    match decimal::<u64>(&text) {
        Some(size) if size > 0 => Ok(Some(Bytes::new(size))),
        _ => Err(fields.value(member, text, "must be \"dynamic\" or a number of bytes above 0")),
    }
}

fn numbered<'a, K: ToString + 'a, T: 'a>(
    objects: impl IntoIterator<Item = (&'a K, &'a T)>,
    to_value: impl Fn(&'a T) -> Value,
) -> Value {
    Value::Object(
        objects
            .into_iter()
            .map(|(id, object)| (id.to_string(), to_value(object)))
            .collect(),
    )
}

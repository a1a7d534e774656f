//! Names of keyslots, and their protection: kept in a LUKS2 token of our own, which other programs show and keep.
//!
//! There is one such token in a header, of the type [`TOKEN_TYPE`]. It lists every keyslot that has a name in
//! `keyslots`, and has `names` from keyslot number to name, and `protected`, an array of keyslot numbers. If another
//! program has added a second one, all of them are read, and a name that protects wins over one that does not.

use std::collections::HashSet;
use std::fmt;

use keyslots::KeyslotId;
use keyslots::header::Header;
use keyslots::luks2::json::FIRST_BYTE_CHAR;
use keyslots::luks2::{self, Metadata, Token, Transaction};
use keyslots::storage::Storage;
use keyslots::wipe::Medium;
use serde_json::{Map, Value};

/// The type of the token.
pub const TOKEN_TYPE: &str = "luksmith-slot-names";

/// Longest name in bytes.
const MAX_NAME: usize = 48;

/// Why a keyslot cannot be named or removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SlotNameError {
    /// Another keyslot has the name.
    #[error("keyslot {1} already has the name {0:?}")]
    Taken(String, KeyslotId),
    /// The name could be taken for a number, is too long, or has invalid characters.
    #[error(
        "{0:?} cannot name a keyslot: a name starts with a letter and has up to {MAX_NAME} bytes of printable text"
    )]
    BadName(String),
    /// The header has no place for names.
    #[error("keyslots of LUKS1 have no names")]
    Luks1,
    /// The keyslot is protected, and its name was not given.
    #[error("keyslot {slot} ({name:?}) is protected: give its name, not its number")]
    Protected {
        /// The keyslot.
        slot: KeyslotId,
        /// Its name.
        name: String,
    },
    /// The given name is another keyslot's, or no keyslot's.
    #[error("keyslot {slot} does not have the name {name:?}")]
    Other {
        /// The keyslot.
        slot: KeyslotId,
        /// The name.
        name: String,
    },
    /// There is already a token with names, and two of them would contradict each other.
    #[error("the names of the keyslots are in token {0}")]
    Second(u32),
    /// The name was given for all keyslots, and protects none of them.
    #[error("no protected keyslot has the name {0:?}")]
    NoneProtected(String),
    /// No keyslot has the name.
    #[error("no keyslot has the name {0:?}")]
    Unnamed(String),
    /// The header cannot be changed.
    #[error(transparent)]
    Luks(#[from] keyslots::Error),
}

/// A keyslot, by its number or by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlotRef {
    /// The number. The header decides which numbers exist.
    Number(KeyslotId),
    /// The name; it starts with a letter, so that it cannot be taken for a number.
    Name(String),
}

impl SlotRef {
    /// What a text means; `None` for one that is neither.
    pub fn parse(text: &str) -> Option<Self> {
        if text.starts_with(|c: char| c.is_alphabetic()) {
            return Some(Self::Name(text.to_owned()));
        }
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|_| is_number)?;
        Some(Self::Number(KeyslotId::new(number)))
    }

    /// The name, if it is one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Number(_) => None,
        }
    }

    /// The number.
    ///
    /// # Errors
    /// [`SlotNameError::Unnamed`].
    pub fn number(&self, header: &Header) -> Result<KeyslotId, SlotNameError> {
        match self {
            Self::Number(number) => Ok(*number),
            Self::Name(name) => find(header, name).ok_or_else(|| SlotNameError::Unnamed(name.clone())),
        }
    }
}

impl fmt::Display for SlotRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// A keyslot and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotName {
    /// The keyslot.
    pub slot: KeyslotId,
    /// Its name.
    pub name: String,
    /// Whether its removal needs the name.
    pub protected: bool,
}

/// All names in a header.
pub fn list(header: &Header) -> Vec<SlotName> {
    header.luks2().map(list_luks2).unwrap_or_default()
}

/// As [`list`], for a header that is known to be LUKS2.
pub fn list_luks2(header: &luks2::Header) -> Vec<SlotName> {
    list_metadata(header.metadata())
}

fn list_metadata(metadata: &Metadata) -> Vec<SlotName> {
    let mut names: Vec<SlotName> = tokens_of(metadata).flat_map(|(_, token)| names_of(token)).collect();
    names.sort_by_key(|entry| !entry.protected);
    let (mut slots, mut taken) = (HashSet::new(), HashSet::new());
    names.retain(|entry| {
        let kept = !slots.contains(&entry.slot) && (entry.protected || !taken.contains(&entry.name));
        if kept {
            slots.insert(entry.slot);
            taken.insert(entry.name.clone());
        }
        kept
    });
    names.sort_by_key(|entry| entry.slot);
    names
}

/// The keyslot of this name.
pub fn find(header: &Header, name: &str) -> Option<KeyslotId> {
    list(header)
        .into_iter()
        .find(|entry| entry.name == name)
        .map(|entry| entry.slot)
}

/// Names or renames a keyslot; the name reaches the device with the rest of the transaction. `None` for `protected` leaves that
/// unchanged.
///
/// # Errors
/// [`SlotNameError`].
pub fn set(
    change: &mut Transaction<'_>,
    slot: KeyslotId,
    name: &str,
    protected: Option<bool>,
) -> Result<(), SlotNameError> {
    check(name)?;
    let mut names = list_metadata(change.metadata());
    let before = names.iter().any(|entry| entry.slot == slot && entry.protected);
    if let Some(other) = names.iter().find(|entry| entry.name == name && entry.slot != slot) {
        return Err(SlotNameError::Taken(name.to_owned(), other.slot));
    }
    names.retain(|entry| entry.slot != slot);
    names.push(SlotName {
        slot,
        name: name.to_owned(),
        protected: protected.unwrap_or(before),
    });
    store(change, &names)
}

/// Gives the second keyslot of each pair the name, and the protection, of the first one, whose place it takes later. Until then the
/// name is the first one's.
///
/// # Errors
/// [`SlotNameError::Luks`].
pub fn copy(change: &mut Transaction<'_>, pairs: &[(KeyslotId, KeyslotId)]) -> Result<(), SlotNameError> {
    let mut names = list_metadata(change.metadata());
    let copies: Vec<SlotName> = pairs
        .iter()
        .filter_map(|&(from, to)| {
            let name = names.iter().find(|entry| entry.slot == from)?;
            Some(SlotName {
                slot: to,
                ..name.clone()
            })
        })
        .collect();
    if copies.is_empty() {
        return Ok(());
    }
    names.extend(copies);
    store(change, &names)
}

/// Checks a name before anything that would have to be undone.
///
/// # Errors
/// [`SlotNameError::BadName`].
pub fn check(name: &str) -> Result<(), SlotNameError> {
    // A header keeps bytes that are not UTF-8 as the last characters of all.
    let forbidden = |c: char| c.is_control() || c >= FIRST_BYTE_CHAR;
    let good = name.starts_with(char::is_alphabetic) && name.len() <= MAX_NAME && !name.contains(forbidden);
    if good {
        Ok(())
    } else {
        Err(SlotNameError::BadName(name.to_owned()))
    }
}

/// Checks that a new keyslot of `header` may have the name, before it is made.
///
/// # Errors
/// [`SlotNameError::BadName`], [`SlotNameError::Luks1`], [`SlotNameError::Taken`].
pub fn check_free(header: &Header, name: &str) -> Result<(), SlotNameError> {
    check(name)?;
    if header.luks1().is_some() {
        return Err(SlotNameError::Luks1);
    }
    match find(header, name) {
        Some(other) => Err(SlotNameError::Taken(name.to_owned(), other)),
        None => Ok(()),
    }
}

/// Checks that keyslot `slot` may be removed by a user who gives `name`.
///
/// # Errors
/// [`SlotNameError::Protected`]; [`SlotNameError::Other`] if the name is not that of this keyslot.
pub fn check_removable(header: &Header, slot: KeyslotId, name: Option<&str>) -> Result<(), SlotNameError> {
    let own = list(header).into_iter().find(|entry| entry.slot == slot);
    match (own, name) {
        (Some(entry), Some(name)) if entry.name == name => Ok(()),
        (Some(entry), _) if entry.protected => Err(SlotNameError::Protected { slot, name: entry.name }),
        (_, Some(name)) => Err(SlotNameError::Other {
            slot,
            name: name.to_owned(),
        }),
        (_, None) => Ok(()),
    }
}

/// Checks that keyslot `slot`, which the user called `known`, may be given `name`: a name that protects may be changed
/// only by those who know it.
///
/// # Errors
/// As [`check_free`], and [`SlotNameError::Protected`].
pub fn check_rename(header: &Header, slot: KeyslotId, name: &str, known: Option<&str>) -> Result<(), SlotNameError> {
    match check_free(header, name) {
        Err(SlotNameError::Taken(_, other)) if other == slot => Ok(()),
        checked => checked.and_then(|()| check_removable(header, slot, known)),
    }
}

/// Checks that all keyslots may be removed by a user who gives `name`, which has to be that of a protected one.
///
/// # Errors
/// [`SlotNameError::Protected`]; [`SlotNameError::NoneProtected`] if the name is not that of one.
pub fn check_all_removable(header: &Header, name: Option<&str>) -> Result<(), SlotNameError> {
    let protected = || list(header).into_iter().filter(|entry| entry.protected);
    match (name, protected().find(|entry| name != Some(&entry.name))) {
        (Some(name), _) if !protected().any(|entry| entry.name == name) => {
            Err(SlotNameError::NoneProtected(name.to_owned()))
        }
        (_, Some(SlotName { slot, name, .. })) => Err(SlotNameError::Protected { slot, name }),
        _ => Ok(()),
    }
}

/// Checks that token `id` may be removed, replaced, or taken from keyslot `slot` alone: the token with the names holds
/// the protection.
///
/// # Errors
/// [`SlotNameError::Protected`].
pub fn check_token(header: &luks2::Header, id: Option<u32>, slot: Option<KeyslotId>) -> Result<(), SlotNameError> {
    let mut ours = tokens_of(header.metadata()).filter(|(ours, _)| Some(*ours) == id);
    let protected = ours.find_map(|(_, token)| {
        let mut names = names_of(token).into_iter();
        names.find(|entry| entry.protected && slot.is_none_or(|slot| slot == entry.slot))
    });
    match protected {
        Some(SlotName { slot, name, .. }) => Err(SlotNameError::Protected { slot, name }),
        None => Ok(()),
    }
}

/// Checks that `token` may be put into a header, replacing token `replaced`: not a second one with names.
///
/// # Errors
/// [`SlotNameError::Second`].
pub fn check_import(header: &luks2::Header, token: &Token, replaced: Option<u32>) -> Result<(), SlotNameError> {
    let mut others = tokens_of(header.metadata()).filter(|(id, _)| Some(*id) != replaced);
    match others.next() {
        Some((id, _)) if token.kind == TOKEN_TYPE => Err(SlotNameError::Second(id)),
        _ => Ok(()),
    }
}

/// Removes the names of keyslots that are gone. Without their keyslots they have no effect, not even on later keyslots
/// with the same numbers: this is only for tidiness.
///
/// # Errors
/// [`SlotNameError::Luks`].
pub fn tidy(header: &mut Header, storage: &mut dyn Storage) -> Result<(), SlotNameError> {
    let Header::Luks2(header) = header else { return Ok(()) };
    let said = |token: &Token| token.extra.get("names").and_then(Value::as_object).map_or(0, Map::len);
    let outdated = tokens_of(header.metadata()).any(|(_, token)| names_of(token).len() != said(token));
    // A leftover name belongs to no keyslot: if the header may not be changed, the operation has still succeeded.
    if !outdated || header.check_changeable().is_err() {
        return Ok(());
    }
    let mut change = header.begin()?;
    let names = list_metadata(change.metadata());
    store(&mut change, &names)?;
    Ok(change.commit(storage, Medium::Other)?)
}

fn tokens_of(metadata: &Metadata) -> impl Iterator<Item = (u32, &Token)> {
    let tokens = metadata.tokens.iter().filter(|(_, token)| token.kind == TOKEN_TYPE);
    tokens.map(|(&id, token)| (id, token))
}

/// Members in any other form are ignored: the token may come from anywhere. So is the name of a keyslot that the token
/// does not list: removing a keyslot takes it off the list, and the number may be another keyslot's by now.
fn names_of(token: &Token) -> Vec<SlotName> {
    let Some(Value::Object(names)) = token.extra.get("names") else {
        return Vec::new();
    };
    let protected: HashSet<u64> = match token.extra.get("protected") {
        Some(Value::Array(slots)) => slots.iter().filter_map(Value::as_u64).collect(),
        _ => HashSet::new(),
    };
    let keyslots: HashSet<KeyslotId> = token.keyslots.iter().copied().collect();
    let entries = names.iter().filter_map(|(slot, name)| {
        let (slot, name) = (KeyslotId::new(slot.parse().ok()?), name.as_str()?.to_owned());
        check(&name).ok().filter(|()| keyslots.contains(&slot))?;
        Some(SlotName {
            slot,
            name,
            protected: protected.contains(&u64::from(slot.get())),
        })
    });
    entries.collect()
}

/// Writes one token with all the names, in place of any number of them.
fn store(change: &mut Transaction<'_>, names: &[SlotName]) -> Result<(), SlotNameError> {
    let ids: Vec<u32> = tokens_of(change.metadata()).map(|(id, _)| id).collect();
    for &id in &ids {
        change.remove_token(id)?;
    }
    if names.is_empty() {
        return Ok(());
    }
    let mut extra = Map::new();
    let by_slot = names
        .iter()
        .map(|entry| (entry.slot.to_string(), Value::from(entry.name.clone())));
    extra.insert("names".into(), Value::Object(by_slot.collect()));
    let protected: Vec<u32> = names
        .iter()
        .filter(|entry| entry.protected)
        .map(|entry| entry.slot.get())
        .collect();
    extra.insert("protected".into(), protected.into());
    let mut keyslots: Vec<KeyslotId> = names.iter().map(|entry| entry.slot).collect();
    keyslots.sort_unstable();
    let token = Token {
        kind: TOKEN_TYPE.into(),
        keyslots,
        extra,
        places: Default::default(),
    };
    change.put_token(token, ids.first().copied(), true)?;
    Ok(())
}

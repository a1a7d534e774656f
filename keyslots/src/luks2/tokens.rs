//! Tokens: hints on how to get a passphrase without a prompt.
//!
//! The tokens of other programs (systemd-tpm2, clevis, …) are shown and kept as they are; only `luks2-keyring` has a
//! meaning here. LUKS2 On-Disk Format Specification 1.1.x, section 3.5.

use crate::KeyslotId;
use serde_json::Value;

use super::Defect;
use super::fields::{Fields, ids_to_value};
use super::json::{Object, lossless, parse_token, restore_bytes};

/// The type of tokens whose passphrase is in the kernel keyring.
pub(super) const KEYRING_TOKEN: &str = "luks2-keyring";
/// Types that start like this are reserved for the format.
pub(super) const RESERVED_PREFIX: &str = "luks2-";

/// A token.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// The type, which names the program that understands it.
    pub kind: String,
    /// The keyslots that it opens.
    pub keyslots: Vec<KeyslotId>,
    /// All other members.
    pub extra: Object,
    /// The positions of the first two among the others.
    pub places: Places,
}

/// The positions of `type` and `keyslots` among the members of a token, so that an exported token does not differ from
/// the imported one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    kind: usize,
    keyslots: usize,
}

impl Default for Places {
    fn default() -> Self {
        Self { kind: 0, keyslots: 1 }
    }
}

impl Token {
    /// Parses the text that `token import` takes: one JSON object, read as leniently as cryptsetup reads it.
    ///
    /// # Errors
    /// The [`Defect`] of the text or of its members.
    pub fn from_json(text: &[u8]) -> Result<Self, Defect> {
        Self::parse(Fields::new("token".to_owned(), parse_token(text)?))
    }

    /// A token for a passphrase that the kernel keyring has under `description`.
    pub fn keyring(description: &str, keyslots: Vec<KeyslotId>) -> Self {
        Self::of_keyring(lossless(description.as_bytes()), keyslots)
    }

    /// As [`Token::keyring`], with the description as it was parsed.
    fn of_keyring(description: String, keyslots: Vec<KeyslotId>) -> Self {
        let extra = Object::from_iter([("key_description".to_owned(), description.into())]);
        Self {
            kind: KEYRING_TOKEN.to_owned(),
            keyslots,
            extra,
            places: Places::default(),
        }
    }

    pub(super) fn parse(mut fields: Fields) -> Result<Self, Defect> {
        let place = |member, default| fields.position(member).unwrap_or(default);
        let places = Places {
            kind: place("type", 0),
            keyslots: place("keyslots", 1),
        };
        let kind = fields.non_empty("type")?;
        let keyslots = fields.ids("keyslots", KeyslotId::new)?;
        if kind == KEYRING_TOKEN {
            let description = fields.non_empty("key_description")?;
            fields.end()?;
            return Ok(Self::of_keyring(description, keyslots));
        }
        Ok(Self {
            kind,
            keyslots,
            extra: fields.rest(),
            places,
        })
    }

    /// Whether another program made it, to open its keyslots with a key of its own.
    pub fn is_foreign(&self) -> bool {
        !self.kind.starts_with(RESERVED_PREFIX)
    }

    /// The key description of a `luks2-keyring` token as the kernel has it, which may be any bytes.
    pub fn key_description_bytes(&self) -> Option<Vec<u8>> {
        Some(restore_bytes(self.key_description()?.to_owned()))
    }

    /// The key description of a `luks2-keyring` token, for display.
    pub fn key_description(&self) -> Option<&str> {
        if self.kind == KEYRING_TOKEN {
            self.extra.get("key_description")?.as_str()
        } else {
            None
        }
    }

    /// The JSON object, as the metadata has it and as `token export` prints it.
    pub fn to_value(&self) -> Value {
        let mut value = self.extra.clone();
        let mut own = [
            (self.places.kind, "type", Value::from(self.kind.clone())),
            (self.places.keyslots, "keyslots", ids_to_value(&self.keyslots)),
        ];
        own.sort_unstable_by_key(|(place, ..)| *place);
        for (place, name, member) in own {
            value.shift_insert(place.min(value.len()), name.to_owned(), member);
        }
        Value::Object(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyring_token_has_exactly_its_members() {
        let token = Token::from_json(br#"{"type":"luks2-keyring","keyslots":["0","1"],"key_description":"desc"}"#);
        let token = token.expect("a token");
        assert_eq!(token.key_description(), Some("desc"));
        // Any bytes; the characters that represent them are not among them.
        let any = b"{\"type\":\"luks2-keyring\",\"keyslots\":[],\"key_description\":\"caf\xe9\x80\"}";
        let parsed = Token::from_json(any).expect("a token");
        assert_eq!(
            parsed.key_description_bytes().as_deref(),
            Some(b"caf\xe9\x80".as_slice())
        );
        let made = Token::keyring("caf\u{10ffe9}\u{10ff80}", Vec::new());
        assert_ne!(made, parsed);
        assert_eq!(
            made.key_description_bytes(),
            Some("caf\u{10ffe9}\u{10ff80}".as_bytes().to_vec())
        );
        assert_eq!(
            token.to_value().to_string(),
            r#"{"type":"luks2-keyring","keyslots":["0","1"],"key_description":"desc"}"#
        );
        let more = Token::from_json(br#"{"type":"luks2-keyring","keyslots":[],"key_description":"d","x":1}"#);
        assert!(matches!(more, Err(Defect::UnexpectedMember { .. })));
    }

    #[test]
    fn tokens_of_others_are_kept_as_they_are() {
        let text = r#"{"type":"systemd-tpm2","keyslots":["1"],"tpm2-blob":"AA==","tpm2-pcrs":[7]}"#;
        assert_eq!(
            Token::from_json(text.as_bytes())
                .expect("a token")
                .to_value()
                .to_string(),
            text
        );
        for text in [
            r#"{"type":"","keyslots":[]}"#,
            r#"{"type":"x"}"#,
            r#"{"keyslots":[]}"#,
            r#"{"type":"x","keyslots":[0]}"#,
        ] {
            assert!(Token::from_json(text.as_bytes()).is_err(), "{text}");
        }
    }

    /// Some are not JSON numbers, some do not fit in 64 bits, some have another spelling.
    #[test]
    fn a_token_keeps_its_numbers_and_its_order() {
        for text in [
            r#"{"n":[117470469272746590206,0.30000000000000004,18446744073709551616,-0,1e3],"keyslots":["1"],"type":"x"}"#,
            r#"{"keyslots":[],"n":[NaN,Infinity,-Infinity,1e400],"type":"x","z":1}"#,
            r#"{"a":1,"type":"x","b":2,"keyslots":["3","2"]}"#,
        ] {
            let token = Token::from_json(text.as_bytes()).expect("a token");
            assert_eq!(token.to_value().to_string(), text);
        }
    }

    /// As `jose jwe fmt` writes it.
    #[test]
    fn the_last_of_repeated_members_counts() {
        let text = br#"{"type":"clevis","keyslots":["1"],"jwe":{"ciphertext":"a","tag":"t","ciphertext":"b"}}"#;
        let token = Token::from_json(text).expect("a token").to_value().to_string();
        let written = r#"{"type":"clevis","keyslots":["1"],"jwe":{"ciphertext":"b","tag":"t"}}"#;
        assert_eq!(token, written);
    }
}

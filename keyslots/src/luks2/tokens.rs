//! Tokens: hints on how to get at a passphrase without asking for it.
//!
//! The tokens of other programs (systemd-tpm2, clevis, …) are shown and kept as they are; only `luks2-keyring` has a
//! meaning here. LUKS2 On-Disk Format Specification 1.1.x, section 3.5.

use serde_json::Value;

use super::Defect;
use super::fields::{Fields, ids_to_value};
use super::json::{Object, parse_object};

/// The type of tokens whose passphrase is in the kernel keyring.
pub const KEYRING_TOKEN: &str = "luks2-keyring";
/// Types that start like this belong to the format and to nobody else.
pub const RESERVED_PREFIX: &str = "luks2-";

/// A token.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// Who understands it.
    pub kind: String,
    /// The keyslots that it opens.
    pub keyslots: Vec<u32>,
    /// All other members.
    pub extra: Object,
}

impl Token {
    /// A token of the text that `token import` takes: one JSON object.
    ///
    /// # Errors
    /// The [`Defect`] of the text or of its members.
    pub fn from_json(text: &[u8]) -> Result<Self, Defect> {
        Self::parse(Fields::new("token".to_owned(), parse_object(text)?))
    }

    /// A token for a passphrase that the kernel keyring has under `description`.
    pub fn keyring(description: &str, keyslots: Vec<u32>) -> Self {
        let extra = Object::from_iter([("key_description".to_owned(), description.into())]);
        Self {
            kind: KEYRING_TOKEN.to_owned(),
            keyslots,
            extra,
        }
    }

    pub(super) fn parse(mut fields: Fields) -> Result<Self, Defect> {
        let kind = fields.non_empty("type")?;
        let keyslots = fields.ids("keyslots")?;
        if kind == KEYRING_TOKEN {
            let description = fields.non_empty("key_description")?;
            fields.end()?;
            return Ok(Self::keyring(&description, keyslots));
        }
        Ok(Self {
            kind,
            keyslots,
            extra: fields.rest(),
        })
    }

    /// The key description of a `luks2-keyring` token.
    pub fn key_description(&self) -> Option<&str> {
        if self.kind == KEYRING_TOKEN {
            self.extra.get("key_description")?.as_str()
        } else {
            None
        }
    }

    /// The JSON object, as the metadata has it and as `token export` prints it.
    pub fn to_value(&self) -> Value {
        let mut value = Object::new();
        value.insert("type".into(), self.kind.clone().into());
        value.insert("keyslots".into(), ids_to_value(&self.keyslots));
        value.extend(self.extra.clone());
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

    /// Found by fuzzing: each rewrite of the header moved such a number a little.
    #[test]
    fn numbers_of_others_do_not_move() {
        let text = br#"{"type":"x","keyslots":[],"n":[117470469272746590206,0.30000000000000004]}"#;
        let once = Token::from_json(text).expect("a token").to_value().to_string();
        let twice = Token::from_json(once.as_bytes())
            .expect("a token")
            .to_value()
            .to_string();
        assert_eq!(once, twice);
        // Another spelling is the same number: it is kept as that, where the reference keeps its digits.
        let spelt = Token::from_json(br#"{"type":"x","keyslots":[],"n":1e3}"#).expect("a token");
        assert!(spelt.to_value().to_string().ends_with(r#""n":1000.0}"#));
    }
}

//! Checking a header against a policy: every violation, so that one report has them all.

use std::fmt;
use std::ops::RangeInclusive;

use keyslots::cipher::CipherName;
use keyslots::header::Header;
use keyslots::kdf::Kdf;

use super::facts::{Facts, Protection, SlotFacts};
use super::{Policy, Rule};

/// A property of a header that a policy does not allow. Its text is safe to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The property, as `keyslot 0: argon2-memory`.
    pub what: String,
    /// The header's value.
    pub found: String,
    /// The allowed values.
    pub allowed: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}, and must be {}", self.what, self.found, self.allowed)
    }
}

impl Policy {
    /// All violations by `header`; empty if it may be used.
    pub fn check(&self, header: &Header) -> Vec<Violation> {
        let facts = Facts::of(header);
        let mut found = Findings(Vec::new());
        found.unencrypted(&facts);
        for rule in self.rules() {
            found.check(rule, &facts);
        }
        found.0
    }
}

struct Findings(Vec<Violation>);

impl Findings {
    fn add(&mut self, what: impl Into<String>, found: &str, allowed: impl Into<String>) {
        self.0.push(Violation {
            what: what.into(),
            // A header's strings are an attacker's.
            found: found.escape_debug().to_string(),
            allowed: allowed.into(),
        });
    }

    /// Whether or not a rule names ciphers: nothing may be in the clear.
    fn unencrypted(&mut self, facts: &Facts) {
        match &facts.cipher {
            None => self.add("the data segment", "not for dm-crypt", "encrypted"),
            Some(cipher) if !cipher.encrypts() => self.add("cipher", cipher.as_str(), "one that encrypts"),
            Some(_) => {}
        }
        for slot in &facts.slots {
            if let Some(protection) = slot.protection.as_ref().filter(|found| !found.cipher.encrypts()) {
                self.add(
                    slot_key(slot, "cipher"),
                    protection.cipher.as_str(),
                    "one that encrypts",
                );
            }
        }
    }

    fn check(&mut self, rule: &Rule, facts: &Facts) {
        match rule {
            Rule::Version(allowed) => self.one_of("version", Some(facts.version), allowed),
            Rule::Uuid(allowed) => self.one_of("uuid", Some(&facts.uuid), allowed),
            Rule::Cipher(allowed) => self.one_cipher_of("cipher", facts.cipher.as_ref(), allowed),
            Rule::KeySize(allowed) => self.within("key-size", facts.key_bits, allowed),
            Rule::SectorSize(allowed) => {
                let size = facts.sector_size.map(|size| size.to_string());
                self.one_of("sector-size", size.as_deref(), allowed);
            }
            Rule::KeyslotCipher(allowed) => self.each_slot(facts, |found, slot, protection| {
                found.one_cipher_of(slot_key(slot, "cipher"), Some(&protection.cipher), allowed);
            }),
            Rule::Pbkdf(allowed) => self.each_slot(facts, |found, slot, protection| {
                found.one_of(slot_key(slot, "pbkdf"), protection.kdf.as_ref().map(Kdf::name), allowed);
            }),
            Rule::Pbkdf2Iterations(allowed) => self.each_slot(facts, |found, slot, protection| {
                if let Some(Kdf::Pbkdf2 { iterations, .. }) = &protection.kdf {
                    found.within(slot_key(slot, "pbkdf2-iterations"), Some((*iterations).into()), allowed);
                }
            }),
            Rule::Pbkdf2Hash(allowed) => self.each_slot(facts, |found, slot, protection| {
                if let Some(Kdf::Pbkdf2 { hash, .. }) = &protection.kdf {
                    found.one_of(slot_key(slot, "pbkdf2-hash"), Some(hash.name()), allowed);
                }
            }),
            Rule::Argon2Memory(allowed) => self.each_slot(facts, |found, slot, protection| {
                if let Some(Kdf::Argon2 { memory_kib, .. }) = &protection.kdf {
                    found.within(slot_key(slot, "argon2-memory"), Some((*memory_kib).into()), allowed);
                }
            }),
            Rule::Argon2Time(allowed) => self.each_slot(facts, |found, slot, protection| {
                if let Some(Kdf::Argon2 { time, .. }) = &protection.kdf {
                    found.within(slot_key(slot, "argon2-time"), Some((*time).into()), allowed);
                }
            }),
            Rule::Argon2Threads(allowed) => self.each_slot(facts, |found, slot, protection| {
                if let Some(Kdf::Argon2 { lanes, .. }) = &protection.kdf {
                    found.within(slot_key(slot, "argon2-threads"), Some((*lanes).into()), allowed);
                }
            }),
            Rule::Keyslots(allowed) => {
                for slot in &facts.slots {
                    self.one_of("a keyslot", Some(&slot.number.to_string()), allowed);
                }
            }
            Rule::Tokens(allowed) => {
                for kind in &facts.tokens {
                    self.one_of("a token", Some(kind), allowed);
                }
            }
            Rule::Requirements(allowed) => {
                for requirement in &facts.requirements {
                    self.one_of("a requirement", Some(requirement), allowed);
                }
            }
            Rule::VolumeKeyDigest(allowed) => {
                self.one_of("volume-key-digest", facts.volume_key_digest.as_deref(), allowed);
            }
        }
    }

    /// A keyslot that no passphrase opens has no cipher or cost, and an `open` does not use it.
    fn each_slot(&mut self, facts: &Facts, check: impl Fn(&mut Self, &SlotFacts, &Protection)) {
        for slot in &facts.slots {
            if let Some(protection) = &slot.protection {
                check(self, slot, protection);
            }
        }
    }

    fn one_cipher_of(&mut self, what: impl Into<String>, value: Option<&CipherName>, allowed: &[String]) {
        let same = |word: &&String| value.is_some_and(|value| value.is_same(&CipherName::new(word)));
        // A cipher that is allowed in another form is allowed in this one.
        let value = allowed
            .iter()
            .find(same)
            .map(String::as_str)
            .or(value.map(CipherName::as_str));
        self.one_of(what, value, allowed);
    }

    fn one_of(&mut self, what: impl Into<String>, value: Option<&str>, allowed: &[String]) {
        let value = value.unwrap_or("not known");
        if !allowed.iter().any(|word| word == value) {
            let allowed = match allowed {
                [] => "none".to_owned(),
                words => words.join(" or "),
            };
            self.add(what, value, allowed);
        }
    }

    fn within(&mut self, what: impl Into<String>, value: Option<u64>, allowed: &RangeInclusive<u64>) {
        if value.is_none_or(|value| !allowed.contains(&value)) {
            let value = value.map_or_else(|| "not known".to_owned(), |value| value.to_string());
            self.add(what, &value, format!("{} to {}", allowed.start(), allowed.end()));
        }
    }
}

fn slot_key(slot: &SlotFacts, key: &str) -> String {
    format!("keyslot {}: {key}", slot.number)
}

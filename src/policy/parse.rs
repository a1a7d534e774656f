//! The text of a policy: `key = value` lines, `#` comments.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::Policy;

/// One line of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// `version = 2`: the versions of LUKS that are allowed.
    Version(Vec<String>),
    /// `uuid = …`: the UUID, in lower case.
    Uuid(Vec<String>),
    /// `cipher = aes-xts-plain64 …`: cipher specifications that the data may have.
    Cipher(Vec<String>),
    /// `key-size = 512..512`: bits of the volume key.
    KeySize(RangeInclusive<u64>),
    /// `sector-size = 512 4096`: bytes of an encryption sector.
    SectorSize(Vec<String>),
    /// `keyslot-cipher = …`: cipher specifications that keyslots may have.
    KeyslotCipher(Vec<String>),
    /// `pbkdf = argon2id …`: key derivation functions that keyslots may have.
    Pbkdf(Vec<String>),
    /// `pbkdf2-iterations = 1000000..50000000`.
    Pbkdf2Iterations(RangeInclusive<u64>),
    /// `pbkdf2-hash = sha256 …`.
    Pbkdf2Hash(Vec<String>),
    /// `argon2-memory = 65536..1048576`, in KiB.
    Argon2Memory(RangeInclusive<u64>),
    /// `argon2-time = 4..100`: passes.
    Argon2Time(RangeInclusive<u64>),
    /// `argon2-threads = 1..4`.
    Argon2Threads(RangeInclusive<u64>),
    /// `keyslots = 0 1`: the numbers of keyslots that may be there, unbound ones included.
    Keyslots(Vec<String>),
    /// `tokens = systemd-tpm2 …`, or nothing: types of tokens that may be there.
    Tokens(Vec<String>),
    /// `requirements = …`, or nothing: requirements that the header may have.
    Requirements(Vec<String>),
    /// `volume-key-digest = …`: the digest of the volume key, in hexadecimal as `luksDump` shows it, without spaces. No other
    /// volume key can have it.
    VolumeKeyDigest(Vec<String>),
}

/// Why a policy cannot be used. Nothing is opened then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// A line is not `key = value`.
    #[error("line {0} is not of the form: key = value")]
    Form(usize),
    /// There is no such key.
    #[error("line {line}: {key} is not a policy key")]
    UnknownKey {
        /// The line, counted from 1.
        line: usize,
        /// The key.
        key: String,
    },
    /// A key is repeated.
    #[error("line {line}: {key} appears twice")]
    Twice {
        /// The second line.
        line: usize,
        /// The key.
        key: String,
    },
    /// A range is invalid.
    #[error("line {line}: {value} is not a range of whole numbers, such as 4..100")]
    Range {
        /// The line.
        line: usize,
        /// The text.
        value: String,
    },
    /// A key needs a value.
    #[error("line {line}: {key} has no value")]
    Empty {
        /// The line.
        line: usize,
        /// The key.
        key: String,
    },
    /// It contains no rule.
    #[error("it has no rules")]
    NoRules,
}

impl Policy {
    /// Reads a policy.
    ///
    /// # Errors
    /// [`PolicyError`] with the line. A line that is not understood is never skipped.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let (mut rules, mut keys) = (Vec::new(), BTreeSet::new());
        for (number, line) in text.lines().enumerate() {
            let (line, number) = (line.split('#').next().unwrap_or_default().trim(), number + 1);
            if line.is_empty() {
                continue;
            }
            let (key, value) = line.split_once('=').ok_or(PolicyError::Form(number))?;
            let (key, value) = (key.trim(), value.trim());
            rules.push(rule(number, key, value)?);
            if !keys.insert(key.to_owned()) {
                return Err(PolicyError::Twice {
                    line: number,
                    key: key.to_owned(),
                });
            }
        }
        if rules.is_empty() {
            return Err(PolicyError::NoRules);
        }
        Ok(Self { rules })
    }

    pub(super) fn rules(&self) -> &[Rule] {
        &self.rules
    }
}

fn rule(line: usize, key: &str, value: &str) -> Result<Rule, PolicyError> {
    let any = || value.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let words = || match any() {
        words if words.is_empty() => Err(PolicyError::Empty {
            line,
            key: key.to_owned(),
        }),
        words => Ok(words),
    };
    let lower = || words().map(|words| words.iter().map(|word| word.to_ascii_lowercase()).collect());
    Ok(match key {
        "version" => Rule::Version(words()?),
        "uuid" => Rule::Uuid(lower()?),
        "cipher" => Rule::Cipher(words()?),
        "key-size" => Rule::KeySize(range(line, value)?),
        "sector-size" => Rule::SectorSize(words()?),
        "keyslot-cipher" => Rule::KeyslotCipher(words()?),
        "pbkdf" => Rule::Pbkdf(words()?),
        "pbkdf2-iterations" => Rule::Pbkdf2Iterations(range(line, value)?),
        "pbkdf2-hash" => Rule::Pbkdf2Hash(words()?),
        "argon2-memory" => Rule::Argon2Memory(range(line, value)?),
        "argon2-time" => Rule::Argon2Time(range(line, value)?),
        "argon2-threads" => Rule::Argon2Threads(range(line, value)?),
        "keyslots" => Rule::Keyslots(words()?),
        "tokens" => Rule::Tokens(any()),
        "requirements" => Rule::Requirements(any()),
        "volume-key-digest" => Rule::VolumeKeyDigest(lower()?),
        _ => {
            return Err(PolicyError::UnknownKey {
                line,
                key: key.escape_debug().to_string(),
            });
        }
    })
}

/// `4..100`, or `512` for that number alone.
fn range(line: usize, value: &str) -> Result<RangeInclusive<u64>, PolicyError> {
    let (from, to) = value.split_once("..").unwrap_or((value, value));
    match (from.trim().parse(), to.trim().parse()) {
        (Ok(from), Ok(to)) if from <= to => Ok(from..=to),
        _ => Err(PolicyError::Range {
            line,
            value: value.escape_debug().to_string(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_blanks_are_none_of_it() {
        let policy = Policy::parse("# all of it\n\n cipher = aes-xts-plain64   # the only one\nkey-size=256..512\n");
        let rules = [
            Rule::Cipher(vec!["aes-xts-plain64".to_owned()]),
            Rule::KeySize(256..=512),
        ];
        assert_eq!(policy.expect("it is one").rules(), rules);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in [
            "",
            "# nothing",
            "cipher",
            "cypher = aes-xts-plain64",
            "cipher =",
            "key-size = many",
            "key-size = 512..256",
            "key-size = -1",
            "version = 2\nversion = 1",
        ] {
            Policy::parse(text).expect_err(text);
        }
        Policy::parse("tokens =").expect("no token at all is a rule");
    }
}

//! The properties that a policy checks, for both versions alike.

use keyslots::KeyslotId;
use keyslots::cipher::CipherName;
use keyslots::header::{Header, Version};
use keyslots::kdf::Kdf;
use keyslots::luks1::{self, KeyslotState};
use keyslots::luks2;
use keyslots::luks2::keyslot::KeyslotKind;
use keyslots::luks2::metadata::DigestKind;

/// The parts of a header that rules are about, as text where rules are text.
pub(super) struct Facts {
    pub(super) version: &'static str,
    pub(super) uuid: String,
    /// `None` where the data have no segment for dm-crypt.
    pub(super) cipher: Option<CipherName>,
    pub(super) key_bits: Option<u64>,
    pub(super) sector_size: Option<u32>,
    pub(super) slots: Vec<SlotFacts>,
    pub(super) tokens: Vec<String>,
    pub(super) requirements: Vec<String>,
    /// In hexadecimal.
    pub(super) volume_key_digest: Option<String>,
}

/// One keyslot.
pub(super) struct SlotFacts {
    pub(super) number: KeyslotId,
    /// The cipher of its area and its derivation; `None` for a kind of keyslot that is not opened by a passphrase.
    pub(super) protection: Option<Protection>,
}

/// The protection of a keyslot against those who do not know its passphrase.
pub(super) struct Protection {
    pub(super) cipher: CipherName,
    /// `None` if it is unknown here.
    pub(super) kdf: Option<Kdf>,
}

impl Facts {
    pub(super) fn of(header: &Header) -> Self {
        let data = header.data();
        let (version, slots, tokens, requirements, digest) = match header {
            Header::Luks1(header) => (
                "1",
                luks1_slots(header),
                Vec::new(),
                Vec::new(),
                Some(hex(header.mk_digest())),
            ),
            Header::Luks2(header) => {
                let metadata = header.metadata();
                let tokens = metadata.tokens.values().map(|token| token.kind.clone()).collect();
                let requirements = metadata.config.requirements.clone();
                ("2", luks2_slots(header), tokens, requirements, luks2_digest(header))
            }
        };
        Self {
            version,
            uuid: header.uuid().to_ascii_lowercase(),
            cipher: data.as_ref().map(|data| data.cipher.clone()),
            key_bits: header.key_size().and_then(|size| size.get().checked_mul(8)),
            sector_size: data.map(|data| data.sector_size),
            slots,
            tokens,
            requirements,
            volume_key_digest: digest,
        }
    }
}

fn luks1_slots(header: &luks1::Header) -> Vec<SlotFacts> {
    let cipher = CipherName::new(&format!("{}-{}", header.cipher_name(), header.cipher_mode()));
    let slots = KeyslotId::all(Version::Luks1).zip(header.keyslots());
    slots
        .filter(|(_, slot)| slot.state != KeyslotState::Inactive)
        .map(|(number, slot)| SlotFacts {
            number,
            protection: Some(Protection {
                cipher: cipher.clone(),
                kdf: Some(Kdf::Pbkdf2 {
                    hash: header.hash(),
                    iterations: slot.iterations,
                }),
            }),
        })
        .collect()
}

fn luks2_slots(header: &luks2::Header) -> Vec<SlotFacts> {
    let slots = header.metadata().keyslots.iter();
    slots
        .map(|(&number, slot)| SlotFacts {
            number,
            protection: match &slot.kind {
                KeyslotKind::Luks2(slot) => Some(Protection {
                    cipher: CipherName::new(&slot.encryption),
                    kdf: slot.kdf.known(),
                }),
                _ => None,
            },
        })
        .collect()
}

fn luks2_digest(header: &luks2::Header) -> Option<String> {
    match &header.metadata().digest_of_segment(0)?.1.kind {
        DigestKind::Pbkdf2 { digest, .. } => Some(hex(digest)),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

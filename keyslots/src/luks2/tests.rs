//! A whole header: made, written, damaged, changed and opened again.

mod crash;
mod foreign;
mod reencrypt;
mod rules;
mod safety;
mod staged;
mod transaction;

use super::copies::OtherCopy;
use super::format::Which;
use super::keyslot::KeyslotKind;
use super::*;
use crate::KeyslotId;
use crate::hash::Hash;
use crate::kdf::{Argon2Variant, Kdf};
use crate::secret::Secret;
use crate::storage::{Memory, Storage};
use crate::wipe::Medium;

const CHEAP: Kdf = Kdf::Pbkdf2 {
    hash: Hash::Sha256,
    iterations: 1000,
};

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(Secret::copy_from(text.as_bytes()).expect("a page"))
}

fn new_keyslot() -> NewKeyslot {
    NewKeyslot {
        kdf: CHEAP,
        af_hash: Hash::Sha256,
        encryption: "aes-xts-plain64".parse().expect("a specification"),
        area_key_size: 64,
        priority: None,
    }
}

fn params() -> CreateParams {
    CreateParams {
        encryption: "aes-xts-plain64".into(),
        sector_size: 512,
        uuid: None,
        label: "label".into(),
        subsystem: String::new(),
        metadata_size: None,
        keyslots_size: Some(Bytes::mib(1)),
        data: DataPlacement::Aligned(Bytes::mib(1)),
        digest_hash: Hash::Sha256,
        digest_iterations: 1000,
    }
}

fn limits() -> CostLimits {
    CostLimits::default()
}

fn volume() -> (Memory, Header, VolumeKey) {
    let key = VolumeKey::random(64).expect("random bytes");
    let mut storage = Memory::zeroed(2 << 20);
    let mut header = Header::create(&params(), &key, &limits()).expect("a header");
    header.write_new(&mut storage, Medium::Other).expect("memory");
    add(&mut header, &mut storage, &key, "first").expect("room");
    (storage, header, key)
}

fn add(header: &mut Header, storage: &mut dyn Storage, key: &VolumeKey, text: &str) -> Result<KeyslotId> {
    let sealed = new_keyslot().seal(key, &passphrase(text), &limits())?;
    add_sealed(header, storage, key, &sealed)
}

fn add_sealed(
    header: &mut Header,
    storage: &mut dyn Storage,
    key: &VolumeKey,
    sealed: &WrappedKeyslot,
) -> Result<KeyslotId> {
    let mut change = header.begin()?;
    let slot = change.add_keyslot(None, sealed, key, &limits())?;
    change.commit(storage, Medium::Other)?;
    Ok(slot)
}

/// Adds a keyslot with a key of its own.
fn add_unbound(
    header: &mut Header,
    storage: &mut dyn Storage,
    key: &VolumeKey,
    new: &NewKeyslot,
    slot: Option<KeyslotId>,
) -> Result<KeyslotId> {
    let sealed = new.seal(key, &passphrase("unbound"), &limits())?;
    let mut change = header.begin()?;
    let slot = change.add_unbound_keyslot(slot, &sealed, Digest::new(key, Hash::Sha256, 1000, &limits())?)?;
    change.commit(storage, Medium::Other)?;
    Ok(slot)
}

/// Puts what `sealed` is into keyslot 0.
fn change_sealed(
    header: &mut Header,
    storage: &mut dyn Storage,
    key: &VolumeKey,
    sealed: &WrappedKeyslot,
    medium: Medium,
) -> Result<()> {
    let mut change = header.begin()?;
    change.change_keyslot(KeyslotId::new(0), sealed, key, &limits())?;
    change.commit(storage, medium)
}

fn opens(storage: &mut dyn Storage, text: &str) -> Result<Unlocked> {
    let header = Header::read(storage)?;
    header.unlock(storage, &passphrase(text), Candidates::All, &limits())
}

#[test]
fn what_was_created_opens_with_its_key() {
    let (mut storage, header, key) = volume();
    let unlocked = opens(&mut storage, "first").expect("the passphrase");
    assert_eq!(unlocked.keyslot, KeyslotId::new(0));
    assert_eq!(unlocked.volume_key.expose(), key.expose());
    assert!(matches!(opens(&mut storage, "wrong"), Err(Error::WrongPassphrase)));
    assert_eq!(
        Header::read(&mut storage).expect("a header").metadata(),
        header.metadata()
    );
}

#[test]
fn either_copy_stands_in_for_the_other() {
    for (which, offset) in [(Which::Primary, 0), (Which::Secondary, 16384)] {
        for at in [0, 7, 8, 300, 460, 4096, 5000, 16383] {
            let (mut storage, ..) = volume();
            storage.0[offset + at] ^= 0xff;
            let mut header = Header::read(&mut storage).expect("the other copy");
            assert!(
                matches!(header.other_copy(), OtherCopy::Damaged(w, _) if *w == which),
                "{which:?} {at}"
            );
            header.recover(&mut storage).expect("memory");
            assert_eq!(
                *Header::read(&mut storage).expect("a header").other_copy(),
                OtherCopy::Agrees
            );
        }
    }
}

#[test]
fn the_higher_seqid_wins_and_a_stale_copy_is_recovered_before_a_write() {
    let (mut storage, mut header, _) = volume();
    let old_primary = storage.0[..16384].to_vec();
    header.set_labels(&mut storage, Some("newer"), None).expect("memory");
    storage.0[..16384].copy_from_slice(&old_primary);

    let mut header = Header::read(&mut storage).expect("a header");
    assert_eq!(header.binary().label, "newer");
    assert_eq!(*header.other_copy(), OtherCopy::Stale(Which::Primary));
    header.set_labels(&mut storage, None, Some("sub")).expect("memory");
    let header = Header::read(&mut storage).expect("a header");
    assert_eq!(header.binary().label, "newer");
    assert_eq!(header.binary().subsystem, "sub");
}

/// Larger copies than the new ones have their secondary behind all that the new header writes.
#[test]
fn an_older_volume_does_not_stand_in_for_a_new_one() {
    let key = VolumeKey::random(64).expect("random bytes");
    let mut storage = Memory::zeroed(4 << 20);
    for (copy, keyslots) in [(512, 1024), (16, 256)] {
        let params = CreateParams {
            metadata_size: Some(Bytes::kib(copy)),
            keyslots_size: Some(Bytes::kib(keyslots)),
            ..params()
        };
        let mut header = Header::create(&params, &key, &limits()).expect("a header");
        header.write_new(&mut storage, Medium::Other).expect("memory");
    }
    storage.0[..32768].fill(0);
    assert!(matches!(Header::read(&mut storage), Err(Error::NotLuks)));
}

#[test]
fn keyslots_are_added_changed_and_removed() {
    let (mut storage, mut header, key) = volume();
    assert_eq!(
        add(&mut header, &mut storage, &key, "second").expect("room"),
        KeyslotId::new(1)
    );
    let argon2 = Kdf::Argon2 {
        variant: Argon2Variant::Id,
        time: 4,
        memory_kib: 64,
        lanes: 2,
    };
    let new = NewKeyslot {
        kdf: argon2,
        ..new_keyslot()
    };
    let of = |text: &str| new.seal(&key, &passphrase(text), &limits()).expect("memory");
    change_sealed(&mut header, &mut storage, &key, &of("changed"), Medium::Other).expect("room");
    assert!(matches!(opens(&mut storage, "first"), Err(Error::WrongPassphrase)));
    assert_eq!(
        opens(&mut storage, "changed").expect("the new one").keyslot,
        KeyslotId::new(0)
    );
    // 1 MiB holds four areas of 252 KiB: two are taken.
    add(&mut header, &mut storage, &key, "third").expect("room");
    add(&mut header, &mut storage, &key, "fourth").expect("room");
    assert!(matches!(
        add(&mut header, &mut storage, &key, "fifth"),
        Err(Error::NoRoomForKeyslot { .. })
    ));
    change_sealed(&mut header, &mut storage, &key, &of("x"), Medium::Other).expect("in place");
    assert_eq!(
        opens(&mut storage, "x").expect("the new one").keyslot,
        KeyslotId::new(0)
    );
    assert!(header.metadata().tokens.is_empty());
    header
        .remove_keyslot(&mut storage, KeyslotId::new(1), Medium::Other)
        .expect("memory");
    assert!(matches!(opens(&mut storage, "second"), Err(Error::WrongPassphrase)));
    assert!(matches!(
        header.remove_keyslot(&mut storage, KeyslotId::new(1), Medium::Other),
        Err(Error::KeyslotInactive(slot)) if slot.get() == 1
    ));
    assert!(opens(&mut storage, "fourth").is_ok());
}

#[test]
fn a_key_with_zeros_behind_it_is_another_key() {
    let (_, header, key) = volume();
    let mut longer = Secret::zeroed(65).expect("a page");
    longer.expose_mut()[..64].copy_from_slice(key.expose());
    assert!(header.verify_volume_key(&key, true, &limits()).is_ok());
    let refused = header.verify_volume_key(&VolumeKey::new(longer), true, &limits());
    assert!(matches!(refused, Err(Error::WrongVolumeKey)));
}

#[test]
fn an_unbound_keyslot_does_not_open_the_data() {
    let (mut storage, mut header, _) = volume();
    let other = VolumeKey::random(32).expect("random bytes");
    let slot = add_unbound(
        &mut header,
        &mut storage,
        &other,
        &new_keyslot(),
        Some(KeyslotId::new(7)),
    )
    .expect("room");
    assert!(matches!(opens(&mut storage, "unbound"), Err(Error::WrongPassphrase)));
    let unlocked = header.unlock(
        &mut storage,
        &passphrase("unbound"),
        Candidates::Keyslot(slot),
        &limits(),
    );
    assert_eq!(
        unlocked.expect("the keyslot by name").volume_key.expose(),
        other.expose()
    );
    header
        .remove_keyslot(&mut storage, slot, Medium::Other)
        .expect("memory");
    assert_eq!(header.metadata().digests.len(), 1);
}

#[test]
fn a_write_over_someone_elses_is_refused() {
    let (mut storage, mut header, _) = volume();
    let mut other = Header::read(&mut storage).expect("a header");
    other.set_labels(&mut storage, Some("theirs"), None).expect("memory");
    let refused = header.set_labels(&mut storage, Some("ours"), None);
    assert!(matches!(refused, Err(Error::ChangedMeanwhile)));
    assert_eq!(header.binary().label, "label");
}

#[test]
fn unknown_members_survive_a_write_and_unknown_requirements_forbid_it() {
    let (mut storage, mut header, _) = volume();
    header.copy.metadata.extra.insert("future".into(), 1.into());
    header.copy.metadata.config.requirements.push("from-the-future".into());
    header.write(&mut storage).expect("memory");
    let mut header = Header::read(&mut storage).expect("a header");
    assert_eq!(header.metadata().extra["future"], 1);
    assert!(matches!(
        header.set_labels(&mut storage, Some("x"), None),
        Err(Error::UnmetRequirements(_))
    ));
    header
        .remove_keyslot(&mut storage, KeyslotId::new(0), Medium::Other)
        .expect("removal is allowed");
}

#[test]
fn passphrases_are_tried_on_preferred_keyslots_first_and_on_ignored_ones_never() {
    let (_, header, _) = volume();
    let mut metadata = header.metadata().clone();
    let first = metadata.keyslots[&KeyslotId::new(0)].clone();
    let priorities = [
        None,
        Some(Priority::Ignore),
        Some(Priority::Normal),
        Some(Priority::Prefer),
    ];
    for (id, priority) in (0..).zip(priorities) {
        metadata.keyslots.insert(
            KeyslotId::new(id),
            Keyslot {
                priority,
                ..first.clone()
            },
        );
    }
    let kind = KeyslotKind::Unknown("of tomorrow".into());
    let priority = Some(Priority::Prefer);
    metadata.keyslots.insert(
        KeyslotId::new(4),
        Keyslot {
            kind,
            priority,
            ..first
        },
    );
    assert_eq!(metadata.keyslots_to_try(), [3, 0, 2].map(KeyslotId::new));
}

#[test]
fn what_is_taken_away_is_taken_from_tokens_and_digests_too() {
    let (mut storage, mut header, key) = volume();
    add(&mut header, &mut storage, &key, "second").expect("room");
    let mut metadata = header.metadata().clone();
    let token = br#"{"type":"mine","keyslots":["0","1"]}"#;
    let token = Token::from_json(token).expect("a token");
    metadata.tokens.insert(0, token);
    metadata.keep_only_keyslots(&[KeyslotId::new(1)]);
    assert_eq!(metadata.keyslots.keys().collect::<Vec<_>>(), [&KeyslotId::new(1)]);
    assert_eq!(metadata.tokens[&0].keyslots, [1].map(KeyslotId::new));
    assert_eq!(metadata.digests[&0].keyslots, [1].map(KeyslotId::new));
    metadata.keep_only_keyslots(&[]);
    assert!(metadata.keyslots.is_empty());
    assert_eq!(metadata.digests.len(), 1, "its segment needs it");
}

//! The way to a key, and opening what it belongs to.

use std::sync::Arc;

use keyslots::KeyslotId;
use keyslots::cipher::CipherName;
use keyslots::header::DataLayout;
use keyslots::units::Sectors;

use super::super::tokens::TokenChoice;
use super::*;
use crate::keyring::KeyType;
use crate::passphrase::FinalNewline;
use crate::userspace::Access;
use crate::volume::VolumeError;

/// Answers in turn, and how often one was asked for.
#[derive(Default)]
struct Answers {
    texts: Vec<&'static str>,
    asked: usize,
    flaw: Option<(FinalNewline, KeyslotId)>,
}

impl Answers {
    fn of(texts: &[&'static str]) -> Self {
        Self {
            texts: texts.to_vec(),
            ..Self::default()
        }
    }
}

impl Secrets for Answers {
    type Error = CryptError;

    fn next(&mut self, wrong: u32) -> Result<Option<Arc<Passphrase>>, CryptError> {
        assert_eq!(wrong as usize, self.asked);
        let next = self.texts.get(self.asked).map(|text| Arc::new(secret(text)));
        self.asked += 1;
        Ok(next)
    }

    fn is_from_file(&self) -> bool {
        true
    }

    fn final_newline(&mut self, fault: FinalNewline, keyslot: KeyslotId) {
        self.flaw = Some((fault, keyslot));
    }
}

/// Runs a request that changes nothing.
fn ask<T>(candidates: Candidates, observer: &Heard, run: impl FnOnce(&UnlockRequest<'_>) -> T) -> T {
    run(&UnlockRequest {
        candidates,
        limits: &CostLimits::default(),
        skip_costly: false,
        serialized: false,
        finish_changes: false,
        observer,
    })
}

fn unlock(
    volume: &mut LuksDevice,
    candidates: Candidates,
    tokens: bool,
    answers: &mut Answers,
) -> Result<KeyslotId, CryptError> {
    let choice = TokenChoice::default();
    let unlocked = ask(candidates, &Heard::default(), |request| {
        volume.unlock_by(request, Some(&choice).filter(|_| tokens), answers)
    });
    unlocked.map(|unlocked| unlocked.keyslot)
}

#[test]
fn a_keyslot_is_destroyed_after_proof_that_another_opens() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut volume = volume_with_token(&folder.path().join("volume"), "luksmith:test:proof");
    for (texts, proven, asked) in [
        (&["one", "no", "two"][..], true, 3),
        (&["one"], false, 2),
        (&["two\n"], false, 2),
    ] {
        let mut answers = Answers::of(texts);
        let proof = ask(Candidates::All, &Heard::default(), |request| {
            volume.prove_another(KeyslotId::new(0), request, &mut answers)
        });
        assert_eq!((proof.is_ok(), answers.asked), (proven, asked), "{texts:?}");
        assert!(proof.is_ok() || proof.is_err_and(|error| error.is_wrong_passphrase()));
        let flaw = texts
            .contains(&"two\n")
            .then_some((FinalNewline::Extra, KeyslotId::new(1)));
        assert_eq!(answers.flaw, flaw);
    }
}

/// Passphrases `one` and `two`, and a token for the second keyslot.
fn volume_with_token(path: &Path, description: &str) -> LuksDevice {
    let (volume, key) = volume(path);
    change(|changing| {
        for text in ["one", "two"] {
            add(&volume, changing, &key, text).expect("room");
        }
        let volume = load(path, HeaderPlace::WithData);
        let place = TokenPlace {
            id: None,
            replace: false,
        };
        let added = volume.add_keyring_token(changing, description, Some(vec![KeyslotId::new(1)]), place);
        added.expect("room");
    });
    load(path, HeaderPlace::WithData)
}

#[test]
fn tokens_come_before_passphrases_and_open_their_own_keyslots() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut volume = volume_with_token(&folder.path().join("volume"), "luksmith:test:opening");
    assert!(volume.has_tokens(Candidates::All) && !volume.has_tokens(Candidates::Keyslot(KeyslotId::new(0))));
    let key = VolumeKey::new(Secret::copy_from(b"two").expect("a page"));
    let link = KeyLink {
        keyring: "@t",
        kind: KeyType::User,
        description: "luksmith:test:opening",
    };
    let opened = KeyLink::during(Some(&link), &key, || -> Result<(), CryptError> {
        let mut answers = Answers::of(&["one"]);
        assert_eq!(
            unlock(&mut volume, Candidates::All, true, &mut answers)?,
            KeyslotId::new(1)
        );
        assert_eq!(answers.asked, 0, "the token has opened it");
        assert_eq!(
            unlock(&mut volume, Candidates::Keyslot(KeyslotId::new(0)), true, &mut answers)?,
            KeyslotId::new(0)
        );
        let mut answers = Answers::of(&["one"]);
        assert_eq!(
            unlock(&mut volume, Candidates::All, false, &mut answers)?,
            KeyslotId::new(0)
        );
        // An error removes the key.
        Err(CryptError::Declined)
    });
    assert!(matches!(opened, Err(CryptError::Declined)), "{opened:?}");

    let mut answers = Answers::of(&["no", "one"]);
    let opened = unlock(&mut volume, Candidates::All, true, &mut answers);
    assert_eq!(opened.expect("the second answer"), KeyslotId::new(0));
    assert_eq!(answers.asked, 2);
}

#[test]
fn the_last_wrong_passphrase_is_the_error_and_a_flaw_of_its_file_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut volume = volume_with_token(&folder.path().join("volume"), "luksmith:test:none");
    for (texts, flaw) in [
        (&["no"][..], None),
        (&["two\n"], Some((FinalNewline::Extra, KeyslotId::new(1)))),
        (&[], None),
    ] {
        let mut answers = Answers::of(texts);
        let error = unlock(&mut volume, Candidates::All, true, &mut answers).expect_err("no right one");
        assert_eq!(error.errno(), Errno::EPERM);
        assert_eq!(answers.flaw, flaw);
    }
    let heard = Heard::default();
    let alone = ask(Candidates::Keyslot(KeyslotId::new(0)), &heard, |request| {
        volume.unlock_by_tokens(request, &TokenChoice::default())
    });
    assert_eq!(alone.map(drop).expect_err("no token").errno(), Errno::ENOENT);
    assert_eq!(heard.0.take(), ["NoUsableToken"]);
}

fn layout(size: Option<u64>) -> DataLayout {
    DataLayout {
        cipher: CipherName::new("aes-xts-plain64"),
        sector_size: 512,
        offset: Sectors::new(8),
        size: size.map(Sectors::new),
        iv_offset: Sectors::ZERO,
    }
}

#[test]
fn what_is_opened_is_what_was_looked_at_wherever_the_header_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("volume");
    let (volume, _) = volume(&path);
    let detached = folder.path().join("header");
    fs::copy(&path, &detached).expect("room");
    let apart = load(&detached, HeaderPlace::Apart);
    let how = OwnAccess::Copy(Access::Read);
    let plain = Format::Plain(PlainOptions::default());
    let closed = [
        (ClosedVolume::luks(&path, &volume).expect("data"), Format::Luks(&volume)),
        (ClosedVolume::luks(&path, &apart).expect("data"), Format::Luks(&apart)),
        (ClosedVolume::plain(&path, layout(None)).expect("a file"), plain),
    ];
    for (closed, format) in &closed {
        assert!(closed.is_there());
        closed.own_data(*format, how, true).expect("the same file");
    }
    let copy = folder.path().join("copy");
    fs::copy(&path, &copy).expect("room");
    fs::rename(&copy, &path).expect("renamed");
    for (closed, format) in &closed {
        assert!(!closed.is_there());
        let error = closed.own_data(*format, how, true).expect_err("another file");
        assert!(matches!(error, CryptError::Replaced(_)), "{error}");
    }
}

#[test]
fn a_plain_volume_over_signatures_is_confirmed_unless_it_lies_behind_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("volume");
    let (_, no) = (volume(&path), Answer::new(false));
    let at = |offset| DataLayout {
        offset: Sectors::new(offset),
        ..layout(None)
    };
    let closed = [0, 8].map(|offset| ClosedVolume::plain(&path, at(offset)).expect("a file"));
    closed[1].confirm_plain(PlainUse::Open, &no).expect("nothing is asked");
    for (closed, purpose) in [(&closed[0], PlainUse::Open), (&closed[1], PlainUse::Write)] {
        let declined = closed.confirm_plain(purpose, &no).expect_err("there is a header");
        assert!(matches!(declined, CryptError::Declined), "{declined}");
        let asked = no.1.take();
        assert!(asked.len() == 1 && asked[0].contains("crypto_LUKS"), "{asked:?}");
        closed.confirm_plain(purpose, &Answer::new(true)).expect("confirmed");
    }
    fs::write(&path, vec![0; 1 << 20]).expect("written");
    closed[0].confirm_plain(PlainUse::Open, &no).expect("nothing is there");
}

#[test]
fn a_volume_that_was_cut_off_is_read_but_neither_written_nor_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("volume");
    fs::write(&path, vec![0; 1 << 20]).expect("written");
    let format = Format::Plain(PlainOptions::default());
    let closed = ClosedVolume::plain(&path, layout(Some(4096))).expect("a file");
    closed
        .own_data(format, OwnAccess::Copy(Access::Read), false)
        .expect("what there is");
    for how in [
        OwnAccess::Copy(Access::Write),
        OwnAccess::Serve { read_only: true },
        OwnAccess::Serve { read_only: false },
    ] {
        let error = closed.own_data(format, how, true).expect_err("cut off");
        let too_small = matches!(error, CryptError::Volume(VolumeError::TooSmall { .. }));
        assert!(too_small, "{error}");
    }
}

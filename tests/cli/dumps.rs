//! Texts about a header that are our own: each is as in the golden file. (Under the name `cryptsetup` they are compared with
//! cryptsetup's.) `LUKSMITH_UPDATE_GOLDEN=1` writes the file anew.

use std::fs::{self, File};
use std::path::Path;

use flate2::read::GzDecoder;
use tempfile::TempDir;

use crate::common::{OURS, run};

/// All keyslots, priorities, tokens.
const VECTORS: [&str; 3] = ["luks1-eight-slots", "luks2-priorities", "luks2-tokens"];

#[test]
fn texts_about_headers_are_those_of_the_golden_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = TempDir::new().expect("a folder");
    let mut shown = String::new();
    for vector in VECTORS {
        let packed = File::open(root.join(format!("test-vectors/{vector}.gz"))).expect("a vector");
        let mut header = File::create(folder.path().join("header")).expect("a file");
        std::io::copy(&mut GzDecoder::new(packed), &mut header).expect("unpacked");
        // Behind the keyslots, where the archive ends.
        header.set_len(20 << 20).expect("room");
        for line in [
            "luksDump header",
            "luksDump header --json",
            "luksDump header --map",
            "isLuks header --verbose",
            "luksUUID header",
            "config header",
            "luksKillSlot header 31 -q",
            "token export header --token-id 31",
        ] {
            let (code, out, errors) = run(folder.path(), OURS, line);
            let code = code.expect("an exit code");
            shown += &format!("==> {vector}: luksmith {line}: exit {code}\n{out}{errors}");
        }
    }
    let path = root.join("tests/golden/luksmith-dump.txt");
    if std::env::var_os("LUKSMITH_UPDATE_GOLDEN").is_some() {
        fs::write(&path, &shown).expect("written");
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    let differs = golden.lines().zip(shown.lines()).find(|(golden, now)| golden != now);
    assert!(golden == shown, "luksmith-dump.txt is out of date: {differs:?}");
}

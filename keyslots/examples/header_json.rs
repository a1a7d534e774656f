//! Lists a header as JSON.
//!
//! ```text
//! cargo run -p keyslots --example header_json -- DEVICE_OR_FILE
//! ```

use std::error::Error;
use std::fs::File;

use keyslots::header::Header;
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: header_json DEVICE_OR_FILE")?;
    let header = Header::read(&mut File::open(path)?)?;
    let keyslots = header.used_keyslots().into_iter().map(|slot| {
        let derivations = header.derivations(Some(slot));
        let kdf = derivations.first().map(|(_, kdf)| format!("{kdf:?}"));
        json!({ "keyslot": slot.get(), "kdf": kdf })
    });
    let data = header.data().map(|data| {
        json!({
            "cipher": data.cipher.as_str(),
            "sector_size": data.sector_size,
            "offset": data.offset.get(),
            "size": data.size.map(|size| size.get()),
        })
    });
    let list = json!({
        "version": format!("{:?}", header.version()),
        "uuid": header.uuid(),
        "key_size": header.key_size().map(|size| size.get()),
        "keyslots": keyslots.collect::<Vec<Value>>(),
        "data": data,
    });
    println!("{list:#}");
    Ok(())
}

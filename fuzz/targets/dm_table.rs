//! Table text. Accepted: what is written of it reads the same, typed and untyped.
#![no_main]
use libfuzzer_sys::fuzz_target;
use luksmith_fuzz as _;
use luksmith::dm::table::{Table, TableText};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = TableText::parse(data) else { return };
    let _ = text.size();
    let Ok(table) = Table::from_text(&text) else { return };
    let written = table.to_text().expect("a table that was read");
    let again = Table::from_text(&written)
        .expect("what was accepted is accepted")
        .to_text()
        .expect("again");
    let lines = |text: &TableText| -> Vec<Vec<u8>> { text.lines().map(|line| line.params.to_vec()).collect() };
    assert_eq!(lines(&written), lines(&again));
});

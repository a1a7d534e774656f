//! What tables and statuses mean: the parameters and the state of each target of the kernel's documentation
//! (admin-guide/device-mapper), by type.
//!
//! Kernels tell different numbers of fields, and a target may tell anything: the text that a type does not explain is
//! kept as it is. Nothing here judges a state or prints it.

mod cache;
mod crypt;
mod multipath;
mod other;
mod raid;
mod record;
mod simple;
mod snapshot;
#[cfg(test)]
mod tests;
mod thin;
mod words;

use serde_json::{Map, Value};

pub(crate) use cache::{CacheState, WriteCacheState};
pub(crate) use crypt::{Crypt, IntegrityState, VerityState};
pub(crate) use multipath::MultipathState;
pub(crate) use other::{CloneState, VdoState};
pub(crate) use raid::{MirrorState, RaidState};
pub(crate) use record::Fill;
use record::Record as _;
pub(crate) use simple::Leg;
pub(crate) use snapshot::SnapshotState;
pub(crate) use thin::PoolState;
use words::Words;

/// A target, as far as it is understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decoded {
    /// Whether the kernel's documentation has the target.
    pub(crate) known: bool,
    pub(crate) parameters: Option<Parameters>,
    pub(crate) state: Option<State>,
    /// What is left of the table and of the status.
    pub(crate) unread_table: String,
    pub(crate) unread_status: String,
}

/// A target of one of many types.
macro_rules! one_of {
    ($(#[doc = $doc:literal])+ $name:ident { $($variant:ident($type:ty),)+ }) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub(crate) enum $name {
            $($variant($type),)+
        }

        impl $name {
            fn put_all(&self, out: &mut Map<String, Value>) {
                match self {
                    $(Self::$variant(fields) => fields.put_all(out),)+
                }
            }
        }
    };
}

one_of!(
    /// What a target is made of.
    Parameters {
        Cache(cache::Cache),
        Clone(other::CloneOf),
        Crypt(Crypt),
        Delay(simple::Delay),
        Dust(simple::Dust),
        Ebs(simple::Ebs),
        Era(other::Era),
        Flakey(simple::Flakey),
        Integrity(crypt::Integrity),
        Linear(simple::Place),
        LogWrites(simple::LogWrites),
        Mirror(raid::Mirror),
        Multipath(multipath::Multipath),
        PersistentCache(cache::PersistentCache),
        Pool(thin::Pool),
        Raid(raid::Raid),
        Snapshot(snapshot::Snapshot),
        SnapshotOrigin(snapshot::Origin),
        Striped(simple::Striped),
        Switch(simple::Switch),
        Thin(thin::Thin),
        Unstriped(simple::Unstriped),
        Vdo(other::Vdo),
        Verity(crypt::Verity),
        WriteCache(cache::WriteCache),
        Zoned(other::Zoned),
    }
);

one_of!(
    /// How a target is doing.
    State {
        Cache(CacheState),
        Clone(CloneState),
        Dust(simple::DustState),
        Era(other::EraState),
        Failed(Failed),
        Integrity(IntegrityState),
        LogWrites(simple::LogWritesState),
        Mirror(MirrorState),
        Multipath(MultipathState),
        PersistentCache(cache::PersistentCacheState),
        Pool(PoolState),
        Raid(RaidState),
        Snapshot(SnapshotState),
        Striped(simple::Legs),
        Thin(thin::ThinState),
        Vdo(VdoState),
        Verity(VerityState),
        WriteCache(WriteCacheState),
        Zoned(other::ZonedState),
    }
);

record::record!(
    /// A target that serves nothing any more: `Fail` or `Error`.
    Failed {
        state: String,
    }
);

/// The targets that only say so when they have failed.
const FAILING: [&str; 5] = ["thin-pool", "thin", "cache", "era", "clone"];

/// Decodes a target. `length` is its own, in sectors; `table` holds no keys ([`crate::dm::table::Line::shown`]).
pub(crate) fn parse(target: &str, length: u64, table: &[u8], status: &[u8]) -> Decoded {
    let (table, status) = (String::from_utf8_lossy(table), String::from_utf8_lossy(status));
    let mut words = Words::new(&table);
    let (known, parameters) = parameters(target, &mut words);
    // Of a text that ends too early, nothing is certain.
    let unread_table = if parameters.is_some() {
        words.rest()
    } else {
        table.trim()
    };
    let mut words = Words::new(&status);
    let state = state(target, length, parameters.as_ref(), &mut words);
    let unread_status = if state.is_some() { words.rest() } else { status.trim() };
    Decoded {
        known,
        unread_table: unread_table.to_owned(),
        unread_status: unread_status.to_owned(),
        parameters,
        state,
    }
}

/// The parameters, and whether the target is known at all.
fn parameters(target: &str, words: &mut Words<'_>) -> (bool, Option<Parameters>) {
    use Parameters as P;
    let parameters = match target {
        "cache" => cache::Cache::read(words).map(P::Cache),
        "clone" => other::CloneOf::read(words).map(P::Clone),
        "crypt" | "inlinecrypt" => Crypt::read(words).map(P::Crypt),
        "delay" => simple::Delay::read(words).map(P::Delay),
        "dust" => simple::Dust::read(words).map(P::Dust),
        "ebs" => simple::Ebs::read(words).map(P::Ebs),
        "era" => other::Era::read(words).map(P::Era),
        "error" | "zero" => None,
        "flakey" => simple::Flakey::read(words).map(P::Flakey),
        "integrity" => crypt::Integrity::read(words).map(P::Integrity),
        "linear" => simple::Place::read(words).map(P::Linear),
        "log-writes" => simple::LogWrites::read(words).map(P::LogWrites),
        "mirror" => raid::Mirror::read(words).map(P::Mirror),
        "multipath" => multipath::Multipath::read(words).map(P::Multipath),
        "pcache" => cache::PersistentCache::read(words).map(P::PersistentCache),
        "raid" => raid::Raid::read(words).map(P::Raid),
        "snapshot" | "snapshot-merge" => snapshot::Snapshot::read(words).map(P::Snapshot),
        "snapshot-origin" => snapshot::Origin::read(words).map(P::SnapshotOrigin),
        "striped" => simple::Striped::read(words).map(P::Striped),
        "switch" => simple::Switch::read(words).map(P::Switch),
        "thin" => thin::Thin::read(words).map(P::Thin),
        "thin-pool" => thin::Pool::read(words).map(P::Pool),
        "unstriped" => simple::Unstriped::read(words).map(P::Unstriped),
        "vdo" => other::Vdo::read(words).map(P::Vdo),
        "verity" => crypt::Verity::read(words).map(P::Verity),
        "writecache" => cache::WriteCache::read(words).map(P::WriteCache),
        "zoned" => other::Zoned::read(words).map(P::Zoned),
        _ => return (false, None),
    };
    (true, parameters)
}

fn state(target: &str, length: u64, table: Option<&Parameters>, words: &mut Words<'_>) -> Option<State> {
    if FAILING.contains(&target)
        && let Some(state) = words.maybe(|word| matches!(word, "Fail" | "Error").then(|| word.to_owned()))
    {
        return Some(State::Failed(Failed { state }));
    }
    match (target, table) {
        ("cache", _) => CacheState::read(words).map(State::Cache),
        ("clone", _) => CloneState::read(words).map(State::Clone),
        ("dust", _) => simple::DustState::read(words).map(State::Dust),
        ("era", _) => other::EraState::read(words).map(State::Era),
        ("integrity", _) => IntegrityState::read(words).map(State::Integrity),
        ("log-writes", _) => simple::LogWritesState::read(words).map(State::LogWrites),
        ("mirror", _) => MirrorState::read(words).map(State::Mirror),
        ("multipath", Some(Parameters::Multipath(table))) => {
            MultipathState::read(words, Some(table)).map(State::Multipath)
        }
        ("multipath", _) => MultipathState::read(words, None).map(State::Multipath),
        ("pcache", _) => cache::PersistentCacheState::read(words).map(State::PersistentCache),
        ("raid", Some(Parameters::Raid(table))) => RaidState::read(words, Some(table)).map(State::Raid),
        ("raid", _) => RaidState::read(words, None).map(State::Raid),
        ("snapshot" | "snapshot-merge", _) => SnapshotState::read(words).map(State::Snapshot),
        ("striped", _) => simple::Legs::striped(words).map(State::Striped),
        ("thin", _) => thin::ThinState::read(words, length).map(State::Thin),
        ("thin-pool", Some(Parameters::Pool(table))) => PoolState::read(words, Some(table)).map(State::Pool),
        ("thin-pool", _) => PoolState::read(words, None).map(State::Pool),
        ("vdo", _) => VdoState::read(words).map(State::Vdo),
        ("verity", _) => VerityState::read(words).map(State::Verity),
        ("writecache", Some(Parameters::WriteCache(table))) => {
            WriteCacheState::read(words, Some(table)).map(State::WriteCache)
        }
        ("writecache", _) => WriteCacheState::read(words, None).map(State::WriteCache),
        ("zoned", _) => other::ZonedState::read(words).map(State::Zoned),
        _ => None,
    }
}

impl Decoded {
    /// The fields of the table, and what of it was not understood.
    pub(crate) fn put_table(&self, out: &mut Map<String, Value>) {
        if let Some(parameters) = &self.parameters {
            parameters.put_all(out);
        }
        put_unread("unread_table", &self.unread_table, out);
    }

    /// The fields of the table and of the status. Where both have one, it is the status's, which is what is used.
    pub(crate) fn put_all(&self, out: &mut Map<String, Value>) {
        self.put_table(out);
        if let Some(state) = &self.state {
            state.put_all(out);
        }
        put_unread("unread_status", &self.unread_status, out);
    }
}

fn put_unread(name: &str, text: &str, out: &mut Map<String, Value>) {
    if !text.is_empty() {
        out.insert(name.to_owned(), text.into());
    }
}

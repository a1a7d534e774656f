//! The verdict on a device: sound, or what is wrong with it.

use serde_json::{Value, json};

use super::device_text;
use super::examine::{Examined, ExaminedTarget};
use crate::dm::targets::{
    Crypt, Fill, Leg, MirrorState, MultipathState, Parameters, PoolState, RaidState, SnapshotState, State, VdoState,
};

/// From good to bad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    #[default]
    Sound,
    /// It works; somebody should look at it.
    Warning,
    /// It cannot be told.
    Unknown,
    /// Data are lost, or are not safe.
    Critical,
}

/// From how many per cent on a thing that must not become full is worth a warning, or critical.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Thresholds {
    pub(crate) warning: u32,
    pub(crate) critical: u32,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            warning: 80,
            critical: 95,
        }
    }
}

/// What is wrong; where the verdict is sound, a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reason {
    pub(crate) verdict: Verdict,
    pub(crate) text: String,
}

impl Verdict {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sound => "sound",
            Self::Warning => "warning",
            Self::Unknown => "unknown",
            Self::Critical => "critical",
        }
    }

    /// The worst of several; sound if there are none.
    pub(crate) fn of(reasons: &[Reason]) -> Self {
        reasons.iter().map(|reason| reason.verdict).max().unwrap_or_default()
    }
}

impl Reason {
    pub(crate) fn new(verdict: Verdict, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { verdict, text }
    }

    /// A verdict and its reasons as JSON has them.
    pub(crate) fn put(reasons: &[Self], out: &mut serde_json::Map<String, Value>) {
        out.insert("verdict".into(), Verdict::of(reasons).name().into());
        let one = |reason: &Self| {
            let verdict = if reason.verdict == Verdict::Sound {
                "note"
            } else {
                reason.verdict.name()
            };
            json!({ "verdict": verdict, "text": reason.text })
        };
        out.insert("reasons".into(), reasons.iter().map(one).collect());
    }

    /// What is wrong, without notes: `warning: suspended`. Empty for a sound device.
    pub(crate) fn summary(reasons: &[Self]) -> String {
        let verdict = Verdict::of(reasons);
        if verdict == Verdict::Sound {
            return String::new();
        }
        let mut wrong: Vec<&Self> = reasons
            .iter()
            .filter(|reason| reason.verdict != Verdict::Sound)
            .collect();
        wrong.sort_by_key(|reason| std::cmp::Reverse(reason.verdict));
        let texts: Vec<&str> = wrong.iter().map(|reason| reason.text.as_str()).collect();
        format!("{}: {}", verdict.name(), texts.join("; "))
    }
}

/// All reasons of a device.
pub(super) fn reasons(device: &Examined, thresholds: Thresholds) -> Vec<Reason> {
    let mut judge = Judge {
        thresholds,
        reasons: Vec::new(),
    };
    let info = &device.info;
    match (info.suspended, info.live_table) {
        (_, false) => judge.warn("has no live table"),
        (true, true) => judge.warn("suspended"),
        (false, true) if info.internally_suspended => judge.warn("suspended by the kernel"),
        (false, true) => {}
    }
    if info.inactive_table {
        judge.warn("a table is loaded that is not live");
    }
    if info.deferred_remove {
        judge.note("is removed when its last user closes it");
    }
    for target in &device.targets {
        judge.target(target);
    }
    judge.reasons
}

struct Judge {
    thresholds: Thresholds,
    reasons: Vec<Reason>,
}

/// The targets whose health is in their status: without one that is understood, it is not known.
const TELLING: [&str; 13] = [
    "cache",
    "clone",
    "era",
    "integrity",
    "mirror",
    "multipath",
    "raid",
    "snapshot",
    "snapshot-merge",
    "thin-pool",
    "vdo",
    "verity",
    "writecache",
];

impl Judge {
    fn add(&mut self, verdict: Verdict, text: impl Into<String>) {
        let reason = Reason::new(verdict, text);
        // A device can have a thousand targets with the same thing to say.
        if !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
    }

    fn note(&mut self, text: impl Into<String>) {
        self.add(Verdict::Sound, text);
    }

    fn warn(&mut self, text: impl Into<String>) {
        self.add(Verdict::Warning, text);
    }

    fn critical(&mut self, text: impl Into<String>) {
        self.add(Verdict::Critical, text);
    }

    fn unknown(&mut self, text: impl Into<String>) {
        self.add(Verdict::Unknown, text);
    }

    fn target(&mut self, target: &ExaminedTarget) {
        let kind = target.kind.as_str();
        let decoded = &target.decoded;
        if !decoded.known {
            return self.unknown(format!("the target {kind} is unknown"));
        }
        match &decoded.parameters {
            Some(Parameters::Crypt(crypt)) => self.crypt(crypt),
            _ if kind == "error" => self.warn("a part of it only returns errors"),
            _ => {}
        }
        match &decoded.state {
            Some(state) => self.state(kind, state),
            None if TELLING.contains(&kind) => {
                self.unknown(format!("the status of the target {kind} is not understood"))
            }
            None => {}
        }
    }

    fn crypt(&mut self, crypt: &Crypt) {
        if let Some(weakness) = crypt.weakness() {
            self.warn(format!("the cipher {} {weakness}", crypt.cipher));
        }
        if crypt.key_location == "dm-crypt" && crypt.key_bits != Some(0) {
            self.note("the key is not in the kernel's keyring: root can read it");
        }
    }

    fn state(&mut self, kind: &str, state: &State) {
        match state {
            State::Failed(failed) => self.critical(format!("the target {kind} has failed ({})", failed.state)),
            State::Cache(cache) => {
                self.fill("metadata", &cache.metadata);
                self.metadata(cache.metadata_mode.as_deref(), cache.needs_check);
            }
            State::Clone(clone) => {
                self.fill("metadata", &clone.metadata);
                self.metadata(clone.metadata_mode.as_deref(), None);
                if clone.copy.used < clone.copy.total {
                    self.note(format!("{} are copied", clone.copy.percent_text()));
                }
            }
            State::Era(era) => self.fill("metadata", &era.metadata),
            State::Integrity(integrity) => {
                if integrity.mismatches > 0 {
                    self.critical(format!("{} integrity mismatches", integrity.mismatches));
                }
                if let Some(copy) = integrity.copy.filter(|copy| copy.used < copy.total) {
                    self.warn(format!("calculating integrity tags: {}", copy.percent_text()));
                }
            }
            State::Mirror(mirror) => self.mirror(mirror),
            State::Multipath(multipath) => self.multipath(multipath),
            State::Pool(pool) => self.pool(pool),
            State::Raid(raid) => self.raid(raid),
            State::Snapshot(snapshot) => self.snapshot(kind, snapshot),
            State::Striped(striped) => self.legs("stripe", &striped.legs),
            State::Vdo(vdo) => self.vdo(vdo),
            State::Verity(verity) if verity.corrupted => {
                self.critical("corrupted: a block has not the hash that it should")
            }
            State::WriteCache(cache) if cache.error_number != "0" => {
                self.critical(format!("the cache has failed (error {})", cache.error_number));
            }
            State::Dust(_)
            | State::LogWrites(_)
            | State::PersistentCache(_)
            | State::Thin(_)
            | State::Verity(_)
            | State::WriteCache(_)
            | State::Zoned(_) => {}
        }
    }

    /// Of a thing that must not become full.
    fn fill(&mut self, what: &str, fill: &Fill) {
        let Thresholds { warning, critical } = self.thresholds;
        let text = |limit| format!("{what} {} full (limit: {limit} %)", fill.percent_text());
        if fill.reaches(critical) {
            self.critical(text(critical));
        } else if fill.reaches(warning) {
            self.warn(text(warning));
        }
    }

    fn metadata(&mut self, mode: Option<&str>, needs_check: Option<bool>) {
        if mode == Some("ro") {
            self.critical("the metadata are read-only");
        }
        if needs_check == Some(true) {
            self.critical("the metadata need a check and repair");
        }
    }

    fn pool(&mut self, pool: &PoolState) {
        if pool.mode.as_deref() == Some("out_of_data_space") {
            self.critical("out of data space");
        }
        self.metadata(pool.mode.as_deref(), pool.needs_check);
        self.fill("data", &pool.data);
        self.fill("metadata", &pool.metadata);
    }

    fn snapshot(&mut self, kind: &str, snapshot: &SnapshotState) {
        match snapshot {
            SnapshotState::Active { snap, .. } if kind == "snapshot-merge" => {
                self.note(format!("merging: {} are left", snap.percent_text()));
            }
            SnapshotState::Active { snap, .. } => self.fill("snapshot", snap),
            SnapshotState::Lost(state) => self.critical(format!("the snapshot is lost: {state}")),
            SnapshotState::Unknown => self.unknown("the kernel does not know the state of the snapshot"),
        }
    }

    /// The devices that have failed, or of which it is not known.
    fn legs(&mut self, name: &str, legs: &[Leg]) {
        for (at, leg) in legs.iter().enumerate() {
            let device = leg.device.as_ref().map(|device| format!(" ({})", device_text(device)));
            let device = device.unwrap_or_default();
            let text = format!("{name} {at}{device}: {}", leg.health);
            match leg.health {
                "alive" | "in sync" => {}
                "not in sync" | "a read failed" => self.warn(text),
                "unknown" => self.unknown(text),
                _ => self.critical(text),
            }
        }
    }

    fn mirror(&mut self, mirror: &MirrorState) {
        self.legs("leg", &mirror.legs);
        match mirror.log_health {
            None | Some("alive") => {}
            Some(health) => self.critical(format!("the log of the mirror: {health}")),
        }
        if mirror.copy.used < mirror.copy.total {
            self.warn(format!("resynchronising: {}", mirror.copy.percent_text()));
        }
    }

    fn raid(&mut self, raid: &RaidState) {
        self.legs("leg", &raid.legs);
        let is_whole = raid.copy.used >= raid.copy.total;
        match raid.sync_action.as_deref() {
            Some(action @ ("check" | "repair")) => self.note(format!("{action}: {}", raid.copy.percent_text())),
            Some("frozen") => self.warn("the synchronisation is frozen"),
            Some("idle") | None if is_whole => {}
            Some("idle") | None => self.warn(format!("not synchronised: {}", raid.copy.percent_text())),
            Some(action) => self.warn(format!("resynchronising ({action}): {}", raid.copy.percent_text())),
        }
        if let Some(count) = raid.mismatch_count.filter(|count| *count > 0) {
            self.warn(format!("the last check found {count} mismatches"));
        }
        if raid.journal == Some("failed") {
            self.critical("the journal has failed");
        }
    }

    fn multipath(&mut self, multipath: &MultipathState) {
        let paths = || multipath.groups.iter().flat_map(|group| &group.paths);
        for path in paths().filter(|path| path.failed) {
            self.critical(format!("the path {} has failed", device_text(&path.device)));
        }
        if paths().all(|path| path.failed) {
            self.critical("no path is left");
        }
    }

    fn vdo(&mut self, vdo: &VdoState) {
        match vdo.mode.as_str() {
            "normal" => {}
            "read-only" => self.critical("read-only after an error"),
            "recovering" => self.warn("recovering"),
            mode => self.unknown(format!("the mode {mode} is unknown")),
        }
        if vdo.index_state == "error" {
            self.warn("the index of the deduplication has failed");
        }
        self.fill("data", &vdo.data);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block_device::DevNo;
    use crate::dm::targets::parse;
    use crate::dm::{DeviceInfo, DeviceName};

    fn device(target: &str, table: &str, status: &str) -> Examined {
        Examined {
            info: DeviceInfo {
                name: DeviceName::new("a").expect("a name"),
                uuid: None,
                number: DevNo::new(253, 0),
                open_count: 0,
                event_nr: 0,
                target_count: 1,
                suspended: false,
                internally_suspended: false,
                read_only: false,
                live_table: true,
                inactive_table: false,
                deferred_remove: false,
            },
            targets: vec![ExaminedTarget {
                start: 0,
                length: 8192,
                kind: target.to_owned(),
                status: status.to_owned(),
                decoded: parse(target, 8192, table.as_bytes(), status.as_bytes()),
            }],
        }
    }

    fn summary(target: &str, table: &str, status: &str) -> String {
        Reason::summary(&device(target, table, status).reasons(Thresholds::default()))
    }

    #[test]
    fn each_state_has_its_verdict() {
        let pool = |status: &str| summary("thin-pool", "253:1 253:2 128 0", status);
        for (expected, found) in [
            ("", summary("linear", "8:1 0", "")),
            ("", summary("delay", "8:1 0 5", "0 0 0")),
            (
                "",
                pool("1 18/1024 37/128 - rw no_discard_passdown queue_if_no_space - 1024"),
            ),
            (
                "warning: data 80.00 % full (limit: 80 %)",
                pool("1 18/1024 80/100 - rw"),
            ),
            (
                "critical: data 95.00 % full (limit: 95 %)",
                pool("1 18/1024 95/100 - rw"),
            ),
            (
                "critical: data 96.00 % full (limit: 95 %); metadata 87.89 % full (limit: 80 %)",
                pool("1 900/1024 96/100 - rw"),
            ),
            ("critical: the metadata are read-only", pool("1 1/1024 1/100 - ro")),
            (
                "critical: the metadata need a check and repair",
                pool("1 1/1024 1/100 - rw no_discard_passdown queue_if_no_space needs_check 8"),
            ),
            (
                "critical: out of data space",
                pool("1 1/1024 1/100 - out_of_data_space"),
            ),
            ("critical: the target thin-pool has failed (Fail)", pool("Fail")),
            (
                "unknown: the status of the target thin-pool is not understood",
                pool("what"),
            ),
            (
                "critical: the target cache has failed (Fail)",
                summary("cache", "", "Fail"),
            ),
            (
                "critical: the snapshot is lost: invalid",
                summary("snapshot", "", "Invalid"),
            ),
            (
                "critical: the snapshot is lost: overflow",
                summary("snapshot", "", "Overflow"),
            ),
            (
                "warning: snapshot 90.00 % full (limit: 80 %)",
                summary("snapshot", "", "90/100 8"),
            ),
            ("", summary("snapshot-merge", "", "90/100 8")),
            ("critical: 3 integrity mismatches", summary("integrity", "", "3 8192 -")),
            (
                "warning: calculating integrity tags: 50.00 %",
                summary("integrity", "", "0 8192 4096"),
            ),
            ("", summary("verity", "", "V")),
            (
                "critical: corrupted: a block has not the hash that it should",
                summary("verity", "", "C"),
            ),
            (
                "critical: leg 1 (4001:3): failed: a write failed",
                summary("mirror", "", "2 4001:2 4001:3 8/8 1 AD 1 core"),
            ),
            (
                "warning: resynchronising: 62.50 %",
                summary("mirror", "", "2 4001:2 4001:3 5/8 1 AA 1 core"),
            ),
            (
                "critical: the log of the mirror: failed: a write failed",
                summary("mirror", "", "2 1:2 1:3 8/8 1 AA 3 disk 1:1 D"),
            ),
            ("", summary("raid", "", "raid1 2 AA 8/8 idle 0 0 -")),
            ("", summary("raid", "", "raid1 2 AA 4/8 check 0 0 -")),
            (
                "critical: leg 1: failed",
                summary("raid", "", "raid1 2 AD 8/8 idle 0 0 -"),
            ),
            (
                "warning: leg 1: not in sync; resynchronising (recover): 50.00 %",
                summary("raid", "", "raid1 2 Aa 4/8 recover 0 0 -"),
            ),
            (
                "warning: the last check found 2 mismatches",
                summary("raid", "", "raid1 2 AA 8/8 idle 2 0 -"),
            ),
            (
                "critical: the journal has failed",
                summary("raid", "", "raid5_ls 3 AAA 8/8 idle 0 0 D"),
            ),
            (
                "critical: the path 4001:16 has failed",
                summary("multipath", "", "2 0 0 0 1 1 A 0 2 0 4001:0 A 0 4001:16 F 2"),
            ),
            (
                "critical: the path 4001:0 has failed; no path is left",
                summary("multipath", "", "2 0 0 0 1 1 A 0 1 0 4001:0 F 1"),
            ),
            (
                "critical: stripe 1 (4001:1): failed",
                summary("striped", "", "2 4001:0 4001:1 1 AD"),
            ),
            (
                "critical: read-only after an error",
                summary("vdo", "", "v read-only - online online 1 9"),
            ),
            (
                "critical: the cache has failed (error -5)",
                summary("writecache", "", "-5 9 9 0"),
            ),
            (
                "warning: the cipher aes-ecb shows which sectors have equal contents",
                summary("crypt", "aes-ecb :32:user:a 0 8:1 0", ""),
            ),
            ("unknown: the target nosuch is unknown", summary("nosuch", "1 2", "A")),
        ] {
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn the_state_of_the_device_counts_too() {
        let judged = |change: fn(&mut DeviceInfo)| {
            let mut device = device("linear", "8:1 0", "");
            change(&mut device.info);
            Reason::summary(&device.reasons(Thresholds::default()))
        };
        assert_eq!(judged(|info| info.suspended = true), "warning: suspended");
        assert_eq!(
            judged(|info| info.inactive_table = true),
            "warning: a table is loaded that is not live"
        );
        assert_eq!(judged(|info| info.live_table = false), "warning: has no live table");
        assert_eq!(judged(|info| info.deferred_remove = true), "");
    }

    #[test]
    fn thresholds_are_as_given() {
        let device = device("thin-pool", "", "1 1/100 50/100 - rw");
        let of = |warning, critical| Verdict::of(&device.reasons(Thresholds { warning, critical }));
        assert_eq!(of(51, 90), Verdict::Sound);
        assert_eq!(of(50, 90), Verdict::Warning);
        assert_eq!(of(1, 50), Verdict::Critical);
    }

    #[test]
    fn a_key_outside_the_keyring_is_only_a_note() {
        let reasons = device(
            "crypt",
            "aes-xts-plain64 0000000000000000000000000000000000000000000000000000000000000000 0 8:1 0",
            "",
        );
        let reasons = reasons.reasons(Thresholds::default());
        assert_eq!(Verdict::of(&reasons), Verdict::Sound);
        assert_eq!(reasons.len(), 1);
    }
}

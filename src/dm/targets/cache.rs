//! Targets that keep parts of a device on another one: cache, writecache, pcache.

use super::record::{Fill, Percent, Unit, record};
use super::words::Words;
use crate::dm::table::DeviceRef;

record!(Cache {
    metadata_device: DeviceRef,
    cache_device: DeviceRef,
    origin_device: DeviceRef,
    block_sectors: u64,
    features: Vec<String>,
    policy: String,
    policy_arguments: Vec<String>,
});

record!(CacheState {
    metadata: Fill,
    data: Fill,
    read_hits: u64,
    read_misses: u64,
    write_hits: u64,
    write_misses: u64,
    demotions: u64,
    promotions: u64,
    dirty_blocks: u64,
    /// How many of the blocks in the cache are dirty, as lvm2 calls it.
    copy: Percent,
    features: Vec<String>,
    core_arguments: Vec<String>,
    policy: String,
    policy_arguments: Vec<String>,
    metadata_mode: Option<String>,
    needs_check: Option<bool>,
});

record!(WriteCache {
    cache_type: &'static str,
    origin_device: DeviceRef,
    cache_device: DeviceRef,
    block_bytes: u64,
    options: Vec<String>,
});

record!(WriteCacheState {
    /// 0 for none.
    error_number: String,
    data: Fill,
    writeback_blocks: u64,
    counters: Option<WriteCacheCounters>,
});

record!(
    /// Requests before Linux 5.16, blocks since, but for the last three.
    WriteCacheCounters {
        reads: u64,
        read_hits: u64,
        writes: u64,
        write_hits_uncommitted: u64,
        write_hits_committed: u64,
        writes_around: u64,
        writes_allocated: u64,
        writes_blocked: u64,
        flushes: u64,
        discards: u64,
    }
);

record!(PersistentCache {
    cache_device: DeviceRef,
    backing_device: DeviceRef,
    options: Vec<String>,
});

record!(PersistentCacheState {
    superblock_flags: String,
    total_segments: u64,
    data: Fill,
    gc_threshold_percent: u64,
    cache_flags: String,
    key_head: String,
    dirty_tail: String,
    key_tail: String,
});

/// `needs_check`, or `-` for no.
pub(super) fn needs_check(words: &mut Words<'_>) -> Option<bool> {
    words.maybe(|word| match word {
        "needs_check" => Some(true),
        "-" => Some(false),
        _ => None,
    })
}

/// `rw`, or `ro` after an error.
pub(super) fn metadata_mode(words: &mut Words<'_>) -> Option<String> {
    words.maybe(|word| matches!(word, "rw" | "ro").then(|| word.to_owned()))
}

/// `<sectors of a block> <used>/<total>`
pub(super) fn sized_blocks(words: &mut Words<'_>, name: &'static str) -> Option<Fill> {
    let bytes = words.number::<u64>()?.checked_mul(512);
    Some(Fill::new(words.ratio()?, Unit { name, bytes }))
}

impl Cache {
    pub(super) fn read(words: &mut Words<'_>) -> Option<Self> {
        Some(Self {
            metadata_device: words.device()?,
            cache_device: words.device()?,
            origin_device: words.device()?,
            block_sectors: words.number()?,
            features: words.list()?,
            policy: words.text()?,
            policy_arguments: words.list()?,
        })
    }
}

impl CacheState {
    pub(super) fn read(words: &mut Words<'_>) -> Option<Self> {
        let metadata = sized_blocks(words, "blocks")?;
        let data = sized_blocks(words, "blocks")?;
        let counters: [u64; 7] = words.times(7, Words::number)?.try_into().ok()?;
        let [
            read_hits,
            read_misses,
            write_hits,
            write_misses,
            demotions,
            promotions,
            dirty_blocks,
        ] = counters;
        Some(Self {
            metadata,
            data,
            read_hits,
            read_misses,
            write_hits,
            write_misses,
            demotions,
            promotions,
            dirty_blocks,
            // 0 of an empty one.
            copy: Percent(Fill::new((dirty_blocks, data.used.max(1)), data.unit)),
            features: words.list()?,
            core_arguments: words.list()?,
            policy: words.text()?,
            policy_arguments: words.list()?,
            metadata_mode: metadata_mode(words),
            needs_check: needs_check(words),
        })
    }
}

impl WriteCache {
    pub(super) fn read(words: &mut Words<'_>) -> Option<Self> {
        Some(Self {
            cache_type: words.maybe(|word| match word {
                "p" => Some("persistent memory"),
                "s" => Some("SSD"),
                _ => None,
            })?,
            origin_device: words.device()?,
            cache_device: words.device()?,
            block_bytes: words.number()?,
            options: words.list()?,
        })
    }
}

impl WriteCacheState {
    pub(super) fn read(words: &mut Words<'_>, table: Option<&WriteCache>) -> Option<Self> {
        let error_number = words.maybe(|word| word.parse::<i64>().is_ok().then(|| word.to_owned()))?;
        let (total, free): (u64, u64) = (words.number()?, words.number()?);
        let used = total.checked_sub(free)?;
        Some(Self {
            error_number,
            data: Fill::new((used, total), Unit::blocks(table.map(|table| table.block_bytes))),
            writeback_blocks: words.number()?,
            counters: WriteCacheCounters::read(words),
        })
    }
}

impl WriteCacheCounters {
    fn read(words: &mut Words<'_>) -> Option<Self> {
        Some(Self {
            reads: words.number()?,
            read_hits: words.number()?,
            writes: words.number()?,
            write_hits_uncommitted: words.number()?,
            write_hits_committed: words.number()?,
            writes_around: words.number()?,
            writes_allocated: words.number()?,
            writes_blocked: words.number()?,
            flushes: words.number()?,
            discards: words.number()?,
        })
    }
}

impl PersistentCache {
    pub(super) fn read(words: &mut Words<'_>) -> Option<Self> {
        Some(Self {
            cache_device: words.device()?,
            backing_device: words.device()?,
            options: words.list()?,
        })
    }
}

impl PersistentCacheState {
    pub(super) fn read(words: &mut Words<'_>) -> Option<Self> {
        let superblock_flags = words.text()?;
        let total_segments = words.number()?;
        let total = words.number()?;
        let unit = Unit {
            name: "segments",
            bytes: Some(16 << 20),
        };
        Some(Self {
            superblock_flags,
            total_segments,
            data: Fill::new((words.number()?, total), unit),
            gc_threshold_percent: words.number()?,
            cache_flags: words.text()?,
            key_head: words.text()?,
            dirty_tail: words.text()?,
            key_tail: words.text()?,
        })
    }
}

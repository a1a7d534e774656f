//! The digests of all keyslots and segments at once: going over every digest for each of them would take time in the
//! square of a header's size. For a single one there is [`Metadata::digest_of_keyslot`].

use crate::KeyslotId;
use std::collections::HashMap;
use std::hash::Hash;

use super::metadata::{Digest, Metadata};

/// Digests by what they are for; of several, the first.
#[derive(Debug)]
pub struct DigestIndex<'a> {
    keyslots: HashMap<KeyslotId, Named<'a>>,
    segments: HashMap<u32, Named<'a>>,
}

#[derive(Debug)]
struct Named<'a> {
    id: u32,
    digest: &'a Digest,
    /// The number of digests that name it.
    count: usize,
}

impl<'a> DigestIndex<'a> {
    /// Of all digests of `metadata`.
    pub fn new(metadata: &'a Metadata) -> Self {
        Self {
            keyslots: index(metadata, |digest| &digest.keyslots),
            segments: index(metadata, |digest| &digest.segments),
        }
    }

    /// As [`Metadata::digest_of_keyslot`].
    pub fn of_keyslot(&self, keyslot: KeyslotId) -> Option<(u32, &'a Digest)> {
        self.keyslots.get(&keyslot).map(|named| (named.id, named.digest))
    }

    /// As [`Metadata::digest_of_segment`].
    pub fn of_segment(&self, segment: u32) -> Option<(u32, &'a Digest)> {
        self.segments.get(&segment).map(|named| (named.id, named.digest))
    }

    /// The number of digests that name `keyslot`.
    pub fn count(&self, keyslot: KeyslotId) -> usize {
        self.keyslots.get(&keyslot).map_or(0, |named| named.count)
    }

    /// Whether `keyslot` holds the key of a segment.
    pub fn is_bound(&self, keyslot: KeyslotId) -> bool {
        self.of_keyslot(keyslot)
            .is_some_and(|(_, digest)| !digest.segments.is_empty())
    }
}

fn index<Id: Copy + Eq + Hash>(metadata: &Metadata, ids: fn(&Digest) -> &[Id]) -> HashMap<Id, Named<'_>> {
    let mut named = HashMap::new();
    for (&id, digest) in &metadata.digests {
        for &object in ids(digest) {
            let first = Named { id, digest, count: 0 };
            named.entry(object).or_insert(first).count += 1;
        }
    }
    named
}

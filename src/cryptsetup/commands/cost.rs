//! The costs of a new keyslot, as the options request them, and the limits for opening one.

use keyslots::kdf::CostLimits;

use super::context::Context;
use crate::crypt_device::CostRequest;

impl Context<'_> {
    /// The requested costs of a new keyslot.
    pub(super) fn cost(&self) -> CostRequest<'_> {
        let options = self.options;
        CostRequest {
            pbkdf: options.pbkdf,
            hash: options.hash.as_deref(),
            iter_time_ms: options.iter_time,
            memory_kib: options.pbkdf_memory,
            lanes: options.pbkdf_parallel,
            force_iterations: options.pbkdf_force_iterations,
            cipher: options.keyslot_cipher.as_deref(),
            key_size: options.keyslot_key_size.map(|size| size.bits() / 8),
        }
    }

    /// The cost limits for opening a keyslot.
    pub(super) fn cost_limits(&self) -> CostLimits {
        match self.options.no_pbkdf_limits {
            true => CostLimits::unlimited(),
            false => CostLimits::default(),
        }
    }
}

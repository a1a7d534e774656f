//! Argon2 over memory of our own.

use argon2::{Algorithm, Argon2, Params, Version};

use super::memory::Blocks;
use super::{Argon2Variant, KdfError};

/// Fills `out`. The costs were checked.
pub(super) fn derive(
    variant: Argon2Variant,
    time: u32,
    memory_kib: u32,
    lanes: u32,
    password: &[u8],
    salt: &[u8],
    out: &mut [u8],
) -> Result<(), KdfError> {
    let algorithm = match variant {
        Argon2Variant::I => Algorithm::Argon2i,
        Argon2Variant::Id => Algorithm::Argon2id,
    };
    let internal = |error: argon2::Error| KdfError::Internal(error.to_string());
    let params = Params::new(memory_kib, time, lanes, Some(out.len())).map_err(internal)?;
    let mut blocks = Blocks::allocate(params.block_count())?;
    Argon2::new(algorithm, Version::V0x13, params)
        .hash_password_into_with_memory(password, salt, out, blocks.as_mut_slice())
        .map_err(internal)
}

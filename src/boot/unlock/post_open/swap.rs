//! Swap areas: `union swap_header` of linux/swap.h.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;

use keyslots::storage::Storage as _;
use keyslots::units::Bytes;

/// Writes the header of a swap area: `union swap_header` of linux/swap.h, in the page size of this kernel.
pub(super) fn make_swap(mapping: &Path) -> io::Result<()> {
    let mut device = OpenOptions::new().read(true).write(true).open(mapping)?;
    let page = page_size()?;
    let pages = device.size()?.get() / page as u64;
    let header = swap_header(page, pages)?;
    device.write_at(Bytes::ZERO, &header)?;
    device.sync()
}

pub(super) fn swap_header(page: usize, pages: u64) -> io::Result<Vec<u8>> {
    const MAGIC: &[u8] = b"SWAPSPACE2";
    // mkswap requires as many.
    if pages < 10 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the device is too small for swap",
        ));
    }
    let last = u32::try_from(pages - 1).unwrap_or(u32::MAX);
    let mut header = vec![0; page];
    header[1024..1028].copy_from_slice(&1_u32.to_ne_bytes());
    header[1028..1032].copy_from_slice(&last.to_ne_bytes());
    header[1036..1052].copy_from_slice(keyslots::secret::Secret::random(16)?.expose());
    // The version and the variant of a random UUID (RFC 9562).
    header[1042] = header[1042] & 0x0f | 0x40;
    header[1044] = header[1044] & 0x3f | 0x80;
    header[page - MAGIC.len()..].copy_from_slice(MAGIC);
    Ok(header)
}

/// The end of a swap area, also one with a hibernation image: its last page is in `union swap_header` of linux/swap.h.
pub(super) fn swap_end(device: &Path) -> Option<Bytes> {
    let mut last = [0; 4];
    let mut file = OpenOptions::new().read(true).open(device).ok()?;
    file.read_at(Bytes::new(1028), &mut last).ok()?;
    let pages = u64::from(u32::from_ne_bytes(last)).checked_add(1)?;
    pages.checked_mul(page_size().ok()? as u64).map(Bytes::new)
}

pub(super) fn page_size() -> io::Result<usize> {
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)?;
    page.and_then(|page| usize::try_from(page).ok())
        .ok_or_else(|| io::ErrorKind::Unsupported.into())
}

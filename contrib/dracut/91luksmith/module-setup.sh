#!/bin/bash
# Puts Luksmith, its modules and the entries of crypttab that are for the initramfs into it. See contrib/README.md.
check() { require_binaries luksmith; }
depends() { echo dm udev-rules; }
installkernel() { hostonly='' instmods dm_crypt loop =crypto =drivers/crypto; }
install() {
  inst_multiple luksmith sleep
  awk '$1 !~ /^#/ && (","$4",") ~ /,(x-initrd\.attach|initramfs),/' "$dracutsysrootdir/etc/crypttab" >"$initdir/etc/crypttab"
  [ -s "$initdir/etc/crypttab" ] || dwarn "luksmith: no entry of /etc/crypttab has the option x-initrd.attach or initramfs"
  inst_hook initqueue/settled 20 "$moddir/unlock.sh"
}

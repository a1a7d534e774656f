# A volume is opened, suspended, resumed and closed; at each of these points the host looks for its key in the memory of this
# machine (scripts/leaks), which has neither the key nor the passphrase but through the program.
. /share/guest/lib.sh
# scan NAME: the host looks now.
scan() {
  sync
  echo 3 >/proc/sys/vm/drop_caches
  : >"/share/out/scan-$1"
  if within $hang test -e "/share/out/seen-$1"; then pass "the host has looked: $1"; else fail "the host has not looked: $1"; fi
}
key=/share/out/passphrase
scan before
check "open" /luksmith/cryptsetup open --key-file $key "$1" x
dd if=/dev/mapper/x of=/dev/null bs=64k count=16 2>/dev/null
scan opened
check "luksSuspend" /luksmith/cryptsetup luksSuspend x
scan suspended
check "luksResume" /luksmith/cryptsetup luksResume --key-file $key x
scan resumed
check "close" /luksmith/cryptsetup close x
scan closed
check "open without the keyring" /luksmith/cryptsetup open --disable-keyring --key-file $key "$1" x
scan opened-again
check "close" /luksmith/cryptsetup close x
scan closed-again
check "luksAddKey" /luksmith/cryptsetup luksAddKey -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file $key "$1" $key
check "luksChangeKey" /luksmith/cryptsetup luksChangeKey -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file $key "$1" $key
scan changed
finish

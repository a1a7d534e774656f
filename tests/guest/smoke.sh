# The machine itself: its kernel maps, its peer tools work, udev is there or not as asked. Nothing of Luksmith.
. /share/guest/lib.sh
uname -r
check "dm-crypt is in the kernel" sh -c 'dmsetup targets | grep -q ^crypt'
truncate -s 24M v
printf 'pw' >k
check "format" cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 v k
check "open" cryptsetup open -d k v x
check "table" sh -c 'dmsetup table --showkeys x | grep -q crypt'
check "node" test -b /dev/mapper/x
if [ "$UDEV" = 1 ]; then check "udev makes links" test -L /dev/mapper/x; else check "no udev: a node" test ! -L /dev/mapper/x; fi
check "close" cryptsetup close x
check "no cookie is left" sh -c '! ipcs -s | grep -q 0x0d4d'
finish

# A volume served from userspace, with a disk below it that can be taken away: a file system on it after the server was killed and
# after the plug was pulled, no space and no disk underneath, and plain volumes beside the kernel's.
#   fuse.sh [ROUNDS [KINDS]]      2 rounds of `kill,pull` unless told
. /share/guest/lib.sh
modprobe fuse && modprobe ext4 && modprobe dm_mod
rounds=${1:-2} kinds=${2:-kill,pull}
luksmith=/luksmith/luksmith
served=/run/luksmith/x
printf 'pw' >k
open() { $luksmith open --backend userspace -d k "$@" x; }
code() { "$@" >out 2>&1; echo $?; }
# As check, for functions.
try() { local name=$1; shift; if "$@" >out 2>&1; then pass "$name"; else fail "$name: $* -> $(tail -3 out)"; fi; }

# The disk: /dev/mapper/disk on a loop device, until it is taken away.
truncate -s 96M disk
losetup /dev/loop0 disk
sectors=$(blockdev --getsz /dev/loop0)
good="0 $sectors linear /dev/loop0 0" gone="0 $sectors error"
disk() { # TABLE: from now on, with nothing of what is on its way carried out first
  dmsetup suspend --noflush --nolockfs disk && dmsetup load disk --table "$1" && dmsetup resume disk --noudevsync
  dmsetup mknodes disk
}
dmsetup create disk --noudevsync --table "$good" && dmsetup mknodes disk
check "format" $luksmith luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 /dev/mapper/disk k

# Writes files and makes a note of each that has been synced, until that fails.
writer() {
  local n=0
  while :; do
    n=$((n + 1))
    { yes "file $n" | head -c 150000 >/mnt/f$n && sync /mnt/f$n; } 2>/dev/null || return
    echo $n >>/tmp/synced
    [ $((n % 7)) != 0 ] || rm -f /mnt/f$((n - 3)) /tmp/never
  done
}
enough() { [ "$(wc -l </tmp/synced)" -ge 3 ]; }
accident() { # kill|pull
  : >/tmp/synced
  open /dev/mapper/disk >/dev/null || return 1
  losetup /dev/loop1 $served && mkfs.ext4 -q -F /dev/loop1 && sync && mount /dev/loop1 /mnt || return 1
  writer & local writer=$!
  sleep $((1 + RANDOM % 3))
  within 120 enough
  local server
  server=$($luksmith status x | sed -n 's/.*(process \([0-9]*\).*/\1/p')
  [ "$1" = kill ] || disk "$gone"
  cp /tmp/synced /tmp/synced.before
  kill -9 "$server"
  wait $writer 2>/dev/null
  umount -l /mnt
  losetup -d /dev/loop1
  # What the killed server had not synced cannot be synced any more where the disk is gone: that is told.
  if [ "$1" = kill ]; then $luksmith close x || return 1; else
    ! $luksmith close x 2>told && grep -q 'may be lost' told || return 1
  fi
  # What the kernel has in memory of the disk went with the plug, errors that nobody was told of too: it is another one now.
  [ "$1" = kill ] || {
    dmsetup remove --noudevsync disk && dmsetup create disk --noudevsync --table "$good" && dmsetup mknodes disk || return 1
    blockdev --flushbufs /dev/loop0
  }
  echo 3 >/proc/sys/vm/drop_caches
}
for how in ${kinds//,/ }; do
  for round in $(seq "$rounds"); do
    try "$how $round" accident $how
    check "$how $round: some files were synced before" [ "$(wc -l </tmp/synced.before)" -ge 3 ]
    try "$how $round: opened again" open /dev/mapper/disk
    losetup /dev/loop1 $served
    check "$how $round: the journal is replayed" sh -c 'mount /dev/loop1 /mnt'
    lost=
    while read -r n; do
      # Each seventh has removed one before it.
      [ -e /mnt/f$n ] || { [ $(((n + 3) % 7)) = 0 ] && continue; }
      [ "$(yes "file $n" | head -c 150000 | sha256sum)" = "$(sha256sum </mnt/f$n)" ] || lost="$lost $n"
    done </tmp/synced.before
    same "$how $round: nothing of $(wc -l </tmp/synced.before) synced files is lost" "" "$lost"
    umount /mnt
    same "$how $round: the file system is clean" 0 "$(code e2fsck -fn /dev/loop1)"
    losetup -d /dev/loop1
    check "$how $round: close" $luksmith close x
  done
done

# A disk that fails under an open volume.
open /dev/mapper/disk >/dev/null
yes before | head -c 1000000 | dd of=$served bs=64k conv=notrunc,fsync 2>/dev/null
disk "$gone"
echo 3 >/proc/sys/vm/drop_caches
same "a read of a disk that is gone" 1 "$(code dd if=$served of=/dev/null bs=4k skip=4000 count=1 iflag=direct)"
check "is an input/output error" grep -qi 'input/output error' out
same "a sync of a disk that is gone" 1 "$(code dd if=/dev/zero of=$served bs=4k seek=5000 count=1 conv=notrunc,fsync)"
check "is an input/output error" grep -qi 'input/output error' out
disk "$good"
same "it fails for good: what was written may be lost" 1 "$(code dd if=/dev/zero of=$served bs=4k count=1 seek=6000 conv=notrunc,fsync)"
same "close says so" 1 "$(code $luksmith close x)"
check "in these words" grep -q 'may be lost' out
same "and has closed it" "" "$($luksmith list | grep '^x')"
check "what was synced is there" sh -c "[ \"\$($luksmith cat -d k --length 1000000 /dev/mapper/disk | sha256sum)\" = \"\$(yes before | head -c 1000000 | sha256sum)\" ]"

# Nobody else gets at a disk that is only read.
open --readonly /dev/mapper/disk >/dev/null
same "a volume that is served read-only is not written to" 5 "$(code $luksmith write -q -d k /dev/mapper/disk k)"
same "nor mapped" 5 "$(code $luksmith open --backend kernel -d k /dev/mapper/disk y)"
check "close" $luksmith close x
dmsetup remove --noudevsync disk

# No space below.
mkdir small && mount -t tmpfs -o size=24m none small
truncate -s 64M small/v
check "format a file with holes" $luksmith luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 small/v k
open small/v >/dev/null
yes kept | head -c 2000000 | dd of=$served bs=64k conv=notrunc,fsync 2>/dev/null
same "no space" 1 "$(code dd if=/dev/urandom of=$served bs=64k seek=100 count=400 conv=notrunc,fsync)"
check "is told" grep -q 'No space left' out
same "nor room ahead" 1 "$(code fallocate -l 40M $served)"
mount -o remount,size=120m small
check "with more space it goes on" dd if=/dev/zero of=$served bs=64k seek=100 count=400 conv=notrunc,fsync
same "what was there is there" "$(yes kept | head -c 2000000 | sha256sum)" "$(head -c 2000000 $served | sha256sum)"
check "close" $luksmith close x

# Plain volumes, beside Debian's cryptsetup.
truncate -s 8M plain
head -c 64 /dev/urandom >key
head -c 1000000 /dev/urandom >data
plain() { # KEY_BITS CIPHER [OPTION...]
  local bits=$1 cipher=$2
  shift 2
  local how=(--cipher "$cipher" --key-size "$bits" --key-file key)
  $luksmith write -q --type plain "${how[@]}" --data-offset 64 "$@" plain data &&
    /usr/sbin/cryptsetup open -q --type plain "${how[@]}" --offset 64 "$@" plain y &&
    cmp -n 1000000 data /dev/mapper/y && dd if=data of=/dev/mapper/y bs=64k seek=32 conv=fsync 2>/dev/null &&
    /usr/sbin/cryptsetup close y &&
    $luksmith cat --type plain "${how[@]}" --data-offset 64 "$@" --offset 2097152 --length 1000000 plain | cmp - data &&
    $luksmith open -q --backend userspace --type plain "${how[@]}" --offset 64 "$@" plain x &&
    cmp -n 1000000 data $served && $luksmith status x | grep -q 'type:    PLAIN' && $luksmith close x
}
try "plain" plain 256 aes-xts-plain64
try "plain with its own start of counting" plain 256 aes-xts-plain64 --skip 12345
try "plain in large sectors" plain 512 aes-xts-plain64 --sector-size 4096
try "plain in large sectors, so counted" plain 512 aes-xts-plain64 --sector-size 4096 --iv-large-sectors
try "plain as BitLocker encrypts" plain 256 aes-cbc-eboiv
try "plain with the diffuser" plain 512 aes-cbc-elephant
try "plain, an old one" plain 256 serpent-cbc-essiv:sha256
same "what only the kernel can is named" 1 "$(code $luksmith cat --type plain --cipher aes-cbc-tcw --key-size 512 --key-file key plain)"
check "with its name" grep -q tcw out
finish

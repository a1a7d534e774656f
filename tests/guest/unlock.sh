# `unlock` and `close --all` with what a boot may bring: members of arrays, snapshots, key devices with a dirty journal, names that
# are taken, key files to be used once, answers to be given twice.
. /share/guest/lib.sh
cd /tmp
rmmod brd 2>/dev/null
modprobe brd rd_nr=4 rd_size=65536
uuid=11111111-1111-4111-8111-111111111111
printf 'abc' >k
: >empty
mkdir -p /mnt
truncate -s 24M luks.img
ours cryptsetup luksFormat -q --uuid $uuid --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --luks2-keyslots-size 1M luks.img k

unlock() { # ENTRY [OPTION...]: what it says is in $said, its exit code in $rc; standard input has the answers
  echo "$1" >crypttab
  shift
  said=$(timeout $hang /luksmith/luksmith unlock --crypttab crypttab --kernel-arguments /dev/null "$@" 2>&1)
  rc=$?
}
is() { # NAME EXIT-CODE TEXT: how the last unlock ended
  if [ "$rc" = "$2" ] && [[ $said == *"$3"* ]]; then pass "$1"; else fail "$1: exit $rc: $said"; fi
}
below() { dmsetup deps -o devno "$1" | sed 's/.*: //'; }
node() { printf '(%d, %d)' $((16#$(stat -c %t "$1"))) $((16#$(stat -c %T "$1"))); }
entry="root UUID=$uuid none luks"

# --- a member of an array that is not assembled: its superblock (MD 1.0) is at its end, the volume's header in front
dd if=luks.img of=/dev/ram0 bs=1M conv=fsync status=none
printf '\xfc\x4e\x2b\xa9\x01\0\0\0' | dd of=/dev/ram0 bs=1 seek=$((65536 * 1024 - 8192)) conv=fsync status=none
unlock "$entry" --device-timeout 2 <<<abc
is "a member of an array is not the array" 4 "ram0 (a linux_raid_member)"
dd if=luks.img of=/dev/ram1 bs=1M conv=fsync status=none
unlock "$entry" <<<abc
is "the array itself is opened" 0 "root is open."
same "and not its member" "$(below root)" "$(node /dev/ram1)"
ours cryptsetup close root

# --- a partition of a disk on which the superblock of an array is left: nobody's part, unless somebody has the disk
dd if=/dev/zero of=/dev/ram0 bs=1M count=1 conv=fsync status=none
dd if=/dev/zero of=/dev/ram1 bs=1M count=1 conv=fsync status=none
truncate -s 40M stale.img
printf '\0\0\0\0\x83\0\0\0\0\x08\0\0\0\x20\x01\0\0' | dd of=stale.img bs=1 seek=446 conv=notrunc status=none
printf '\x55\xaa' | dd of=stale.img bs=1 seek=510 conv=notrunc status=none
dd if=luks.img of=stale.img bs=1M seek=1 conv=notrunc status=none
printf '\xfc\x4e\x2b\xa9\x01\0\0\0' | dd of=stale.img bs=1 seek=$((40960 * 1024 - 8192)) conv=notrunc status=none
stale=$(losetup -P -f --show stale.img)
dmsetup create array --table "0 81920 linear $stale 0"
unlock "$entry" --device-timeout 3 <<<abc
is "a partition of a disk that is in an array is not taken" 4 "p1 (part of dm-0)"
dmsetup remove array
unlock "$entry" --device-timeout 3 <<<abc
is "and one of a disk that only seems to be is, after a time" 0 "p1 (on a disk that says it is a linux_raid_member)"
same "which is the partition" "$(below root)" "$(node ${stale}p1)"
ours cryptsetup close root
losetup -d $stale
rm stale.img
dd if=luks.img of=/dev/ram0 bs=1M conv=fsync status=none
dd if=luks.img of=/dev/ram1 bs=1M conv=fsync status=none

# --- what is open already, and what only has the name
unlock "$entry" <<<abc
unlock "$entry" <empty
is "what is open is not asked for" 0 ""
ours cryptsetup close root
dmsetup create root --table '0 8 zero'
unlock "$entry" <<<abc
is "another mapping of that name is not the volume" 5 "is not this volume"
dmsetup remove root

# --- a part of a device of the device-mapper
dmsetup create whole --table '0 65536 linear /dev/ram1 0'
unlock "$entry" <<<abc
same "what stands on the device is taken" "$rc $(below root)" "0 $(node /dev/dm-0)"
ours cryptsetup close root
dmsetup remove whole

# --- a logical volume and its snapshot
dd if=/dev/zero of=/dev/ram1 bs=1M count=1 conv=fsync status=none
lvm() { command lvm "$@" --config 'activation { udev_rules=0 udev_sync=0 }' >lvm.log 2>&1 || fail "lvm $*: $(cat lvm.log)"; }
lvm pvcreate /dev/ram2 && lvm vgcreate vg /dev/ram2 && lvm lvcreate -an -Zn -Wn -L 28M -n root vg && lvm vgchange -ay vg
dd if=luks.img of=/dev/mapper/vg-root bs=1M conv=fsync status=none
lvm lvcreate -s -L 8M -n aaa vg/root
unlock "$entry" <<<abc
same "the volume is taken, and not its snapshot" "$rc $(below root)" "0 $(node /dev/mapper/vg-root)"
[[ $said == *"is on each of"* ]] && pass "two of one UUID are told" || fail "two of one UUID are told: $said"

unlock "$entry" <empty
is "what is open is open, though its snapshot is nobody's" 0 ""
unlock "second UUID=$uuid none luks" <<<abc
is "and the snapshot is not taken in its place" 5 "is in use"

# --- close --all: logical volumes on a volume, and somebody who only looks
(sleep 1) </dev/mapper/root &
timeout $hang /luksmith/luksmith close --all >said 2>&1
same "close --all waits for who only looks" "$? $(dmsetup ls --target crypt)" "0 "
wait
lvm vgchange -an vg && lvm vgremove -ff vg
dd if=/dev/zero of=/dev/ram2 bs=1M count=1 conv=fsync status=none

# --- a key on a file system that was not unmounted: nothing on it changes
mkfs.ext4 -q -U 22222222-2222-4222-8222-222222222222 /dev/ram3
modprobe ext4
mount -t ext4 /dev/ram3 /mnt && cp k /mnt/key && sync
for i in 1 2 3 4 5; do echo $i >/mnt/file$i; done
sync /mnt/key
dd if=/dev/ram3 of=dirty.img bs=1M status=none
umount /mnt
dd if=dirty.img of=/dev/ram3 bs=1M conv=fsync status=none
[ $(($(xxd -s $((1024 + 96)) -l 1 -p /dev/ram3 | sed 's/^/0x/') & 4)) = 4 ] && pass "the journal is to be replayed" || fail "the journal is to be replayed"
before=$(sha256sum </dev/ram3)
dd if=luks.img of=/dev/ram1 bs=1M conv=fsync status=none
for how in "by a loop device" "without one"; do
  [ "$how" = "without one" ] && mv /dev/loop-control /dev/gone
  unlock "root UUID=$uuid /key:UUID=22222222-2222-4222-8222-222222222222 luks" <empty
  echo 3 >/proc/sys/vm/drop_caches
  same "the key's device is as it was, $how" "$rc $(sha256sum </dev/ram3)" "0 $before"
  ours cryptsetup close root
done
mv /dev/gone /dev/loop-control

# --- a key device that does not answer
dmsetup create silent --table '0 131072 linear /dev/ram3 0'
dmsetup suspend silent
for place in /dev/dm-0 UUID=22222222-2222-4222-8222-222222222222; do
  unlock "root UUID=$uuid /key:$place luks,keyfile-timeout=3" <<<abc
  is "a key device that does not answer makes way for a person ($place)" 0 "a passphrase will do"
  ours cryptsetup close root
done
heeds() { ((0x$(sed -n 's/^SigBlk:[[:blank:]]*//p' /proc/$1/status) & 0x4000)); }
ended() { # ENTRY: how it ends, and whether soon, when it is told to two seconds after it began to heed that
  echo "$1" >crypttab
  /luksmith/luksmith unlock --crypttab crypttab --kernel-arguments /dev/null <empty >log 2>&1 &
  local pid=$! since
  within $hang heeds $pid
  sleep 2
  since=$SECONDS
  kill -TERM $pid
  wait $pid
  echo "$? $((SECONDS - since < 45))"
}
same "and keeps nobody from ending" "$(ended "root UUID=$uuid /key:/dev/dm-0 luks,keyfile-timeout=60")" "1 1"
dmsetup resume silent
dmsetup remove --retry silent

# --- a disk that answers late, and one that never does: as long as it is asked, what may fail is not given up
dd if=/dev/zero of=/dev/ram2 bs=1M conv=fsync status=none 2>/dev/null
uuid4=44444444-4444-4444-8444-444444444444
# Not at the start of what is under it, which would answer in its place.
dmsetup create slow --table '0 65536 linear /dev/ram2 8' && dmsetup mknodes slow
printf 'abc' | ours cryptsetup luksFormat -q --uuid $uuid4 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --luks2-keyslots-size 1M /dev/mapper/slow -
echo 3 >/proc/sys/vm/drop_caches
dmsetup suspend slow
(sleep 4; dmsetup resume slow) &
unlock "late UUID=$uuid4 none luks,nofail" <<<abc
is "a disk that answers late is not missing" 0 "late is open."
wait
ours cryptsetup close late
echo 3 >/proc/sys/vm/drop_caches
dmsetup suspend slow
same "one that does not answer keeps nobody from ending" "$(ended "late /dev/mapper/slow none luks")" "1 1"
dmsetup resume slow
dmsetup remove --retry slow
dd if=/dev/zero of=/dev/ram2 bs=1M conv=fsync status=none 2>/dev/null

# --- options
cp k once
unlock "root UUID=$uuid /tmp/once luks,keyfile-erase" <empty
same "a key file to be used once is gone" "$rc $([ -e once ] && echo there)" "0 "
ours cryptsetup close root
# Whatever becomes of its device, its header or its program after that. A second volume keeps the program waiting.
uuid2=33333333-3333-4333-8333-333333333333
truncate -s 24M other.img
printf 'other' | ours cryptsetup luksFormat -q --uuid $uuid2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --luks2-keyslots-size 1M other.img
dd if=other.img of=/dev/ram0 bs=1M conv=fsync status=none
mount -t ext4 /dev/ram3 /mnt && dd if=luks.img of=/mnt/header bs=1M count=4 conv=fsync status=none && umount /mnt
said_is() { within $hang grep -qs "$1" log || fail "no '$1': $(cat log)"; }
waiting() { # ENTRY: starts it; what it says goes to the file log, what it is told comes from descriptor 9
  printf '%s\n' "$1" "other UUID=$uuid2 none luks" >crypttab
  rm -f pipe log && mkfifo pipe
  /luksmith/luksmith unlock --crypttab crypttab --kernel-arguments /dev/null <pipe >log 2>&1 &
  pid=$!
  exec 9>pipe
  said_is "root is open"
}
for gone in "its link" "its program"; do
  cp k once && ln -sf once link && ln -sf /dev/ram1 disk
  key=link header=
  [ "$gone" = "its program" ] && rm link && key=once header=,header=/header:UUID=22222222-2222-4222-8222-222222222222
  waiting "root /tmp/disk /tmp/$key luks,keyfile-erase$header"
  rm disk
  sleep 2
  if [ "$gone" = "its program" ]; then kill -TERM $pid; else printf 'other\n' >&9; fi
  exec 9>&-
  wait $pid
  same "a key file to be used once is gone, though $gone is too" "$([ -e once ] && echo there) $([ -h link ] && echo link)" " "
  ours cryptsetup close root
  dmsetup info other >info 2>&1 && ours cryptsetup close other
done
dd if=/dev/zero of=/dev/ram0 bs=1M count=1 conv=fsync status=none
dd if=/dev/urandom of=/dev/ram1 bs=1M count=1 conv=fsync status=none
unlock "root /dev/ram1 none plain,verify,tries=1" <<<$'one\ntwo\nabc\nabc'
is "two different answers are none" 0 "The passphrases do not match."
key=$(dmsetup table --showkeys root | awk '{ print $5 }')
same "and two that are the same are one" "$key" "$(printf abc | sha256sum | cut -c1-64)"
ours cryptsetup close root
unlock "root /dev/ram1 none plain,headless=true" <<<abc
is "headless asks nobody" 2 "it is headless, and no key is named"

# --- a swap area whose key is derived from the root, with the image of a machine that sleeps: the root first, and no other key
plain="plain,cipher=aes-xts-plain64,size=256,hash=sha256"
# What was an array's member above is none.
dd if=/dev/zero of=/dev/ram0 bs=1M conv=fsync status=none 2>/dev/null
dd if=luks.img of=/dev/ram0 bs=1M conv=fsync status=none
printf 'derived' | ours cryptsetup open -q --type plain -c aes-xts-plain64 -s 256 -h sha256 /dev/ram1 swap -
mkswap /dev/mapper/swap >/dev/null
printf 'S1SUSPEND\0' | dd of=/dev/mapper/swap bs=1 seek=4086 conv=notrunc,fsync status=none
ours cryptsetup close swap
image=$(sha256sum </dev/ram1)
printf '#!/bin/sh\n: >/tmp/ran\ndmsetup info "$1" >/dev/null 2>&1 && printf derived\n' >decrypt_derived
chmod 755 decrypt_derived
planned() { # CRYPTTAB ARGUMENTS [OPTION...]: unlock, with kernel arguments
  printf '%s\n' "$1" >crypttab
  echo "$2" >arguments
  shift 2
  said=$(timeout $hang /luksmith/luksmith unlock --crypttab crypttab --kernel-arguments arguments "$@" 2>&1)
  rc=$?
}
derived="swap /dev/ram1 root $plain,swap,keyscript=/tmp/decrypt_derived"
planned "$derived
$entry" "resume=/dev/mapper/swap root=/dev/mapper/root" <<<abc
is "a key script waits for the volume that it needs" 0 "swap is open."
same "the image of a machine that sleeps is there" "$(blkid -p -o value -s TYPE /dev/mapper/swap) $(sha256sum </dev/ram1)" "swsuspend $image"
ours cryptsetup close swap
ours cryptsetup close root
planned "$entry,tries=1
$derived" "resume=/dev/mapper/swap" <<<$'wrong\nabc\nabc\nabc'
is "nobody is asked for a key that nobody has" 2 "$(printf 'swap is not open: There is no key')"
same "and nothing was changed" "$(sha256sum </dev/ram1)" "$image"
planned "swap /dev/ram1 none $plain,swap,tries=2" "" -q <<<$'wrong\nwrong'
is "no swap area is made of a typed passphrase" 2 "there is no swap area behind it"
same "and nothing was changed" "$(sha256sum </dev/ram1) $(dmsetup info swap >/dev/null 2>&1; echo $?)" "$image 1"
printf 'S1SUSPEND\0' | dd of=/dev/ram2 bs=1 seek=4086 conv=notrunc,fsync status=none
image=$(sha256sum </dev/ram2)
planned "swap /dev/ram2 /dev/urandom $plain,swap" "" -q <empty
is "no random key is put over a machine that sleeps" 1 "swsuspend"
same "and nothing was changed" "$(sha256sum </dev/ram2)" "$image"
dd if=/dev/zero of=/dev/ram2 bs=1M count=1 conv=fsync status=none
planned "swap /dev/ram2 /dev/urandom $plain,swap" "" <empty
same "a random key makes a swap area" "$rc $(blkid -p -o value -s TYPE /dev/mapper/swap)" "0 swap"
ours cryptsetup close swap

# --- a key on a volume that somebody is asked for, who takes longer than a key device may
dd if=other.img of=/dev/ram2 bs=1M conv=fsync status=none
printf 'other' | ours cryptsetup open /dev/ram2 keydisk -
mkfs.ext4 -q /dev/mapper/keydisk && mount /dev/mapper/keydisk /mnt && cp k /mnt/rootfs.key && umount /mnt
ours cryptsetup close keydisk
rm -f pipe && mkfifo pipe && exec 9<>pipe
(sleep 6; printf 'other\n' >&9) &
planned "root UUID=$uuid /rootfs.key:/dev/mapper/keydisk luks,keyfile-timeout=2
keydisk UUID=$uuid2 none luks" "" <&9
exec 9>&-
is "a key on another volume is waited for as long as that is" 0 "root is open."
[[ $said != *"a passphrase will do"* ]] && pass "and nobody is asked for it" || fail "and nobody is asked for it: $said"
ours cryptsetup close root
ours cryptsetup close keydisk
dd if=/dev/zero of=/dev/ram2 bs=1M count=1 conv=fsync status=none

# --- a key of which only the path is known, on whichever device has it
planned "" "rd.luks.uuid=$uuid rd.luks.key=/key" <empty
is "a key is searched for on all devices" 0 "luks-$uuid is open."
ours cryptsetup close "luks-$uuid"

# --- Debian's cryptdisks_start with our program in cryptsetup's place: a plain volume behind something that is there
dd if=/dev/zero of=/dev/ram2 bs=1M count=8 conv=fsync status=none
mkfs.ext4 -q -F /dev/ram2 1024k
head -c 32 /dev/urandom >key32 && chmod 400 key32
echo "behind /dev/ram2 /tmp/key32 $plain,offset=2048,skip=256" >/etc/crypttab
mkdir -p /etc/default && : >/etc/default/cryptdisks
mv /usr/sbin/cryptsetup /usr/sbin/cryptsetup.debian
start() { # PROGRAM: what is mapped then, and the device's checksum; at a terminal, where a question would wait for ever
  ln -sf "$1" /usr/sbin/cryptsetup
  timeout 60 script -qec 'cryptdisks_start behind' /dev/null >said 2>&1 </dev/null
  echo "$? $(dmsetup table --showkeys behind) $(sha256sum </dev/ram2)"
  "$1" close behind
}
theirs=$(start /usr/sbin/cryptsetup.debian)
same "cryptdisks_start maps it with our program as with Debian's" "$(start /luksmith/cryptsetup)" "$theirs"
[[ $theirs == "0 0 "*" aes-xts-plain64 "*" 256 "*" 2048"* ]] && pass "and it does" || fail "and it does: $theirs: $(cat said)"
rm -f /usr/sbin/cryptsetup && mv /usr/sbin/cryptsetup.debian /usr/sbin/cryptsetup
finish

# The command lines that other programs use and that need device-mapper: each is run by Debian's tools and by ours under their
# names, in the same situation. The exit code, what it said on standard output, what it left on standard input, and the kernel's
# table with keys afterwards must be the same for both. What needs no device is in tests/cli/contract.rs.
. /share/guest/lib.sh
[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
keyctl new_session >/dev/null
differences=0 cells=0
# As `check`, for a function.
holds() { local name=$1 out; shift; if out=$("$@" 2>&1); then pass "$name"; else fail "$name: $out"; fi; }
P='--pbkdf pbkdf2 --pbkdf-force-iterations 1000'
printf 'pw' >k; printf 'xxpwyy' >long; : >nothing; head -c 64 /dev/urandom >k64
truncate -s 24M img1; truncate -s 24M img2; truncate -s 24M img3; truncate -s 24M img4; truncate -s 24M img5
for n in 1 2 3 4 5; do losetup -f --show "img$n" >/dev/null; done
v1=/dev/loop0 v2=/dev/loop1 d=/dev/loop2 e=/dev/loop3 p=/dev/loop4
peer cryptsetup luksFormat -q --type luks1 --pbkdf-force-iterations 1000 $v1 k
peer cryptsetup luksFormat -q --type luks2 $P --sector-size 512 $v2 k
peer cryptsetup luksFormat -q --type luks2 $P --header h $d k
printf '' | peer cryptsetup luksFormat -q --type luks2 $P $e nothing
settle() { [ "$UDEV" = 0 ] || udevadm settle --timeout=30; }
close_x() { exec 9<&-; settle; ! peer dmsetup info x >/dev/null 2>&1 || { [ "$UDEV" = 1 ] || peer dmsetup mknodes; peer dmsetup remove --retry x; }; settle; }
# Units and the names of the loop devices' files differ with the version.
units() { sed -E 's/ \[(bits|bytes|512-byte units)\]( \([0-9]+ \[bytes\]\))?/ \1/; s/ bytes$//; s/512-byte units/sectors/'; }
# line WHO CODE LEFT STDIN TOOL WORDS...: in STDIN and LEFT `\n` is a new line. $before, if set, comes first.
line() {
  local who=$1 code=$2 left=$3 stdin=$4 name=$5 side rc out rest seen_peer seen_ours
  shift 5
  cells=$((cells + 1))
  for side in peer ours; do
    eval "$before"
    printf "$stdin" | { $side $name "$@" >out 2>err; echo $? >rc; cat >rest; }
    rc=$(cat rc) out=$(units <out) rest=$(cat rest; echo .)
    settle
    eval "seen_$side=\"exit \$rc, left \${rest%.}|\$out|\$(peer dmsetup table --showkeys x 2>&1)|\$(peer dmsetup info -c --noheadings -o attr,uuid x 2>&1)\""
    [ "$rc" = "$code" ] && [ "$rest" = "$(printf "$left"; echo .)" ] || fail "$who: $name $*: $side: exit $rc (not $code), left '${rest%.}', $(cat err)"
    close_x
  done
  # An UUID with the device's name in it is the same on both sides, a node number need not be.
  if [ "$seen_peer" = "$seen_ours" ]; then pass "$who: $name $*"; else
    differences=$((differences + 1))
    fail "$who: $name $*:"
    echo "$seen_peer" >/tmp/1; echo "$seen_ours" >/tmp/2; diff /tmp/1 /tmp/2 | sed 's/^/    /'
  fi
}
open_x="peer cryptsetup open -d k $v2 x"
c=cryptsetup

before=
# Debian's initramfs and boot scripts.
line Debian 0 '' pw $c -T1 --type=luks --key-file=- open -- $v2 x
line Debian 0 '' pw $c -T1 --type=luks1 --key-file=- open -- $v1 x
line Debian 0 pw pw $c -T1 --allow-discards --readonly --key-slot=0 --type=luks --key-file=k open -- $v2 x
line Debian 0 '' pw $c -T1 --header=h --type=luks2 --key-file=- open -- $d x
line Debian 0 pw pw $c -T1 --keyfile-size=2 --keyfile-offset=2 --perf-same_cpu_crypt --perf-submit_from_crypt_cpus --perf-no_read_workqueue --perf-no_write_workqueue --type=luks --key-file=long open -- $v2 x
line Debian 0 '' pw $c -T1 --cipher=aes-cbc-essiv:sha256 --key-size=256 --hash=sha256 --offset=8 --skip=16 --type=plain --key-file=- open -- $p x
line Debian 0 pw pw $c -T1 --cipher=aes-xts-plain64 --key-size=512 --sector-size=4096 --type=plain --key-file=k64 open -- $p x
line Debian 0 rest 0123456789abcdef0123456789abcdefrest $c -T1 --cipher=aes-xts-plain64 --key-size=256 --hash=plain --type=plain --key-file=- open -- $p x
line Debian 1 '' pw $c -T1 --cipher=aes-xts-plain64 --key-size=256 --hash=plain --type=plain --key-file=- open -- $p x
line Debian 2 '' bad $c -T1 --type=luks --key-file=- open -- $v2 x
line Debian 2 '' 'pw\n' $c -T1 --type=luks --key-file=- open -- $v2 x
line Debian 4 pw pw $c -T1 --type=luks --key-file=- open -- /dev/nosuch x
line Debian 1 pw pw $c -T1 --type=luks --key-file=- open -- $p x
# A header that is kept apart is no volume: what is written would go over its keyslots.
line anybody 1 pw pw $c open h x
before=$open_x
line Debian 5 '' '' $c convert -q --type luks1 $v2
line Debian 5 pw pw $c -T1 --type=luks --key-file=- open -- $v2 x
line Debian 0 '' '' $c remove -- x
line Debian 0 '' '' dmsetup table --target crypt -- x
before="$open_x; peer cryptsetup luksSuspend x"
line Debian 0 '' pw $c -T1 --key-file=- luksResume x
line Debian 0 '' pw $c -T1 luksResume x
line Debian 2 rest 'bad\nrest' $c -T1 luksResume x
before=
line Debian 4 '' '' $c remove -- x
# dracut.
line dracut 0 '' pw $c -d - luksOpen $v2 x
line dracut 0 '' pw $c -d - --header=h --allow-discards luksOpen $d x
line dracut 0 rest 'pw\nrest' $c luksOpen -T1 $v2 x
line dracut 0 rest 'pw\nrest' $c luksOpen -T5 -t 9 $v1 x
line dracut 2 'pw\n' 'bad\npw\n' $c luksOpen -T5 -t 9 $v1 x
before=$open_x
line dracut 0 '' '' $c luksClose x
export DM_DISABLE_UDEV=true
for side in peer ours; do
  eval "$before"
  holds "dracut: DM_DISABLE_UDEV=true $side cryptsetup close --debug" $side cryptsetup close --debug x
  same "dracut: it is gone" "" "$(peer dmsetup ls | grep '^x')"
done
unset DM_DISABLE_UDEV
eval "$before"; ours cryptsetup close x
for side in peer ours; do
  $side cryptsetup open -d k $v2 x
  same "dracut: CRYPT-* in sysfs, $side" "CRYPT-LUKS2-$(peer cryptsetup luksUUID $v2 | tr -d -)-x" "$(cat /sys/block/dm-*/dm/uuid)"
  close_x
done
# mkinitcpio.
before=
line mkinitcpio 0 '' '' $c --key-file k open --type luks $v2 x --allow-discards
line mkinitcpio 0 '' '' $c --key-file k open --type luks $v2 x --perf-no_read_workqueue --perf-no_write_workqueue
line mkinitcpio 1 '' '' $c --key-file k open --type luks $v2 x --sector-size 512
line mkinitcpio 0 '' pw $c open --type luks --key-file=- $v2 x
line mkinitcpio 0 rest 'pw\nrest' $c open --type plain $p x --hash sha256 --cipher aes-xts-plain64 --key-size 256
line mkinitcpio 0 '' '' $c open --type plain $p x --cipher aes-xts-plain64 --key-size 256 --offset 8 --skip 8 --key-file k64
line mkinitcpio 1 '' '' $c open --type plain $p x --cipher aes-xts-plain64 --key-size 256 --key-file k
before=$open_x
line mkinitcpio 0 '' '' $c remove x
# NixOS.
before=
line NixOS 0 '' pw $c luksOpen $v2 x --allow-discards --perf-no_read_workqueue --perf-no_write_workqueue --key-file=-
line NixOS 0 '' '' $c luksOpen $d x --header=h --key-file=long --keyfile-size=2 --keyfile-offset=2
line NixOS 0 '' '\n' $c luksOpen $e x
line NixOS 2 '' '\n' $c luksOpen $v2 x
# clevis.
line clevis 0 '' pw $c open -d- $v2 x
line clevis 0 '' pw $c open -d- $v1 x
# Ansible, Kubernetes drivers, Talos, ceph.
line Ansible 0 '' pw $c --key-file - --perf-same_cpu_crypt --allow-discards open --type luks $v2 x
line Ansible 0 '' pw $c --key-file - --perf-same_cpu_crypt --persistent --allow-discards open --type luks $v2 x
line Ansible 0 '' pw $c --key-file - --persistent open --type luks $v2 x
line Kubernetes 0 '' pw $c --disable-keyring open --type luks $v2 x --key-file=-
before=$open_x
line Ansible 0 '' '' $c status x
line Ansible 0 '' '' $c close x
line Kubernetes 0 '' pw $c resize x --key-file=-
line Kubernetes 0 rest 'pw\nrest' $c resize x --size 800
line Kubernetes 2 rest 'bad\nrest' $c resize x --size 800
before="peer cryptsetup --disable-keyring open -d k $v2 x"
line Kubernetes 0 pw pw $c resize x --size 800
before=
line Ansible 4 '' '' $c status x
line Ansible 4 '' '' $c close x
line Talos 0 '' pw $c open -- $v2 x --test-passphrase
before="$open_x; exec 9</dev/mapper/x"
line anybody 5 '' '' $c close x
line anybody 0 '' '' $c close --deferred x
before="$open_x; exec 9</dev/mapper/x; peer cryptsetup close --deferred x >/dev/null"
line anybody 0 '' '' $c close --cancel-deferred x
line anybody 0 '' '' $c status x
before="$open_x; exec 9</dev/mapper/x; peer cryptsetup close --deferred x >/dev/null; peer cryptsetup close --cancel-deferred x >/dev/null"
line anybody 0 '' '' $c close --cancel-deferred x
before=
# What was linked for a mapping that fails does not stay.
ours cryptsetup open -d k $v2 y
ours cryptsetup open -d k $v2 x --link-vk-to-keyring @s::gone 2>/dev/null
same "a mapping that fails" "exit 5, 0 links" "exit $?, $(keyctl show @s | grep -c gone) links"
ours cryptsetup close y
# The old names.
line anybody 0 rest 'pw\nrest' $c create x $p --cipher aes-xts-plain64 --key-size 256 --hash sha256
line anybody 0 rest 'pw\nrest' $c plainOpen $p x --cipher aes-xts-plain64 --key-size 256 --hash sha256
line anybody 0 rest 'pw\nrest' $c create x $p -c aes-xts-plain64 -s 256 -h md5
line anybody 0 rest 'pw\nrest' $c create x $p -c aes-xts-plain64 -s 512 -h md5

# dmsetup, as scripts call it.
before=$open_x
for o in blkdevname devnos_used suspended name blkdevs_used; do line dmsetup 0 '' '' dmsetup info -c --noheadings -o $o -- x; done
line dmsetup 0 '' '' dmsetup table
line dmsetup 0 '' '' dmsetup table x
line dmsetup 0 '' '' dmsetup status
line dmsetup 0 '' '' dmsetup ls --target crypt
line dmsetup 0 '' '' dmsetup ls --tree
line dmsetup 1 '' '' dmsetup message x 0 key wipe
line dmsetup 0 '' '' dmsetup -v --noudevsync remove x
line dmsetup 0 '' '' dmsetup splitname --nameprefixes --noheadings --rows x CRYPT
eval "$before"
major=$(peer dmsetup info -c --noheadings -o major x) minor=$(peer dmsetup info -c --noheadings -o minor x)
close_x
for o in subsystem unmangled_name; do line dmsetup 0 '' '' dmsetup info -c --noheadings -o $o -j $major -m $minor; done
line udev 0 '' '' dmsetup info -j $major -m $minor -c --nameprefixes --noheadings --rows -o name,uuid,suspended
before=
line dmsetup 0 '' '' dmsetup table
line dmsetup 0 '' '' dmsetup status
line dmsetup 0 '' '' dmsetup create x --table '0 8 zero'
line dmsetup 1 '' '' dmsetup remove x
export DM_DEFAULT_NAME_MANGLING_MODE=hex
before="peer dmsetup create 'x y' --table '0 8 zero'"
for side in peer ours; do
  eval "$before"
  eval "seen_$side=\$($side dmsetup ls; $side dmsetup info -c --noheadings -o name,unmangled_name,mangled_name 'x y' 2>&1)"
  holds "dmsetup: $side removes a mangled name" $side dmsetup remove 'x y'
done
same "dmsetup: hex mangling" "$seen_peer" "$seen_ours"
unset DM_DEFAULT_NAME_MANGLING_MODE
# Tomb's volumes, and the mapping that clevis luks unlock makes.
line clevis 0 '' pw $c open -d- $v2 x
line Tomb 0 '' pw $c --key-file - --batch-mode --type luks1 --cipher aes-xts-plain64:sha256 --key-size 512 --key-slot 0 \
  --pbkdf-force-iterations 1000 luksFormat $v1
line Tomb 0 '' pw $c --key-file - luksOpen $v1 x
line Tomb 0 '' pw $c --key-file - --key-slot 0 luksOpen $v1 x
before="peer cryptsetup open -d k $v1 x"
line Tomb 0 '' '' $c status x
line Tomb 0 pw pw $c --key-file - resize x
line Tomb 0 '' '' $c luksClose x
before=
for n in 0 1 2 3 4; do losetup -d /dev/loop$n; done
echo "$cells command lines × 2 tools, $differences differences"
finish

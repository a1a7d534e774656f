# What is done to active mappings, both tools on both sides: plain volumes of every kind, resize, luksSuspend and luksResume,
# refresh, status, keys in the kernel keyring, who holds a device that is busy, and what is taken for the same volume. Arguments: the parts to run, all by default.
. /share/guest/lib.sh
[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
# Each keyctl would have a session keyring of its own otherwise, gone with it.
keyctl new_session >/dev/null
parts=${*:-plain resize suspend refresh status keyring busy bare identity udev}
sides="peer ours"
differences=0 cells=0
tool() { local side=$1; shift; case $side in ours) ours cryptsetup "$@" ;; *) peer cryptsetup "$@" ;; esac; }
table() { dmsetup table --showkeys x 2>&1; dmsetup info -c --noheadings -o attr x 2>&1; }
close_x() {
  ! dmsetup info x >/dev/null 2>&1 || { [ "$UDEV" = 1 ] || dmsetup mknodes; dmsetup remove --retry x; }
  within 60 loops_are "$loop" && return
  fail "loop devices that should be gone: $(losetup -a)"
  for other in $(losetup -n -O NAME); do [ "$other" = "$loop" ] || losetup -d "$other"; done
}
# Debian's tool is of 2.6; ours says the units as 2.9 does.
units() { sed -E 's/ \[(bits|bytes|512-byte units)\]( \([0-9]+ \[bytes\]\))?/ \1/; s/ bytes$//; s/512-byte units/sectors/'; }
# What ours says of a default that changed after 2.6, and who holds a device, is not the reference's.
ours_alone='^(It is held by: .*|WARNING: Using default options for .*|For plain mode, always use .*)$'
# act SIDE COMMAND...: what a command says and how it ends, into $answer. Standard input is `line`.
act() {
  local side=$1 rc
  shift
  answer=$(tool "$side" "$@" 2>&1 <line)
  rc=$?
  # The options in short differ with the version; programs call themselves as they are called.
  answer=$(echo "$answer" | grep -vE "$ours_alone" | sed -E '/^Usage: |^        \[/d; s,^/[a-z/]*/(cryptsetup: ),\1,')
  answer+=" [exit $rc]"
}
# alike NAME: the same for both sides, whose answers are in $seen_peer and $seen_ours.
alike() {
  cells=$((cells + 1))
  if [ "$seen_peer" = "$seen_ours" ]; then pass "$1"; else
    differences=$((differences + 1))
    fail "$1:"
    diff <(echo "$seen_peer") <(echo "$seen_ours") | sed 's/^/    /'
  fi
}
# both NAME COMMAND...: each side's command on the mapping that is there, with the table that it leaves.
both() {
  local name=$1 side
  shift
  for side in $sides; do
    before
    act $side "$@"
    eval "seen_$side=\$answer\$(echo; table)"
    close_x
  done
  alike "$name"
}
format() { peer cryptsetup luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 "$@"; }
# holds NAME FUNCTION...: as `check`, for a function of this script too.
holds() {
  local name=$1 out rc
  shift
  out=$("$@" 2>&1) && { pass "$name"; return 0; }
  rc=$?
  fail "$name: exit $rc: $* -> $out"
}
printf 'pw\nrest' >line
printf 'pw' >k
printf 'bad' >bad
head -c 64 /dev/urandom >k64
: >empty
truncate -s 24M img
loop=$(losetup -f --show img)

plain() {
  before() { :; }
  local p="open --type plain -q" x="-c aes-xts-plain64 -s 256" h="-h sha256" spec c o
  while read -r spec; do
    # shellcheck disable=SC2086
    both "plain: $spec" $p $spec $loop x
  done <<END
$x $h
$x $h --key-file -
$x $h --key-file - -l 2
$x $h --key-file - -l 20
$x $h -l 1
$x $h -l 4
$x $h --keyfile-offset 1
$x --key-file k64
$x $h --key-file k64
$x --key-file k64 -l 8
$x --key-file k64 --keyfile-offset 5
$x --key-file k
$x --key-file empty
$x --key-file nosuch
$x --key-file - -h plain
$x -h plain
$x -h plain:1
$x -h plain:2
$x -h plain:16
$x -h sha256:20
$x -h sha256:33
$x -h sha256:x
$x -h sha1
$x -h ripemd160
$x -h whirlpool
$x -h SHA512
$x -h nosuch
$x -h md5
$x -h md5:20
-c aes-xts-plain64 -s 512 -h MD5
-c aes-xts-plain64 -s 512 -h sha256:40
-c aes-xts-plain64 -s 512 -h sha1
-c aes-xts-plain64 -s 512 -h plain
-c aes-xts-plain64 -s 0 $h
-c aes -s 128 $h
-c aes-plain -s 256 $h
-c aes-cbc-essiv:sha256 -s 256 $h
-c aes-ecb -s 256 $h
-c serpent-xts-plain64 -s 512 $h
-c xchacha12,aes-adiantum-plain64 -s 256 $h
-c capi:xts(aes)-plain64 -s 256 $h
-c capi:cbc(aes)-essiv:sha256 -s 256 $h
-c null -s 256 $h
-c cipher_null-ecb -s 256 --key-file k64
$x $h -o 8
$x $h -o 8 -p 8
$x $h -p 18446744073709551615
$x $h -o 49151
$x $h -o 49152
$x $h -o 18446744073709551615
$x $h -b 8
$x $h -b 0
$x $h -b 49153
$x $h -o 8 -b 49145
$x $h --device-size 1M -o 8
$x $h --device-size 25M
$x $h --device-size 1M -b 8
$x $h --sector-size 4096
$x $h --sector-size 4096 --iv-large-sectors -p 8
$x $h --sector-size 4096 -o 3
$x $h --sector-size 1000
$x $h --iv-large-sectors
$x $h --readonly
$x $h --allow-discards --perf-same_cpu_crypt --perf-submit_from_crypt_cpus --perf-no_read_workqueue --perf-no_write_workqueue
$x $h -y
$x $h --test-passphrase
END
  both "plain: create" create x $loop $x $h
  both "plain: plainOpen" plainOpen $loop x $x $h
  both "plain: no name" $p $x $h $loop
  both "plain: no device" $p $x $h /nosuch x
  both "plain: no block device" $p $x $h /dev/null x
  both "plain: a folder" $p $x $h /dev x
  both "plain: a file" $p $x $h img x
  mkfs.ext4 -q $loop
  both "plain: over a file system" open --type plain $x $h $loop x
  dd if=/dev/zero of=$loop bs=64k count=1 2>/dev/null
  # Ciphers that the kernel has not: the two say it in other words, and end alike.
  for c in nosuch-xts-plain64 aes-nosuch-plain 'capi:nosuch(aes)-plain64'; do
    for side in $sides; do
      act $side $p -c "$c" -s 256 $h $loop x
      eval "seen_$side=\${answer##* \\[}"
    done
    alike "plain: cipher $c"
  done
  for c in 'capi:xts(aes' 'capi:xts(aes)' 'capi:' ''; do
    act ours $p -c "$c" -s 256 $h $loop x
    case $answer in *cipher*"[exit 1]") pass "plain: cipher '$c' is refused" ;; *) fail "plain: cipher '$c': $answer" ;; esac
  done
  act ours $p $x $h --sector-size 4096 -p 3 $loop x
  case $answer in *"IV offset of 3 sectors"*) pass "plain: a skip that is no whole sector" ;; *) fail "plain: skip: $answer" ;; esac
  # Without options: the defaults of 2.8, and a word about them.
  (ours cryptsetup open --type plain $loop x <line) >said 2>&1
  same "plain: defaults" "0 49152 crypt aes-xts-plain64 30c952fab122c3f9759f02a6d95c3758b246b4fee239957b2d4fee46e26170c4 0 $(stat -c %Hr:%Lr $loop) 0" \
    "$(dmsetup table --showkeys x)"
  same "plain: a word about defaults" 3 "$(grep -cE "$ours_alone" said)"
  close_x
  # What is left on standard input.
  for side in $sides; do
    eval "seen_$side=\$({ tool $side $p $x $h $loop x; cat; } <line 2>&1)" && close_x
  done
  alike "plain: only the first line is read"
  for side in $sides; do
    eval "seen_$side=\$(head -c 100 k64 | { tool $side $p $x -h plain -d - $loop x; wc -c; } 2>&1)" && close_x
  done
  alike "plain: only the key is read"
  # Either reads what the other wrote; a piece of it by --offset and --skip.
  for writer in $sides; do
    for reader in $sides; do
      tool $writer $p $x $h --sector-size 4096 $loop x <line && head -c 1000000 k64 /dev/urandom 2>/dev/null >plaintext
      cat plaintext >/dev/mapper/x 2>/dev/null && sync
      head -c 900000 /dev/mapper/x | sha256sum >sum1
      close_x
      tool $reader $p $x $h --sector-size 4096 $loop x <line
      head -c 900000 /dev/mapper/x | sha256sum >sum2
      same "plain: $reader reads what $writer wrote" "$(cat sum1)" "$(cat sum2)"
      tool $writer $p --shared $x $h --sector-size 4096 -o 800 -p 800 -b 800 $loop y <line
      same "plain: $writer opens a piece beside it" "$(dd if=/dev/mapper/x bs=512 skip=800 count=800 2>/dev/null | sha256sum)" \
        "$(sha256sum </dev/mapper/y)"
      tool $reader close y
      act $writer $p $x $h -o 800 -b 800 $loop y
      case $answer in "Cannot use device $loop which is in use (already mapped or mounted). [exit 5]") pass "plain: busy for $writer" ;; *) fail "plain: busy: $answer" ;; esac
      tool $reader close x
    done
  done
  # A key in the keyring is the key.
  keyctl padd user vk @s <k64 >/dev/null
  holds "plain: the key from the keyring" ours cryptsetup $p -c aes-xts-plain64 -s 512 --volume-key-keyring %user:vk $loop x
  same "plain: it is that key" "$(xxd -p -c 64 k64)" "$(dmsetup table --showkeys x | cut -d' ' -f5)"
  close_x
  act ours $p -c aes-xts-plain64 -s 256 --volume-key-keyring vk $loop x
  case $answer in *"has 64 bytes, the volume key has 32"*) pass "plain: a key of another length" ;; *) fail "plain: $answer" ;; esac
  keyctl clear @s
}

resize() {
  local o
  format --type luks2 --sector-size 512 $loop k
  before() { peer cryptsetup open -d k $loop x; }
  for o in "-b 1000" "" "-b 0" "--device-size 1M" "--device-size 100M" "-b 99999999" "-b 8 --device-size 1M" "--disable-keyring -b 800"; do
    both "resize: luks2 $o" resize x $o -d k
  done
  both "resize: asks" resize x -b 1000
  both "resize: a wrong key" resize x -b 1000 -d bad
  both "resize: -v" -v resize x -b 1000 -d k
  both "resize: by path" resize /dev/mapper/x -b 1000 -d k
  before() { ours cryptsetup open -d k --allow-discards --readonly $loop x; }
  both "resize: flags stay" resize x -b 1000 -d k
  before() { peer cryptsetup open -d k --disable-keyring $loop x; }
  both "resize: without the keyring, no key is asked for" resize x -b 1000 -d nosuch
  both "resize: too small by one" resize x -b 16385
  before() { peer cryptsetup open -d k $loop x; dmsetup suspend x; }
  both "resize: suspended" resize x -b 1000 -d k
  before() { :; }
  both "resize: not there" resize x
  before() { dmsetup create x --table "0 100 linear $loop 0"; }
  for side in $sides; do before; act $side resize x -b 50; eval "seen_$side=\${answer##* \\[}\$(table)"; close_x; done
  alike "resize: no volume"
  format --type luks2 --sector-size 4096 $loop k
  before() { peer cryptsetup open -d k $loop x; }
  both "resize: unaligned" resize x -b 801 -d k
  both "resize: aligned" resize x -b 800 -d k
  format --type luks1 $loop k
  both "resize: luks1" resize x -b 801
  before() { peer cryptsetup open -q --type plain -c aes-xts-plain64 -s 256 -h sha256 -o 8 -p 16 $loop x <line; }
  both "resize: plain" resize x -b 801
  both "resize: plain, all" resize x
  # A container file that has grown, opened by either.
  format --type luks2 --header hdr --sector-size 512 $loop k
  before() { peer cryptsetup open --header hdr -d k $loop x; }
  both "resize: detached" resize x --header hdr -b 800 -d k
  for side in $sides; do before; act $side resize x -b 800 -d k; eval "seen_$side=\${answer##* \\[}\$(table)"; close_x; done
  alike "resize: detached, without its header"
  for opener in $sides; do
    truncate -s 24M file
    format --type luks2 --sector-size 512 file k
    for side in $sides; do
      truncate -s 24M file
      tool $opener open -d k file x
      truncate -s 32M file
      act $side resize x -d k
      eval "seen_$side=\$answer\$(echo; table)"
      same "resize: $side, a file that has grown, opened by $opener" 32768 "$(blockdev --getsz /dev/mapper/x)"
      close_x
    done
    alike "resize: a file that has grown, opened by $opener"
  done
  # The file system on it lives through it.
  format --type luks2 $loop k
  ours cryptsetup open -d k $loop x
  ours cryptsetup resize x -b 8192 -d k
  mkfs.ext4 -q /dev/mapper/x && mount -t ext4 /dev/mapper/x /mnt && cp k64 /mnt
  holds "resize: grows while it is mounted" ours cryptsetup resize x -d k
  holds "resize: and the file system in it" resize2fs /dev/mapper/x
  cp k64 /mnt/more && umount /mnt
  holds "resize: all is there" e2fsck -fn /dev/mapper/x
  close_x
}

suspend() {
  local t opener
  for t in luks1 luks2; do
    format --type $t $loop k
    for opener in $sides; do
      before() { tool $opener open -d k $loop x; }
      both "suspend: $t opened by $opener" luksSuspend x
      before() { tool $opener open -d k $loop x; tool $opener luksSuspend x; }
      both "suspend: $t suspended by $opener, again" luksSuspend x
      both "suspend: $t suspended by $opener, resumed" luksResume x -d k
      both "suspend: $t suspended by $opener, passphrase" -v luksResume x
      both "suspend: $t suspended by $opener, wrong key" luksResume x -d bad
      both "suspend: $t suspended by $opener, key file missing" luksResume x -d nosuch
      both "suspend: $t suspended by $opener, no keyring" luksResume x -d k --disable-keyring
      both "suspend: $t suspended by $opener, type luks1" luksResume x -d k --type luks1
      both "suspend: $t suspended by $opener, closed" close x
      before() { tool $opener open -d k $loop x; }
      both "suspend: $t resumed though not suspended" luksResume x -d k
    done
  done
  before() { :; }
  both "suspend: not there" luksSuspend x
  both "resume: not there" luksResume x
  before() { peer cryptsetup open -q --type plain -c aes-xts-plain64 -s 256 -h sha256 $loop x <line; }
  both "suspend: plain" luksSuspend x
  both "resume: plain" luksResume x
  format --type luks2 --header hdr $loop k
  before() { ours cryptsetup open --header hdr -d k $loop x; ours cryptsetup luksSuspend x; }
  both "resume: detached" luksResume x --header hdr -d k
  # What is on the data device is the header of another volume, and ours says so.
  for side in $sides; do before; act $side luksResume x -d k; eval "seen_$side=\${answer##* \\[}\$(table)"; close_x; done
  alike "resume: detached, without its header"
  # Reads wait, and get their data.
  format --type luks2 $loop k
  for opener in $sides; do
    for side in $sides; do
      tool $opener open -d k $loop x
      cat k64 k64 k64 k64 k64 k64 k64 k64 >/dev/mapper/x 2>/dev/null
      sync
      tool $opener luksSuspend x
      (dd if=/dev/mapper/x bs=512 count=1 iflag=direct 2>/dev/null | cut -c1-64 | sha256sum >read; echo done >>read) &
      sleep 1
      [ ! -s read ] || [ "$(cat read)" = "" ] || fail "suspend: a read came through"
      tool $side luksResume x -d k
      wait $!
      same "suspend: a read waits while $opener has it suspended, and $side resumes" done "$(tail -1 read)"
      rm -f read
      tool $side close x
    done
  done
}

refresh() {
  local t o
  for t in luks1 luks2; do
    format --type $t --sector-size 512 $loop k 2>/dev/null || format --type $t $loop k
    before() { peer cryptsetup open -d k --perf-same_cpu_crypt $loop x; }
    for o in "" "--allow-discards" "--perf-no_read_workqueue --perf-no_write_workqueue --perf-submit_from_crypt_cpus" "--readonly" "--disable-keyring"; do
      both "refresh: $t $o" refresh x -d k $o
    done
    both "refresh: $t by device and name" refresh $loop x -d k
    both "refresh: $t as open" open --refresh $loop x -d k --allow-discards
    both "refresh: $t asks" -v refresh x
    both "refresh: $t wrong key" refresh x -d bad --allow-discards
    before() { ours cryptsetup open -d k --readonly $loop x; }
    both "refresh: $t stays read-only" refresh x -d k
    before() { ours cryptsetup open -d k $loop x; dmsetup suspend x; }
    both "refresh: $t suspended" refresh x -d k
  done
  # Stored flags: joined by those given, or replaced with --persistent, in the table and in the header. A flag that only the
  # active mapping has does not stay.
  local a=--allow-discards b=--perf-no_read_workqueue c=--perf-same_cpu_crypt verb given
  format --type luks2 $loop k
  peer cryptsetup open --persistent $a $b -d k $loop x
  peer cryptsetup close x
  dd if=$loop of=flags bs=32K count=1 2>/dev/null
  while IFS='|' read -r verb given; do
    for side in $sides; do
      dd if=flags of=$loop bs=32K conv=fsync 2>/dev/null
      case $verb in refresh*) peer cryptsetup open -d k --perf-submit_from_crypt_cpus $loop x ;; esac
      # shellcheck disable=SC2086
      act $side $verb $given -d k
      eval "seen_$side=\$answer\$(echo; table; peer cryptsetup luksDump $loop | grep ^Flags:)"
      close_x
    done
    alike "stored flags: $verb $given"
  done <<END
open $loop x|$c
open $loop x --persistent|
open $loop x --persistent|$a $c
refresh x|$c
refresh x --persistent|
refresh x --persistent|$a $c
END
  before() { :; }
  format --type luks1 $loop k 2>/dev/null
  both "stored flags: none in LUKS1" open --persistent $a -d k $loop x
  format --type luks2 $loop k
  same "refresh: no flags are left" "(no flags)" "$(peer cryptsetup luksDump $loop | sed -n 's/^Flags:[ \t]*//p')"
  before() { :; }
  for side in $sides; do act $side refresh x -d k; eval "seen_$side=\${answer% \\[*}"; done
  alike "refresh: not there"
  before() { dmsetup create x --table "0 100 linear $loop 0"; }
  both "refresh: no volume" refresh x
  local p="--type plain -q -c aes-xts-plain64 -s 256 -h sha256"
  before() { peer cryptsetup open $p -o 8 -p 3 -b 800 $loop x <line; }
  both "refresh: plain" refresh $p $loop x --allow-discards
  both "refresh: plain by name" refresh $p x --perf-same_cpu_crypt
  # The reference says that it has done it, and has not.
  before
  act ours refresh --type plain -q -c aes-cbc-plain -s 256 -h sha256 x
  same "refresh: plain, another cipher" "Mismatching parameters on device x. [exit 1]" "$answer"
  close_x
  both "refresh: plain, another hash" refresh --type plain -q -c aes-xts-plain64 -s 256 -h sha1 x
  # The reference fails without a word.
  for side in $sides; do
    before
    act $side refresh --type plain -q -c aes-xts-plain64 -s 256 -d k64 x
    eval "seen_$side=\${answer##* \\[}\$(table)"
    close_x
  done
  alike "refresh: plain, another key"
  # A mapping of another volume stays as it is: the reference does not look.
  truncate -s 24M other && format --type luks2 other k
  ours cryptsetup open -d k $loop x
  act ours refresh other x -d k
  case $answer in *"mapping of another volume. [exit 1]") pass "refresh: another volume's header is refused" ;; *) fail "refresh: $answer" ;; esac
  close_x
}

status() {
  local t opener o
  states() {
    for side in $sides; do
      act $side status x
      eval "seen_$side=\$(echo \"\$answer\" | units)"
    done
    alike "status: $1"
  }
  for opener in $sides; do
    for t in luks1 luks2; do
      format --type $t $loop k
      for o in "" "--readonly" "--allow-discards --perf-same_cpu_crypt --perf-submit_from_crypt_cpus --perf-no_read_workqueue --perf-no_write_workqueue" "--disable-keyring"; do
        tool $opener open -d k $o $loop x && states "$t $o by $opener"
        [ -n "$o" ] || { hold /dev/mapper/x; states "$t in use by $opener"; release; tool $opener luksSuspend x; states "$t suspended by $opener"; }
        close_x
      done
    done
    tool $opener open -d k img x && states "a file by $opener"
    close_x
    for o in "" "-o 8 -p 16" "--sector-size 4096 --iv-large-sectors" "-b 800 --readonly --allow-discards" "-c null"; do
      tool $opener open --type plain -q -c aes-xts-plain64 -s 256 -h sha256 $o $loop x <line && states "plain $o by $opener"
      close_x
    done
  done
  states "not there"
  dmsetup create x --table "0 100 linear $loop 0" && states "linear"
  close_x
  dmsetup create x --table "0 100 crypt aes-xts-plain64 $(printf '0%.0s' $(seq 64)) 0 $loop 0" && states "crypt without a UUID"
  close_x
  ours cryptsetup open --type plain -q -c aes-xts-plain64 -s 256 -h sha256 -o 8 -p 16 $loop x <line
  holds "status: JSON" sh -c "/luksmith/luksmith status x --json | grep -q '\"type\":\"PLAIN\".*\"offset_sectors\":8,.*\"iv_offset_sectors\":16'"
  close_x
}

keyring() {
  format --type luks2 --sector-size 512 $loop k
  local key
  ours cryptsetup open --disable-keyring -d k $loop x
  dmsetup table --showkeys x | cut -d' ' -f5 | xxd -r -p >vk
  close_x
  peer cryptsetup token add --key-description desc $loop
  keyctl padd user desc @s <k >/dev/null
  before() { :; }
  both "token: open" -v open $loop x
  both "token: --token-only" -v open --token-only $loop x
  both "token: --token-id" -v open --token-id 0 $loop x
  both "token: --token-type" -v open --token-type luks2-keyring $loop x
  both "token: another --token-id" -v open --token-id 1 --token-only $loop x
  before() { peer cryptsetup open $loop x; }
  both "token: resize" resize x -b 800
  both "token: refresh" refresh x --allow-discards
  before() { peer cryptsetup open $loop x; peer cryptsetup luksSuspend x; }
  both "token: resume" luksResume x
  peer cryptsetup token remove --token-id 0 $loop
  # Debian's 2.6 has none of what follows.
  holds "--key-description opens" ours cryptsetup open --key-description desc $loop x </dev/null
  holds "--key-description resizes" ours cryptsetup resize x -b 800 --key-description desc </dev/null
  ours cryptsetup luksSuspend x
  holds "--key-description resumes" ours cryptsetup luksResume x --key-description desc </dev/null
  close_x
  act ours open --key-description nosuch $loop x
  case $answer in *'Failed to read passphrase from keyring.'*"[exit 1]") pass "--key-description of a key that is not there" ;; *) fail "--key-description: $answer" ;; esac
  key=$(keyctl padd user volume @s <vk)
  for id in volume %user:volume "$key"; do
    holds "--volume-key-keyring $id" ours cryptsetup open --volume-key-keyring "$id" $loop x </dev/null
    close_x
  done
  keyctl padd user wrong @s <k64 >/dev/null
  act ours open --volume-key-keyring wrong $loop x
  same "--volume-key-keyring of another volume" "Volume key does not match the volume. [exit 2]" "$answer"
  keyctl clear @s
  for id in @s::linked @s::%user:linked; do
    holds "--link-vk-to-keyring $id" ours cryptsetup open --link-vk-to-keyring $id -d k $loop x
    holds "$id: it is the volume key" sh -c 'keyctl pipe %user:linked | cmp - vk'
    close_x
    holds "$id: it opens" ours cryptsetup open --volume-key-keyring %user:linked $loop x
    close_x
    keyctl clear @s
  done
  holds "--link-vk-to-keyring of a logon key" ours cryptsetup open --link-vk-to-keyring @s::%logon:a:b -d k $loop x
  holds "it is there" sh -c 'keyctl show @s | grep -q "logon: a:b"'
  keyctl clear @s
  act ours open --link-vk-to-keyring @s::linked -d k $loop x
  case $answer in *"already exists. [exit 5]") pass "--link-vk-to-keyring: the name is taken" ;; *) fail "$answer" ;; esac
  same "nothing is linked then" 0 "$(keyctl show @s | grep -c linked)"
  ours cryptsetup luksSuspend x
  holds "--link-vk-to-keyring on resume" ours cryptsetup luksResume x -d k --link-vk-to-keyring @s::linked
  holds "on resume: it is the volume key" sh -c 'keyctl pipe %user:linked | cmp - vk'
  close_x
  keyctl clear @s
  holds "--link-vk-to-keyring of a test" ours cryptsetup open --test-passphrase -d k $loop --link-vk-to-keyring @s::linked
  holds "of a test: it is the volume key" sh -c 'keyctl pipe %user:linked | cmp - vk'
  for id in linked @s:linked @s:: %:nosuch::linked @s::%big_key:x; do
    act ours open --link-vk-to-keyring "$id" -d k $loop x
    case $answer in *"[exit 1]") pass "--link-vk-to-keyring $id is refused" ;; *) fail "--link-vk-to-keyring $id: $answer" ;; esac
  done
  # Only reencryption has two keys: cryptsetup links one then.
  keyctl clear @s
  holds "two --link-vk-to-keyring" ours cryptsetup open --link-vk-to-keyring @s::one --link-vk-to-keyring @s::two -d k $loop x
  same "two --link-vk-to-keyring: the first is linked" "user: one" "$(keyctl show @s | grep -oE 'user: (one|two)$')"
  close_x
  keyctl clear @s
}

# What udev is told, and a udev that comes late.
udev() {
  local side daemon
  [ "$UDEV" = 1 ] || return 0
  format --type luks2 $loop k
  for side in $sides; do
    tool $side open -d k $loop x
    udevadm settle --timeout=60
    eval "seen_$side=\$(udevadm info -q property -n /dev/mapper/x | grep ^DM_UDEV_ | sort)"
    close_x
  done
  alike "udev: the flags of the event"
  case $seen_ours in *DM_UDEV_DISABLE_LIBRARY_FALLBACK_FLAG=1*) pass "udev: it makes the node alone" ;; *) fail "udev: $seen_ours" ;; esac
  daemon=$(pidof systemd-udevd) && kill -STOP $daemon || { fail "there is no udevd"; return; }
  act ours open -d k $loop x
  case $answer in *"udev did not finish within 10 seconds"*"[exit 0]") pass "udev: it is late" ;; *) fail "udev: late: $answer" ;; esac
  holds "udev: the device is there without it" test -b /dev/mapper/x
  kill -CONT $daemon
  udevadm settle --timeout=60
  echo "NOTE after a late udev: $(ls -l /dev/mapper/x)"
  holds "udev: it is closed" ours cryptsetup close x
  holds "udev: its node is gone" test ! -e /dev/mapper/x
}

busy() {
  local held="device mounted process swap"
  format --type luks2 $loop k
  ours cryptsetup open -d k $loop x
  says() { # NAME PATTERN COMMAND...
    local name=$1 pattern=$2 out rc
    shift 2
    out=$(ours cryptsetup "$@" 2>&1 <line)
    rc=$?
    if echo "$out" | grep -qE "$pattern" && [ $rc != 0 ]; then pass "$name"; else fail "$name: exit $rc, $out"; fi
  }
  mkfs.ext4 -q /dev/mapper/x && mount -t ext4 /dev/mapper/x /mnt
  says "close names the file system" '^It is held by: .*file system mounted on /mnt' close x
  says "luksFormat names the mapping" '^It is held by: device x \(dm-' luksFormat -q $loop k
  says "open names the mapping" '^It is held by: device x \(dm-' open -d k $loop y
  says "luksFormat names the file system" '^It is held by: file system mounted on /mnt' luksFormat -q /dev/mapper/x k
  says "plain open names the file system" '^It is held by: file system mounted on /mnt' open -q --type plain -c aes-xts-plain64 -s 256 -h sha256 /dev/mapper/x y
  umount /mnt
  hold /dev/mapper/x
  says "close names the process" "^It is held by: process $holder \(sleep\)" close x
  release
  dmsetup create up --table "0 8 linear /dev/mapper/x 0"
  says "close names the device on top" '^It is held by: device up \(dm-' close x
  dmsetup remove up
  mkswap -q /dev/mapper/x 2>/dev/null || mkswap /dev/mapper/x >/dev/null
  if swapon /dev/mapper/x; then
    says "close names the swap area" '^It is held by: swap area in use' close x
    swapoff /dev/mapper/x
  else fail "swapon"; fi
  hold /dev/mapper/x
  holds "JSON has it too" sh -c "/luksmith/luksmith close x --json | grep -q '\"note\":\"It is held by: process '"
  release
  holds "it closes" ours cryptsetup close x
}

# Devices that no volume is mapped by: without a table, and with one whose every access fails, which wipe_table leaves. Debian's
# tool is silent where ours says why.
bare() {
  local ours_alone='^(Device x has no table\.|x is not cryptsetup managed device\.)$'
  local id=00112233445566778899aabbccddeeff uuid table verb verbs
  for uuid in "" CRYPT-PLAIN-x CRYPT-LUKS2-$id-x CRYPT-VERITY-$id-x; do
    for table in --notable "--table=0 4096 error"; do
      before() { peer dmsetup create x ${uuid:+-u $uuid} "$table"; }
      case $uuid:$table in
      *VERITY*) verbs="status" ;;
      # There it is tried, and fails.
      *LUKS2*:--table*) verbs="status close" ;;
      *) verbs="status close close_--deferred close_--cancel-deferred resize luksSuspend luksResume" ;;
      esac
      for verb in $verbs; do both "bare: $verb of ${uuid:-no UUID} $table" ${verb//_/ } x; done
    done
  done
  before() { :; }
  peer dmsetup create x --notable
  holds "bare: our own status" sh -c '/luksmith/luksmith status x && /luksmith/luksmith status x --json | grep -q "\"live_table\":false"'
  holds "bare: our own close" sh -c '/luksmith/luksmith close x && ! dmsetup info x'
}

# What is no mapping of this volume, and what is the same device by another path.
identity() {
  local cheap="--pbkdf pbkdf2 --pbkdf-force-iterations 1000" own opener seen
  # A UUID is text of no certain form, and compared as it is made.
  name_it() { printf '%s\0' "$2" | dd of="$1" bs=1 seek=168 conv=notrunc 2>/dev/null; }
  truncate -s 24M other
  for pair in "odd other" "ABCDEFAB-1111-2222-3333-444444444444 abcdefab-1111-2222-3333-444444444444" "o o2"; do
    format --type luks1 $loop k
    format --type luks1 other k
    name_it $loop "${pair% *}"
    name_it other "${pair#* }"
    for opener in $sides; do
      # Debian's opens no volume with a UUID that is none.
      case $opener:$pair in peer:o*) continue ;; esac
      tool $opener open -d k $loop x
      seen=$(table)
      act ours refresh x -d k --header other
      same "identity: $pair by $opener, refresh" "Device x is a mapping of another volume. [exit 1]" "$answer"
      same "identity: $pair by $opener, the key" "$seen" "$(table)"
      tool $opener luksSuspend x
      act ours luksResume x -d k --header other
      same "identity: $pair by $opener, resume" "Device x is a mapping of another volume. [exit 1]" "$answer"
      act ours luksResume x -d k
      same "identity: $pair by $opener, its own" " [exit 0]" "$answer"
      act ours refresh x -d k
      same "identity: $pair by $opener, refreshed" " [exit 0]" "$answer"
      close_x
    done
  done
  format --type luks2 $loop k
  format --type luks2 other k
  ours cryptsetup open -d k $loop x
  act ours resize x -d k --header other --size 8
  same "identity: resize" "Device x is a mapping of another volume. [exit 1]" "$answer"
  # A copy of a disk is another disk, with one UUID.
  cp img copy
  act ours refresh copy x -d k
  same "identity: a copy" "Device x is a mapping of another volume. [exit 1]" "$answer"
  act ours refresh img x -d k
  same "identity: the file behind the loop device" " [exit 0]" "$answer"
  # Under an active volume its own header comes back, and no other.
  ours cryptsetup luksHeaderBackup $loop --header-backup-file own
  dd if=/dev/zero of=$loop bs=32k count=1 conv=notrunc,fsync 2>/dev/null
  act ours luksHeaderRestore -q $loop --header-backup-file other
  case $answer in *"is in use"*"[exit 5]") pass "identity: a foreign header over an active volume" ;; *) fail "identity: restore: $answer" ;; esac
  same "identity: it is untouched" "" "$(cmp -n 32768 $loop /dev/zero)"
  act ours luksHeaderRestore -q $loop --header-backup-file own
  same "identity: its own header over an active volume" " [exit 0]" "$answer"
  close_x
  # The only header of an active volume.
  dd if=/dev/zero of=$loop bs=1M count=17 conv=notrunc,fsync 2>/dev/null
  truncate -s 16M hdr
  format --type luks2 --header hdr $loop k
  ours cryptsetup open -d k --header hdr $loop x
  act ours luksFormat -q $cheap hdr k
  case $answer in *"in use"*"[exit "[15]"]") pass "identity: luksFormat of an active volume's header" ;; *) fail "identity: luksFormat: $answer" ;; esac
  act ours luksHeaderRestore -q hdr --header-backup-file other
  case $answer in *"in use"*"[exit "[15]"]") pass "identity: a foreign header over an active volume's" ;; *) fail "identity: restore: $answer" ;; esac
  close_x
  # Mappings that share sectors, and such that do not.
  peer dmsetup create x --table "0 8192 linear $loop 0"
  peer dmsetup create y --table "0 40960 linear $loop 8192"
  peer dmsetup create z --table "0 4096 linear $loop 4096"
  [ "$UDEV" = 1 ] || dmsetup mknodes
  dd if=/dev/urandom of=/dev/mapper/x bs=1M count=4 conv=notrunc,fsync 2>/dev/null
  own=$(sha256sum </dev/mapper/x)
  for target in /dev/mapper/z $loop; do
    answer=$(timeout $hang /luksmith/luksmith image -q -d k $cheap /dev/mapper/x $target 2>&1)
    case $answer in *"read and overwritten"*) pass "identity: image to $target" ;; *) fail "identity: image to $target: $answer $(ls -l /dev/mapper)" ;; esac
  done
  answer=$(timeout $hang /luksmith/luksmith image -q -d k $cheap /dev/mapper/x /dev/mapper/y 2>&1)
  same "identity: image beside it" "" "$answer"
  holds "identity: it is a volume" ours cryptsetup isLuks /dev/mapper/y
  [ -b /dev/mapper/y ] || fail "identity: y is no device"
  same "identity: the source" "$own" "$(sha256sum </dev/mapper/x)"
  for name in z y; do peer dmsetup remove --retry $name; done
  # Two of a kind that only the kernel knows the bytes of, on one device.
  modprobe dm-delay
  for name in z y; do peer dmsetup create $name --table "0 40960 delay $loop 0 0"; done
  [ "$UDEV" = 1 ] || dmsetup mknodes
  answer=$(timeout $hang /luksmith/luksmith image -q -d k $cheap /dev/mapper/y /dev/mapper/z 2>&1)
  case $answer in *"read and overwritten"*) pass "identity: image between two delays" ;; *) fail "identity: image between two delays: $answer" ;; esac
  for name in z y; do peer dmsetup remove --retry $name; done
}

modprobe ext4 2>/dev/null
for part in $parts; do
  $part
  close_x
done
losetup -d "$loop"
within 60 loops_are ""
[ "$UDEV" = 0 ] || udevadm settle --timeout=30
same "no mapping is left" "No devices found" "$(dmsetup ls)"
same "no loop device is left" "" "$(losetup -a)"
same "no udev cookie is left" 0 "$(ipcs -s | grep -c 0x0d4d)"
echo "$cells comparisons with Debian's cryptsetup, $differences differences"
finish

# A disk that fails, by dm-error and dm-flakey: at the first copy of the header, the second, the keyslots, or at every write. Each
# command that writes fails and says so, or is done; and the old or the new passphrase opens when the disk is well again.
. /share/guest/lib.sh
modprobe dm_flakey || fail "no dm-flakey"
printf 'old' >old
printf 'new' >new
truncate -s 24M img
loop=$(losetup -f --show img)
sectors=$(blockdev --getsz "$loop")
cheap="--pbkdf pbkdf2 --pbkdf-force-iterations 1000"
# sick FROM LENGTH: reads and writes of these sectors fail.
sick() {
  { [ "$1" = 0 ] || echo "0 $1 linear $loop 0"
    echo "$1 $2 error"
    echo "$(($1 + $2)) $((sectors - $1 - $2)) linear $loop $(($1 + $2))"; } | dmsetup load d
}
well() { echo "0 $sectors linear $loop 0" | dmsetup load d; }
switch() { dmsetup suspend --noflush d && dmsetup resume d; }
echo "0 $sectors linear $loop 0" | dmsetup create d
[ -e /dev/mapper/d ] || dmsetup mknodes
d=/dev/mapper/d
told=0 runs=0
opens() { /luksmith/cryptsetup open --test-passphrase $d -d "$1" 2>/dev/null; }

for type in luks1 luks2; do
  well; switch
  small="--luks2-keyslots-size 1M"
  [ $type = luks2 ] || small="-s 256"
  # shellcheck disable=SC2086
  check "format $type" /luksmith/cryptsetup luksFormat -q --type $type $cheap $small $d old
  /luksmith/cryptsetup luksHeaderBackup $d --header-backup-file backup.$type
  dd if=$d of=base bs=1M count=4 iflag=direct 2>/dev/null
  while read -r where from length; do
    while read -r command; do
      [ -n "$command" ] || continue
      well; switch
      dd if=base of=$d bs=1M oflag=direct conv=notrunc 2>/dev/null
      echo 1 >/proc/sys/vm/drop_caches
      if [ "$where" = writes ]; then
        echo "0 $sectors flakey $loop 0 0 600 1 error_writes" | dmsetup load d
      else
        sick "$from" "$length"
      fi
      switch
      # shellcheck disable=SC2086
      timeout $hang /luksmith/cryptsetup -q $command >out 2>&1 </dev/null
      code=$?
      well; switch
      echo 1 >/proc/sys/vm/drop_caches
      runs=$((runs + 1))
      [ $code = 0 ] || told=$((told + 1))
      done=1
      case $command in
      luksAddKey*) opens new || done=0 ;;
      luksChangeKey*) opens new && ! opens old || done=0 ;;
      luksUUID*) [ "$(/luksmith/cryptsetup luksUUID $d)" = 11111111-2222-3333-4444-555555555555 ] || done=0 ;;
      *label*) /luksmith/cryptsetup luksDump $d | grep -q 'Label:.*name' || done=0 ;;
      esac
      text="$type, $where fail: $command: exit $code, $(head -c 200 out | tr '\n' ' ')"
      if [ $code -gt 5 ]; then fail "$text: no exit code of ours"
      elif [ $code = 0 ] && [ $done = 0 ]; then fail "$text: a success that is none"
      elif [ $code != 0 ] && [ ! -s out ]; then fail "$text: not told"
      elif ! opens old && ! opens new; then fail "$text: nothing opens"
      else pass "$text"; fi
    done <<COMMANDS
luksAddKey $cheap $d new -d old
luksChangeKey $cheap $d new -d old
luksUUID $d --uuid 11111111-2222-3333-4444-555555555555
luksHeaderRestore $d --header-backup-file backup.$type
$([ $type = luks1 ] || echo "config $d --label name")
$([ $type = luks1 ] || echo "token add $d --key-description x")
COMMANDS
  done <<PLACES
first-copy 0 32
second-copy 32 32
keyslots 64 4000
later-keyslots 1024 3000
writes 0 0
PLACES
done
echo "$told of $runs runs failed and said so"
[ "$told" -gt 10 ] || fail "next to nothing failed"
dmsetup remove d
finish

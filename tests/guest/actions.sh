# Each action that changes a header, on block devices: done by one tool, then dumped by both, tested with every passphrase and
# opened by the other, with the plaintext that was there before. The column `alike` says whether dumps and tables are the same
# whoever did it. Prints the table action × tool with the number of differences in each cell.
# Arguments: the kinds (luks1, luks2, detached); `luks1 luks2` when there are none.
. /share/guest/lib.sh
[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
kinds=${*:-luks1 luks2}
differences=0 cells=0
for key in a b c d; do printf "passphrase $key" >$key; done
echo '{"type":"clevis","keyslots":["0"],"jwe":{"x":[1,2]}}' >token.json
uuid=11111111-2222-3333-4444-555555555555
P='--pbkdf pbkdf2 --pbkdf-force-iterations 1000'
A='--pbkdf argon2id --pbkdf-memory 32 --pbkdf-parallel 1 --pbkdf-force-iterations 4'
settle() { [ "$UDEV" = 0 ] || udevadm settle --timeout=30; }
truncate -s 20M image && device=$(losetup -f --show image)
truncate -s 17M himage && hdevice=$(losetup -f --show himage)
tool() { local side=$1; shift; $side cryptsetup "$@"; }

# The volume that all actions of a kind start from: "a" opens keyslot 0 and "b" 1, and there is data in it.
make_base() {
  rm -f base hbase
  case $1 in
  detached) at=$hdevice at_header="--header $hdevice" type=luks2 ;;
  *) at=$device at_header='' type=$1 ;;
  esac
  sector=''; [ $type = luks1 ] || sector='--sector-size 512'
  dd if=/dev/zero of=$device bs=1M count=20 2>/dev/null; dd if=/dev/zero of=$hdevice bs=1M count=17 2>/dev/null
  peer cryptsetup luksFormat -q --type $type -s 256 --uuid $uuid $sector $P $at_header $device a &&
    peer cryptsetup luksAddKey -q $at b -d a $P && peer cryptsetup open $at_header -d a $device x || fail "no $1 volume"
  head -c 65536 /dev/urandom >data; dd if=data of=/dev/mapper/x bs=64k conv=fsync 2>/dev/null
  settle; peer cryptsetup close x
  sync; cp $device base; cp $hdevice hbase
}
restore_base() { dd if=base of=$device bs=1M conv=fsync 2>/dev/null; [ $at = $device ] || dd if=hbase of=$at bs=1M conv=fsync 2>/dev/null; rm -f backup; }
# What differs from one run to the next, and what ours does otherwise for a stop's sake, goes.
comparable() {
  sed -E '/(Salt|Digest|MK salt|MK digest):/d; /^[ \t]+([0-9a-f]{2} )+$/d; /^Epoch:/d' |
    case $1 in
    # Which cipher a keyslot gets where it is not the data's, and under which name LUKS1 has a kernel's one, each chooses itself.
    "format over"*) grep -vE '^\s*Cipher' ;;
    convert* | *slot) grep -vE 'Area offset:|Key material offset:|Keyslots area:' ;;
    *) cat ;;
    esac
}
differ() { bad=$((bad + 1)); echo "  DIFFERENCE $kind, $name, by $side: $*"; }
# Does one action by one tool; leaves the dump in $dump and the number of differences in $bad.
cell() {
  local word command other key opens
  restore_base
  while IFS= read -r command; do
    case $command in
    DAMAGE*) printf SHA | dd of=$at bs=1 seek=${command#DAMAGE} conv=notrunc,fsync 2>/dev/null ;;
    *) tool $side -q $command >out 2>&1 </dev/null || differ "$command: exit $?, $(cat out)" ;;
    esac
  done < <(echo "$commands" | sed "s,;,\n,g" | sed -E "s, V( |\$), $at\1,; s,PBKDF,$P,; s,ARGON,$A,")
  # What the one did, the other has to open.
  case $side in peer) other=ours ;; *) other=peer ;; esac
  for key in a b c; do
    tool $other open --test-passphrase $at -d $key >/dev/null 2>&1 && opens=1 || opens=0
    case $keys in *$key*) [ $opens = 1 ] || differ "$key does not open, says $other" ;; *) [ $opens = 0 ] || differ "$key opens, says $other" ;; esac
  done
  for other in $other $side; do tool $other luksDump $at >dump.$other 2>&1; done
  cmp -s dump.peer dump.ours || differ "the dumps differ: $(diff dump.peer dump.ours | head -4 | tr '\n' ' ')"
  table=
  if [ -n "$keys" ]; then
    case $side in peer) other=ours ;; *) other=peer ;; esac
    if tool $other open $at_header -d ${keys:0:1} $device x >out 2>&1; then
      settle
      # A new volume has another key, and its data are noise.
      [[ $name = format* ]] || {
        [ "$(head -c 65536 /dev/mapper/x | cmp - data 2>&1)" = "" ] || differ "the plaintext differs, opened by $other"
        table=$(peer dmsetup table --showkeys x)
      }
      tool $other close x >out 2>&1 || differ "close by $other: $(cat out)"
      settle
    else differ "open by $other: $(cat out)"; fi
  fi
  dump=$(comparable "$name" <dump.peer; echo "$table")
}
actions() {
  cat <<END
add|12|abc|luksAddKey V c -d a PBKDF
add to slot 6|12|abc|luksAddKey V c -d a -S 6 PBKDF
add to slot 31|2|abc|luksAddKey V c -d a -S 31 PBKDF
add with argon2id|2|abc|luksAddKey V c -d a ARGON
add with another cipher|2|abc|luksAddKey V c -d a --keyslot-cipher aes-cbc-essiv:sha256 --keyslot-key-size 256 PBKDF
add with another hash|2|abc|luksAddKey V c -d a -h sha512 PBKDF
add unbound|2|ab|luksAddKey V c --unbound -s 128 PBKDF
add by --new-keyfile|12|abc|luksAddKey V -d a --new-keyfile c --new-key-slot 3 PBKDF
add by volume key|12|abc|luksDump V -d a --dump-volume-key --volume-key-file mk;luksAddKey V c --volume-key-file mk PBKDF
remove|12|b|luksRemoveKey V a
change|12|bc|luksChangeKey V c -d a PBKDF
change in its slot|12|bc|luksChangeKey V c -d a -S 0 PBKDF
convert a key|2|ab|luksConvertKey V -d a ARGON
kill a slot|12|a|luksKillSlot V 1
kill the last slot|12||luksKillSlot V 1;luksKillSlot V 0
erase|12||erase V
set the UUID|12|ab|luksUUID V --uuid 11111111-2222-3333-4444-555555555559
set label and subsystem|2|ab|config V --label disk --subsystem sub
clear the label|2|ab|config V --label disk;config V --label=
prefer|2|ab|config V --priority prefer -S 1
ignore|2|a|config V --priority ignore -S 1
add a token|2|ab|token add V --key-description desc
import a token|2|ab|token import V --json-file token.json
replace a token|2|ab|token add V --key-description desc;token import V --json-file token.json --token-id 0 --token-replace
unassign a token|2|ab|token add V --key-description desc;token unassign V --token-id 0 -S 1
remove a token|2|ab|token add V --key-description desc;token remove V --token-id 0
kill a token's slot|2|b|token add V --key-description desc;luksKillSlot V 0
back up and restore|12|ab|luksHeaderBackup V --header-backup-file backup;luksKillSlot V 0;luksHeaderRestore V --header-backup-file backup
restore over an erased one|12|ab|luksHeaderBackup V --header-backup-file backup;erase V;luksHeaderRestore V --header-backup-file backup
convert|12|ab|convert V --type OTHER
convert there and back|12|ab|convert V --type OTHER;convert V --type SAME
convert and change|12|bc|convert V --type OTHER;luksAddKey V c -d a PBKDF;luksKillSlot V 0
repair a name|1|ab|DAMAGE72;repair V
repair the primary|2|ab|DAMAGE5000;repair V
repair the secondary|2|ab|DAMAGE21000;repair V
add to a damaged header|2|abc|DAMAGE5000;luksAddKey V c -d a PBKDF
format anew|12|c|luksFormat V c --type SAME -s 256 --uuid $uuid $sector PBKDF
format over capi|12|c|luksFormat V c --type SAME -c capi:xts(aes)-plain64 -s 256 --uuid $uuid $sector PBKDF
format over capi, essiv|12|c|luksFormat V c --type SAME -c capi:cbc(aes)-essiv:sha256 -s 256 --uuid $uuid $sector PBKDF
format over serpent|12|c|luksFormat V c --type SAME -c serpent-xts-plain64 -s 256 --uuid $uuid $sector PBKDF
format over adiantum|2|c|luksFormat V c --type SAME -c xchacha12,aes-adiantum-plain64 -s 256 --uuid $uuid $sector PBKDF
END
}
printf '%-9s %-28s %11s %9s %6s\n' kind action "Debian's" ours alike
for kind in $kinds; do
  make_base $kind
  case $kind in luks1) version=1 convert_to=luks2 ;; *) version=2 convert_to=luks1 ;; esac
  while IFS='|' read -r name versions keys commands <&3; do
    [[ $versions = *$version* ]] || continue
    # Formatting writes a volume without the data; and LUKS1 has no place for a header alone that came from LUKS2.
    case $kind:$name in *:format*) [ $kind != detached ] || continue ;; 'detached:convert' | 'detached:convert there'* | 'detached:convert and'*) continue ;; esac
    commands=${commands//OTHER/$convert_to} commands=${commands//SAME/$type} counts=''
    for side in peer ours; do
      bad=0
      rm -f mk
      cell
      eval "dump_$side=\$dump"
      counts+=" $bad"
      differences=$((differences + bad)) cells=$((cells + 1))
    done
    read -r by_peer by_ours <<<"$counts"
    alike=yes
    [ "$dump_peer" = "$dump_ours" ] || { alike=NO; differences=$((differences + 1)); diff <(echo "$dump_peer") <(echo "$dump_ours") | sed 's/^/    /'; }
    printf '%-9s %-28s %11s %9s %6s\n' "$kind" "$name" "$by_peer" "$by_ours" $alike
    if [ "$by_peer$by_ours$alike" = 00yes ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAIL $kind: $name"; fi
  done 3< <(actions)
done
losetup -d $device $hdevice
echo "$cells cells of action × tool on block devices, $differences differences"
finish

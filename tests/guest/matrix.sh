# Every cell of the main job, both tools in every part: one formats, one opens, makes a file system, writes and closes, and each
# opens and reads what the other left. In each cell the two must agree on the kernel's table with its keys, on what `dmsetup
# info` and `lsblk` show, and on every byte of the plaintext. Arguments: the modes (all of them when there are none).
. /share/guest/lib.sh
modes=${*:-luks1 luks2-512 luks2-4096 detached keyfile discards readonly loopfile}
cells=0 differences=0
printf 'pass phrase\n' >line            # piped to standard input: the new line is dropped
printf 'pass phrase' >line.trimmed    # the same passphrase as a key file, which is taken byte for byte
printf 'key\nfile\0bytes\n' >key
uuid=01234567-89ab-cdef-0123-456789abcdef

tool() { # NAME COMMAND...: run cryptsetup of that side
  case $1 in luksmith) shift; ours cryptsetup "$@" ;; *) shift; peer cryptsetup "$@" ;; esac
}
problem() {
  echo "  DIFFERENCE $udev_name $mode $cell: $*"
  bad=$((bad + 1))
}

# What each mode adds to format and to open.
plan() {
  format=(-q --uuid "$uuid" --pbkdf-force-iterations 1000) open=() secret=line size=24M
  case $mode in
  luks1) format+=(--type luks1) ;;
  luks2-512) format+=(--type luks2 --sector-size 512) ;;
  luks2-4096) format+=(--type luks2 --sector-size 4096) ;;
  detached) format+=(--type luks2 --header header) open+=(--header header) ;;
  keyfile) format+=(--type luks2) secret=key ;;
  discards) format+=(--type luks2) open+=(--allow-discards) ;;
  readonly) format+=(--type luks2) open+=(--readonly) ;;
  loopfile) format+=(--type luks2) ;;
  esac
  case $mode in luks1) ;; *) format+=(--pbkdf pbkdf2) ;; esac
  [ "$secret" = line ] || open+=(--key-file key)
}
unlock() { # TOOL [OPTION...]
  local t=$1
  shift
  if [ "$secret" = line ]; then tool "$t" open "$@" "$device" vol <line; else tool "$t" open "$@" "$device" vol; fi
}
observe() { # into DIR: all that must agree
  local d=$1
  mkdir -p "$d"
  peer dmsetup table --showkeys vol >"$d/table" 2>&1
  peer dmsetup info vol >"$d/info" 2>&1
  peer dmsetup info -c --noheadings --separator ' ' \
    -o name,uuid,attr,tables_loaded,suspended,readonly,open,segments,events,devs_used,devnos_used,blkdevs_used,subsystem,mangled_name vol \
    >"$d/columns" 2>&1
  lsblk -n -r -o NAME,KNAME,MAJ:MIN,TYPE,FSTYPE,UUID,SIZE,RO,DISC-GRAN,DISC-MAX,LOG-SEC,PHY-SEC,MOUNTPOINT "$loop" >"$d/lsblk" 2>&1
  stat -c %F /dev/mapper/vol >"$d/node" 2>&1
}
plaintext() { sha256sum </dev/mapper/vol | cut -c1-64; }
attach() { # $device is what the tools are given, $loop where its data is
  rm -f image header && truncate -s $size image
  if [ "$mode" = loopfile ]; then device=image loop=/dev/loop0; else loop=$(losetup --show -f image) device=$loop; fi
}
# A container file's own loop device goes a moment after the mapping, and what is opened next is to have the same one.
first_loop_is_free() { [ "$(losetup -f)" = /dev/loop0 ]; }
settle() { [ "$UDEV" = 0 ] || udevadm settle --timeout=30; }
detach() {
  [ ! -e /dev/mapper/vol ] || { peer cryptsetup close vol; problem "a mapping was left behind"; }
  [ "$mode" = loopfile ] || losetup -d "$loop"
  settle
  # A container file's own loop device goes away with the mapping.
  within 60 loops_are "" || { problem "a loop device was left behind: $(losetup -a)"; losetup -D; }
}

udev_name=no-udev
[ "$UDEV" = 0 ] || udev_name=udev
sides=(cryptsetup)
[ ! -x /luksmith/cryptsetup ] || sides+=(luksmith)
printf '%-8s %-11s %-11s %-11s %-11s %s\n' udev mode format write read verdict

for mode in $modes; do
  plan
  for formatter in "${sides[@]}"; do
    for writer in "${sides[@]}"; do
      cell="format=$formatter write=$writer" bad=0
      attach
      tool "$formatter" luksFormat "${format[@]}" "$device" $([ "$secret" = key ] && echo key || echo line.trimmed) ||
        problem "format: exit $?"
      # Read-only volumes get their data through one open that is not.
      write_open=("${open[@]}")
      [ "$mode" != readonly ] || write_open=()
      unlock "$writer" ${write_open[@]+"${write_open[@]}"} || problem "open to write: exit $?"
      timeout $hang mkfs.ext4 -q -U "$uuid" -E lazy_itable_init=0,nodiscard /dev/mapper/vol || problem "mkfs"
      mount -t ext4 /dev/mapper/vol /mnt || problem "mount"
      head -c 3000000 /dev/urandom >/mnt/random
      [ "$mode" != discards ] || { fstrim /mnt 2>/dev/null || blkdiscard -o 20M -l 1M /dev/mapper/vol || problem "discard"; }
      umount /mnt
      settle
      written=$(plaintext)
      tool "$writer" close vol || problem "close after the write: exit $?"
      [ "$mode" != loopfile ] || within 60 first_loop_is_free
      rm -rf seen && mkdir seen
      for reader in "${sides[@]}"; do
        cell="format=$formatter write=$writer read=$reader"
        cells=$((cells + 1))
        unlock "$reader" ${open[@]+"${open[@]}"} || problem "open to read: exit $?"
        settle
        observe "seen/$reader"
        [ "$(plaintext)" = "$written" ] || problem "the plaintext differs"
        case $mode in
        readonly) [ "$(blockdev --getro /dev/mapper/vol)" = 1 ] || problem "it can be written" ;;
        discards) grep -q allow_discards "seen/$reader/table" || problem "discards are not allowed" ;;
        esac
        e2fsck -n -f /dev/mapper/vol >/dev/null 2>&1 || problem "e2fsck"
        for f in table info columns lsblk node; do
          cmp -s "seen/cryptsetup/$f" "seen/$reader/$f" ||
            problem "$f: $(diff "seen/cryptsetup/$f" "seen/$reader/$f" | tr '\n' ' ')"
        done
        tool "$reader" close vol || problem "close: exit $?"
        [ "$mode" != loopfile ] || within 60 first_loop_is_free
        [ -z "$(ipcs -s | grep 0x0d4d)" ] || problem "an udev cookie is left: $(ipcs -s)"
        verdict=same
        [ $bad = 0 ] || verdict="$bad DIFFERENT"
        printf '%-8s %-11s %-11s %-11s %-11s %s\n' $udev_name "$mode" "$formatter" "$writer" "$reader" "$verdict"
        differences=$((differences + bad)) bad=0
        if [ "$verdict" = same ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
      done
      detach
      differences=$((differences + bad))
      failed=$((failed + (bad > 0)))
    done
  done
done
echo "$cells cells, $differences differences"
finish

# Many linear devices: how long Debian's dmsetup and ours take to list them, and how many ioctls each asks. Interleaved runs, medians,
# ours over Debian's. ARGS: how many devices, how many runs, and the largest ratio that is no failure (1000 for a build that is not
# optimized). The figures are printed.
. /share/guest/lib.sh
[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
modprobe -a loop dm-mod
count=${1:-1000} runs=${2:-15} limit=${3:-0.7}
truncate -s 64M disk
disk=$(losetup --show -f disk)
disk=$(stat -c '%Hr:%Lr' "$disk")
for ((i = 0; i < count; i++)); do echo "thousand-$i,UUID-$i,,,0 8 linear $disk $((i * 8))"; done | tr '\n' ';' | sed 's/;$//' >devices
timeout 600 /luksmith/dmsetup create --noudevsync --concise <devices
same "devices" "$count" "$(ls -d /sys/class/block/dm-* | wc -l)"

# Microseconds of one run.
took() {
  local begin=${EPOCHREALTIME/./}
  "$@" >/dev/null
  echo $((${EPOCHREALTIME/./} - begin))
}
median() { sort -n | sed -n "$(((runs + 1) / 2))p"; }
ioctls() { strace -f -c -e trace=ioctl -o counts "$@" >/dev/null; awk '$NF == "ioctl" { print $4 }' counts; }

# compare ROW "DEBIAN'S" "OURS": a row of the table.
compare() {
  local row=$1 theirs=$2 mine=$3 i their_median my_median ratio
  rm -f theirs mine
  # One of each to warm up.
  $theirs >/dev/null && $mine >/dev/null
  for ((i = 0; i < runs; i++)); do
    took $theirs >>theirs
    took $mine >>mine
  done
  their_median=$(median <theirs) my_median=$(median <mine)
  ratio=$(awk "BEGIN { printf \"%.2f\", $my_median / $their_median }")
  printf '%-34s %9d us %9d us   %s   %5d %5d\n' "$row" "$their_median" "$my_median" "$ratio" "$(ioctls $theirs)" "$(ioctls $mine)"
  # The others are told, and not judged.
  case $row in "ls" | list* | "info -c" | "table") check "$row: $ratio of dmsetup's time" awk "BEGIN { exit !($ratio <= $limit) }" ;; esac
}
peer=/usr/sbin/dmsetup ours=/luksmith/dmsetup
same "ls" "$($peer ls | md5sum)" "$($ours ls | md5sum)"
same "info -c" "$($peer info -c | md5sum)" "$($ours info -c | md5sum)"
same "ls --tree" "$($peer ls --tree | md5sum)" "$($ours ls --tree | md5sum)"
echo "$count devices, medians of $runs interleaved runs     dmsetup         ours  ratio   ioctls: dmsetup, ours"
compare "ls" "$peer ls" "$ours ls"
# Our list tells what made each device, as info -c does; ls tells names and numbers alone.
compare "list beside info -c" "$peer info -c -o name,uuid" "/luksmith/luksmith list"
compare "list beside ls" "$peer ls" "/luksmith/luksmith list"
compare "info -c" "$peer info -c" "$ours info -c"
compare "info -c -o name,uuid,events" "$peer info -c -o name,uuid,events" "$ours info -c -o name,uuid,events"
compare "table" "$peer table" "$ours table"
compare "ls --tree" "$peer ls --tree" "$ours ls --tree"
check "few questions for a list" test "$(ioctls /luksmith/luksmith list)" -lt 10
finish

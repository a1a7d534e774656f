# The key in a table: no question about a device prints it without --showkeys, with --debug or without, and none leaves it in
# memory. A program is stopped at its first output by a pipe that is full, and all of its memory is searched then.
. /share/guest/lib.sh
[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
modprobe -a loop dm-crypt dm-integrity
key=7e1bd3a9450f826cc1d8b79e33f0a5641f92ce08b76da35d40e1875ac9f62b3e
raw=$(sed 's/../\\x&/g' <<<$key)
truncate -s 16M disk
A=$(losetup --show -f disk)
A=$(stat -c '%Hr:%Lr' "$A")
truncate -s 16M other
B=$(losetup --show -f other)
B=$(stat -c '%Hr:%Lr' "$B")
dm=/luksmith/dmsetup luksmith=/luksmith/luksmith cryptsetup=/luksmith/cryptsetup
$dm create secret -u CRYPT-PLAIN-secret --table "0 8192 crypt aes-xts-plain64 $key 0 $A 0" || fail "a crypt device"
$dm create tagged --table "0 8192 integrity $B 0 - J 1 internal_hash:hmac(sha256):$key" || fail "an integrity device"
$dm load secret --table "0 8192 crypt aes-xts-plain64 $key 0 $A 8"
$dm stats create secret >/dev/null || fail "a region"

questions=(
  "$dm table" "$dm table secret" "$dm table tagged" "$dm table --inactive secret" "$dm table --concise" "$dm table --target crypt" "$dm status"
  "$dm status secret" "$dm info" "$dm info -c" "$dm info -v secret" "$dm table -v secret" "$dm deps" "$dm ls" "$dm ls --tree"
  "$dm ls --target crypt" "$dm info -c -o all" "$dm stats list" "$luksmith list" "$luksmith list --json" "$luksmith info --json"
  "$luksmith table" "$luksmith table --json" "$luksmith status secret" "$luksmith status secret --json" "$luksmith status tagged"
  "$luksmith dm table --json" "$luksmith dm table --inactive --json" "$luksmith dm status --json" "$luksmith dm info -c -o all --json"
  "$luksmith deps --json" "$luksmith tree" "$luksmith tree --json" "$cryptsetup status secret"
)
for question in "${questions[@]}"; do
  out=$($question 2>&1; [[ $question == *dmsetup* ]] || $question --debug 2>&1)
  if [ -z "$out" ] || grep -qi $key <<<"$out"; then fail "printed: ${question#/luksmith/}: $out"; else pass "not printed: ${question#/luksmith/}"; fi
done
check "it is printed where it is asked for" sh -c "$dm table --showkeys secret | grep -q $key"

mkfifo full && exec 9<>full
dd if=/dev/zero bs=4096 count=16 status=none >&9

# held COMMAND: how often the key is in the memory of a program that is about to write.
held() {
  local pid i range rest begin end found=0
  $1 >&9 2>/dev/null &
  pid=$!
  for ((i = 0; i < 1200; i++)); do
    # The system call write, on standard output or a copy of it.
    case $(cat /proc/$pid/syscall 2>/dev/null) in "1 "*) break ;; esac
    sleep 0.1
  done
  [ $i -lt 1200 ] || { echo "never wrote"; kill $pid; return; }
  while read -r range rest; do
    case $rest in rw*) ;; *) continue ;; esac
    begin=$((16#${range%-*})) end=$((16#${range#*-}))
    found=$((found + $(dd if=/proc/$pid/mem bs=1M iflag=skip_bytes,count_bytes skip=$begin count=$((end - begin)) status=none 2>/dev/null |
      LC_ALL=C gnu-grep -aciP "$key|$raw")))
  done </proc/$pid/maps
  kill $pid
  wait $pid 2>/dev/null
  echo $found
}
for question in "${questions[@]}"; do
  # Of `list` and the like as JSON the same is asked as of the text.
  same "not in memory: ${question#/luksmith/}" 0 "$(held "$question")"
done
# What is shown is in the answer once, which the program wipes when it is out.
found=$(held "$luksmith dm table --showkeys --json secret")
check "the search finds what is there in JSON" test "$found" -ge 1
found=$(held "$dm table --showkeys secret")
check "the search finds what is there" test "$found" -ge 1
exec 9<&-
$dm remove secret tagged
finish

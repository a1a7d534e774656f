# Every cipher, mode, IV generator and sector size of this kernel against ours, both ways: examples/ciphers.rs, as /luksmith/luksmith.
#   scripts/vm --timeout 3000 --bin target/debug/examples/ciphers ciphers.sh full      all of it
. /share/guest/lib.sh
for m in $(sed -n 's#.*/crypto/\(.*\)\.ko:.*#\1#p' "/lib/modules/$(uname -r)/modules.dep" | grep -v '/\|^tcrypt$'); do
  modprobe "$m" 2>/dev/null
done
# All is loaded: nobody is to be asked for each name that is none.
echo >/proc/sys/kernel/modprobe
truncate -s 8M disk
losetup /dev/loop0 disk
/luksmith/luksmith disk /dev/loop0 "$@" 2>&1 | tee out /share/out/log
rc=${PIPESTATUS[0]}
same "the sweep's own verdict" 0 $rc
check "no cell differs" grep -q 'cells the same both ways, 0 differ,' out
# What only the kernel can do is told by name, and no format that we open has it: loop-AES's and TrueCrypt's IVs, a cipher of AFS,
# keys of Serpent that are no keys, chains of no cipher at all.
lacking=$(grep ^LACKING out | grep -Ev '"(lmk|tcw|random|essiv:md5|fcrypt)" is unknown|cipher_null has no other|LACKING serpent-.* takes no key')
same "what is lacking" "" "$lacking"
cells=$(sed -n 's/^\([0-9]*\) cells the same.*/\1/p' out)
check "there are cells" [ "${cells:-0}" -gt 2000 ]
for cipher in aes serpent twofish camellia cast5 cast6 blowfish des3_ede xchacha12,aes xchacha20,aes cipher_null; do
  check "$cipher" grep -q "^$cipher: [1-9]" out
done
finish

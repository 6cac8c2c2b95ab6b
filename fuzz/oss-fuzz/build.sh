#!/bin/bash -eu
# Build every harness the way OSS-Fuzz and ClusterFuzzLite want it: compilers and flags come from CC, CXX, CFLAGS and
# LIB_FUZZING_ENGINE, sources lie in $SRC/tuyawire, and $OUT gets each fuzzer with <fuzzer>_seed_corpus.zip,
# <fuzzer>.dict and <fuzzer>.options. Libraries are linked statically: the machine that runs them has none.
#
# FUZZ_LINK=shared links them as they come, for trying this script on a machine that has them (tests/fuzz/oss_fuzz.py).
: "${WORK:=$(mktemp -d)}"
static=true
[ "${FUZZ_LINK:-static}" = shared ] && static=false
cd "$SRC/tuyawire"
rm -rf "$WORK/build"
meson setup "$WORK/build" -Dfuzz=libfuzzer "-Dfuzz_engine=${LIB_FUZZING_ENGINE:--fsanitize=fuzzer}" -Dtests=false \
    -Ddocs=disabled -Dwireshark=disabled -Dprefer_static=$static -Db_lundef=false \
    --buildtype=plain
ninja -C "$WORK/build" ${FUZZ_JOBS:+-j"$FUZZ_JOBS"} fuzzers

# name, needs, dictionary, longest, past
grep -v '^#' fuzz/harnesses.txt | while read -r name _ dictionary longest _; do
    cp "$WORK/build/fuzz/fuzz_$name" "$OUT/"
    python3 -m zipfile -c "$OUT/fuzz_${name}_seed_corpus.zip" "corpus/$name"/*
    cp "fuzz/dictionaries/$dictionary.dict" "$OUT/fuzz_$name.dict"
    printf '[libfuzzer]\nmax_len = %s\n' "$longest" > "$OUT/fuzz_$name.options"
done

#!/bin/sh
# Prints the folder of the librocksdb.a that the dev profile has built, so that another profile need not compile RocksDB
# again (11 minutes on two cores):
#
#   ROCKSDB_STATIC=1 ROCKSDB_LIB_DIR=$(benches/rocksdb-lib-dir.sh) cargo bench --bench http
#
# The dev profile builds it with -O3, as the release profile would. Prints nothing and fails when there is none yet.
set -eu
target=${CARGO_TARGET_DIR:-$(dirname "$0")/../target}
newest=$(ls -t "$target"/debug/build/librocksdb-sys-*/out/librocksdb.a 2>/dev/null | head -n 1)
[ -n "$newest" ] || { echo "no librocksdb.a below $target/debug: run \`cargo test --no-run --all-targets\` first" >&2; exit 1; }
cd "$(dirname "$newest")" && pwd

#!/usr/bin/env bash
# Builds the fuzz targets with the compiler at hand and runs them one after the other, or those that are named:
#
#   tests/fuzz/run.sh [request|batch|payload …]         FUZZ_SECONDS (60) for each
#   tests/fuzz/run.sh request -- crash-…                a finding again; all after -- is for libFuzzer
#
# What cargo-fuzz would pass to a nightly compiler is passed to this one, which takes it with RUSTC_BOOTSTRAP: coverage,
# traced comparisons and the address sanitizer, whose runtime comes with every toolchain for Linux on x86-64.
set -euo pipefail
cd "$(dirname "$0")"

targets=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do targets+=("$1"); shift; done
[ "${1:-}" != -- ] || shift
[ ${#targets[@]} -gt 0 ] || targets=(request batch payload)

host=$(rustc -vV | sed -n 's/^host: //p')
out=${FUZZ_TARGET_DIR:-$PWD/target}
unset CARGO_TARGET_DIR
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"

cargo run --quiet --bin seeds --no-default-features --target-dir "$out"
# With a target named, the flags are for it alone and not for build scripts and macros.
RUSTC_BOOTSTRAP=1 RUSTFLAGS="$coverage -Zsanitizer=address --cfg fuzzing -Ccodegen-units=1" \
  cargo build --quiet --release --bins --target "$host" --target-dir "$out"

for target in "${targets[@]}"; do
  mkdir -p "artifacts/$target"
  "$out/$host/release/$target" -artifact_prefix="artifacts/$target/" -rss_limit_mb=1024 -malloc_limit_mb=256 \
    -max_total_time="${FUZZ_SECONDS:-60}" -print_final_stats=1 "${@:-corpus/$target}"
done

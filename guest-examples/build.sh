#!/usr/bin/env bash
# Builds every guest into prebuilt/ and writes prebuilt/MANIFEST.json.
#
#   ./build.sh           build all; needs the target wasm32-unknown-unknown
#   ./build.sh --check   compare prebuilt/ with the sources; needs bash and sha256sum only
#
# The same sources give the same bytes in any folder: paths are cut out of the modules, versions are locked.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "${BASH_SOURCE[0]}")"

guests=(
    also-viewed bench-list bench-packed count-by-key enrich enrich-join fraud-window http-poll-source item-cf
    nexmark redact-json session-knn trending validate-json webhook-sink word-count
    misbehaving/endless-loop misbehaving/memory-hog misbehaving/oversized-output misbehaving/ticker misbehaving/trap
    misbehaving/unruly misbehaving/wrong-world template template-processor template-answering template-timed template-sink template-source
    testing/asking-sink testing/number-counter testing/packed-counter testing/query-probe testing/stamp testing/stamp-counter testing/text-counter testing/timer-probe testing/tumbling-count
)
# They become users' projects.
templates=(template template-processor template-answering template-timed template-sink template-source)
manifest=prebuilt/MANIFEST.json

# The name of a guest's file, from its folder.
file_of() { echo "${1##*/}.wasm"; }

sha256() { sha256sum "$1" | cut -d ' ' -f 1; }

# A digest over the lines `sha256  path` of a guest's sources, sorted by path: its own, those of what it depends on here,
# and what decides about the build.
sources_sha256() {
    local folders=("$1/src" sdk/src sdk/wit) files=("$1/Cargo.toml" sdk/Cargo.toml Cargo.toml Cargo.lock)
    if grep -q '^common\.workspace' "$1/Cargo.toml"; then
        folders+=(common/src)
        files+=(common/Cargo.toml)
    fi
    { find "${folders[@]}" -type f; printf '%s\n' "${files[@]}"; } | sort | while read -r file; do
        sha256sum "$file"
    done | sha256sum | cut -d ' ' -f 1
}

# A std that was built on this machine, as distributions and some set-ups do, names its sources by their path here, and no
# flag of a later build reaches that. So the path is overwritten in place, padded to its length; then nothing may be left.
cut_paths() {
    local path pad roots
    # Wherever it was built: below one of this machine's top folders.
    roots=$(printf '\\Q%s\\E|' /*/)
    { grep -aoP "(?:${roots%|})[\w.+@/-]*?/(?:library|registry/src/[\w.-]+)/" "$1" || true; } | sort -u | while read -r path; do
        pad=$(printf "%-${#path}s" /rust | tr ' ' /)
        sed -i "s#${path//./\\.}#$pad#g" "$1"
    done
    for path in "$HOME/" "$PWD/" "$project/"; do
        if grep -aqF "$path" "$1"; then echo "$1: contains the path $path" >&2; exit 1; fi
    done
}

check() {
    local failed=0 guest file line
    for guest in "${guests[@]}"; do
        file=$(file_of "$guest")
        line=$(grep "\"file\": \"$file\"" "$manifest" || true)
        if [[ -z $line ]]; then
            echo "$file: not in $manifest"; failed=1
        elif [[ ! -f prebuilt/$file ]]; then
            echo "$file: missing in prebuilt/"; failed=1
        else
            [[ $line == *"\"sha256\": \"$(sha256 "prebuilt/$file")\""* ]] ||
                { echo "$file: differs from the manifest"; failed=1; }
            [[ $line == *"\"sources_sha256\": \"$(sources_sha256 "$guest")\""* ]] ||
                { echo "$file: sources in $guest/ or sdk/ changed since it was built"; failed=1; }
        fi
    done
    for file in prebuilt/*.wasm; do
        grep -q "\"file\": \"${file##*/}\"" "$manifest" || { echo "$file: not in $manifest"; failed=1; }
    done
    [[ $failed == 0 ]] && echo "prebuilt/ matches its sources" || { echo "run ./build.sh"; exit 1; }
}

build() {
    local target=wasm32-unknown-unknown root=$PWD
    local cargo_home=${CARGO_HOME:-$HOME/.cargo}
    export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}
    project=$(mktemp -d)
    trap 'rm -rf "$project"' EXIT
    # Nothing of this machine may stand in a module. Later flags win, so the longest paths come last.
    RUSTFLAGS="--remap-path-prefix=$cargo_home=/cargo"
    for sources in "$cargo_home"/registry/src/*; do
        RUSTFLAGS+=" --remap-path-prefix=$sources=/crates"
    done
    RUSTFLAGS+=" --remap-path-prefix=$(rustc --print sysroot)/lib/rustlib/src/rust=/rust"
    RUSTFLAGS+=" --remap-path-prefix=$root=/guests --remap-path-prefix=$project=/guests/template"
    RUSTFLAGS+=" --remap-path-prefix=$CARGO_TARGET_DIR=/target"
    export RUSTFLAGS

    cargo build --locked --release --target "$target"

    # A template is built as a user's project would be: copied out, with the SDK beside it and its name filled in.
    local template
    for template in "${templates[@]}"; do
        rm -rf "${project:?}"/{*,.gitignore}
        cp -r "$template/." "$project"
        cp -r sdk "$project/sdk"
        cp Cargo.lock "$project"
        sed -i "s/{{name}}/$template/g; s/{{crate}}/${template//-/_}/g" "$project"/{Cargo.toml,README.md}
        [ ! -f "$project/deploy.yaml" ] || sed -i "s/{{name}}/$template/g" "$project/deploy.yaml"
        (cd "$project" && cargo build --release --target "$target")
    done

    mkdir -p prebuilt
    rm -f prebuilt/*.wasm
    local guest file lines=()
    for guest in "${guests[@]}"; do
        file=$(file_of "$guest")
        cp "$CARGO_TARGET_DIR/$target/release/${file//-/_}" "prebuilt/$file"
        chmod 644 "prebuilt/$file"
        cut_paths "prebuilt/$file"
        lines+=("  {\"file\": \"$file\", \"sha256\": \"$(sha256 "prebuilt/$file")\", \"sources_sha256\": \"$(sources_sha256 "$guest")\"}")
    done
    {
        echo '['
        for i in "${!lines[@]}"; do
            if ((i + 1 < ${#lines[@]})); then echo "${lines[i]},"; else echo "${lines[i]}"; fi
        done
        echo ']'
    } > "$manifest"
    ls -l prebuilt/*.wasm | awk '{ print $5, $9 }'
}

case "${1:-}" in
    '') build ;;
    --check) check ;;
    *) echo "usage: build.sh [--check]" >&2; exit 2 ;;
esac

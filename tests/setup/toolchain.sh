#!/usr/bin/env bash
# Sees to what the build needs beside Rust: a C++ compiler and libclang, for RocksDB and its bindings. What is there is
# used. What is missing is installed with apt-get or dnf when this runs as root; without root libclang comes as a PyPI
# wheel into a folder of its own, and for the compiler the command to run is printed. Never calls sudo.
#
#   eval "$(tests/setup/toolchain.sh)"          stdout: exports for the shell; stderr: what is done and how long it takes
#   eval "$(tests/setup/toolchain.sh --pip)"    also python3 with pip, with which the demo fetches its data (optional)
set -euo pipefail

cache=${XDG_CACHE_HOME:-$HOME/.cache}/millstream
# The same version for everyone; 25 MB.
libclang_wheel=libclang==18.1.1

say() { echo "setup: $*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }
is_root() { [ "$(id -u)" = 0 ]; }

# Packages by the name of each distribution: install_packages "<debian names>" "<fedora names>" "<what takes how long>"
install_packages() {
  if have apt-get && is_root; then
    say "installing $1 with apt-get ($3)"
    apt-get update -qq >&2 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $1 >&2
  elif have dnf && is_root; then
    say "installing $2 with dnf ($3)"
    dnf install -y -q $2 >&2
  else
    return 1
  fi
}

how_to_install() {
  if have apt-get; then echo "sudo apt-get install -y $1"
  elif have dnf; then echo "sudo dnf install -y $2"
  elif [ "$(uname -s)" = Darwin ]; then echo "xcode-select --install"
  else echo "your package manager, for: $1"
  fi
}

need_cargo() {
  have cargo && return
  say "cargo is missing. Install Rust (1.95 or newer) with rustup, then run this again:"
  say "    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
  exit 1
}

need_compiler() {
  # make builds the allocator.
  { have g++ || have clang++; } && { have gcc || have clang; } && have make && return
  install_packages "g++ make" "gcc-c++ make" "about 1 minute" && return
  say "a C++ compiler or make is missing, and this is not root. Run:"
  say "    $(how_to_install "g++ make libclang-dev" "gcc-c++ make clang-devel")"
  exit 1
}

# The folder of a libclang that is installed; empty when there is none.
find_libclang() {
  local folder
  if [ -n "${LIBCLANG_PATH:-}" ]; then echo "$LIBCLANG_PATH"; return; fi
  if have llvm-config; then folder=$(llvm-config --libdir); has_libclang "$folder" && { echo "$folder"; return; }; fi
  for folder in /usr/lib/llvm-*/lib /usr/lib64 /usr/lib64/llvm*/lib /usr/lib /usr/lib/*-linux-gnu /usr/local/lib \
    /Library/Developer/CommandLineTools/usr/lib /opt/homebrew/opt/llvm/lib; do
    has_libclang "$folder" && { echo "$folder"; return; }
  done
  return 0
}
# libclang-cpp.so is another library, which comes with LLVM's packages and is of no use here.
has_libclang() { compgen -G "$1/libclang.so*" >/dev/null || compgen -G "$1/libclang-[0-9]*.so*" >/dev/null || [ -e "$1/libclang.dylib" ]; }

# Without clang's own headers, bindgen borrows the compiler's.
borrow_headers() {
  have gcc || return 0
  local include
  include=$(gcc -print-file-name=include)
  echo "export BINDGEN_EXTRA_CLANG_ARGS='-I$include'"
}

need_libclang() {
  local folder
  folder=$(find_libclang)
  if [ -z "$folder" ] && install_packages libclang-dev clang-devel "about 1 minute"; then
    folder=$(find_libclang)
  fi
  if [ -n "$folder" ]; then
    # An installed libclang is found by the build itself, and brings its headers unless only the library is there.
    [ -n "${LIBCLANG_PATH:-}" ] || compgen -G "/usr/lib/llvm-*/lib/clang/*/include/stddef.h" >/dev/null \
      || compgen -G "/usr/lib/clang/*/include/stddef.h" >/dev/null || borrow_headers
    return
  fi

  folder=$cache/libclang/clang/native
  if ! has_libclang "$folder"; then
    if ! python3 -m pip --version >/dev/null 2>&1; then
      say "libclang is missing, and there is neither root nor python3 with pip to get it. Run:"
      say "    $(how_to_install libclang-dev clang-devel)"
      exit 1
    fi
    say "fetching libclang as a PyPI wheel into $cache/libclang (25 MB, under a minute)"
    python3 -m pip install --quiet --no-deps --disable-pip-version-check --target "$cache/libclang" $libclang_wheel >&2
  fi
  echo "export LIBCLANG_PATH='$folder'"
  borrow_headers
}

want_pip() {
  python3 -m pip --version >/dev/null 2>&1 && return
  install_packages "python3 python3-pip" "python3 python3-pip" "about 1 minute, to fetch the demo's data" \
    || say "python3 with pip is missing: the demo will use generated data ($(how_to_install "python3 python3-pip" "python3-pip") gives real data)"
}

need_cargo
need_compiler
need_libclang
[ "${1:-}" != --pip ] || want_pip

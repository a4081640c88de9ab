#!/bin/sh
# Installs what is missing on a Debian or Ubuntu machine; does nothing when all is there.
#   ./setup.sh build   what compiling needs: a C compiler (for aws-lc) and Rust
#   ./setup.sh test    what the tests talk to as well: curl, openssl, haproxy, socat, h2load, chromium
set -eu

purpose=${1:-build}
minimum_rust=1.90

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"
    elif command -v sudo >/dev/null; then sudo "$@"
    else echo "setup.sh: root or sudo is needed for: $*" >&2; exit 1
    fi
}

# need PROGRAM PACKAGE: remembers the package of a program that is not there.
packages=
need() {
    command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] || packages="$packages $2"
}

need cc build-essential
need curl curl
if [ "$purpose" = test ]; then
    need openssl openssl
    need haproxy haproxy
    need socat socat
    need h2load nghttp2-client
    need chromium chromium
    need python3 python3
fi
if [ -n "$packages" ]; then
    echo "setup.sh: installing$packages" >&2
    command -v apt-get >/dev/null || { echo "setup.sh: no apt-get here; please install:$packages" >&2; exit 1; }
    as_root apt-get update -q
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive as_root apt-get install -q -y --no-install-recommends $packages ca-certificates
fi

[ -f "$HOME/.cargo/env" ] && . "$HOME/.cargo/env"
have=$(rustc --version 2>/dev/null | cut -d' ' -f2 || true)
if [ "$(printf '%s\n' "$minimum_rust" "${have:-0}" | sort -V | head -n1)" != "$minimum_rust" ]; then
    echo "setup.sh: installing Rust (found: ${have:-none}, needed: $minimum_rust)" >&2
    if command -v rustup >/dev/null; then rustup toolchain install stable --profile minimal -c clippy -c rustfmt
    else curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal -c clippy -c rustfmt
    fi
fi

#!/bin/sh
# Runs the demo on a machine that may have neither Rust nor a C compiler yet.
set -eu
cd "$(dirname "$0")"
./setup.sh build
[ -f "$HOME/.cargo/env" ] && . "$HOME/.cargo/env"
exec cargo run --release -- demo "$@"

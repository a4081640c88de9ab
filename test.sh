#!/bin/sh
# Passes all tests: installs what they talk to, builds once, runs unit and integration tests.
# Arguments go to the test runner: ./test.sh reload
set -eu
cd "$(dirname "$0")"
./setup.sh test
[ -f "$HOME/.cargo/env" ] && . "$HOME/.cargo/env"
# haproxy lives in /usr/sbin, which is not on everyone's path.
PATH="$PATH:/usr/sbin"
export PATH

if ! cargo nextest --version >/dev/null 2>&1; then
    echo "test.sh: installing cargo-nextest" >&2
    # A machine that cannot get it still runs every test, with the runner that comes with Rust.
    timeout 900 cargo install --locked cargo-nextest || echo "test.sh: no cargo-nextest; using cargo test" >&2
fi
if cargo nextest --version >/dev/null 2>&1; then
    exec cargo nextest run --locked "$@"
fi
exec cargo test --locked "$@"

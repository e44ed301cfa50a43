#!/usr/bin/env bash
# How many crates a program takes on that logs users in: with this crate, and with the peers. Counts, builds nothing; the
# versions are those of this repository's Cargo.lock where it has them.

set -euo pipefail

crate=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

count() { # edges
    (cd "$work" && cargo tree --quiet --edges "$1" --prefix none --format '{p}') | sed 's/ (\*)$//' | grep -v '^consumer ' | sort -u | wc -l
}

row() { # name, dependencies
    mkdir -p "$work/src"
    printf '[package]\nname = "consumer"\nversion = "0.0.0"\nedition = "2024"\n\n[dependencies]\n%s\n\n[workspace]\n' "$2" >"$work/Cargo.toml"
    echo 'fn main() {}' >"$work/src/main.rs"
    cp "$crate/Cargo.lock" "$work/"
    (cd "$work" && cargo fetch --quiet)
    echo "| $1 | $(count normal) | $(count normal,build) |"
}

echo '| a program of | crates | with build dependencies |'
echo '|---|---:|---:|'
row 'webex-oauth without default features, with `rustls`' \
    "webex-oauth = { path = \"$crate\", default-features = false, features = [\"rustls\"] }"
row 'webex-oauth' "webex-oauth = { path = \"$crate\" }"
row '`oauth2` with its own reqwest 0.12' \
    'oauth2 = { version = "5", default-features = false, features = ["reqwest", "rustls-tls"] }'
row '`oauth2` with reqwest 0.13' $'oauth2 = { version = "5", default-features = false }\nreqwest = "0.13"'
row '`openidconnect`' 'openidconnect = "4"'

#!/usr/bin/env bash
# What each TLS feature costs a program that uses this crate: crates, CPU seconds of a cold release build, stripped size;
# and whether a stranger's `reqwest::Client::new()` in the same program still works.
#
# Takes no arguments and needs a C compiler, OpenSSL's headers with pkg-config, and binutils. Ten release builds and two
# debug builds; everything is made in a temporary folder and removed. CPU seconds (user + system), not wall time, so that
# other work on the machine disturbs little.

set -euo pipefail
shopt -s inherit_errexit

crate=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# What would make a build warmer, or other than the default, than its reader believes.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER CARGO_TARGET_DIR
unset CARGO_BUILD_TARGET_DIR CARGO_BUILD_BUILD_DIR CARGO_INCREMENTAL CFLAGS CC
for variable in $(compgen -e | grep -E '^(CARGO_PROFILE_|CARGO_FEATURE_|AWS_LC_SYS_|OPENSSL_)' || true); do
    unset "$variable"
done
TIMEFORMAT='%U %S'

log_in='
    let webex = webex_oauth::WebexOAuth::from_env()?;
    let (url, pending) = webex.authorize().begin()?;
    println!("{url}");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    let login = webex.login(pending, webex_oauth::Callback::parse(answer.trim())?).await?;
    println!("{}", webex.refresh(login.tokens()).await?.scopes());'
get='
    let url = std::env::args().nth(1).ok_or("which page?")?;
    println!("{}", reqwest::get(url).await?.text().await?.len());'
reqwest='reqwest = "0.13"'
bare_reqwest='reqwest = { version = "0.13", default-features = false }'

webex() { # feature, or none
    local features=
    if [ "$1" != none ]; then features="\"$1\""; fi
    echo "webex-oauth = { path = \"$crate\", default-features = false, features = [$features] }"
}

consumer() { # name, dependencies, body of main
    mkdir -p "$work/$1/src"
    cat >"$work/$1/Cargo.toml" <<TOML
[package]
name = "consumer"
version = "0.0.0"
edition = "2024"

[dependencies]
tokio = { version = "1", features = ["macros", "rt"] }
$2

[workspace]
TOML
    cat >"$work/$1/src/main.rs" <<RUST
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {$3
    Ok(())
}
RUST
    # The versions that this repository is tested with.
    cp "$crate/Cargo.lock" "$work/$1/"
    (cd "$work/$1" && nice -n 10 cargo fetch --quiet)
}

crates() { # name, edges: how many beside the consumer itself
    (cd "$work/$1" && cargo tree --offline --edges "$2" --prefix none --format '{p}') |
        sed 's/ (\*)$//' | grep -v '^consumer ' | sort -u | wc -l
}

build() { # name: CPU seconds of a cold release build, which is left in the target folder
    rm -rf "$work/target"
    # The inner braces keep what `time` says apart from what cargo says.
    { time { (cd "$work/$1" && CARGO_TARGET_DIR="$work/target" nice -n 10 cargo build --offline --quiet --release) \
        2>"$work/errors"; }; } 2>"$work/time" || { cat "$work/errors" >&2; exit 1; }
    awk '{ printf "%.1f\n", $1 + $2 }' "$work/time"
}

measure() { # name: "crates crates-with-build-dependencies seconds MiB"
    local seconds size
    seconds=$(build "$1")
    strip "$work/target/release/consumer"
    size=$(wc -c <"$work/target/release/consumer" | awk '{ printf "%.2f", $1 / 1048576 }')
    echo "$(crates "$1" normal) $(crates "$1" normal,build) $seconds $size"
    echo "$seconds $1" >>"$work/times"
}

stranger() { # name: what becomes of reqwest::Client::new()
    rm -rf "$work/target"
    (cd "$work/$1" && CARGO_TARGET_DIR="$work/target" nice -n 10 cargo build --offline --quiet)
    if "$work/target/debug/consumer" >"$work/said" 2>&1; then
        echo works
    else
        grep -A 1 panicked "$work/said" | tail -n 1 | sed 's/^/panics: /' | grep . || echo "fails: $(tail -n 1 "$work/said")"
    fi
}

model=$(lscpu 2>/dev/null | sed -n 's/^Model name: *//p' | head -n 1 || true)
echo "${model:-$(uname -m)}, $(getconf _NPROCESSORS_ONLN) cores, $(rustc --version | cut -d' ' -f1,2), $(date -u +%F)"

printf '\n%s\n\n' 'Alone: a program of webex-oauth and tokio'
echo '| feature | crates | with build dependencies | build, CPU s | stripped, MiB |'
echo '|---|---:|---:|---:|---:|'
for feature in rustls rustls-ring native-tls none; do
    consumer "alone-$feature" "$(webex $feature)" "$log_in"
    figures=$(measure "alone-$feature")
    awk -v feature="$feature" '{ printf "| `%s` | %d | %d | %.1f | %.2f |\n", feature, $1, $2, $3, $4 }' <<<"$figures" |
        sed 's/`none`/none/'
done

printf '\n%s\n\n' 'On top: a program that has reqwest with its default features already'
echo '| feature | crates | with build dependencies | build, CPU s | stripped, MiB |'
echo '|---|---:|---:|---:|---:|'
consumer baseline "$reqwest" "$get"
baseline=$(measure baseline)
awk '{ printf "| reqwest alone | %d | %d | %.1f | %.2f |\n", $1, $2, $3, $4 }' <<<"$baseline"
for feature in rustls rustls-ring native-tls; do
    consumer "top-$feature" "$reqwest"$'\n'"$(webex $feature)" "$get$log_in"
    figures=$(measure "top-$feature")
    awk -v feature="$feature" '{
        printf "| `%s` | %d (%+d) | %d (%+d) | %.1f (%+.1f) | %.2f (%+.2f) |\n",
            feature, $1, $1 - $5, $2, $2 - $6, $3, $3 - $7, $4, $4 - $8 }' <<<"$figures $baseline"
done

printf '\n%s\n\n' 'Spread: the two cheapest, built once more'
sort -n "$work/times" | head -n 2 | while read -r seconds name; do
    echo "- $name: $seconds and $(build "$name") CPU s"
done

printf '\n%s\n\n' "A stranger's \`reqwest::Client::new()\` in the same program, of a reqwest without default features"
for feature in rustls rustls-ring; do
    consumer "stranger-$feature" "$bare_reqwest"$'\n'"$(webex $feature)" '
    let _ = (webex_oauth::WebexOAuth::builder(), reqwest::Client::new());'
    echo "- \`$feature\`: $(stranger "stranger-$feature")"
done

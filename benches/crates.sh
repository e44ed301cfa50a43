#!/usr/bin/env bash
# What a program that logs users in takes on: with this crate, and with the peers. Crates, CPU seconds of a cold release build,
# and the stripped size; the versions are those of this repository's Cargo.lock where it has them.
#
# Takes no arguments and needs a C compiler and binutils. Five release builds; everything is made in a temporary folder and
# removed. CPU seconds (user + system), not wall time, so that other work on the machine disturbs little.

set -euo pipefail
shopt -s inherit_errexit

crate=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# What would make a build warmer, or other than the default, than its reader believes.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER CARGO_TARGET_DIR
unset CARGO_BUILD_TARGET_DIR CARGO_BUILD_BUILD_DIR CARGO_INCREMENTAL CFLAGS CC
for variable in $(compgen -e | grep -E '^(CARGO_PROFILE_|CARGO_FEATURE_|AWS_LC_SYS_)' || true); do
    unset "$variable"
done
TIMEFORMAT='%U %S'

ours='
    let webex = webex_oauth::WebexOAuth::from_env()?;
    let (url, pending) = webex.authorize().begin()?;
    println!("{url}");
    let login = webex.login(pending, webex_oauth::Callback::parse(line()?.trim())?).await?;
    println!("{}", webex.refresh(login.tokens()).await?.scopes());'

theirs() { # crate, how its client is begun, the reqwest it uses
    echo "
    use $1::*;
    let client = $2
        .set_client_secret(ClientSecret::new(line()?))
        .set_auth_uri(AuthUrl::new(\"https://webexapis.com/v1/authorize\".to_owned())?)
        .set_token_uri(TokenUrl::new(\"https://webexapis.com/v1/access_token\".to_owned())?)
        .set_redirect_uri(RedirectUrl::new(line()?)?);
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    $3
    println!(\"{url} {}\", state.secret());
    let http = $4::Client::builder().redirect($4::redirect::Policy::none()).build()?;
    let code = AuthorizationCode::new(line()?);
    let tokens = client.exchange_code(code).set_pkce_verifier(verifier).request_async(&http).await?;
    let refresh_token = tokens.refresh_token().ok_or(\"no refresh token\")?;
    let tokens = client.exchange_refresh_token(refresh_token).request_async(&http).await?;
    println!(\"{:?}\", tokens.scopes());"
}

plain='let (url, state) = client.authorize_url(CsrfToken::new_random).set_pkce_challenge(challenge).url();'
openid='let (url, state, _nonce) = client
        .authorize_url(core::CoreAuthenticationFlow::AuthorizationCode, CsrfToken::new_random, Nonce::new_random)
        .set_pkce_challenge(challenge)
        .url();'
id='ClientId::new(line()?)'

count() { # edges
    (cd "$work" && cargo tree --offline --quiet --edges "$1" --prefix none --format '{p}') |
        sed 's/ (\*)$//' | grep -v '^consumer ' | sort -u | wc -l
}

row() { # name, dependencies, body of main
    mkdir -p "$work/src"
    cat >"$work/Cargo.toml" <<TOML
[package]
name = "consumer"
version = "0.0.0"
edition = "2024"

[dependencies]
tokio = { version = "1", features = ["macros", "rt"] }
$2

[workspace]
TOML
    cat >"$work/src/main.rs" <<RUST
fn line() -> std::io::Result<String> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map(|_| line)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {$3
    Ok(())
}
RUST
    cp "$crate/Cargo.lock" "$work/"
    (cd "$work" && cargo fetch --quiet)
    rm -rf "$work/target"
    # The inner braces keep what \`time\` says apart from what cargo says.
    { time { (cd "$work" && nice -n 10 cargo build --offline --quiet --release) 2>"$work/errors"; }; } 2>"$work/time" ||
        { cat "$work/errors" >&2; exit 1; }
    strip "$work/target/release/consumer"
    awk -v name="$1" -v crates="$(count normal)" -v all="$(count normal,build)" \
        -v size="$(wc -c <"$work/target/release/consumer")" \
        '{ printf "| %s | %d | %d | %.0f | %.2f |\n", name, crates, all, $1 + $2, size / 1048576 }' "$work/time"
}

model=$(lscpu 2>/dev/null | sed -n 's/^Model name: *//p' | head -n 1 || true)
echo "${model:-$(uname -m)}, $(getconf _NPROCESSORS_ONLN) cores, $(rustc --version | cut -d' ' -f1,2), $(date -u +%F)"
echo
echo '| a program of | crates | with build dependencies | build, CPU s | stripped, MiB |'
echo '|---|---:|---:|---:|---:|'
row 'webex-oauth without default features, with `rustls`' \
    "webex-oauth = { path = \"$crate\", default-features = false, features = [\"rustls\"] }" "$ours"
row 'webex-oauth' "webex-oauth = { path = \"$crate\" }" "$ours"
row '`oauth2` with its own reqwest 0.12' \
    'oauth2 = { version = "5", default-features = false, features = ["reqwest", "rustls-tls"] }' \
    "$(theirs oauth2 "basic::BasicClient::new($id)" "$plain" reqwest)"
# oauth2 speaks to reqwest 0.13 through a closure, so that row only has both crates in the tree and begins a login.
row '`oauth2` with reqwest 0.13' \
    $'oauth2 = { version = "5", default-features = false }\nreqwest = { version = "0.13", default-features = false, features = ["rustls", "http2", "system-proxy"] }' \
    "
    use oauth2::*;
    let client = basic::BasicClient::new($id)
        .set_auth_uri(AuthUrl::new(\"https://webexapis.com/v1/authorize\".to_owned())?);
    let (url, _) = client.authorize_url(CsrfToken::new_random).url();
    let body = reqwest::Client::new().post(url.as_str()).body(line()?).send().await?.text().await?;
    println!(\"{body}\");"
row '`openidconnect` with its own reqwest 0.12' \
    'openidconnect = { version = "4", default-features = false, features = ["reqwest", "rustls-tls"] }' \
    "$(theirs openidconnect "core::CoreClient::new($id, IssuerUrl::new(line()?)?, JsonWebKeySet::default())" "$openid" reqwest)"

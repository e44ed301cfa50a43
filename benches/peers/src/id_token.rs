//! What does verifying an ID token cost with cached keys?

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use openidconnect::core::{CoreIdToken, CoreIdTokenVerifier, CoreJsonWebKeySet};
use openidconnect::{ClientId, ClientSecret, IssuerUrl, Nonce};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::SignatureScheme;
use serde_json::json;
use webex_oauth::IdToken;
use webex_oauth::transport::Transport;

use crate::measure::{Contender, ThreadPair, measure, measure_on_two_threads, poll_ready, print_table};
use crate::webex::{self, CLIENT_ID, CLIENT_SECRET};

const ISSUER: &str = "https://idbroker.webex.com/idb";
const NONCE: &str = "n-0S6_WzA2Mj";
const SUBJECT: &str = "0b3a7c3e-5a0a-4b4e-9d3c-1f5b1d7c0f11";

/// A transport that returns the key set and counts the requests.
#[derive(Debug)]
struct KeySetTransport {
    body: Bytes,
    requests: Arc<AtomicUsize>,
}

#[async_trait::async_trait]
impl Transport for KeySetTransport {
    async fn exchange(&self, _: http::Request<Bytes>) -> webex_oauth::Result<http::Response<Bytes>> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        Ok(http::Response::new(self.body.clone()))
    }
}

pub fn run() {
    let pair = RsaKeyPair::from_pkcs8(include_bytes!("../../../tests/it/keys/one.pk8")).expect("a key");
    let public = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public());
    let key = json!({"kty": "RSA", "use": "sig", "kid": "k1", "n": encode_base64url(&public.n), "e": encode_base64url(&public.e)});
    let keys = json!({ "keys": [key] }).to_string();
    let requests = Arc::new(AtomicUsize::new(0));
    let webex = webex::client_over(KeySetTransport { body: keys.clone().into(), requests: Arc::clone(&requests) });
    let (input, signature) = sign(&pair, webex.now().as_secs());
    let encoded_token = format!("{input}.{}", encode_base64url(&signature));

    let token = IdToken::new(encoded_token.as_str());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(webex.verify_id_token(&token, NONCE)).expect("a valid token");
    let webex_oauth = || poll_ready(webex.verify_id_token(&token, NONCE)).expect("a valid token");

    let verifier = CoreIdTokenVerifier::new_confidential_client(
        ClientId::new(CLIENT_ID.to_owned()),
        ClientSecret::new(CLIENT_SECRET.to_owned()),
        IssuerUrl::new(ISSUER.to_owned()).expect("a URL"),
        serde_json::from_str::<CoreJsonWebKeySet>(&keys).expect("keys"),
    );
    let nonce = Nonce::new(NONCE.to_owned());
    let openidconnect = || {
        let token = CoreIdToken::from_str(&encoded_token).expect("a token");
        token.claims(&verifier, &nonce).expect("a valid token").subject().as_str().len()
    };

    let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
    let find = |(scheme, _): &&(SignatureScheme, _)| *scheme == SignatureScheme::RSA_PKCS1_SHA256;
    let algorithm = algorithms.mapping.iter().find(find).expect("RS256").1[0];
    let der = pair.public().as_ref();
    let floor = || algorithm.verify_signature(der, input.as_bytes(), &signature).expect("a valid signature");

    assert_eq!(webex_oauth().subject(), SUBJECT);
    assert_eq!(openidconnect(), SUBJECT.len());
    let rows = measure(vec![
        Contender::new("only the signature verification of the TLS provider", floor),
        Contender::new("webex-oauth", webex_oauth),
        Contender::new("openidconnect", openidconnect),
    ]);
    print_table("Verification of an ID token with cached keys", &rows);

    let webex_oauth = || drop(webex_oauth());
    let openidconnect = || assert!(openidconnect() > 0);
    let rows = measure_on_two_threads(
        500,
        &[
            ThreadPair { name: "only the signature", first: &floor, second: &floor },
            ThreadPair { name: "webex-oauth", first: &webex_oauth, second: &webex_oauth },
            ThreadPair { name: "openidconnect", first: &openidconnect, second: &openidconnect },
        ],
    );
    print_table("The same on two threads concurrently", &rows);
    assert_eq!(requests.load(Ordering::Relaxed), 1, "the keys were fetched once");
}

/// Returns the signing input of an ID token and its signature.
fn sign(pair: &RsaKeyPair, now: u64) -> (String, Vec<u8>) {
    let claims = json!({"iss": ISSUER, "aud": CLIENT_ID, "sub": SUBJECT, "exp": now + 86_400, "iat": now,
        "auth_time": now, "nonce": NONCE});
    let input = format!(
        "{}.{}",
        encode_base64url(br#"{"alg":"RS256","kid":"k1"}"#),
        encode_base64url(claims.to_string().as_bytes())
    );
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input.as_bytes(), &mut signature).expect("a signature");
    (input, signature)
}

fn encode_base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

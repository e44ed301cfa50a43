//! What does it cost to prove an ID token whose issuer's keys are at hand?

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

use crate::measure::{Pair, contender, race, race_in_pairs, ready, table};
use crate::webex::{self, CLIENT_ID, CLIENT_SECRET};

const ISSUER: &str = "https://idbroker.webex.com/idb";
const NONCE: &str = "n-0S6_WzA2Mj";
const SUBJECT: &str = "0b3a7c3e-5a0a-4b4e-9d3c-1f5b1d7c0f11";

/// Answers every request with the keys, and counts them.
#[derive(Debug)]
struct Keys {
    body: Bytes,
    requests: Arc<AtomicUsize>,
}

#[async_trait::async_trait]
impl Transport for Keys {
    async fn exchange(&self, _: http::Request<Bytes>) -> webex_oauth::Result<http::Response<Bytes>> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        Ok(http::Response::new(self.body.clone()))
    }
}

pub fn run() {
    let pair = RsaKeyPair::from_pkcs8(include_bytes!("../../../tests/it/keys/one.pk8")).expect("a key");
    let public = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public());
    let key = json!({"kty": "RSA", "use": "sig", "kid": "k1", "n": b64(&public.n), "e": b64(&public.e)});
    let keys = json!({ "keys": [key] }).to_string();
    let requests = Arc::new(AtomicUsize::new(0));
    let webex = webex::client_over(Keys { body: keys.clone().into(), requests: Arc::clone(&requests) });
    let (input, signature) = signed(&pair, webex.now().as_secs());
    let text = format!("{input}.{}", b64(&signature));

    let token = IdToken::new(text.as_str());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(webex.verify_id_token(&token, NONCE)).expect("a good token");
    let ours = || ready(webex.verify_id_token(&token, NONCE)).expect("a good token");

    let verifier = CoreIdTokenVerifier::new_confidential_client(
        ClientId::new(CLIENT_ID.to_owned()),
        ClientSecret::new(CLIENT_SECRET.to_owned()),
        IssuerUrl::new(ISSUER.to_owned()).expect("a URL"),
        serde_json::from_str::<CoreJsonWebKeySet>(&keys).expect("keys"),
    );
    let nonce = Nonce::new(NONCE.to_owned());
    let theirs = || {
        let token = CoreIdToken::from_str(&text).expect("a token");
        token.claims(&verifier, &nonce).expect("a good token").subject().as_str().len()
    };

    let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
    let find = |(scheme, _): &&(SignatureScheme, _)| *scheme == SignatureScheme::RSA_PKCS1_SHA256;
    let check = algorithms.mapping.iter().find(find).expect("RS256").1[0];
    let der = pair.public().as_ref();
    let floor = || check.verify_signature(der, input.as_bytes(), &signature).expect("a good signature");

    assert_eq!(ours().subject(), SUBJECT);
    assert_eq!(theirs(), SUBJECT.len());
    let rows = race(vec![
        contender("the TLS provider's check of the signature alone", floor),
        contender("webex-oauth", ours),
        contender("openidconnect", theirs),
    ]);
    table("An ID token, proven with keys at hand", &rows);

    let ours = || drop(ours());
    let theirs = || assert!(theirs() > 0);
    let rows = race_in_pairs(
        500,
        &[
            Pair { name: "the signature alone", first: &floor, second: &floor },
            Pair { name: "webex-oauth", first: &ours, second: &ours },
            Pair { name: "openidconnect", first: &theirs, second: &theirs },
        ],
    );
    table("The same on two threads at once", &rows);
    assert_eq!(requests.load(Ordering::Relaxed), 1, "the keys were fetched once");
}

/// Header and claims, and the signature over them.
fn signed(pair: &RsaKeyPair, now: u64) -> (String, Vec<u8>) {
    let claims = json!({"iss": ISSUER, "aud": CLIENT_ID, "sub": SUBJECT, "exp": now + 86_400, "iat": now,
        "auth_time": now, "nonce": NONCE});
    let input = format!("{}.{}", b64(br#"{"alg":"RS256","kid":"k1"}"#), b64(claims.to_string().as_bytes()));
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input.as_bytes(), &mut signature).expect("a signature");
    (input, signature)
}

fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

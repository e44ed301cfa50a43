//! What does verifying an ID token cost with cached keys? The floor, in the same run, is the signature verification of the TLS
//! provider.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "a benchmark")]

use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use http::{Request, Response};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::SignatureScheme;
use serde_json::json;
use tokio::runtime::Runtime;
use webex_oauth::transport::Transport;
use webex_oauth::{IdToken, Service, WebexOAuth};

/// A transport that returns the key set and counts the requests.
#[derive(Debug)]
struct KeySetTransport {
    body: Bytes,
    requests: Arc<AtomicUsize>,
}

#[async_trait]
impl Transport for KeySetTransport {
    async fn exchange(&self, _: Request<Bytes>) -> webex_oauth::Result<Response<Bytes>> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        Ok(Response::new(self.body.clone()))
    }
}

fn encode_base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn verify(criterion: &mut Criterion) {
    let pair = RsaKeyPair::from_pkcs8(include_bytes!("../tests/it/keys/one.pk8")).unwrap();
    let public = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public());
    let keys = json!({"keys": [{"kty": "RSA", "use": "sig", "kid": "k1", "n": encode_base64url(&public.n), "e": encode_base64url(&public.e)}]});
    let requests = Arc::new(AtomicUsize::new(0));
    let transport = KeySetTransport { body: keys.to_string().into(), requests: Arc::clone(&requests) };
    let webex = WebexOAuth::builder()
        .service(Service::webex())
        .client_id("C1")
        .client_secret("s")
        .transport(transport)
        .build()
        .unwrap();
    let now = webex.now().as_secs();
    let claims = json!({"iss": "https://idbroker.webex.com/idb", "aud": "C1", "sub": "0b3a7c3e-5a0a-4b4e-9d3c-1f5b1d7c0f11",
        "exp": now + 86_400, "iat": now, "auth_time": now, "nonce": "n"});
    let input = format!(
        "{}.{}",
        encode_base64url(br#"{"alg":"RS256","kid":"k1"}"#),
        encode_base64url(claims.to_string().as_bytes())
    );
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input.as_bytes(), &mut signature).unwrap();
    let token = IdToken::new(format!("{input}.{}", encode_base64url(&signature)));

    let runtime = Runtime::new().unwrap();
    let id_token = runtime.block_on(webex.verify_id_token(&token, "n")).unwrap();
    assert_eq!(id_token.subject(), claims["sub"].as_str().unwrap());

    let mut group = criterion.benchmark_group("verify");
    let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
    let (_, verifiers) =
        algorithms.mapping.iter().find(|(scheme, _)| *scheme == SignatureScheme::RSA_PKCS1_SHA256).unwrap();
    let der = pair.public().as_ref();
    verifiers[0].verify_signature(der, input.as_bytes(), &signature).unwrap();
    group.bench_function("floor: signature verification of the provider", |bencher| {
        bencher
            .iter(|| verifiers[0].verify_signature(black_box(der), black_box(input.as_bytes()), &signature).unwrap());
    });
    group.bench_function("verify_id_token", |bencher| {
        bencher.iter(|| runtime.block_on(webex.verify_id_token(black_box(&token), "n")).unwrap());
    });
    // With one thread per processor, a verification should take no longer than on a single thread.
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    group.bench_function("verify_id_token on every processor", |bencher| {
        bencher.iter_custom(|times| {
            let slowest = Mutex::new(std::time::Duration::ZERO);
            std::thread::scope(|scope| {
                for _ in 0..processors {
                    scope.spawn(|| {
                        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                        let start = std::time::Instant::now();
                        for _ in 0..times {
                            runtime.block_on(webex.verify_id_token(black_box(&token), "n")).unwrap();
                        }
                        let mut slowest = slowest.lock().unwrap();
                        *slowest = (*slowest).max(start.elapsed());
                    });
                }
            });
            slowest.into_inner().unwrap()
        });
    });
    group.finish();
    assert_eq!(requests.load(Ordering::Relaxed), 1, "the keys were fetched once");
}

criterion_group!(benches, verify);
criterion_main!(benches);

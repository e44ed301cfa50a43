//! What it costs to prove an ID token whose issuer's keys are at hand, beside the provider's own check of the signature.
//!
//! `cargo bench --bench verify`

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

/// Answers every request with the keys, and counts them.
#[derive(Debug)]
struct Keys {
    body: Bytes,
    requests: Arc<AtomicUsize>,
}

#[async_trait]
impl Transport for Keys {
    async fn exchange(&self, _: Request<Bytes>) -> webex_oauth::Result<Response<Bytes>> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        Ok(Response::new(self.body.clone()))
    }
}

fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn verify(criterion: &mut Criterion) {
    let pair = RsaKeyPair::from_pkcs8(include_bytes!("../tests/it/keys/one.pk8")).unwrap();
    let public = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public());
    let keys = json!({"keys": [{"kty": "RSA", "use": "sig", "kid": "k1", "n": b64(&public.n), "e": b64(&public.e)}]});
    let requests = Arc::new(AtomicUsize::new(0));
    let transport = Keys { body: keys.to_string().into(), requests: Arc::clone(&requests) };
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
    let input = format!("{}.{}", b64(br#"{"alg":"RS256","kid":"k1"}"#), b64(claims.to_string().as_bytes()));
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input.as_bytes(), &mut signature).unwrap();
    let token = IdToken::new(format!("{input}.{}", b64(&signature)));

    let runtime = Runtime::new().unwrap();
    let subject = runtime.block_on(webex.verify_id_token(&token, "n")).unwrap();
    assert_eq!(subject.subject(), claims["sub"].as_str().unwrap());

    let mut group = criterion.benchmark_group("verify");
    let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
    let (_, verifiers) = algorithms.mapping.iter().find(|(own, _)| *own == SignatureScheme::RSA_PKCS1_SHA256).unwrap();
    let der = pair.public().as_ref();
    verifiers[0].verify_signature(der, input.as_bytes(), &signature).unwrap();
    group.bench_function("floor: the provider's check of the signature", |bencher| {
        bencher
            .iter(|| verifiers[0].verify_signature(black_box(der), black_box(input.as_bytes()), &signature).unwrap());
    });
    group.bench_function("verify_id_token", |bencher| {
        bencher.iter(|| runtime.block_on(webex.verify_id_token(black_box(&token), "n")).unwrap());
    });
    // As many as there are processors, for each of which the work should take no longer.
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    group.bench_function("verify_id_token on every processor", |bencher| {
        bencher.iter_custom(|times| {
            let slowest = Mutex::new(std::time::Duration::ZERO);
            std::thread::scope(|scope| {
                for _ in 0..processors {
                    scope.spawn(|| {
                        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                        let begin = std::time::Instant::now();
                        for _ in 0..times {
                            runtime.block_on(webex.verify_id_token(black_box(&token), "n")).unwrap();
                        }
                        let mut slowest = slowest.lock().unwrap();
                        *slowest = (*slowest).max(begin.elapsed());
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

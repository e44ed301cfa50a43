//! An issuer of ID tokens that signs arbitrary tokens and counts requests.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::{Callback, Login, Service, WebexOAuth, WebexOAuthBuilder};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use crate::support::{builder, json as answer, parameter};

pub(crate) const NOW: u64 = 1_700_000_000;
pub(crate) const SUBJECT: &str = "0b3a7c3e-5a0a-4b4e-9d3c-1f5b1d7c0f11";
/// The path of the issuer's own keys.
pub(crate) const ISSUER_JWKS_PATH: &str = "/idb/oauth2/v2/keys/verificationjwk";
pub(crate) const ACCESS_TOKEN: &str = "PLANTED-access-token-3";

/// Two keys that were generated for these tests and are not secret.
const KEYS: [&[u8]; 2] = [include_bytes!("keys/one.pk8"), include_bytes!("keys/two.pk8")];

/// A signing key.
pub(crate) enum Key {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
}

impl Key {
    pub(crate) fn one() -> Self {
        Self::Rsa(RsaKeyPair::from_pkcs8(KEYS[0]).unwrap())
    }

    pub(crate) fn two() -> Self {
        Self::Rsa(RsaKeyPair::from_pkcs8(KEYS[1]).unwrap())
    }

    pub(crate) fn p256() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        Self::P256(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).unwrap())
    }

    /// Returns the public key as Webex publishes it, without `alg`.
    pub(crate) fn jwk(&self, id: Option<&str>) -> Value {
        let mut jwk = match self {
            Self::Rsa(pair) => {
                let public = pair.public_key();
                let [n, e] = [public.modulus(), public.exponent()];
                let [n, e] = [n, e].map(|number| base64url(number.big_endian_without_leading_zero()));
                json!({"kty": "RSA", "use": "sig", "n": n, "e": e})
            }
            Self::P256(pair) => {
                let point = pair.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "use": "sig", "x": base64url(&point[1..33]), "y": base64url(&point[33..])})
            }
        };
        if let Some(id) = id {
            jwk["kid"] = id.into();
        }
        jwk
    }

    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(header.to_string(), claims.to_string())
    }

    pub(crate) fn sign_text(&self, header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
        let input = format!("{}.{}", base64url(header.as_ref()), base64url(claims.as_ref()));
        let random = SystemRandom::new();
        let signature = match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, input.as_bytes(), &mut signature).unwrap();
                signature
            }
            Self::P256(pair) => pair.sign(&random, input.as_bytes()).unwrap().as_ref().to_vec(),
        };
        format!("{input}.{}", base64url(&signature))
    }
}

pub(crate) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Returns the left half of the SHA-256 hash of a string.
pub(crate) fn half_hash(text: &str) -> String {
    use sha2::Digest as _;
    base64url(&sha2::Sha256::digest(text)[..16])
}

/// Responds to each path as configured and to no others, and counts the requests.
#[derive(Clone, Default)]
struct PathResponder(Arc<Mutex<ResponderState>>);

#[derive(Default)]
struct ResponderState {
    responses: HashMap<String, ResponseTemplate>,
    requests: usize,
}

impl Respond for PathResponder {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let mut papers = self.0.lock().unwrap();
        papers.requests += 1;
        papers.responses.get(request.url.path()).cloned().unwrap_or_else(|| ResponseTemplate::new(404))
    }
}

/// The server of a client, with configurable token endpoint, keys, and userinfo.
pub(crate) struct Issuer {
    pub(crate) server: MockServer,
    pub(crate) webex: WebexOAuth,
    pub(crate) clock: ManualClock,
    responder: PathResponder,
}

impl Issuer {
    pub(crate) async fn start() -> Self {
        Self::with_service(|service, _| service).await
    }

    pub(crate) async fn with_service(service: impl FnOnce(Service, &str) -> Service) -> Self {
        let server = MockServer::start().await;
        let clock = ManualClock::new(UnixTime::from_secs(NOW)).auto_advance();
        let own = format!("{}/idb", server.uri());
        let service = service(Service::webex().with_base_url(server.uri()).with_issuer(&own), &own);
        let webex = builder(service).scopes("openid email").clock(clock.clone()).build().unwrap();
        let fixture = PathResponder::default();
        Mock::given(any()).respond_with(fixture.clone()).mount(&server).await;
        Self { server, webex, clock, responder: fixture }
    }

    /// Creates an issuer with a customized client.
    pub(crate) async fn with_client(change: impl FnOnce(WebexOAuthBuilder) -> WebexOAuthBuilder) -> Self {
        let mut issuer = Self::start().await;
        let settings = builder(issuer.webex.service().clone()).scopes("openid email").clock(issuer.clock.clone());
        issuer.webex = change(settings).build().unwrap();
        issuer
    }

    /// Changes the service of the client.
    pub(crate) fn change_service(&mut self, change: impl FnOnce(Service) -> Service) {
        let service = change(self.webex.service().clone());
        self.webex = builder(service).scopes("openid email").clock(self.clock.clone()).build().unwrap();
    }

    /// Returns the issuer in its ID tokens.
    pub(crate) fn issuer_url(&self) -> String {
        format!("{}/idb", self.server.uri())
    }

    /// Publishes these keys from now on.
    pub(crate) fn publish(&self, keys: &[Value]) {
        self.set_response("/verification", answer(200, &json!({ "keys": keys }).to_string()));
    }

    /// Sets the response of a path.
    pub(crate) fn set_response(&self, at: &str, response: ResponseTemplate) {
        self.responder.0.lock().unwrap().responses.insert(at.to_owned(), response);
    }

    /// Returns the number of requests of a path.
    pub(crate) async fn requests_to(&self, at: &str) -> usize {
        self.server.received_requests().await.unwrap().iter().filter(|request| request.url.path() == at).count()
    }

    /// Returns the number of all requests.
    pub(crate) fn request_count(&self) -> usize {
        self.responder.0.lock().unwrap().requests
    }

    /// Returns the claims of a valid ID token.
    pub(crate) fn claims(&self, nonce: &str) -> Value {
        json!({"iss": self.issuer_url(), "aud": "C1", "sub": SUBJECT, "exp": NOW + 7200, "iat": NOW, "auth_time": NOW - 10,
            "nonce": nonce})
    }

    /// Logs in with the ID token that `id_token` creates from the nonce.
    pub(crate) async fn login(&self, id_token: impl FnOnce(&str) -> Option<String>) -> webex_oauth::Result<Login> {
        self.login_with(self.webex.authorize(), id_token).await
    }

    pub(crate) async fn login_with(
        &self,
        request: webex_oauth::AuthorizationRequest,
        id_token: impl FnOnce(&str) -> Option<String>,
    ) -> webex_oauth::Result<Login> {
        let (url, pending) = request.begin()?;
        let nonce = parameter(url.as_str(), "nonce");
        self.grant_tokens(id_token(&nonce));
        let state = parameter(url.as_str(), "state");
        self.webex.login(pending, Callback::parse(format!("code=c0de&state={state}"))?).await
    }

    /// Sets the response of the token endpoint to tokens with this ID token.
    pub(crate) fn grant_tokens(&self, id_token: Option<String>) {
        let mut tokens = json!({"access_token": ACCESS_TOKEN, "expires_in": 1000, "refresh_token": "r",
            "scope": "openid email"});
        if let Some(id_token) = id_token {
            tokens["id_token"] = id_token.into();
        }
        self.set_response("/access_token", answer(200, &tokens.to_string()));
    }
}

/// Returns the header of a valid ID token.
pub(crate) fn header(key_id: &str) -> Value {
    json!({"alg": "RS256", "kid": key_id})
}

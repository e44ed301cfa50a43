//! The stored forms, byte by byte: data of earlier versions can be read, and the format is stable.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::cookies::PendingCookies;
use webex_oauth::store::{
    Body, Encrypted, EncryptionKeys, Entry, Head, MemoryStore, Precondition, TokenKey, TokenStore as _,
};
use webex_oauth::{Callback, DeviceLogin, PendingAuthorization, Service, TokenManager, TokenSet, WebexOAuth};

use crate::support::{TempDir, builder};

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

fn webex() -> WebexOAuth {
    builder(Service::webex()).clock(ManualClock::new(NOW)).build().unwrap()
}

fn keys() -> EncryptionKeys {
    EncryptionKeys::new("2026-11", (*b"PLANTED-new-key-of-32-bytes-0002").into()).unwrap()
}

/// Every field, additional fields of the server, and a field of a later version.
const TOKEN_SET: &str = concat!(
    r#"{"v":1,"service":"webex","client_id":"C1","access_token":"PLANTED-access","token_type":"Bearer","#,
    r#""expires_at":1701209600,"refresh_token":"PLANTED-refresh","refresh_token_expires_at":1707776000,"#,
    r#""scope":"spark:all","asked":"spark:all spark:kms","id_token":"PLANTED.id.token","received_at":1700000000,"#,
    r#""user_name":"jane","iss":"https://idbroker.webex.com/idb","siteid":"1234","userid":"5678","#,
    r#""authentication_id":"9012","email":"jane@acme.example","person_id":"P1","person_organization_id":"O1","#,
    r#""person_display_name":"Jane Doe","person_email":"jane@example.com","person_email_verified":true,"#,
    r#""id_token_issuer":"https://idbroker-b-us.webex.com/idb","id_token_subject":"S1","#,
    r#""id_token_email":"jane@id.example","id_token_email_verified":false,"id_token_name":"Jane Id","#,
    r#""user_info_email":"jane@info.example","user_info_email_verified":true,"user_info_name":"Jane Info","#,
    r#""redirect_uri":"http://localhost:5000/auth/cisco/callback","code_verifier":"PLANTED-verifier","#,
    r#""extra":{"last_login":"today"},"later":[1]}"#,
);

const PENDING_AUTHORIZATION: &str = concat!(
    r#"{"v":1,"service":"webex","client_id":"C1","state":"PLANTED-state-of-at-least-32-characters","#,
    r#""nonce":"PLANTED-nonce","max_age":600,"code_verifier":"PLANTED-verifier-of-at-least-43-characters-0001","#,
    r#""code_challenge_method":"S256","redirect_uri":"http://localhost:5000/auth/cisco/callback","#,
    r#""scope":"openid spark:all","begun_at":1699999990,"payload":{"return_to":"/rooms"}}"#,
);

const DEVICE_LOGIN: &str = concat!(
    r#"{"v":1,"service":"webex","client_id":"C1","device_code":"PLANTED-device-code","user_code":"123456","#,
    r#""verification_uri":"https://login-k8s.webex.com/verify","#,
    r#""verification_uri_complete":"https://login-k8s.webex.com/verify?userCode=abc","scope":"openid spark:all","#,
    r#""kept_at":1700000000,"expires_at":1700000300,"asked_at":1700000000,"pause":5,"interval":2,"life":300,"#,
    r#""user_info":"email","self_contained_token":true,"payload":{"return_to":"/rooms"}}"#,
);

/// A lease, and the complete state of a session apart from the tokens.
const LEASED_HEAD: &str = concat!(
    r#"{"v":1,"revision":"000000000000000000000000000000a1","login":"000000000000000000000000000000b2","generation":7,"#,
    r#""claim":{"id":"000000000000000000000000000000c3","at":1700000000,"lease":60},"interrupted":true,"#,
    r#""due":1700000100,"ends":1707776000,"anchor":{"at":1699990000,"end":1707766000},"#,
    r#""unauthorized":{"count":2,"at":1699999000,"cut":1699998000},"unexplained":3}"#,
);

const BACKING_OFF_HEAD: &str = concat!(
    r#"{"v":1,"revision":"000000000000000000000000000000a1","login":"000000000000000000000000000000b2","#,
    r#""generation":0,"hold":{"retry_at":1700000300}}"#,
);

const REJECTED_HEAD: &str = concat!(
    r#"{"v":1,"revision":"000000000000000000000000000000a1","login":"000000000000000000000000000000b2","#,
    r#""generation":7,"hold":{"rejected":{"generation":7,"code":"invalid_grant","at":1700000000,"is_dead":true}}}"#,
);

fn body(data: &str) -> String {
    format!(r#"{{"v":1,"tokens":{TOKEN_SET},"data":{data},"later":[1]}}"#)
}

#[test]
fn token_set_round_trips() {
    let tokens = TokenSet::from_stored(TOKEN_SET).unwrap();
    assert_eq!(tokens.to_stored().unwrap().expose(), TOKEN_SET);
    assert_eq!(tokens.refresh_token().unwrap().expose(), "PLANTED-refresh");
    assert_eq!(tokens.account().email(), Some("jane@info.example"));
}

#[test]
fn pending_authorization_round_trips() {
    let pending = PendingAuthorization::from_stored(PENDING_AUTHORIZATION).unwrap();
    assert_eq!(pending.to_stored().unwrap().expose(), PENDING_AUTHORIZATION);
    let callback = Callback::parse("code=abc&state=PLANTED-state-of-at-least-32-characters").unwrap();
    let code = webex().accept(pending, callback).unwrap();
    assert_eq!(code.payload::<serde_json::Value>().unwrap().unwrap()["return_to"], "/rooms");
}

#[test]
fn device_login_round_trips() {
    let login = DeviceLogin::from_stored(&webex(), DEVICE_LOGIN).unwrap();
    // One second longer each time, so that rounding to seconds never makes a poll too early.
    assert_eq!(login.to_stored().unwrap().expose(), DEVICE_LOGIN.replace(r#""pause":5"#, r#""pause":6"#));
    assert_eq!(login.interval(), Duration::from_secs(2));
}

#[test]
fn heads_round_trip() {
    for text in [LEASED_HEAD, BACKING_OFF_HEAD, REJECTED_HEAD] {
        assert_eq!(Head::from_text(text).unwrap().to_text(), text);
    }
}

#[tokio::test]
async fn rewritten_body_preserves_unknown_members() {
    let (key, store) = (TokenKey::new("jane").unwrap(), MemoryStore::new());
    let text = body(r#"{"plan":"free"}"#);
    let entry = Entry { head: Head::from_text(BACKING_OFF_HEAD).unwrap(), body: Body::new(text.into_bytes()) };
    let _ = store.save(&key, &entry, Precondition::Absent).await.unwrap();
    let manager = TokenManager::new(webex(), store.clone()).unwrap();
    manager.set_data(&key, &serde_json::json!({"plan": "paid"})).await.unwrap();
    let stored = store.load(&key).await.unwrap().unwrap();
    assert_eq!(std::str::from_utf8(stored.body.expose()).unwrap(), body(r#"{"plan":"paid"}"#));
}

const SEALED_BODY: &str = concat!(
    "d2ViZXgtb2F1dGggc2VhbGVkIHYxCjIwMjYtMTEKMSTSseBJTwrXHiWJWoExysPqbxjXdE",
    "/6T0cKWs5RsAtdvLgQw+9ptTyc3YGwHNTB",
);

#[tokio::test]
async fn sealed_body_of_earlier_version_is_decrypted() {
    let (key, inner) = (TokenKey::new("jane").unwrap(), MemoryStore::new());
    let head = Head::from_text(BACKING_OFF_HEAD).unwrap();
    let entry = Entry { head: head.clone(), body: Body::new(STANDARD.decode(SEALED_BODY).unwrap()) };
    let _ = inner.save(&key, &entry, Precondition::Absent).await.unwrap();
    let store = Encrypted::new(inner.clone(), keys());
    assert_eq!(store.load(&key).await.unwrap().unwrap().body.expose(), b"the body");

    let other = TokenKey::new("other").unwrap();
    let entry = Entry { head, body: Body::new(*b"the body") };
    let _ = store.save(&other, &entry, Precondition::Absent).await.unwrap();
    let sealed = inner.load(&other).await.unwrap().unwrap();
    assert!(sealed.body.expose().starts_with(b"webex-oauth sealed v1\n2026-11\n"), "{:?}", sealed.body.expose());
}

const COOKIE: &str = concat!(
    "webex-login-bRC2dBhJuYWlrJ8zHDLRMg=d2ViZXgtb2F1dGggY29va2llIHYxCjIwMjYtMTEKW7Ie-ujw9GiIuQA2asCZDRIMA",
    "v96gMEV2pNAeM82PxXBYxNdwbxti8eTO9aN_NGskA3_da1QidkfbTWa1dJf75wfAV5_e3R6es8DQ6GpIjZMuuGsrxSxIfxLQWVms",
    "z_Bp0EQtHQUBLDjEs-SQftOUnNikyWstLanpGun5UFdWZRCpeQvJCN3k3lb7Zaw_7JaoT48lQjmfQlN0h9j1URzUs9jhLfoiORh8",
    "HCSZiN3XWFODTCZYENmsPaEIPdZD3swB8Z2UKnm-1_viq2NJL2MNxATf_kQaWAZiHspFiLx-4mdvQ1Y849vmk4qQQT2nAFlRea5C",
    "mfHcxrohzg2vxNo4iZp36Mv1Qiwi587Oib_GuM29H2aPuk34BsVvpKj7HXaHvfAuAVXhANspeh60uXe9ugXk4evi-2fAZTm0EFh7",
    "f_VaskfGkAI14WLLvoidVq8t-UhwXy4EVmlNIs4kdDfRBBGHrrMfuMmdcVmOxO3t1cCSO6jJyK2mE3UEs7n38ZGE7uzZn-DftFp7",
    "m114-bJXHPzvD4HAMUC",
);

#[test]
fn cookie_of_earlier_version_is_accepted() {
    let webex = webex();
    let cookies = PendingCookies::new(&webex, keys());
    let callback = Callback::parse("code=abc&state=PLANTED-state-of-at-least-32-characters").unwrap();
    let (pending, _) = cookies.take(&callback, [COOKIE]).unwrap();
    assert_eq!(pending.to_stored().unwrap().expose(), PENDING_AUTHORIZATION);
    let set = cookies.store(pending, [""]).unwrap();
    let name = COOKIE.split_once('=').unwrap().0;
    assert!(set.values().next().unwrap().to_str().unwrap().starts_with(name));
}

/// Returns the path and the content of a file below the folder of the store.
const FILE: (&str, &str) = (
    "webex-logins-v1/42/4268503a96f2f6f9c8d584eed88956da7ab411e888f38374bb74363f40ffd6d3",
    concat!(
        "webex-oauth login v1\n",
        "0ca37069b792b997ab945fb41e14d949b4b35aff5c700b89bfefb37517f046c8\n",
        "[\"cust10001\",\"jane@example.com\"]\n",
        "{head}\n",
        "the body",
    ),
);

#[tokio::test]
async fn file_path_and_content_are_stable() {
    let (folder, key) = (TempDir::new(), TokenKey::new("cust10001").unwrap().child("jane@example.com").unwrap());
    let entry = Entry { head: Head::from_text(REJECTED_HEAD).unwrap(), body: Body::new(*b"the body") };
    let _ = folder.store().save(&key, &entry, Precondition::Absent).await.unwrap();
    let content = std::fs::read_to_string(folder.path().join(FILE.0)).unwrap();
    assert_eq!(content, FILE.1.replace("{head}", REJECTED_HEAD));
}

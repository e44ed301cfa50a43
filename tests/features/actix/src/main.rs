//! Logs in to an actix-web application with the handlers in the guide.

// Exactly the code of the guide.
mod handlers;

use actix_web::http::header::{COOKIE, LOCATION, SET_COOKIE};
use actix_web::{App, test, web};
use webex_oauth::cookies::{EncryptionKey, EncryptionKeys, PendingCookies};
use webex_oauth::testing::MockWebex;

const CODE: &str = include_str!("handlers.rs");
const GUIDE: &str = include_str!("../../../../src/guide/cookies.rs");

#[actix_web::main]
async fn main() {
    assert_documented();
    let mock = MockWebex::builder().redirect_uri("http://localhost:5000/auth/cisco/callback").start().await;
    let keys = EncryptionKeys::new("1", EncryptionKey::generate().unwrap()).unwrap();
    let webex = mock.client();
    let data = web::Data::new(handlers::App { pending: PendingCookies::new(&webex, keys), webex });
    let app = test::init_service(App::new().app_data(data).configure(handlers::routes)).await;

    let begun = test::call_service(&app, test::TestRequest::get().uri("/auth/cisco").to_request()).await;
    let callback = mock.approve(begun.headers().get(LOCATION).unwrap().to_str().unwrap());
    let callback = callback.strip_prefix("http://localhost:5000").unwrap();
    let cookie = begun.headers().get(SET_COOKIE).unwrap().to_str().unwrap().split(';').next().unwrap();
    let request = || test::TestRequest::get().uri(callback);

    assert_eq!(test::call_service(&app, request().to_request()).await.status(), 400);
    let with_cookie = || request().insert_header((COOKIE, cookie));
    let ahead = with_cookie().insert_header(("sec-purpose", "prefetch")).to_request();
    assert_eq!(test::call_service(&app, ahead).await.status(), 503);
    let finished = test::call_service(&app, with_cookie().to_request()).await;
    assert_eq!((finished.status().as_u16(), finished.headers().get(LOCATION).unwrap().to_str().unwrap()), (303, "/"));
    assert!(finished.headers().get(SET_COOKIE).unwrap().to_str().unwrap().contains("Max-Age=0"));
    assert_eq!(test::call_service(&app, with_cookie().to_request()).await.status(), 400);
    println!("actix-web: logged in once");
}

/// Checks that the guide shows these handlers.
fn assert_documented() {
    let documented: String = GUIDE
        .lines()
        .skip_while(|line| *line != "//! ```ignore")
        .skip(1)
        .take_while(|line| *line != "//! ```")
        .map(|line| format!("{}\n", line.trim_start_matches("//!").strip_prefix(' ').unwrap_or_default()))
        .collect();
    assert_eq!(documented, CODE, "the guide shows other code");
}

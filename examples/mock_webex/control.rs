//! Where a test gives its orders: a port of its own, on this machine alone.

use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use webex_oauth::testing::MockWebex;

use crate::clock::MovableClock;
use crate::faults;

/// Takes orders from now on; gives its address.
pub(crate) async fn listen(port: u16, mock: MockWebex, clock: MovableClock, user: String) -> io::Result<String> {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let address = format!("http://{}", listener.local_addr()?);
    let router = Router::new().route("/{order}", post(take)).with_state(Desk { mock, clock, user });
    tokio::spawn(axum::serve(listener, router).into_future());
    Ok(address)
}

#[derive(Clone)]
struct Desk {
    mock: MockWebex,
    clock: MovableClock,
    /// Who is meant where an order names nobody.
    user: String,
}

async fn take(State(desk): State<Desk>, Path(order): Path<String>, headers: HeaderMap, body: String) -> Response {
    let (status, answer) = if is_of_a_page(&headers) {
        (StatusCode::FORBIDDEN, json!({ "error": "a page in a browser gives no orders" }))
    } else {
        // The mock panics where a test is at fault, with words for its author.
        let outcome = tokio::task::spawn_blocking(move || desk.carry_out(&order, &body)).await;
        match outcome.unwrap_or_else(|failure| Err(words(failure.into_panic().as_ref()))) {
            Ok(answer) => (StatusCode::OK, answer),
            Err(error) => (StatusCode::BAD_REQUEST, json!({ "error": error })),
        }
    };
    (status, [(header::CONTENT_TYPE, "application/json")], answer.to_string()).into_response()
}

/// Any page on the web can have its visitor's browser send a form to this machine. Browsers say on whose behalf they do
/// (`Origin`), and by which name of this machine, which may be the page's own.
fn is_of_a_page(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    headers.contains_key(header::ORIGIN) || !matches!(name, "127.0.0.1" | "localhost")
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

const WHICH_LOGIN: &str = "it takes either `url`, an authorization URL, or `user_code`, what a device shows";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Approve {
    url: Option<String>,
    user_code: Option<String>,
    user: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Deny {
    url: Option<String>,
    user_code: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whose {
    user: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Secret {
    client_secret: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    seconds: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

impl Desk {
    fn carry_out(&self, order: &str, body: &str) -> Result<Value, String> {
        let mock = &self.mock;
        match order {
            "approve" => return self.approve(read(body)?),
            "deny" => return self.deny(read(body)?),
            "revoke" => mock.revoke(self.whose(body)?),
            "expire" => mock.expire_access_tokens(self.whose(body)?),
            "secret" => mock.change_secret(read::<Secret>(body)?.client_secret),
            "forbid" => read(body).map(|Nothing {}| mock.deny_by_administrator())?,
            "keys" => read(body).map(|Nothing {}| mock.rotate_keys())?,
            "advance" => self.clock.advance(Duration::from_secs(read::<Advance>(body)?.seconds)),
            "fault" => {
                for (kind, name) in read::<BTreeMap<String, String>>(body)? {
                    faults::order(mock, &kind, &name)?;
                }
            }
            "counts" => return read(body).map(|Nothing {}| self.counts()),
            _ => return Err(format!("there is no order {order:?}")),
        }
        Ok(json!({}))
    }

    fn approve(&self, Approve { url, user_code, user }: Approve) -> Result<Value, String> {
        match (url, user_code, user) {
            (Some(url), None, None) => Ok(json!({ "callback": self.mock.approve(url) })),
            (Some(url), None, Some(user)) => Ok(json!({ "callback": self.mock.approve_as(url, user) })),
            (None, Some(user_code), user) => {
                self.mock.approve_device_as(user_code, user.as_ref().unwrap_or(&self.user));
                Ok(json!({}))
            }
            _ => Err(WHICH_LOGIN.to_owned()),
        }
    }

    fn deny(&self, Deny { url, user_code }: Deny) -> Result<Value, String> {
        match (url, user_code) {
            (Some(url), None) => Ok(json!({ "callback": self.mock.deny(url) })),
            (None, Some(user_code)) => {
                self.mock.deny_device(user_code);
                Ok(json!({}))
            }
            _ => Err(WHICH_LOGIN.to_owned()),
        }
    }

    fn whose(&self, body: &str) -> Result<String, String> {
        Ok(read::<Whose>(body)?.user.unwrap_or_else(|| self.user.clone()))
    }

    fn counts(&self) -> Value {
        json!({
            "token_requests": self.mock.token_requests(),
            "device_polls": self.mock.device_polls(),
            "refreshes": self.mock.refreshes(),
            "revocations": self.mock.revocations(),
            "key_requests": self.mock.key_requests(),
        })
    }
}

/// No body is an empty object.
fn read<T: DeserializeOwned>(body: &str) -> Result<T, String> {
    let body = if body.trim().is_empty() { "{}" } else { body };
    serde_json::from_str(body).map_err(|error| format!("the body of the order: {error}"))
}

//! Clients that nobody here wrote, against the crate's own mock as a process.

use serde_json::{Value, json};
use webex_oauth_interop::{Client, MockWebex, tell_of_clients};

async fn show(client: Client) {
            let mock = MockWebex::start(&[]).await;
            let begun = std::time::Instant::now();
            for (name, story) in client.stories(&mock).await { println!("{name}: {story}"); }
            println!("------ {:?}", begun.elapsed());
        let _ = json!({}); let _ = Value::Null;
}
#[test]
fn a() { tell_of_clients(show(Client::javascript("openid_client.mjs"))) }
#[test]
fn b() { tell_of_clients(show(Client::python("authlib_client.py"))) }
#[test]
fn c() { tell_of_clients(show(Client::python("msal_client.py"))) }
#[test]
fn d() { tell_of_clients(show(Client::python("wxc_sdk_client.py"))) }
#[test]
fn e() { tell_of_clients(show(Client::python("webexpythonsdk_client.py"))) }

//! The example `connect_provider`: customers connect, lose their sessions, and connect again. None
//! can access the session of another customer.

#[path = "../../examples/connect_provider/main.rs"]
#[allow(dead_code, reason = "its `main` is not called by tests")]
mod example;

use std::fs;
use std::path::Path;
use std::time::Duration;

use webex_oauth::ApplicationId;
use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::testing::{MockUser, MockWebex};

use self::example::vault::DataFolder;
use self::example::{App, worker};
use crate::browser_client::{BrowserClient, Page, Site};
#[cfg(target_os = "linux")]
use crate::stores::{child_path, start_child_test};
#[cfg(target_os = "linux")]
use crate::support::report_skipped;
use crate::support::{TempDir, parameter};

const PASSWORD: &str = "PLANTED-meeting-password";

/// The example with its folder, and the Webex that customers connect to.
struct Fixture {
    mock: MockWebex,
    clock: ManualClock,
    origin: String,
    app: App,
    folder: TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let (site, folder) = (Site::new().await, TempDir::new());
        let clock = ManualClock::new(UnixTime::from_secs(1_700_000_000));
        let mock = MockWebex::builder()
            .user(MockUser::new("jane@example.com").name("Jane Doe"))
            .user(MockUser::new("bob@example.com").name("Bob Roe"))
            .redirect_uri(site.redirect_uri())
            .scopes(example::SCOPES)
            .clock(clock.clone())
            .start()
            .await;
        let (app, origin) = serve_app(site, &mock, folder.path());
        Self { mock, clock, origin, app, folder }
    }

    /// Advances the clock until the tokens can be refreshed after a 401.
    fn age_tokens(&self) {
        self.clock.advance(Duration::from_secs(30));
    }

    /// Restarts the application: only the folder remains. Browsers then use another port.
    async fn restart(&self) -> BrowserClient {
        let (_, origin) = serve_app(Site::new().await, &self.mock, self.folder.path());
        BrowserClient::new(&origin)
    }

    async fn administrator(&self, tenant: &str) -> BrowserClient {
        let mut visitor = BrowserClient::new(&self.origin);
        sign_in(&mut visitor, tenant).await;
        visitor
    }

    /// Begins to connect and consents. Returns the callback.
    async fn consent(&self, visitor: &mut BrowserClient, email: &str) -> String {
        let begun = visitor.post("/connect", &[]).await;
        self.mock.approve_as(begun.location(), email)
    }

    /// An administrator who has connected this customer to Jane's account, and set its password.
    async fn connect(&self, tenant: &str) -> BrowserClient {
        let mut visitor = self.administrator(tenant).await;
        let callback = self.consent(&mut visitor, "jane@example.com").await;
        assert_eq!(visitor.get(&callback).await.location(), "/");
        assert_eq!(visitor.post("/configure", &[("meeting_password", PASSWORD)]).await.location(), "/");
        visitor
    }

    /// Returns the row of a customer in the operator's list.
    async fn operator_row(&self, tenant: &str) -> String {
        let list = self.administrator("operator").await.get("/").await.text;
        list.split(&format!("<tr id=\"{tenant}\">")).nth(1).unwrap().split("</tr>").next().unwrap().to_owned()
    }
}

fn serve_app(site: Site, mock: &MockWebex, folder: &Path) -> (App, String) {
    let store = DataFolder::open(Some(folder.to_owned()), false).unwrap().store().unwrap();
    let app = App::new(&mock.client(), store).unwrap();
    let router = example::router(app.clone(), site.origin.clone());
    (app, site.serve(router))
}

async fn sign_in(visitor: &mut BrowserClient, who: &str) {
    assert_eq!(visitor.post("/sign-in", &[("who", who)]).await.location(), "/");
}

async fn status(visitor: &mut BrowserClient) -> String {
    visitor.get("/").await.element("status").to_owned()
}

fn status_and_title(page: &Page) -> (u16, &str) {
    (page.status, page.element("title"))
}

#[tokio::test]
async fn prefetched_callback_connects_only_after_navigation() {
    let world = Fixture::new().await;
    let mut visitor = world.administrator("cust10001").await;
    let callback = world.consent(&mut visitor, "jane@example.com").await;

    let ahead = visitor.prefetch(&callback).await;
    assert_eq!((ahead.status, ahead.headers["cache-control"].to_str().unwrap()), (503, "no-store"));
    assert!(ahead.set_cookies().is_empty() && world.mock.token_requests() == 0);
    assert_eq!(status(&mut visitor).await, "Not connected to Webex");

    assert_eq!(visitor.get(&callback).await.location(), "/");
    assert_eq!(status(&mut visitor).await, "Connected to Webex as jane@example.com. One step is left:");
}

#[tokio::test]
async fn customer_is_connected_only_after_password_is_set() {
    let world = Fixture::new().await;
    let mut visitor = world.administrator("cust10001").await;
    let page = visitor.get("/").await;
    assert_eq!(page.element("status"), "Not connected to Webex");
    assert_eq!(page.element("integration-id"), ApplicationId::new(world.mock.client_id()).unwrap().to_string());

    let callback = world.consent(&mut visitor, "jane@example.com").await;
    assert_eq!(visitor.get(&callback).await.location(), "/");
    assert_eq!(status(&mut visitor).await, "Connected to Webex as jane@example.com. One step is left:");
    assert!(visitor.pending_login_cookies().is_empty());
    assert_eq!(visitor.post("/configure", &[("meeting_password", " short ")]).await.status, 400);

    visitor.post("/configure", &[("meeting_password", PASSWORD)]).await;

    let page = visitor.get("/").await;
    assert_eq!(page.element("status"), "Connected to Webex. Logged in as jane@example.com and connected to cust10001");
    assert!(!page.text.contains(PASSWORD));
    assert_eq!(visitor.post("/check", &[]).await.location(), "/");
    assert!(world.operator_row("cust10001").await.contains("Connected to Webex. Logged in as jane@example.com"));
    assert!(world.operator_row("cust10002").await.contains("Not connected"));
}

#[tokio::test]
async fn connection_survives_restart_and_files_hide_secrets() {
    let world = Fixture::new().await;
    world.connect("cust10001").await;
    world.app.manager.wait_idle().await.unwrap();

    let mut visitor = world.restart().await;

    sign_in(&mut visitor, "cust10001").await;
    let expected = "Connected to Webex. Logged in as jane@example.com and connected to cust10001";
    assert_eq!(status(&mut visitor).await, expected);
    assert_eq!(visitor.post("/check", &[]).await.location(), "/");
    let mut folders = vec![world.folder.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            assert!(!String::from_utf8_lossy(&bytes).contains("PLANTED"), "{path:?}");
        }
    }
}

#[cfg(unix)]
#[test]
fn key_file_is_accessible_to_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = TempDir::new();
    let data = DataFolder::open(Some(folder.path().to_owned()), false).unwrap();
    let (one, two) = (data.store().unwrap(), data.store().unwrap());
    assert_eq!(format!("{one:?}"), format!("{two:?}"));
    let path = folder.path().join("store.key");
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    data.store().unwrap();
    assert_eq!(mode(), 0o600);
    fs::write(&path, "hunter2").unwrap();
    let error = data.store().unwrap_err().to_string();
    assert!(error.contains("store.key") && !error.contains("hunter2"), "{error}");
}

#[tokio::test]
async fn callback_of_one_customer_connects_no_other_customer() {
    let world = Fixture::new().await;
    // Another browser has no such pending login.
    let mut a = world.administrator("cust10001").await;
    let mut b = world.administrator("cust10002").await;
    let callback = world.consent(&mut a, "jane@example.com").await;
    assert_eq!(status_and_title(&b.get(&callback).await), (400, "This login has expired"));

    // The same browser, in which a user has signed in for another customer in the meantime.
    sign_in(&mut a, "cust10002").await;
    assert_eq!(status_and_title(&a.get(&callback).await), (403, "This login belongs to another customer"));
    assert!(a.pending_login_cookies().is_empty());
    // Once more, signed in for the first customer: the callback was already used.
    sign_in(&mut a, "cust10001").await;
    assert_eq!(status_and_title(&a.get(&callback).await), (400, "This login has expired"));

    assert_eq!(world.mock.token_requests(), 0, "the code was never exchanged");
    assert_eq!(
        (status(&mut a).await, status(&mut b).await),
        ("Not connected to Webex".into(), "Not connected to Webex".into())
    );
}

#[tokio::test]
async fn cookie_under_name_of_other_login_is_rejected() {
    let world = Fixture::new().await;
    let (mut a, mut b) = (world.administrator("cust10001").await, world.administrator("cust10002").await);
    let callback = world.consent(&mut a, "jane@example.com").await;
    let (name, _) = a.cookies.iter().find(|(name, _)| name.starts_with("webex-login-")).unwrap();
    world.consent(&mut b, "jane@example.com").await;
    let own = b.cookies.iter().find(|(name, _)| name.starts_with("webex-login-")).unwrap().1.clone();
    b.cookies.insert(name.clone(), own);
    assert_eq!(b.get(&callback).await.status, 400);
    assert_eq!(world.mock.token_requests(), 0);
}

#[tokio::test]
async fn unauthorized_visitor_cannot_change_connection() {
    let world = Fixture::new().await;
    world.connect("cust10001").await;
    for (mut visitor, expected) in
        [(BrowserClient::new(&world.origin), 401), (world.administrator("operator").await, 403)]
    {
        for path in ["/connect", "/check", "/disconnect", "/configure"] {
            let fields = [("meeting_password", "another one")];
            assert_eq!(visitor.post(path, &fields).await.status, expected, "{path}");
        }
        assert_eq!(visitor.get("/auth/cisco/callback?code=x&state=y").await.status, expected);
    }
    let mut stranger = BrowserClient::new(&world.origin);
    assert!(stranger.get("/").await.has_element("who"));
    stranger.post("/sign-in", &[("who", "cust99999")]).await;
    assert!(stranger.cookies.is_empty());
    assert!(world.operator_row("cust10001").await.contains("Connected to Webex."));
}

#[tokio::test]
async fn cross_site_forms_and_get_requests_change_nothing() {
    let world = Fixture::new().await;
    let mut visitor = world.connect("cust10001").await;
    for path in ["/connect", "/disconnect", "/configure", "/sign-out", "/sign-in"] {
        for origin in [None, Some("null"), Some("https://evil.example")] {
            assert_eq!(visitor.post_from(origin, path, &[("who", "cust10002")]).await.status, 403, "{path} {origin:?}");
        }
        assert_eq!(visitor.get(path).await.status, 405, "{path}");
    }
    assert!(status(&mut visitor).await.starts_with("Connected to Webex."));
}

#[tokio::test]
async fn disconnected_customer_may_connect_to_any_account() {
    let world = Fixture::new().await;
    let mut visitor = world.connect("cust10001").await;
    assert_eq!(visitor.post("/disconnect", &[]).await.location(), "/");
    assert_eq!(status(&mut visitor).await, "Not connected to Webex");

    let begun = visitor.post("/connect", &[]).await.location().to_owned();
    assert_eq!(parameter(&begun, "prompt"), "select_account", "the browser is signed in at Webex as Jane still");
    visitor.get(&world.mock.approve_as(begun, "bob@example.com")).await;

    assert_eq!(status(&mut visitor).await, "Connected to Webex as bob@example.com. One step is left:");
}

#[tokio::test]
async fn ended_session_requires_reconnect_and_keeps_configuration() {
    let world = Fixture::new().await;
    let mut visitor = world.connect("cust10001").await;
    world.mock.revoke("jane@example.com");
    // A token younger than 30 seconds is not refreshed after a 401.
    let page = visitor.post("/check", &[]).await;
    assert_eq!(status_and_title(&page), (502, "Webex rejected the access token"));
    world.age_tokens();
    assert_eq!(visitor.post("/check", &[]).await.location(), "/");
    let page = visitor.get("/").await;
    assert_eq!(page.element("status"), "Not connected to Webex: jane@example.com must log in again");
    assert!(page.has_element("reconnect") && !page.has_element("connect"));
    assert!(world.operator_row("cust10001").await.contains("must log in again"));

    let begun = visitor.post("/connect", &[]).await.location().to_owned();
    assert_eq!(parameter(&begun, "login_hint"), "jane@example.com");
    // Another account is rejected.
    let page = visitor.get(&world.mock.approve_as(&begun, "bob@example.com")).await;
    assert_eq!(status_and_title(&page), (409, "This is another Webex account"));
    assert!(status(&mut visitor).await.contains("jane@example.com must log in again"));

    let callback = world.consent(&mut visitor, "jane@example.com").await;
    visitor.get(&callback).await;

    let expected = "Connected to Webex. Logged in as jane@example.com and connected to cust10001";
    assert_eq!(status(&mut visitor).await, expected);
}

#[tokio::test]
async fn denied_consent_is_reported_and_connects_nothing() {
    let world = Fixture::new().await;
    let mut visitor = world.administrator("cust10001").await;
    let begun = visitor.post("/connect", &[]).await.location().to_owned();
    let page = visitor.get(&world.mock.deny(begun)).await;
    assert_eq!(status_and_title(&page), (403, "Webex is not connected"));
    assert!(page.has_element("back") && visitor.pending_login_cookies().is_empty());
    assert_eq!(status(&mut visitor).await, "Not connected to Webex");
}

#[tokio::test]
async fn worker_skips_ended_session_and_serves_other_customers() {
    let world = Fixture::new().await;
    world.connect("cust10001").await;
    let mut bob = world.administrator("cust10002").await;
    let callback = world.consent(&mut bob, "bob@example.com").await;
    bob.get(&callback).await;
    bob.post("/configure", &[("meeting_password", PASSWORD)]).await;
    let names = |outcomes: Vec<(_, webex_oauth::Result<String>)>| {
        outcomes.into_iter().map(|(_, outcome)| outcome.map_err(|error| error.is_login_required())).collect::<Vec<_>>()
    };

    assert_eq!(
        names(worker::run_round(&world.app).await),
        [Ok("jane@example.com".to_owned()), Ok("bob@example.com".to_owned())]
    );
    world.mock.expire_access_tokens("bob@example.com");
    world.mock.revoke("jane@example.com");
    world.age_tokens();
    assert_eq!(names(worker::run_round(&world.app).await), [Err(true), Ok("bob@example.com".to_owned())]);
    assert_eq!(
        names(worker::run_round(&world.app).await),
        [Ok("bob@example.com".to_owned())],
        "an expired session waits for its customer"
    );
}

#[tokio::test]
async fn control_characters_in_display_name_are_not_printed() {
    let folder = crate::support::TempDir::new();
    let mock = MockWebex::builder()
        .user(MockUser::new("eve@example.com").name("Eve\u{1b}]0;evil\u{7}\ncust10002: completed work for Bob"))
        .scopes(example::SCOPES)
        .start()
        .await;
    let webex = mock.client();
    let store = example::vault::DataFolder::open(Some(folder.path().to_owned()), false).unwrap().store().unwrap();
    let app = example::App::new(&webex, store).unwrap();
    let (url, pending) = webex.authorize().begin().unwrap();
    let callback = webex_oauth::Callback::parse(mock.approve(&url)).unwrap();
    let login = webex.login(pending, callback).await.unwrap();
    let key = webex_oauth::store::TokenKey::new("cust10001").unwrap();
    app.manager.put(&key, login).await.unwrap();
    app.manager.set_data(&key, &serde_json::json!({"meeting_password": "12345678"})).await.unwrap();
    let round = example::worker::run_round(&app).await;
    let (tenant, outcome) = round.into_iter().next().unwrap();
    let line = format!("{tenant}: completed work for {}", outcome.unwrap()); // as `worker::run` prints it
    assert!(!line.contains(char::is_control), "{line:?}");
}

/// If only the key is lost, no new key may be created: it could not decrypt the sessions.
#[tokio::test]
async fn missing_key_of_encrypted_sessions_is_not_regenerated() {
    let folder = crate::support::TempDir::new();
    let mock = webex_oauth::testing::MockWebex::builder().scopes(example::SCOPES).start().await;
    let webex = mock.client();
    let open = || example::vault::DataFolder::open(Some(folder.path().to_owned()), false).unwrap().store();
    let app = example::App::new(&webex, open().unwrap()).unwrap();
    let (url, pending) = webex.authorize().begin().unwrap();
    let callback = webex_oauth::Callback::parse(mock.approve(&url)).unwrap();
    let login = webex.login(pending, callback).await.unwrap();
    let key = webex_oauth::store::TokenKey::new("cust10001").unwrap();
    app.manager.put(&key, login).await.unwrap();
    std::fs::remove_file(folder.path().join("store.key")).unwrap();
    assert!(open().is_err(), "a new key was made under the id of the lost one");
}

// --- the key next to the sessions

fn open_store(folder: &Path) -> Result<(), String> {
    let data = DataFolder::open(Some(folder.to_owned()), false).map_err(|error| error.to_string())?;
    data.store().map(drop).map_err(|error| error.to_string())
}

#[test]
fn truncated_key_file_is_replaced_only_before_first_use() {
    for left in ["", "AAAA", &"A".repeat(42)] {
        let folder = TempDir::new();
        fs::create_dir(folder.path()).unwrap();
        let file = folder.path().join("store.key");
        fs::write(&file, left).unwrap();
        fs::write(folder.path().join("store.key.new-0"), "left by a process that was killed").unwrap();

        open_store(folder.path()).unwrap();

        let key = fs::read_to_string(&file).unwrap();
        assert_eq!(key.len(), 44, "{left:?}");
        open_store(folder.path()).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), key, "a complete key is unchanged");

        // Once there are sessions, the operator must fix a faulty key.
        fs::write(&file, left).unwrap();
        assert!(open_store(folder.path()).unwrap_err().contains("store.key"), "{left:?}");
        assert_eq!(fs::read_to_string(&file).unwrap(), left);
        fs::remove_file(&file).unwrap();
        assert!(open_store(folder.path()).unwrap_err().contains("is missing"), "{left:?}");
        assert!(!file.exists());
    }
}

#[test]
fn key_file_with_other_content_is_not_changed() {
    for other in ["my own password!", "\"quoted\"", &"A".repeat(45), "AAAA\n"] {
        let folder = TempDir::new();
        fs::create_dir(folder.path()).unwrap();
        let file = folder.path().join("store.key");
        fs::write(&file, other).unwrap();

        assert!(open_store(folder.path()).unwrap_err().contains("store.key"), "{other}");

        assert_eq!(fs::read_to_string(&file).unwrap(), other);
    }
}

#[test]
fn concurrent_starts_agree_on_key() {
    let folder = TempDir::new();
    fs::create_dir(folder.path()).unwrap();
    let keys: Vec<_> = std::thread::scope(|scope| {
        let start = || {
            let opened = open_store(folder.path());
            // A slower process finds the sessions of another one, and its key.
            opened.map(|()| fs::read_to_string(folder.path().join("store.key")).unwrap())
        };
        let starts: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    let kept = fs::read_to_string(folder.path().join("store.key")).unwrap();
    for key in keys {
        assert_eq!(key.unwrap(), kept);
    }
    let left = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 2, "the key and the logins");
}

/// A full file system of 8 KiB, visible only to a child process.
#[cfg(target_os = "linux")]
#[test]
fn start_on_full_disk_leaves_no_files_and_next_start_succeeds() {
    use std::process::Command;

    const TEST_NAME: &str = "connect_provider::start_on_full_disk_leaves_no_files_and_next_start_succeeds";
    /// The message of a child process that could not run the test.
    const NOT_RUN_EXIT_CODE: i32 = 77;
    let Some(folder) = child_path() else {
        let folder = TempDir::new();
        fs::create_dir(folder.path()).unwrap();
        let program = start_child_test(TEST_NAME, folder.path());
        let mut unshare = Command::new("unshare");
        unshare.arg("--mount").arg(program.get_program()).args(program.get_args());
        unshare.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        match unshare.output() {
            Ok(output) if output.status.success() => {}
            Ok(output) if output.status.code() == Some(NOT_RUN_EXIT_CODE) => {
                report_skipped(TEST_NAME, "nobody may mount anything here")
            }
            Ok(output) if !String::from_utf8_lossy(&output.stderr).starts_with("unshare") => {
                panic!("{}", String::from_utf8_lossy(&output.stdout))
            }
            Ok(_) => report_skipped(TEST_NAME, "nobody may have mounts of their own here"),
            Err(why) => report_skipped(TEST_NAME, &format!("there is no `unshare`: {why}")),
        }
        return;
    };
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=8k", "none"]).arg(&folder).output();
    if !mount.is_ok_and(|output| output.status.success()) {
        std::process::exit(NOT_RUN_EXIT_CODE);
    }
    let data = folder.join("data");
    fs::create_dir(&data).unwrap();
    assert!(fs::write(folder.join("filler"), [0; 1 << 16]).is_err(), "the disk is full");

    let error = open_store(&data).unwrap_err();
    assert!(error.contains("No space left"), "{error}");
    assert_eq!(fs::read_dir(&data).unwrap().count(), 0, "nothing is left behind");

    fs::remove_file(folder.join("filler")).unwrap();
    open_store(&data).unwrap();
    let _ = Command::new("umount").arg(&folder).output();
}

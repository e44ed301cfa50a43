//! Customers connect, lose their sessions, and connect again. None can access the session of another
//! customer.

#[path = "../src/main.rs"]
#[allow(dead_code, reason = "its `main` is not called by tests")]
mod example;

use std::fs;
#[cfg(target_os = "linux")]
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use example_web::browser_client::{BrowserClient, Page, Site, parameter};
use webex_oauth::ApplicationId;
use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::testing::{MockUser, MockWebex};

use self::example::folder::Folder;
use self::example::key_store::DataFolder;
use self::example::{App, worker};

const PASSWORD: &str = "PLANTED-meeting-password";

/// The example with its folder, and the Webex that customers connect to.
struct Fixture {
    mock: MockWebex,
    clock: ManualClock,
    origin: String,
    app: App,
    folder: Folder,
}

impl Fixture {
    async fn new() -> Self {
        let (site, folder) = (Site::new().await, new_folder());
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

fn new_folder() -> Folder {
    Folder::new("connect-provider-test").unwrap()
}

/// Reports a skipped test. If `CI` is set, that is a failure.
#[cfg(target_os = "linux")]
fn report_skipped(test: &str, reason: &str) {
    // Not with `eprintln!`, whose output the test harness captures.
    let _ = writeln!(std::io::stderr(), "!! NOT RUN: {test}: {reason}");
    assert!(std::env::var_os("CI").is_none(), "{test} was not run: {reason}");
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
    let fixture = Fixture::new().await;
    let mut visitor = fixture.administrator("cust10001").await;
    let callback = fixture.consent(&mut visitor, "jane@example.com").await;

    let ahead = visitor.prefetch(&callback).await;
    assert_eq!((ahead.status, ahead.headers["cache-control"].to_str().unwrap()), (503, "no-store"));
    assert!(ahead.set_cookies().is_empty() && fixture.mock.token_requests() == 0);
    assert_eq!(status(&mut visitor).await, "Not connected to Webex");

    assert_eq!(visitor.get(&callback).await.location(), "/");
    assert_eq!(status(&mut visitor).await, "Connected to Webex as jane@example.com. One step is left:");
}

#[tokio::test]
async fn customer_is_connected_only_after_password_is_set() {
    let fixture = Fixture::new().await;
    let mut visitor = fixture.administrator("cust10001").await;
    let page = visitor.get("/").await;
    assert_eq!(page.element("status"), "Not connected to Webex");
    assert_eq!(page.element("integration-id"), ApplicationId::new(fixture.mock.client_id()).unwrap().to_string());

    let callback = fixture.consent(&mut visitor, "jane@example.com").await;
    assert_eq!(visitor.get(&callback).await.location(), "/");
    assert_eq!(status(&mut visitor).await, "Connected to Webex as jane@example.com. One step is left:");
    assert!(visitor.pending_login_cookies().is_empty());
    assert_eq!(visitor.post("/configure", &[("meeting_password", " short ")]).await.status, 400);

    visitor.post("/configure", &[("meeting_password", PASSWORD)]).await;

    let page = visitor.get("/").await;
    assert_eq!(page.element("status"), "Connected to Webex. Logged in as jane@example.com and connected to cust10001");
    assert!(!page.text.contains(PASSWORD));
    assert_eq!(visitor.post("/check", &[]).await.location(), "/");
    assert!(fixture.operator_row("cust10001").await.contains("Connected to Webex. Logged in as jane@example.com"));
    assert!(fixture.operator_row("cust10002").await.contains("Not connected"));
}

#[tokio::test]
async fn connection_survives_restart_and_files_hide_secrets() {
    let fixture = Fixture::new().await;
    fixture.connect("cust10001").await;
    fixture.app.manager.wait_idle().await.unwrap();

    let mut visitor = fixture.restart().await;

    sign_in(&mut visitor, "cust10001").await;
    let expected = "Connected to Webex. Logged in as jane@example.com and connected to cust10001";
    assert_eq!(status(&mut visitor).await, expected);
    assert_eq!(visitor.post("/check", &[]).await.location(), "/");
    let mut folders = vec![fixture.folder.path().to_owned()];
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

    let folder = new_folder();
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
    let fixture = Fixture::new().await;
    // Another browser has no such pending login.
    let mut a = fixture.administrator("cust10001").await;
    let mut b = fixture.administrator("cust10002").await;
    let callback = fixture.consent(&mut a, "jane@example.com").await;
    assert_eq!(status_and_title(&b.get(&callback).await), (400, "This login has expired"));

    // The same browser, in which a user has signed in for another customer in the meantime.
    sign_in(&mut a, "cust10002").await;
    assert_eq!(status_and_title(&a.get(&callback).await), (403, "This login belongs to another customer"));
    assert!(a.pending_login_cookies().is_empty());
    // Once more, signed in for the first customer: the callback was already used.
    sign_in(&mut a, "cust10001").await;
    assert_eq!(status_and_title(&a.get(&callback).await), (400, "This login has expired"));

    assert_eq!(fixture.mock.token_requests(), 0, "the code was never exchanged");
    assert_eq!(
        (status(&mut a).await, status(&mut b).await),
        ("Not connected to Webex".into(), "Not connected to Webex".into())
    );
}

#[tokio::test]
async fn cookie_under_name_of_other_login_is_rejected() {
    let fixture = Fixture::new().await;
    let (mut a, mut b) = (fixture.administrator("cust10001").await, fixture.administrator("cust10002").await);
    let callback = fixture.consent(&mut a, "jane@example.com").await;
    let (name, _) = a.cookies.iter().find(|(name, _)| name.starts_with("webex-login-")).unwrap();
    fixture.consent(&mut b, "jane@example.com").await;
    let own = b.cookies.iter().find(|(name, _)| name.starts_with("webex-login-")).unwrap().1.clone();
    b.cookies.insert(name.clone(), own);
    assert_eq!(b.get(&callback).await.status, 400);
    assert_eq!(fixture.mock.token_requests(), 0);
}

#[tokio::test]
async fn unauthorized_visitor_cannot_change_connection() {
    let fixture = Fixture::new().await;
    fixture.connect("cust10001").await;
    for (mut visitor, expected) in
        [(BrowserClient::new(&fixture.origin), 401), (fixture.administrator("operator").await, 403)]
    {
        for path in ["/connect", "/check", "/disconnect", "/configure"] {
            let fields = [("meeting_password", "another one")];
            assert_eq!(visitor.post(path, &fields).await.status, expected, "{path}");
        }
        assert_eq!(visitor.get("/auth/cisco/callback?code=x&state=y").await.status, expected);
    }
    let mut stranger = BrowserClient::new(&fixture.origin);
    assert!(stranger.get("/").await.has_element("who"));
    stranger.post("/sign-in", &[("who", "cust99999")]).await;
    assert!(stranger.cookies.is_empty());
    assert!(fixture.operator_row("cust10001").await.contains("Connected to Webex."));
}

#[tokio::test]
async fn cross_site_forms_and_get_requests_change_nothing() {
    let fixture = Fixture::new().await;
    let mut visitor = fixture.connect("cust10001").await;
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
    let fixture = Fixture::new().await;
    let mut visitor = fixture.connect("cust10001").await;
    assert_eq!(visitor.post("/disconnect", &[]).await.location(), "/");
    assert_eq!(status(&mut visitor).await, "Not connected to Webex");

    let begun = visitor.post("/connect", &[]).await.location().to_owned();
    assert_eq!(parameter(&begun, "prompt"), "select_account", "the browser is signed in at Webex as Jane still");
    visitor.get(&fixture.mock.approve_as(begun, "bob@example.com")).await;

    assert_eq!(status(&mut visitor).await, "Connected to Webex as bob@example.com. One step is left:");
}

#[tokio::test]
async fn ended_session_requires_reconnect_and_keeps_configuration() {
    let fixture = Fixture::new().await;
    let mut visitor = fixture.connect("cust10001").await;
    fixture.mock.revoke("jane@example.com");
    // A token younger than 30 seconds is not refreshed after a 401.
    let page = visitor.post("/check", &[]).await;
    assert_eq!(status_and_title(&page), (502, "Webex rejected the access token"));
    fixture.age_tokens();
    assert_eq!(visitor.post("/check", &[]).await.location(), "/");
    let page = visitor.get("/").await;
    assert_eq!(page.element("status"), "Not connected to Webex: jane@example.com must log in again");
    assert!(page.has_element("reconnect") && !page.has_element("connect"));
    assert!(fixture.operator_row("cust10001").await.contains("must log in again"));

    let begun = visitor.post("/connect", &[]).await.location().to_owned();
    assert_eq!(parameter(&begun, "login_hint"), "jane@example.com");
    // Another account is rejected.
    let page = visitor.get(&fixture.mock.approve_as(&begun, "bob@example.com")).await;
    assert_eq!(status_and_title(&page), (409, "This is another Webex account"));
    assert!(status(&mut visitor).await.contains("jane@example.com must log in again"));

    let callback = fixture.consent(&mut visitor, "jane@example.com").await;
    visitor.get(&callback).await;

    let expected = "Connected to Webex. Logged in as jane@example.com and connected to cust10001";
    assert_eq!(status(&mut visitor).await, expected);
}

#[tokio::test]
async fn denied_consent_is_reported_and_connects_nothing() {
    let fixture = Fixture::new().await;
    let mut visitor = fixture.administrator("cust10001").await;
    let begun = visitor.post("/connect", &[]).await.location().to_owned();
    let page = visitor.get(&fixture.mock.deny(begun)).await;
    assert_eq!(status_and_title(&page), (403, "Webex is not connected"));
    assert!(page.has_element("back") && visitor.pending_login_cookies().is_empty());
    assert_eq!(status(&mut visitor).await, "Not connected to Webex");
}

#[tokio::test]
async fn worker_skips_ended_session_and_serves_other_customers() {
    let fixture = Fixture::new().await;
    fixture.connect("cust10001").await;
    let mut bob = fixture.administrator("cust10002").await;
    let callback = fixture.consent(&mut bob, "bob@example.com").await;
    bob.get(&callback).await;
    bob.post("/configure", &[("meeting_password", PASSWORD)]).await;
    let names = |outcomes: Vec<(_, webex_oauth::Result<String>)>| {
        outcomes.into_iter().map(|(_, outcome)| outcome.map_err(|error| error.is_login_required())).collect::<Vec<_>>()
    };

    assert_eq!(
        names(worker::run_round(&fixture.app).await),
        [Ok("jane@example.com".to_owned()), Ok("bob@example.com".to_owned())]
    );
    fixture.mock.expire_access_tokens("bob@example.com");
    fixture.mock.revoke("jane@example.com");
    fixture.age_tokens();
    assert_eq!(names(worker::run_round(&fixture.app).await), [Err(true), Ok("bob@example.com".to_owned())]);
    assert_eq!(
        names(worker::run_round(&fixture.app).await),
        [Ok("bob@example.com".to_owned())],
        "an expired session waits for its customer"
    );
}

#[tokio::test]
async fn control_characters_in_display_name_are_not_printed() {
    let folder = new_folder();
    let mock = MockWebex::builder()
        .user(MockUser::new("eve@example.com").name("Eve\u{1b}]0;evil\u{7}\ncust10002: completed work for Bob"))
        .scopes(example::SCOPES)
        .start()
        .await;
    let webex = mock.client();
    let store = example::key_store::DataFolder::open(Some(folder.path().to_owned()), false).unwrap().store().unwrap();
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
    let folder = new_folder();
    let mock = webex_oauth::testing::MockWebex::builder().scopes(example::SCOPES).start().await;
    let webex = mock.client();
    let open = || example::key_store::DataFolder::open(Some(folder.path().to_owned()), false).unwrap().store();
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
        let folder = new_folder();
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
        let folder = new_folder();
        let file = folder.path().join("store.key");
        fs::write(&file, other).unwrap();

        assert!(open_store(folder.path()).unwrap_err().contains("store.key"), "{other}");

        assert_eq!(fs::read_to_string(&file).unwrap(), other);
    }
}

#[test]
fn concurrent_starts_agree_on_key() {
    let folder = new_folder();
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

    const TEST_NAME: &str = "start_on_full_disk_leaves_no_files_and_next_start_succeeds";
    /// The message of a child process that could not run the test.
    const NOT_RUN_EXIT_CODE: i32 = 77;
    const FOLDER_VARIABLE: &str = "CONNECT_PROVIDER_TEST_FOLDER";
    let Some(folder) = std::env::var_os(FOLDER_VARIABLE).map(PathBuf::from) else {
        let folder = new_folder();
        let mut unshare = Command::new("unshare");
        unshare.arg("--mount").arg(std::env::current_exe().unwrap()).args(["--exact", TEST_NAME, "--nocapture"]);
        match unshare.env(FOLDER_VARIABLE, folder.path()).output() {
            Ok(output) if output.status.success() => {}
            Ok(output) if output.status.code() == Some(NOT_RUN_EXIT_CODE) => {
                report_skipped(TEST_NAME, "mounting is not permitted")
            }
            Ok(output) if !String::from_utf8_lossy(&output.stderr).starts_with("unshare") => {
                panic!("{}", String::from_utf8_lossy(&output.stdout))
            }
            Ok(_) => report_skipped(TEST_NAME, "mount namespaces are not permitted"),
            Err(error) => report_skipped(TEST_NAME, &format!("failed to run `unshare`: {error}")),
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

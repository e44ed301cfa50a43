//! A desktop session without a desktop: a bus of its own, and GNOME's keyring on it.

use std::env;
use std::fs::{self, DirBuilder};
use std::hash::{BuildHasher as _, RandomState};
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde::Serialize;
use zbus::Message;
use zbus::blocking::Connection;
use zbus::blocking::fdo::DBusProxy;
use zbus::names::BusName;
use zbus::zvariant::{DynamicType, OwnedObjectPath, OwnedValue, Value};

use crate::story;

/// Tells a process that it runs in a session, and where the session's files are.
const SESSION_FOLDER_VARIABLE: &str = "WEBEX_OAUTH_TEST_SESSION";

/// Tells a process that it is not the first of its story.
const OTHER_PROCESS_VARIABLE: &str = "WEBEX_OAUTH_TEST_OTHER_PROCESS";

/// The name of every Secret Service on its bus.
const SECRET_SERVICE_NAME: &str = "org.freedesktop.secrets";

/// Where it is spoken to.
const SECRET_SERVICE_PATH: &str = "/org/freedesktop/secrets";

/// Opens the keyring.
const PASSWORD: &[u8] = b"correct horse";

/// A bus on which nothing starts by itself, so that no second keyring and no window to ask for passwords comes up.
const BUS_CONFIG: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:tmpdir=/tmp</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"#;

/// The session that this process runs in.
#[derive(Debug)]
pub struct DesktopSession {
    story: String,
    folder: PathBuf,
}

/// A running keyring. It ends when this is dropped.
#[derive(Debug)]
pub struct Keyring {
    daemon: Child,
}

impl DesktopSession {
    /// Runs the test `name` again inside a session of its own, and there `story`, to its end.
    ///
    /// Where dbus or the keyring is not installed it says so, and passes; with the variable `CI` set, it fails.
    ///
    /// # Panics
    ///
    /// When the story does, or when it takes longer than a minute.
    pub fn run_scenario(name: &str, story: impl AsyncFnOnce(DesktopSession)) {
        if let Some(folder) = env::var_os(SESSION_FOLDER_VARIABLE) {
            return story::run_scenario(story(Self { story: name.to_owned(), folder: folder.into() }));
        }
        if !story::can_run(check_installed(), "install the Debian packages dbus and gnome-keyring") {
            return;
        }
        let folder = SessionFolder::new();
        let output = folder.command_for_test(name).output().unwrap();
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        assert!(output.status.success() && said.contains("1 passed"), "in its session, {name} failed:\n{said}");
    }

    /// Where this session's files are; it is gone after the story.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether this process is one that [`Session::other_process`] made.
    pub fn is_other_process(&self) -> bool {
        env::var_os(OTHER_PROCESS_VARIABLE).is_some()
    }

    /// The same story in the same session, in another process.
    pub fn other_process(&self) -> Command {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", &self.story, "--nocapture"]).env(OTHER_PROCESS_VARIABLE, "1");
        command
    }

    /// Starts the keyring, which is open. The first in a session is new and empty, each later one has what the earlier had.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn keyring(&self) -> Keyring {
        self.start(&["--unlock"], PASSWORD)
    }

    /// Starts the keyring that was there before, and locked it is.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn locked_keyring(&self) -> Keyring {
        self.start(&[], b"")
    }

    fn start(&self, arguments: &[&str], input: &[u8]) -> Keyring {
        let mut daemon = Command::new("gnome-keyring-daemon")
            .args(["--foreground", "--components=secrets"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        daemon.stdin.take().unwrap().write_all(input).unwrap();
        let keyring = Keyring { daemon };
        let bus = DBusProxy::new(&Connection::session().unwrap()).unwrap();
        let mut owners = bus.receive_name_owner_changed_with_args(&[(0, SECRET_SERVICE_NAME)]).unwrap();
        // The bus may not have noticed yet that an earlier one is gone.
        let owner = || bus.get_connection_unix_process_id(BusName::try_from(SECRET_SERVICE_NAME).unwrap());
        while owner().ok() != Some(keyring.daemon.id()) {
            owners.next().unwrap();
        }
        keyring
    }
}

impl Keyring {
    /// Locks what it holds, as when its user goes away.
    ///
    /// # Panics
    ///
    /// When it does not obey.
    pub fn lock(&self) {
        let connection = Connection::session().unwrap();
        let collection = collection(&connection);
        let answer = call_secret_service(&connection, "org.freedesktop.Secret.Service", "Lock", &vec![&collection]);
        let (locked, _): (Vec<OwnedObjectPath>, OwnedObjectPath) = answer.body().deserialize().unwrap();
        assert_eq!(locked, [collection]);
    }

    /// Stops the service without closing its connections: requests get no response.
    ///
    /// # Panics
    ///
    /// When that cannot be done.
    pub fn suspend(&self) {
        let stopped = Command::new("kill").args(["-STOP", &self.daemon.id().to_string()]).status().unwrap();
        assert!(stopped.success());
    }

    /// Opens it again, as when its user comes back.
    ///
    /// # Panics
    ///
    /// When it does not obey.
    pub fn unlock(&self) {
        let connection = Connection::session().unwrap();
        let answer = call_secret_service(
            &connection,
            "org.freedesktop.Secret.Service",
            "OpenSession",
            &("plain", Value::from("")),
        );
        let (_, session): (OwnedValue, OwnedObjectPath) = answer.body().deserialize().unwrap();
        let secret = (session, &[0_u8; 0][..], PASSWORD, "text/plain");
        // What the desktop itself calls when a screen is unlocked.
        let interface = "org.gnome.keyring.InternalUnsupportedGuiltRiddenInterface";
        call_secret_service(&connection, interface, "UnlockWithMasterPassword", &(collection(&connection), secret));
    }
}

fn collection(connection: &Connection) -> OwnedObjectPath {
    let answer = call_secret_service(connection, "org.freedesktop.Secret.Service", "ReadAlias", &"default");
    answer.body().deserialize().unwrap()
}

fn call_secret_service(
    connection: &Connection,
    interface: &str,
    method: &str,
    body: &(impl Serialize + DynamicType),
) -> Message {
    connection.call_method(Some(SECRET_SERVICE_NAME), SECRET_SERVICE_PATH, Some(interface), method, body).unwrap()
}

impl Drop for Keyring {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// A session's files.
struct SessionFolder(PathBuf);

impl SessionFolder {
    fn new() -> Self {
        // Its seed is another each time.
        let number = RandomState::new().hash_one(std::process::id());
        let folder = Self(env::temp_dir().join(format!("webex-oauth-session-{number:016x}")));
        DirBuilder::new().mode(0o700).create(&folder.0).unwrap();
        DirBuilder::new().mode(0o700).create(folder.0.join("run")).unwrap();
        fs::write(folder.0.join("bus.conf"), BUS_CONFIG).unwrap();
        folder
    }

    /// A session with nothing from outside in it, and in there this program's test `name`.
    fn command_for_test(&self, name: &str) -> Command {
        // It ends everything that the session has begun, should a call to the keyring never return.
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", "90", "dbus-run-session", "--config-file"]).arg(self.0.join("bus.conf"));
        command.arg("--").arg(env::current_exe().unwrap()).args(["--exact", name, "--nocapture"]);
        command.env(SESSION_FOLDER_VARIABLE, &self.0).env("HOME", &self.0).env("XDG_RUNTIME_DIR", self.0.join("run"));
        for outside in [
            "XDG_DATA_HOME",
            "XDG_CONFIG_HOME",
            "XDG_CACHE_HOME",
            "DISPLAY",
            "WAYLAND_DISPLAY",
            "DBUS_SESSION_BUS_ADDRESS",
            "GNOME_KEYRING_CONTROL",
            "SSH_AUTH_SOCK",
        ] {
            command.env_remove(outside);
        }
        command
    }
}

impl Drop for SessionFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn check_installed() -> Result<(), String> {
    for program in ["dbus-run-session", "gnome-keyring-daemon"] {
        let run = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        run.map_err(|error| format!("{program} cannot be run: {error}"))?;
    }
    Ok(())
}

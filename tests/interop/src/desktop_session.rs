//! A headless desktop session with its own D-Bus and GNOME keyring.

use std::env;
use std::fs::{self, DirBuilder};
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

use crate::scenario;
use crate::temp_folder::TempFolder;

/// The variable that contains the folder of the session that a process runs in.
const SESSION_FOLDER_VARIABLE: &str = "WEBEX_OAUTH_TEST_SESSION";

/// The variable that marks additional processes of a scenario.
const OTHER_PROCESS_VARIABLE: &str = "WEBEX_OAUTH_TEST_OTHER_PROCESS";

/// The well-known bus name of the Secret Service.
const SECRET_SERVICE_NAME: &str = "org.freedesktop.secrets";

/// The object path of the Secret Service.
const SECRET_SERVICE_PATH: &str = "/org/freedesktop/secrets";

/// The password of the keyring.
const PASSWORD: &[u8] = b"correct horse";

/// The configuration of a bus without service activation, so that neither a second keyring nor a password prompt starts.
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
    test_name: String,
    folder: PathBuf,
}

/// A running keyring daemon. It is killed on drop.
#[derive(Debug)]
pub struct Keyring {
    daemon: Child,
}

impl DesktopSession {
    /// Runs the test `test_name` again in its own session, and `scenario` there.
    ///
    /// If D-Bus or the keyring is not installed, a warning is printed and the test passes. With the environment variable `CI`, it
    /// fails.
    ///
    /// # Panics
    ///
    /// Panics if the scenario panics or takes longer than a minute.
    pub fn run_scenario(test_name: &str, scenario: impl AsyncFnOnce(DesktopSession)) {
        if let Some(folder) = env::var_os(SESSION_FOLDER_VARIABLE) {
            return scenario::run_scenario(scenario(Self { test_name: test_name.to_owned(), folder: folder.into() }));
        }
        if !scenario::can_run(check_installed(), "install the Debian packages dbus and gnome-keyring") {
            return;
        }
        let folder = SessionFolder::new();
        let output = folder.command_for_test(test_name).output().unwrap();
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        assert!(output.status.success() && text.contains("1 passed"), "{test_name} failed in its session:\n{text}");
    }

    /// Returns the folder of the session. It is removed after the scenario.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns `true` if this process was started with [`other_process`](Self::other_process).
    pub fn is_other_process(&self) -> bool {
        env::var_os(OTHER_PROCESS_VARIABLE).is_some()
    }

    /// Returns a command that runs the same scenario in the same session, in another process.
    pub fn other_process(&self) -> Command {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", &self.test_name, "--nocapture"]).env(OTHER_PROCESS_VARIABLE, "1");
        command
    }

    /// Starts an unlocked keyring. The first one of a session is new and empty. A later one has the same contents.
    ///
    /// # Panics
    ///
    /// Panics if it cannot be started.
    pub fn start_keyring(&self) -> Keyring {
        self.start_daemon(&["--unlock"], PASSWORD)
    }

    /// Starts a locked keyring with the contents of an earlier one.
    ///
    /// # Panics
    ///
    /// Panics if it cannot be started.
    pub fn start_locked_keyring(&self) -> Keyring {
        self.start_daemon(&[], b"")
    }

    fn start_daemon(&self, arguments: &[&str], input: &[u8]) -> Keyring {
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
        // An earlier daemon may still own the name.
        let owner = || bus.get_connection_unix_process_id(BusName::try_from(SECRET_SERVICE_NAME).unwrap());
        while owner().ok() != Some(keyring.daemon.id()) {
            owners.next().unwrap();
        }
        keyring
    }
}

impl Keyring {
    /// Locks the keyring, as a screen lock does.
    ///
    /// # Panics
    ///
    /// Panics if the call fails.
    pub fn lock(&self) {
        let connection = Connection::session().unwrap();
        let collection = collection(&connection);
        let reply = call_secret_service(&connection, "org.freedesktop.Secret.Service", "Lock", &vec![&collection]);
        let (locked, _): (Vec<OwnedObjectPath>, OwnedObjectPath) = reply.body().deserialize().unwrap();
        assert_eq!(locked, [collection]);
    }

    /// Stops the service without closing its connections: requests get no response.
    ///
    /// # Panics
    ///
    /// Panics if the signal cannot be sent.
    pub fn suspend(&self) {
        let stopped = Command::new("kill").args(["-STOP", &self.daemon.id().to_string()]).status().unwrap();
        assert!(stopped.success());
    }

    /// Unlocks the keyring, as unlocking the screen does.
    ///
    /// # Panics
    ///
    /// Panics if a call fails.
    pub fn unlock(&self) {
        let connection = Connection::session().unwrap();
        let reply = call_secret_service(
            &connection,
            "org.freedesktop.Secret.Service",
            "OpenSession",
            &("plain", Value::from("")),
        );
        let (_, session): (OwnedValue, OwnedObjectPath) = reply.body().deserialize().unwrap();
        let secret = (session, &[0_u8; 0][..], PASSWORD, "text/plain");
        // The desktop calls this method when the screen is unlocked.
        let interface = "org.gnome.keyring.InternalUnsupportedGuiltRiddenInterface";
        call_secret_service(&connection, interface, "UnlockWithMasterPassword", &(collection(&connection), secret));
    }
}

fn collection(connection: &Connection) -> OwnedObjectPath {
    let reply = call_secret_service(connection, "org.freedesktop.Secret.Service", "ReadAlias", &"default");
    reply.body().deserialize().unwrap()
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

/// The folder of a session.
struct SessionFolder(TempFolder);

impl SessionFolder {
    fn new() -> Self {
        let folder = TempFolder::new("session");
        DirBuilder::new().mode(0o700).create(folder.path().join("run")).unwrap();
        fs::write(folder.path().join("bus.conf"), BUS_CONFIG).unwrap();
        Self(folder)
    }

    /// Returns a command that runs the test `test_name` of this program in a new session without variables of the outer one.
    fn command_for_test(&self, test_name: &str) -> Command {
        let folder = self.0.path();
        // The timeout ends the whole session if a call to the keyring does not return.
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", "90", "dbus-run-session", "--config-file"]).arg(folder.join("bus.conf"));
        command.arg("--").arg(env::current_exe().unwrap()).args(["--exact", test_name, "--nocapture"]);
        command.env(SESSION_FOLDER_VARIABLE, folder).env("HOME", folder).env("XDG_RUNTIME_DIR", folder.join("run"));
        for variable in [
            "XDG_DATA_HOME",
            "XDG_CONFIG_HOME",
            "XDG_CACHE_HOME",
            "DISPLAY",
            "WAYLAND_DISPLAY",
            "DBUS_SESSION_BUS_ADDRESS",
            "GNOME_KEYRING_CONTROL",
            "SSH_AUTH_SOCK",
        ] {
            command.env_remove(variable);
        }
        command
    }
}

/// Returns an error if D-Bus or the keyring is not installed.
fn check_installed() -> Result<(), String> {
    for program in ["dbus-run-session", "gnome-keyring-daemon"] {
        let run = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        run.map_err(|error| format!("{program} cannot be run: {error}"))?;
    }
    Ok(())
}

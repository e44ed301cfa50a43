//! Register your integration: from Webex's developer portal to the environment variables.
//!
//! Webex hands tokens only to applications it knows. You register yours once; it takes five minutes.
//!
//! # For the developer
//!
//! 1. Sign in at <https://developer.webex.com>, open *Start Building Apps* and choose *Create an Integration*.
//! 2. *Will this use a mobile SDK?* **No.**
//! 3. Choose an icon, a name and a description. Users see the name when they consent. End it with `dev` while you are
//!    developing, so that nobody takes it for the real one.
//! 4. **Redirect URI(s):** where Webex sends the browser back to, with the scheme, the port and the path, for example
//!    `http://localhost:5000/auth/cisco/callback` for a web application, or `http://localhost:8765/callback` for a program in
//!    [a terminal](super::terminals), since on many a Mac port 5000 is the system's own. Webex compares it character by character with what this crate sends,
//!    and this crate sends it exactly as you write it into `WEBEX_REDIRECT_URI`. `localhost` and `127.0.0.1` are two
//!    different texts, and so are URIs with and without a slash at the end. Several can be registered;
//!    [`AuthorizationRequest::redirect_uri`](crate::AuthorizationRequest::redirect_uri) picks one for a login.
//! 5. **Scopes:** what your application may do. Each one that it asks for must be checked here by its own name:
//!    `spark:all` does not stand for `spark:people_read`. Ask for as little as you can. The constants of
//!    [`Scope`](crate::Scope) say what each is for, and
//!    [`Scopes::from_authorization_url`](crate::Scopes::from_authorization_url) reads them from the authorization URL that
//!    the page shows later.
//! 6. *Add Integration.* The page that follows shows the **Client ID** and, this once, the **Client Secret**. Lost it?
//!    *Regenerate* on the integration's page makes a new one; the old one stops working, so change it everywhere at once.
//!
//! Then, for [`WebexOAuth::from_env`](crate::WebexOAuth::from_env):
//!
//! ```sh
//! export WEBEX_CLIENT_ID=C0e8d6adb...
//! export WEBEX_CLIENT_SECRET=...
//! export WEBEX_REDIRECT_URI=http://localhost:8765/callback # as registered; this example waits there
//! export WEBEX_SCOPES="spark:all"
//! cargo run --example login
//! ```
//!
//! Keep the secret out of the source, out of the command line and out of logs. An integration is a confidential client:
//! Webex wants the secret for every exchange and every refresh, also with PKCE, so a program that is handed out to users
//! should log in through a server of yours.
//!
//! # For the administrator
//!
//! An organization can allow users only those integrations that its administrator has approved. Users of an integration
//! that is not approved see a page of Webex's that says so, and **the application hears nothing**: no callback comes.
//! Tell the administrator the *Integration ID*, which is shown beside the Client ID
//! ([`ApplicationId::new`](crate::ApplicationId::new) makes it from that), and its name. In Control Hub
//! (<https://admin.webex.com>), the integration is found under *Apps*, where its access can be allowed for
//! everybody or for some.
//!
//! # When no callback comes
//!
//! Three refusals are shown by Webex on a page of its own and never reported to the application:
//!
//! | the page says | reason | mend |
//! |---|---|---|
//! | an error occurred | the redirect URI is not registered exactly as it was sent | compare the two texts |
//! | an error occurred | the client id is unknown | copy it again; look whether it is the right portal (commercial, government) |
//! | the administrator denied access | the integration is not approved | see above |
//!
//! # Other services
//!
//! | service | portal | `WEBEX_SERVICE` |
//! |---|---|---|
//! | Webex | <https://developer.webex.com> | `webex` |
//! | Webex for Government | <https://developer-usgov.webex.com>; an administrator registers through the API | `webex-gov` |
//! | Webex Meetings (XML API), at its end of life | <https://developer.cisco.com/site/webex-integration>; no new ones | `meetings` |

//! Registration of an integration, and the environment variables.
//!
//! Webex issues tokens only to registered applications. Registration is free and takes five
//! minutes.
//!
//! # Developer portal
//!
//! 1. Sign in at <https://developer.webex.com>, open *Start Building Apps*, and choose *Create an
//!    Integration*.
//! 2. *Will this use a mobile SDK?* **No.**
//! 3. Choose an icon, a name, and a description. Users see the name when they consent. End it with
//!    `dev` during development, to avoid confusion with the production integration.
//! 4. **Redirect URI(s):** the URI to which Webex redirects the browser, with scheme, port, and
//!    path. For a web application: `http://localhost:5000/auth/cisco/callback`. For a [terminal
//!    program](super::terminals): `http://localhost:8765/callback`, because macOS itself often uses
//!    port 5000.
//!
//!    Webex compares the URI byte by byte, and this crate sends it exactly as set in
//!    `WEBEX_REDIRECT_URI`. `localhost` and `127.0.0.1` are different, and so are URIs with and
//!    without a trailing slash. If several are registered,
//!    [`AuthorizationRequest::redirect_uri`](crate::AuthorizationRequest::redirect_uri) selects
//!    one.
//! 5. **Scopes:** the permissions of your application. To identify the user, Webex documents
//!    `spark:people_read`; in practice, other `spark:` scopes also work. `spark:all` allows
//!    everything that the user can do. Request as few as possible, and select each scope that your
//!    application requests: `spark:all` does not include other scopes. The constants of
//!    [`Scope`](crate::Scope) describe them, and
//!    [`Scopes::from_authorization_url`](crate::Scopes::from_authorization_url) reads them from the
//!    authorization URL that the portal shows later. Webex adds `spark:kms` automatically.
//! 6. *Add Integration.* The next page shows the **Client ID** and, only once, the **Client
//!    Secret**. If you lose the secret, *Regenerate* creates a new one. The old secret then stops
//!    working immediately: replace it everywhere at the same time.
//!
//! # Environment variables
//!
//! [`WebexOAuth::from_env`](crate::WebexOAuth::from_env) reads these variables:
//!
//! ```sh
//! export WEBEX_CLIENT_ID=C0e8d6adb...
//! export WEBEX_CLIENT_SECRET=...
//! export WEBEX_REDIRECT_URI=http://localhost:8765/callback # exactly as registered
//! export WEBEX_SCOPES="spark:people_read"
//! cargo run --example login # listens on this port
//! ```
//!
//! Keep the secret out of source code, command lines, and logs. An integration is a confidential
//! client: Webex requires the secret for every code exchange and every refresh, even with PKCE. A
//! program that is distributed to users should therefore log in through your server.
//!
//! # Approval by an administrator
//!
//! An organization can restrict its users to integrations that an administrator has approved. Users
//! of other integrations see a Webex error page, and **the application receives no callback**.
//!
//! Send the administrator the name and the *Integration ID* of your integration. The portal shows
//! the ID next to the Client ID, and [`ApplicationId::new`](crate::ApplicationId::new) derives it
//! from the Client ID. In Control Hub (<https://admin.webex.com>), the administrator finds the
//! integration under *Apps* and can allow it for all users or for some.
//!
//! # When no callback comes
//!
//! Webex shows three errors only to the user and does not report them to the application:
//!
//! | error page | cause | fix |
//! |---|---|---|
//! | an error occurred | the redirect URI differs from the registered one | compare both character by character |
//! | an error occurred | the client ID is unknown | copy it again; check the portal (commercial or government) |
//! | the administrator denied access | the integration is not approved | see above |
//!
//! # Other services
//!
//! | service | portal | `WEBEX_SERVICE` |
//! |---|---|---|
//! | Webex | <https://developer.webex.com> | `webex` |
//! | Webex for Government | <https://developer-usgov.webex.com>; an administrator registers through the API | `webex-gov` |
//! | Webex Meetings (XML API), at end of life | <https://developer.cisco.com/site/webex-integration>; no new registrations | `meetings` |

//! The three kinds of login. Each returns a [`TokenSet`], which `storage` stores.

use std::io::{BufRead as _, IsTerminal as _, Read as _, stderr, stdin};
use std::thread;

use webex_oauth::{
    AuthorizationRequest, BrowserLogin, DeviceLogin, ImportedTokens, Prompt, RefreshToken, TokenSet, WebexOAuth,
};

use crate::Result;
use crate::terminal::{Spinner, print_message, print_warning, with_causes};

/// The maximum length of a token, in bytes.
const MAX_LINE: usize = 16 * 1024;

/// Logs in with a browser on this host, or on another host by pasting the callback URL.
pub(crate) async fn log_in_with_browser(login: BrowserLogin) -> Result<TokenSet> {
    // Without this prompt, the account that is signed in to the browser would be used.
    let request = |request: AuthorizationRequest| request.prompt(Prompt::SelectAccount);
    let waiting = login.application_name("the terminal").customize_request(request).begin()?;
    print_message(&format!("Log in with your browser:\n\n  {}\n", waiting.url()));
    // A spinner would disturb the user's input.
    if stdin().is_terminal() {
        print_message("If the browser runs on another host, paste the URL of its last page here. Ctrl-C cancels.");
        let paste = waiting.paste_handle();
        thread::spawn(move || {
            let lines = stdin().lines().map_while(Result::ok).filter(|line| !line.trim().is_empty());
            lines.filter_map(|line| paste.paste(&line).err()).for_each(|error| print_warning(&with_causes(&error)));
        });
    }
    Ok(waiting.wait().await?.into_tokens())
}

/// Logs in with a code that the user enters in a browser on any device.
pub(crate) async fn log_in_with_device(webex: &WebexOAuth) -> Result<TokenSet> {
    let mut device = DeviceLogin::start(webex).await?;
    if stderr().is_terminal() {
        print_message(&device.qr()?.light_on_dark());
    }
    print_message(&format!(
        "Open {} on any device, and enter this code: {}",
        device.verification_uri(),
        device.user_code()
    ));
    let _spinner = Spinner::new("Waiting. Ctrl-C cancels.");
    Ok(device.wait().await?.into_tokens())
}

/// Imports a refresh token from the first line of standard input.
pub(crate) async fn import_refresh_token(webex: &WebexOAuth) -> Result<TokenSet> {
    let line = tokio::task::spawn_blocking(|| {
        let mut line = Vec::new();
        stdin().lock().take(MAX_LINE as u64 + 1).read_until(b'\n', &mut line).map(|_| line)
    });
    let line = line.await??;
    if line.len() > MAX_LINE {
        return Err(
            format!("the first line on standard input is longer than {MAX_LINE} bytes: it is not a token").into()
        );
    }
    let line =
        String::from_utf8(line).map_err(|_| "the first line on standard input is not UTF-8: it is not a token")?;
    // Editors and shells on Windows write a byte order mark.
    let token = line.trim().trim_start_matches('\u{feff}').trim();
    if token.is_empty() {
        return Err("the first line on standard input contains no token".into());
    }
    Ok(webex.import(ImportedTokens::new(RefreshToken::new(token)?)).await?)
}

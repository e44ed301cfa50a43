//! The three ways to new tokens. Each takes the client and gives a [`TokenSet`], which `storage` keeps.

use std::io::{BufRead as _, IsTerminal as _, Read as _, stderr, stdin};
use std::thread;

use webex_oauth::{
    AuthorizationRequest, BrowserLogin, DeviceLogin, ImportedTokens, Prompt, RefreshToken, TokenSet, WebexOAuth,
};

use crate::Result;
use crate::screen::{Spinner, in_full, note, say};

/// Longer than any token, in bytes.
const LONGEST_LINE: usize = 16 * 1024;

/// By the browser on this machine; or by one elsewhere, whose user pastes the address that it ends at.
pub(crate) async fn by_browser(login: BrowserLogin) -> Result<TokenSet> {
    // Without the question, it would be whoever the browser is signed in as.
    let request = |request: AuthorizationRequest| request.prompt(Prompt::SelectAccount);
    let waiting = login.application_name("the terminal").request(request).begin()?;
    say(&format!("Log in here, in your browser:\n\n  {}\n", waiting.url()));
    // A spinner would turn where the user types.
    if stdin().is_terminal() {
        say("If that browser is on another machine, paste the address here that it ends at. Ctrl-C cancels.");
        let paste = waiting.paste_handle();
        thread::spawn(move || {
            let lines = stdin().lines().map_while(Result::ok).filter(|line| !line.trim().is_empty());
            lines.filter_map(|line| paste.paste(&line).err()).for_each(|error| note(&in_full(&error)));
        });
    }
    Ok(waiting.wait().await?.into_tokens())
}

/// By a browser on any other device, in which a code is entered.
pub(crate) async fn by_device(webex: &WebexOAuth) -> Result<TokenSet> {
    let mut device = DeviceLogin::start(webex).await?;
    if stderr().is_terminal() {
        say(&device.qr()?.light_on_dark());
    }
    say(&format!("Open {} on any device, and enter this code: {}", device.verification_uri(), device.user_code()));
    let _spinner = Spinner::new("Waiting. Ctrl-C cancels.");
    Ok(device.wait().await?.into_tokens())
}

/// By a refresh token from elsewhere, the first line of standard input.
pub(crate) async fn by_refresh_token(webex: &WebexOAuth) -> Result<TokenSet> {
    let line = tokio::task::spawn_blocking(|| {
        let mut line = Vec::new();
        stdin().lock().take(LONGEST_LINE as u64 + 1).read_until(b'\n', &mut line).map(|_| line)
    });
    let line = line.await??;
    if line.len() > LONGEST_LINE {
        return Err(format!("the first line on standard input is longer than {LONGEST_LINE} bytes: no token is").into());
    }
    let line = String::from_utf8(line).map_err(|_| "the first line on standard input is not UTF-8 text: a token is")?;
    // Windows' editors and shells begin a text with a byte order mark.
    let token = line.trim().trim_start_matches('\u{feff}').trim();
    if token.is_empty() {
        return Err("there is no token in the first line on standard input".into());
    }
    Ok(webex.import(ImportedTokens::new(RefreshToken::new(token)?)).await?)
}

//! What the command line asks for.

use webex_oauth::Rotation;
use webex_oauth::testing::{MockUser, MockWebex, MockWebexBuilder};

#[derive(Default)]
pub(crate) struct Arguments {
    port: u16,
    redirect_uris: Vec<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
    scopes: Option<String>,
    users: Vec<String>,
    rotate: bool,
    pub(crate) control_port: u16,
    pub(crate) json: bool,
    pub(crate) until_stdin_closes: bool,
}

impl Arguments {
    pub(crate) fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments = Self::default();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} wants a value"));
            match word.as_str() {
                "--port" => arguments.port = port(&word, &value()?)?,
                "--control-port" => arguments.control_port = port(&word, &value()?)?,
                "--redirect-uri" => arguments.redirect_uris.push(value()?),
                "--client-id" => arguments.client_id = Some(value()?),
                "--client-secret" => arguments.client_secret = Some(value()?),
                "--scopes" => arguments.scopes = Some(value()?),
                "--user" => arguments.users.push(value()?),
                "--rotate" => arguments.rotate = true,
                "--json" => arguments.json = true,
                "--until-stdin-closes" => arguments.until_stdin_closes = true,
                _ => return Err(format!("unknown argument {word}")),
            }
        }
        Ok(arguments)
    }

    /// The world that was asked for.
    pub(crate) fn builder(&self) -> MockWebexBuilder {
        let mut builder = MockWebex::builder().port(self.port);
        for redirect_uri in &self.redirect_uris {
            builder = builder.redirect_uri(redirect_uri);
        }
        if let Some(client_id) = &self.client_id {
            builder = builder.client_id(client_id);
        }
        if let Some(client_secret) = &self.client_secret {
            builder = builder.client_secret(client_secret);
        }
        if let Some(scopes) = &self.scopes {
            builder = builder.scopes(scopes);
        }
        for email in &self.users {
            builder = builder.user(MockUser::new(email));
        }
        if self.rotate { builder.rotation(Rotation::Strict) } else { builder }
    }

    /// Who is meant where an order names nobody.
    pub(crate) fn first_user(&self) -> String {
        self.users.first().map_or("jane@example.com", String::as_str).to_owned()
    }
}

fn port(option: &str, value: &str) -> Result<u16, String> {
    value.parse().map_err(|error| format!("{option}: {error}"))
}

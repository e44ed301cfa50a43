//! What the stories against foreign servers share: the servers as processes, a browser without a screen, a wire that can be
//! tapped, and a frame that ends each story in time.
//!
//! The stories are in `tests/`, one file for each server and subject; the scripts that start the servers are in `servers/`.

mod browser;
mod server;
mod story;
mod wire;

pub use crate::browser::Browser;
pub use crate::server::Server;
pub use crate::story::tell;
pub use crate::wire::Wire;

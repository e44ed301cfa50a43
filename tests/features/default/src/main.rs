//! What the crate gives with its default features.

use webex_oauth::Service;

fn main() {
    println!("{}", Service::webex().token_endpoint());
}

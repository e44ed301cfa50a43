//! A program that uses the crate with its default features.

use webex_oauth::Service;

fn main() {
    println!("{}", Service::webex().token_endpoint());
}

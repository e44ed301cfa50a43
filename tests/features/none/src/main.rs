//! What the crate gives without any feature.

use webex_oauth::Service;

fn main() {
    println!("{}", Service::webex().token_endpoint());
}

//! The same work by this crate, by its peers, and by hand, in one run. Every table's first row is the measure for the others.
//!
//! ```text
//! cargo run --release                      # all of it
//! cargo run --release -- authorize users   # these alone
//! ```

mod access_token;
mod authorize;
mod callers;
mod counting;
mod endpoint;
mod exchange;
mod id_token;
mod measure;
mod peers;
mod token_response;
mod users;
mod webex;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

fn main() {
    let wanted: Vec<_> = std::env::args().skip(1).collect();
    let wants = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    let folder = std::env::temp_dir().join(format!("webex-oauth-peers-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    // One thread, so that all that a client allocates is counted as its own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");

    if wants("authorize") {
        authorize::run();
    }
    if wants("token_response") {
        let _guard = runtime.enter();
        token_response::run();
    }
    if wants("exchange") {
        runtime.block_on(exchange::run());
    }
    if wants("access_token") {
        access_token::run(&runtime, &folder);
    }
    if wants("id_token") {
        id_token::run();
    }
    if wants("callers") {
        callers::run();
    }
    if wants("users") {
        users::run(&runtime);
    }
    std::fs::remove_dir_all(folder).expect("the folder is still there");
}

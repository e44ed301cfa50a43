//! A comparison of this crate with its peers and with hand-written code, in one run. The ratios are relative to the first row of
//! each table.
//!
//! ```text
//! cargo run --release                      # all comparisons
//! cargo run --release -- authorize users   # only these
//! ```

mod access_token;
mod allocator;
mod authorize;
mod callers;
mod endpoint;
mod exchange;
mod id_token;
mod measure;
mod peers;
mod token_response;
mod users;
mod webex;

#[global_allocator]
static ALLOCATOR: allocator::CountingAllocator = allocator::CountingAllocator;

fn main() {
    let selected: Vec<_> = std::env::args().skip(1).collect();
    let is_selected = |name: &str| selected.is_empty() || selected.iter().any(|selected| selected == name);
    let folder = std::env::temp_dir().join(format!("webex-oauth-peers-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    // A single thread, so that all allocations of a client are counted.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");

    if is_selected("authorize") {
        authorize::run();
    }
    if is_selected("token_response") {
        let _guard = runtime.enter();
        token_response::run();
    }
    if is_selected("exchange") {
        runtime.block_on(exchange::run());
    }
    if is_selected("access_token") {
        access_token::run(&runtime, &folder);
    }
    if is_selected("id_token") {
        id_token::run();
    }
    if is_selected("callers") {
        callers::run();
    }
    if is_selected("users") {
        users::run(&runtime);
    }
    std::fs::remove_dir_all(folder).expect("the folder exists");
}

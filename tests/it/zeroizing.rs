//! The body of a request does not remain in memory after it was sent. The test searches
//! `/proc/self/mem` in a separate process.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::process::Command;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use serde_json::json;
use webex_oauth::store::{MemoryStore, TokenKey};
use webex_oauth::transport::Transport;
use webex_oauth::{ExchangeOptions, Rotation, Service, TokenManager};

use crate::support::{CODE, REFRESH_TOKEN, TOKENS, backdate_tokens, builder, pending_and_callback};

const CHILD_VARIABLE: &str = "WEBEX_OAUTH_TEST_LOOKS_INTO_ITS_MEMORY";

/// A transport that drops each request.
#[derive(Debug)]
struct DiscardingTransport;

#[async_trait]
impl Transport for DiscardingTransport {
    async fn exchange(&self, request: Request<Bytes>) -> webex_oauth::Result<Response<Bytes>> {
        drop(request);
        Ok(Response::new(Bytes::from_static(TOKENS.as_bytes())))
    }
}

/// A string that is not in memory before it is searched for: its bytes are stored inverted.
struct InvertedPattern(Vec<u8>);

impl InvertedPattern {
    fn new(parts: [&str; 2]) -> Self {
        Self(parts.iter().flat_map(|part| part.bytes()).map(|byte| !byte).collect())
    }

    fn occurs_in(&self, memory: &[u8]) -> bool {
        let first = !self.0[0];
        let starts = memory.iter().enumerate().filter(|(_, byte)| **byte == first).map(|(at, _)| at);
        starts.map(|at| &memory[at..]).any(|rest| {
            rest.len() >= self.0.len() && rest.iter().zip(&self.0).all(|(byte, inverted)| *byte == !inverted)
        })
    }
}

/// Returns the number of writable memory regions that contain each string.
fn count_matching_regions(needles: &[InvertedPattern]) -> Vec<usize> {
    let mut memory = File::open("/proc/self/mem").unwrap();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mut counts = vec![0; needles.len()];
    let mut region = Vec::new();
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let range = line.split(' ').next().unwrap();
        let (start, end) = range.split_once('-').unwrap();
        let [start, end] = [start, end].map(|address| u64::from_str_radix(address, 16).unwrap());
        region.clear();
        if memory.seek(SeekFrom::Start(start)).is_err() || (&memory).take(end - start).read_to_end(&mut region).is_err()
        {
            continue;
        }
        for (needle, count) in needles.iter().zip(&mut counts) {
            *count += usize::from(needle.occurs_in(&region));
        }
    }
    counts
}

#[test]
fn sent_forms_leave_no_secret_in_memory() {
    if std::env::var_os(CHILD_VARIABLE).is_none() {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "zeroizing::sent_forms_leave_no_secret_in_memory"])
            .env(CHILD_VARIABLE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    // They are not at the start of a form, because the allocator overwrites the first bytes of freed memory.
    let needles = [
        InvertedPattern::new(["_code&code=", CODE]),
        InvertedPattern::new(["_token&refresh_token=", REFRESH_TOKEN]),
        InvertedPattern::new(["_token&refresh_token=site_", REFRESH_TOKEN]),
    ];
    let control = [InvertedPattern::new(["control-", CODE])];
    let kept = String::from_iter(["control-", CODE]);
    // The search itself may leave a copy of the memory it has read.
    assert!(count_matching_regions(&control)[0] >= 1, "the search must find what is there: {}", kept.len());

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let service = Service::webex().with_rotation(Rotation::Strict);
        let webex = builder(service).transport(DiscardingTransport).build().unwrap();
        for length in [10, 5000] {
            // A long form exceeds its first allocation after the code was written to it.
            let options = ExchangeOptions::new().user_info(&json!({"device_name": "x".repeat(length)})).unwrap();
            let (pending, callback) = pending_and_callback(&webex);
            let code = webex.accept(pending, callback).unwrap();
            let tokens = webex.exchange_with(code, options).await.unwrap().into_tokens();
            let tokens = webex.refresh(&tokens).await.unwrap();
            let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
            let session = manager.put(&TokenKey::new("jane").unwrap(), backdate_tokens(&tokens)).await.unwrap();
            session.refresh().await.unwrap();
            manager.wait_idle().await.unwrap();
        }
        let token = webex_oauth::RefreshToken::new(REFRESH_TOKEN).unwrap();
        let meetings = builder(Service::meetings()).transport(DiscardingTransport).build().unwrap();
        meetings.import(webex_oauth::ImportedTokens::new(token).site("site")).await.unwrap();
    });
    assert_eq!(count_matching_regions(&needles), [0, 0, 0]);
}

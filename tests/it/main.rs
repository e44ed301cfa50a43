//! The integration tests of this crate, one file per topic. They use the public API only.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test may fail as the test may")]
#![allow(clippy::duplicate_mod, reason = "the web examples share parts, and both are tested here")]

mod browser;
mod fake_server;
mod support;
mod token_server;
mod browser_client;

mod failures;
mod api_401;
mod architecture;
mod builder_settings;
mod api_calls;
mod api_requests;
mod clock_corrections;
mod clock_faults;
mod conformance;
mod connection_errors;
mod connect_provider;
mod cookies;
mod device_login;
mod device_login_with_mock;
mod device_login_edge_cases;
mod discovery;
mod encrypted;
mod barrier;
mod http2;
mod implicit;
mod implicit_pending;
mod imports;
mod issuer;
mod sessions;
mod keep_alive;
mod file_store_sessions;
mod key_sets;
mod keyring;
mod leases;
mod lifetimes;
mod login;
mod session_expiry;
mod loopback;
mod concurrent_refreshes;
mod meetings;
mod middleware;
mod mock_device;
mod mock_faults;
mod mock_network;
mod mock_open_id;
mod mock_request_log;
mod mock_resources;
mod mock_rules;
mod mock_self_contained;
mod mock_error_classes;
mod mock_pages;
mod mock_webex;
mod mock_instances;
mod open_id;
mod open_id_failures;
mod outage;
#[cfg(unix)]
mod processes;
mod account_verification;
mod profiles;
mod forced_refreshes;
mod rejections;
mod responses;
mod rotation;
mod open_id_coverage;
mod save_failures;
mod secrets;
mod secrets_open_id;
mod session_status;
mod store_operations;
mod stored_forms;
mod stores;
mod sweeps;
mod token_endpoint;
mod transport;
mod unsaved_tokens;
mod login_assertions;
mod trace_events;
mod web_login;
mod accounts;
#[cfg(target_os = "linux")]
mod zeroizing;

//! The stories of this crate, one file each: what its users see, and what holds its house together.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test may fail as the test may")]
#![allow(clippy::duplicate_mod, reason = "the web examples share parts, and both are tested here")]

mod browser;
mod fake;
mod support;
mod token_server;
mod visitor;

mod adversity;
mod api_401;
mod architecture;
mod builder_settings;
mod calling;
mod clock_corrections;
mod clock_faults;
mod conformance;
mod connection_errors;
mod connect_provider;
mod cookies;
mod device_login;
mod device_login_at_mock;
mod device_login_oddities;
mod discovery;
mod encrypted;
mod gate;
mod http2;
mod implicit;
mod implicit_pending;
mod imports;
mod issuer;
mod keeping;
mod keeping_alive;
mod kept_files;
mod key_sets;
mod keyring;
mod leases;
mod lifetimes;
mod login;
mod login_ends;
mod loopback;
mod many_at_once;
mod meetings;
mod middleware;
mod mock_device;
mod mock_faults;
mod mock_network;
mod mock_open_id;
mod mock_record;
mod mock_rules;
mod mock_self_contained;
mod mock_verdicts;
mod mock_pages;
mod mock_webex;
mod mock_world;
mod open_id;
mod open_id_adversity;
mod outage;
#[cfg(unix)]
mod processes;
mod proof;
mod profiles;
mod refreshing;
mod rejections;
mod responses;
mod rotation;
mod rows;
mod saving;
mod secrets;
mod secrets_open_id;
mod session_status;
mod store_operations;
mod stored_forms;
mod stores;
mod sweeps;
mod token_endpoint;
mod transport;
mod unsaved;
mod verdict;
mod watching;
mod web_login;
mod whose;
#[cfg(target_os = "linux")]
mod zeroizing;

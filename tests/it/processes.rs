//! Several processes with one store behave like a single one, with real processes, a real store and
//! server, real signals, and a shared clock.
//!
//! Each test starts its own executable again as worker processes. They execute commands until they
//! are killed, suspended, or released. The store is in a memory file system if the host has one:
//! these tests do not cover crashes of the host.

mod concurrent_refresh;
mod shared_clock;
mod proxy;
mod killed_processes;
mod logouts;
mod worker_process;
mod suspended_processes;
mod worker;
mod fixture;

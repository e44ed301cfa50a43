//! Several processes on one store are as one: with real processes, a real store, a real server and real signals, and a
//! clock that they share.
//!
//! Each story runs itself again as the processes that it needs; they do as they are told (`worker`), until they are killed,
//! stopped, or let go. The store is in memory where the machine has a file system there: what a crash of the machine does to
//! files is no part of these stories.

mod concurrent_refresh;
mod shared_clock;
mod proxy;
mod killed_processes;
mod logouts;
mod worker_process;
mod suspended_processes;
mod worker;
mod fixture;

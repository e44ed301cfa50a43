//! An allocator that counts, for each thread by itself, so that a server on another thread is not counted with its client.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

pub struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static LIVE: Cell<i64> = const { Cell::new(0) };
}

/// How many blocks this thread has asked for so far, and how many bytes of them, and of others' that it gave back, live.
pub fn allocations() -> u64 {
    ALLOCATIONS.get()
}

pub fn live_bytes() -> i64 {
    LIVE.get()
}

fn count(blocks: u64, bytes: i64) {
    // Neither can be reached any more while a thread ends; what happens then counts for nobody.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + blocks));
    let _ = LIVE.try_with(|live| live.set(live.get() + bytes));
}

fn signed(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

// SAFETY: every call is handed on to the system's allocator as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, signed(layout.size()));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(0, -signed(layout.size()));
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(1, signed(size) - signed(layout.size()));
        unsafe { System.realloc(block, layout, size) }
    }
}

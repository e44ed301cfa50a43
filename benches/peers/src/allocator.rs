//! A global allocator that counts allocations per thread, so that a server on another thread is not counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

pub struct CountingAllocator;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static ALLOCATED_BYTES: Cell<i64> = const { Cell::new(0) };
}

/// Returns the number of allocations of this thread.
pub fn allocation_count() -> u64 {
    ALLOCATIONS.get()
}

/// Returns the number of bytes that this thread has allocated minus those that it has freed.
pub fn allocated_bytes() -> i64 {
    ALLOCATED_BYTES.get()
}

fn count(blocks: u64, bytes: i64) {
    // The counters are not available while a thread ends. Allocations are not counted then.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + blocks));
    let _ = ALLOCATED_BYTES.try_with(|allocated| allocated.set(allocated.get() + bytes));
}

fn signed(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

// SAFETY: every call is passed to the system allocator unchanged, and counting does not allocate.
unsafe impl GlobalAlloc for CountingAllocator {
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

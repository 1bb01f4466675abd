//! How much memory a piece of work takes at most: a counting allocator, for tests of what reads hostile input.
//!
//! Owns the test binary's allocator. Counts each thread on its own, so that tests beside each other do not disturb.

#![expect(
    unsafe_code,
    reason = "an allocator is unsafe to implement; this one passes everything on"
)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

thread_local! {
    // Neither allocates nor has a destructor: an allocator may use them at any time.
    static NOW: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count(bytes: isize) {
    let now = NOW.get() + bytes;
    NOW.set(now);
    PEAK.set(PEAK.get().max(now));
}

// SAFETY: every call goes to the system's allocator with the caller's own arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size.cast_signed() - layout.size().cast_signed());
        // SAFETY: the caller's.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// What the work gives, and the bytes that it held at most beyond those that were held before.
pub fn during<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = NOW.get();
    PEAK.set(before);
    let done = work();
    (done, (PEAK.get() - before).unsigned_abs())
}

#[test]
fn the_peak_of_a_piece_of_work_is_counted() {
    let (length, bytes) = during(|| vec![0_u8; 100_000].len() + vec![0_u8; 50_000].len());
    assert_eq!(length, 150_000);
    assert!((100_000..=151_000).contains(&bytes), "{bytes}");
    assert!(during(|| ()).1 == 0);
}

//! A traced function that the C library and the standard library call back, on the initial thread
//! and on another, and that waits inside the C library.

use std::{
    ffi::{c_int, c_void},
    hint::black_box,
    io::{BufRead as _, Read as _},
    os::unix::net::UnixStream,
    sync::{
        Condvar, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

const PATIENCE: Duration = Duration::from_millis(20);
const WAYS: u32 = 4;

static WAY: AtomicU32 = AtomicU32::new(0);

unsafe extern "C" {
    fn qsort(
        base: *mut c_void,
        count: usize,
        size: usize,
        compare: extern "C" fn(*const c_void, *const c_void) -> c_int,
    );
}

#[unsafe(no_mangle)]
#[inline(never)]
pub fn waits(how: u32) -> u32 {
    match how {
        1 => thread::sleep(black_box(PATIENCE)),
        2 => {
            let lock = Mutex::new(how);
            let signal = Condvar::new();
            let _ = signal.wait_timeout(lock.lock().unwrap(), black_box(PATIENCE));
        }
        3 => {
            let (mut ours, theirs) = UnixStream::pair().unwrap();
            ours.set_read_timeout(Some(PATIENCE)).unwrap();
            let _ = ours.read(&mut [0; 1]);
            drop(theirs);
        }
        _ => {}
    }
    black_box(how)
}

extern "C" fn compares(left: *const c_void, right: *const c_void) -> c_int {
    // SAFETY: `qsort` passes pointers to elements of the array.
    let (a, b) = unsafe { (*left.cast::<c_int>(), *right.cast::<c_int>()) };
    waits(WAY.load(Ordering::Relaxed));
    black_box(a) - b
}

#[inline(never)]
fn descends(depth: u32) -> i32 {
    if depth > 0 {
        return black_box(descends(depth - 1)) + 1;
    }
    let mut numbers = black_box([4, 3, 2, 1]);
    // SAFETY: base, count and size are those of the array.
    unsafe { qsort(numbers.as_mut_ptr().cast(), 4, 4, compares) };
    let mut numbers = black_box(vec![3, 1, 2]);
    numbers.sort_by(|a: &i32, b| {
        waits(WAY.load(Ordering::Relaxed));
        b.cmp(a)
    });
    numbers[0]
}

fn main() {
    println!("ready {}", std::process::id());
    let mut lines = std::io::stdin().lock().lines();
    lines.next();
    for way in 0..WAYS {
        WAY.store(way, Ordering::Relaxed);
        black_box(descends(5));
        thread::spawn(|| black_box(descends(3))).join().unwrap();
    }
    println!("{{\"functions\":{{}},\"values\":{{}}}}");
    lines.next();
}

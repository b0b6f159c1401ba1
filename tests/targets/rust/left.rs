//! Calls that a panic or a jump leaves, and what happens afterwards, until nothing traced is called any
//! more.

use std::{
    arch::global_asm,
    ffi::c_void,
    hint::black_box,
    io::{BufRead as _, Write as _},
    panic,
    time::{Duration, Instant},
};

// `within(work, argument)` calls `work(argument)`; `leave()` ends that call from anywhere inside, as `longjmp`
// does: no frame in between is told.
global_asm!(
    ".local left_at",
    ".comm left_at, 8, 8",
    ".globl within",
    ".type within, @function",
    "within:",
    ".cfi_startproc",
    "push rbp",
    ".cfi_adjust_cfa_offset 8",
    ".cfi_offset rbp, -16",
    "push rbx",
    ".cfi_adjust_cfa_offset 8",
    "push r12",
    ".cfi_adjust_cfa_offset 8",
    "push r13",
    ".cfi_adjust_cfa_offset 8",
    "push r14",
    ".cfi_adjust_cfa_offset 8",
    "push r15",
    ".cfi_adjust_cfa_offset 8",
    "sub rsp, 8",
    ".cfi_adjust_cfa_offset 8",
    "mov [rip + left_at], rsp",
    "mov rax, rdi",
    "mov rdi, rsi",
    "call rax",
    ".Lback:",
    "add rsp, 8",
    ".cfi_adjust_cfa_offset -8",
    "pop r15",
    ".cfi_adjust_cfa_offset -8",
    "pop r14",
    ".cfi_adjust_cfa_offset -8",
    "pop r13",
    ".cfi_adjust_cfa_offset -8",
    "pop r12",
    ".cfi_adjust_cfa_offset -8",
    "pop rbx",
    ".cfi_adjust_cfa_offset -8",
    "pop rbp",
    ".cfi_adjust_cfa_offset -8",
    "ret",
    ".cfi_endproc",
    ".size within, . - within",
    ".globl leave",
    ".type leave, @function",
    "leave:",
    "mov rsp, [rip + left_at]",
    "jmp .Lback",
    ".size leave, . - leave",
);

unsafe extern "C" {
    fn within(work: extern "C" fn(*mut c_void), argument: *mut c_void);
    fn leave() -> !;
}

fn busy(long: Duration) {
    let start = Instant::now();
    while start.elapsed() < long {
        for i in 0..20_000_u32 {
            black_box(i);
        }
    }
}

#[inline(never)]
fn afterwards(long: Duration) {
    busy(long);
    std::thread::sleep(long / 4);
    black_box(());
}

#[inline(never)]
fn cleans_up(long: Duration) {
    busy(long);
    std::thread::sleep(long / 4);
    // Or the compiler makes one function of this and the one before.
    black_box(1);
}

#[inline(never)]
fn throws() {
    assert!(!black_box(true), "as asked");
}

#[inline(never)]
fn deeper(depth: u64) {
    if depth == 0 {
        throws();
    } else {
        deeper(depth - 1);
    }
    black_box(());
}

#[inline(never)]
fn catches(long: Duration) {
    let result = panic::catch_unwind(|| deeper(black_box(3)));
    assert!(result.is_err());
    cleans_up(long);
    black_box(());
}

#[inline(never)]
fn leaps(depth: u64) {
    if depth == 0 {
        // SAFETY: no frame up to `within` has anything to drop.
        unsafe { leave() };
    }
    leaps(depth - 1);
    black_box(());
}

extern "C" fn leaping(_: *mut c_void) {
    leaps(black_box(3));
    black_box(());
}

#[inline(never)]
fn lands(long: Duration) {
    // SAFETY: `leaping` takes no notice of its argument.
    unsafe { within(leaping, std::ptr::null_mut()) };
    cleans_up(long);
    black_box(());
}

/// Is called from where everything that was left has been.
#[inline(never)]
fn closes() {
    black_box(());
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let long = arguments.next().map_or(100, |ms| ms.parse().unwrap());
    let long = Duration::from_millis(long);
    panic::set_hook(Box::new(|_| {}));
    println!("ready {}", std::process::id());
    std::io::stdout().flush().unwrap();
    let mut lines = std::io::stdin().lock().lines();
    lines.next();
    catches(long);
    lands(long);
    assert!(panic::catch_unwind(|| deeper(black_box(3))).is_err());
    afterwards(long);
    closes();
    // SAFETY: as above.
    unsafe { within(leaping, std::ptr::null_mut()) };
    afterwards(long);
    closes();
    let function = |name: &str, calls: u64, unwound: u64| {
        format!("\"{name}\":{{\"calls\":{calls},\"unwound\":{unwound},\"in_flight\":0}}")
    };
    println!(
        "{{\"functions\":{{{},{},{},{},{},{}}},\"values\":{{}}}}",
        function("left::catches", 1, 0),
        function("left::deeper", 0, 8),
        function("left::throws", 0, 2),
        function("left::lands", 1, 0),
        function("left::leaps", 0, 8),
        function("left::closes", 2, 0),
    );
    lines.next();
}

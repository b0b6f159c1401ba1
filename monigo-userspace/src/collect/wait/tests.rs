//! Stacks and reasons as they occur.

use super::{tables::POLLED, *};

fn wait(kernel: &[&str], user: &[&str]) -> Wait {
    let kernel = kernel.iter().map(|name| Hint::of(name, true));
    let user = user.iter().map(|name| Hint::of(name, false));
    let hints: Vec<Hint> = kernel.chain(user).collect();
    of_stack(&hints.into_iter())
}

/// What threads wait for at these stacks, innermost frame first.
const KERNEL_STACKS: &[(Wait, &[&str])] = &[
    (
        Wait::Lock,
        &[
            "__schedule",
            "schedule",
            "futex_do_wait",
            "__futex_wait",
            "futex_wait",
            "do_futex",
            "__x64_sys_futex",
        ],
    ),
    (
        Wait::Lock,
        &[
            "__schedule",
            "schedule_preempt_disabled",
            "rwsem_down_read_slowpath",
            "down_read",
            "do_user_addr_fault",
        ],
    ),
    (
        Wait::Lock,
        &[
            "schedule",
            "__mutex_lock.constprop.0",
            "pipe_read",
            "vfs_read",
        ],
    ),
    (
        Wait::Io,
        &[
            "schedule",
            "io_schedule",
            "folio_wait_bit_common",
            "filemap_fault",
            "__do_fault",
        ],
    ),
    (
        Wait::Io,
        &["schedule", "anon_pipe_read", "vfs_read", "ksys_read"],
    ),
    (
        Wait::Io,
        &["schedule", "pipe_wait_readable", "pipe_write", "vfs_write"],
    ),
    (
        Wait::Io,
        &["schedule_timeout", "wait_woken", "n_tty_read", "tty_read"],
    ),
    (
        Wait::Io,
        &[
            "schedule",
            "wait_transaction_locked",
            "jbd2_log_wait_commit",
            "ext4_sync_file",
        ],
    ),
    (
        Wait::Sleep,
        &[
            "schedule",
            "do_nanosleep",
            "hrtimer_nanosleep",
            "__x64_sys_clock_nanosleep",
        ],
    ),
    (
        Wait::Network,
        &[
            "schedule_timeout",
            "wait_woken",
            "sk_wait_data",
            "tcp_recvmsg_locked",
            "inet_recvmsg",
        ],
    ),
    (
        Wait::Network,
        &[
            "schedule_timeout",
            "unix_stream_data_wait",
            "unix_stream_read_generic",
        ],
    ),
    (
        Wait::Network,
        &["schedule_timeout", "inet_csk_accept", "inet_accept"],
    ),
    (
        Wait::Events,
        &["schedule_hrtimeout_range", "ep_poll", "do_epoll_wait"],
    ),
    (
        Wait::Events,
        &[
            "schedule_hrtimeout_range_clock",
            "do_poll.constprop.0",
            "do_sys_poll",
        ],
    ),
    (Wait::Events, &["schedule", "io_cqring_wait"]),
    (Wait::Child, &["schedule", "do_wait", "kernel_wait4"]),
    (Wait::Other, &["__schedule", "schedule", "do_signal_stop"]),
    (Wait::Other, &[]),
];

#[test]
fn kernel_stacks_say_what_is_waited_for() {
    for (expected, frames) in KERNEL_STACKS {
        assert_eq!(wait(frames, &["main"]), *expected, "{frames:?}");
    }
}

#[test]
fn user_code_knows_what_a_futex_is_for() {
    let futex = ["schedule", "futex_do_wait", "futex_wait"];
    for (expected, frames) in [
        (
            Wait::Channel,
            vec![
                "std::thread::park",
                "std::sync::mpmc::list::Channel<T>::recv",
            ],
        ),
        (
            Wait::Child,
            vec!["__futex_abstimed_wait_common", "__pthread_clockjoin_ex"],
        ),
        (Wait::Lock, vec!["__lll_lock_wait", "pthread_mutex_lock"]),
        (Wait::Lock, vec!["app::work"]),
    ] {
        assert_eq!(wait(&futex, &frames), expected, "{frames:?}");
    }
    // What the kernel says otherwise stands.
    assert_eq!(wait(&["ep_poll"], &["pthread_mutex_lock"]), Wait::Events);
}

#[test]
fn hidden_kernel_symbols_leave_it_to_user_code() {
    let kernel = ["[unknown]", "[unknown]"];
    assert_eq!(wait(&kernel, &["clock_nanosleep", "main"]), Wait::Sleep);
    assert_eq!(
        wait(&kernel, &["runtime.gopark", "runtime.chanrecv1"]),
        Wait::Channel
    );
    assert_eq!(wait(&kernel, &["main"]), Wait::Other);
}

#[test]
fn reasons_of_the_go_runtime() {
    for (reason, expected) in [
        ("chan receive", Wait::Channel),
        ("chan send (nil chan)", Wait::Channel),
        ("select (no cases)", Wait::Channel),
        ("semacquire", Wait::Lock),
        ("sync.Mutex.Lock", Wait::Lock),
        ("sync.WaitGroup.Wait", Wait::Lock),
        ("sleep", Wait::Sleep),
        ("GC assist wait", Wait::Gc),
        ("garbage collection scan", Wait::Gc),
        ("wait for GC cycle", Wait::Gc),
        ("coroutine", Wait::Other),
    ] {
        assert_eq!(of_reason(reason, Wait::Other), Some(expected), "{reason}");
    }
    assert_eq!(of_reason("", Wait::Lock), None);
    let polled = |frames: &[&str]| of_reason(POLLED, wait(&[], frames));
    let below = "internal/poll.(*FD).Read";
    assert_eq!(polled(&[below, "os.(*File).Read"]), Some(Wait::Io));
    assert_eq!(polled(&[below, "net.(*conn).Read"]), Some(Wait::Network));
    assert_eq!(polled(&[below]), Some(Wait::Network));
}

#[test]
fn interrupts_are_told_from_work() {
    let stack = |names: &[&str]| {
        let hints: Vec<Hint> = names.iter().map(|name| Hint::of(name, true)).collect();
        is_interrupt(hints.into_iter())
    };
    assert!(stack(&[
        "try_to_wake_up",
        "hrtimer_wakeup",
        "__hrtimer_run_queues",
        "hrtimer_interrupt",
        "asm_sysvec_apic_timer_interrupt"
    ]));
    assert!(!stack(&[
        "try_to_wake_up",
        "sock_def_readable",
        "tcp_v4_rcv",
        "handle_softirqs",
        "do_softirq",
        "__local_bh_enable_ip",
        "tcp_sendmsg"
    ]));
}

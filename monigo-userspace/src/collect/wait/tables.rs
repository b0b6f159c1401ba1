//! What functions and reasons say about a wait, by name.

use crate::store::Wait;

/// Patterns by what they tell; see [`super::matches`].
pub(super) type Table = &'static [(Wait, &'static [&'static str])];

/// Functions of Linux that wait, or call others to. Generic ones (`schedule_timeout`,
/// `wait_for_completion`) say nothing; their callers do.
pub(super) const KERNEL: Table = &[
    (
        Wait::Lock,
        &[
            "futex_*",
            "__futex_*",
            "do_futex",
            "rwsem_down_*",
            "down_read",
            "down_write",
            "down_read_killable",
            "down_write_killable",
            "__mutex_lock*",
            "mutex_lock",
            "mutex_lock_*",
            "__down*",
            "rt_mutex_*",
            "percpu_rwsem_wait",
            "do_semtimedop",
            "fcntl_setlk",
            "flock_lock_inode_wait",
            "locks_lock_inode_wait",
        ],
    ),
    (
        Wait::Sleep,
        &[
            "hrtimer_nanosleep",
            "do_nanosleep",
            "common_nsleep*",
            "msleep*",
            "usleep_range*",
        ],
    ),
    (
        Wait::Events,
        &[
            "ep_poll",
            "do_epoll_*",
            "do_poll*",
            "do_sys_poll",
            "do_select",
            "core_sys_select",
            "io_cqring_wait*",
            "eventfd_read",
            "timerfd_read*",
            "signalfd_read*",
            "inotify_read",
            "do_sigtimedwait*",
            "sigsuspend",
        ],
    ),
    (
        Wait::Child,
        &[
            "do_wait",
            "__do_wait",
            "kernel_wait*",
            "wait_for_vfork_done*",
        ],
    ),
    (
        Wait::Network,
        &[
            "tcp_*",
            "udp_*",
            "udpv6_*",
            "unix_*",
            "inet_*",
            "inet6_*",
            "sk_wait_*",
            "sk_stream_wait_*",
            "sock_*",
            "__sys_recv*",
            "__sys_send*",
            "__sys_accept*",
            "__sys_connect*",
            "__skb_*",
            "skb_*",
            "netlink_*",
            "packet_recvmsg",
            "vsock_*",
        ],
    ),
    (
        Wait::Io,
        &[
            "io_schedule*",
            "folio_wait_*",
            "__folio_lock*",
            "wait_on_page_*",
            "filemap_*",
            "pipe_*",
            "anon_pipe_*",
            "fifo_open",
            "n_tty_*",
            "tty_*",
            "blk_*",
            "submit_bio_wait",
            "bio_await*",
            "__blkdev_*",
            "ext4_*",
            "jbd2_*",
            "xfs_*",
            "btrfs_*",
            "nfs_*",
            "nfs4_*",
            "fuse_*",
            "ovl_*",
            "vfs_fsync*",
            "do_fsync",
            "balance_dirty_pages*",
            "iomap_*",
            "swap_read*",
            "do_swap_page",
        ],
    ),
];

/// Ways of interrupts into the kernel. Soft interrupts that a system call runs itself are work of
/// its thread.
pub(super) const INTERRUPT: &[&str] = &[
    "asm_sysvec_*",
    "sysvec_*",
    "__sysvec_*",
    "asm_common_interrupt",
    "common_interrupt",
    "__irq_exit_rcu",
    "irq_exit_rcu",
    "hrtimer_interrupt",
    "handle_irq_event*",
    "el0_irq",
    "el1_irq",
    "el0t_64_irq*",
    "el1h_64_irq*",
];

/// How programs of monigo are run at tracepoints.
pub(super) const TRACING: &[&str] = &[
    "bpf_prog_*",
    "bpf_trace_run*",
    "__bpf_trace_*",
    "__traceiter_*",
    "trace_call_bpf*",
    "perf_trace_*",
    "__bpf_prog_run*",
    "___bpf_prog_run",
    "bpf_get_stack*",
    "bpf_dispatcher_*",
];

/// Functions of C libraries and language runtimes. Where kernel symbols are known, only channels and
/// joins matter.
pub(super) const USER: Table = &[
    (
        Wait::Channel,
        &[
            "*std::sync::mpsc::*",
            "*std::sync::mpmc::*",
            "*crossbeam_channel::*",
            "*tokio::sync::mpsc::*",
            "*flume::*",
            "runtime.chan*",
            "runtime.selectgo",
            "runtime.selectnb*",
        ],
    ),
    (
        Wait::Child,
        &[
            "pthread_join*",
            "__pthread_clockjoin_ex",
            "__pthread_timedjoin_ex",
            "__wait4",
            "wait4",
            "waitpid",
            "__waitpid",
            "waitid",
        ],
    ),
    (
        Wait::Lock,
        &[
            "pthread_mutex_*",
            "__pthread_mutex_*",
            "___pthread_mutex_*",
            "pthread_cond_*",
            "__pthread_cond_*",
            "___pthread_cond_*",
            "__lll_lock_wait*",
            "pthread_rwlock_*",
            "sem_wait*",
            "__new_sem_wait*",
            "runtime.semacquire*",
            "runtime.notifyListWait",
            "sync.runtime_Semacquire*",
            "sync.runtime_notifyListWait",
            "internal/sync.runtime_Semacquire*",
        ],
    ),
    (
        Wait::Sleep,
        &[
            "clock_nanosleep*",
            "__clock_nanosleep*",
            "nanosleep",
            "__nanosleep",
            "__GI___nanosleep",
            "usleep",
            "runtime.timeSleep",
            "time.Sleep",
        ],
    ),
    (
        Wait::Events,
        &[
            "epoll_wait",
            "epoll_pwait",
            "poll",
            "__poll",
            "ppoll",
            "select",
            "__select",
        ],
    ),
    (
        Wait::Network,
        &[
            "recv*",
            "__libc_recv*",
            "send",
            "sendto",
            "sendmsg",
            "accept*",
            "connect",
            "net.(**",
        ],
    ),
    (
        Wait::Gc,
        &["runtime.gcAssist*", "runtime.gcParkAssist", "runtime.GC"],
    ),
    (
        Wait::Io,
        &[
            "read",
            "__read",
            "__libc_read",
            "write",
            "__write",
            "fsync",
            "syscall.read",
            "syscall.write",
            "os.(*File)*",
        ],
    ),
];

/// The Go runtime polls a file or a socket.
pub(super) const POLLED: &str = "IO wait";

/// Other reasons of the Go runtime. Source: `waitReasonStrings` in Go's `runtime/runtime2.go`.
pub(super) const REASONS: Table = &[
    (Wait::Channel, &["chan *", "select*"]),
    (Wait::Lock, &["semacquire", "sync.*", "lock*"]),
    (Wait::Sleep, &["sleep"]),
    (
        Wait::Gc,
        &[
            "GC *",
            "garbage collection*",
            "wait for GC cycle",
            "stopping the world",
            "flushing proc caches",
        ],
    ),
];

"""Runs a program under gdb and prints its stack at each call of a function, and at each system
call that the function makes: one line each, with the image and the ELF virtual address of every
frame that is on the stack."""

import os
import struct

import gdb

# As the program's language calls it.
FUNCTION = os.environ.get("FUNCTION", "waits")
SYSTEM_CALLS = os.environ.get("SYSTEM_CALLS", "clock_nanosleep futex read recvfrom")

for setting in (
    "pagination off",
    "confirm off",
    "debuginfod enabled off",
    "backtrace past-main on",
    "breakpoint pending on",
    "startup-with-shell off",
    # For the name below, whatever the program is written in.
    "language c",
):
    gdb.execute("set " + setting, to_string=True)


def linked_at(path):
    """The page of the lowest virtual address in a file; 0 if it is none that is mapped as code."""
    try:
        with open(path, "rb") as image:
            header = image.read(64)
            (start,) = struct.unpack_from("<Q", header, 32)
            size, count = struct.unpack_from("<HH", header, 54)
            image.seek(start)
            segments = image.read(size * count)
    except (OSError, struct.error):
        return 0
    loads = (struct.unpack_from("<IIQQ", segments, at * size) for at in range(count))
    return min((load[3] & ~0xFFF for load in loads if load[0] == 1), default=0)


def bases(pid):
    """Path and first address of each mapped file, by address range."""
    first, ranges = {}, []
    with open(f"/proc/{pid}/maps") as maps:
        for line in maps:
            fields = line.split(None, 5)
            if len(fields) < 6:
                continue
            low, high = (int(end, 16) for end in fields[0].split("-"))
            path = fields[5].strip()
            if path not in first:
                first[path] = low - linked_at(path)
            ranges.append((low, high, path))
    return [(low, high, path, first[path]) for low, high, path in ranges]


def record():
    mapped = bases(gdb.selected_inferior().pid)
    frame, places, inside = gdb.newest_frame(), [], False
    entered = frame.pc() == entry()
    while frame is not None and frame.is_valid():
        # Neither inlined frames nor those that gdb infers for tail calls are on the stack.
        if frame.type() not in (gdb.INLINE_FRAME, gdb.TAILCALL_FRAME):
            pc = frame.pc()
            inside = inside or (frame.name() or "").endswith(FUNCTION)
            for low, high, path, base in mapped:
                if low <= pc < high:
                    places.append(f"{path}@{pc - base:x}")
        frame = frame.older()
    if inside:
        print("CALL" if entered else "WAIT", *places)


def entry():
    return int(gdb.parse_and_eval(f"(long)&'{FUNCTION}'"))


for signal in ("SIGUSR1", "SIGURG"):
    gdb.execute(f"handle {signal} nostop noprint pass", to_string=True)
gdb.execute(f"break *'{FUNCTION}'", to_string=True)
gdb.execute("run", to_string=True)
gdb.execute(f"catch syscall {SYSTEM_CALLS}", to_string=True)
while gdb.selected_inferior().pid:
    record()
    gdb.execute("continue", to_string=True)

// What `cargo xtask bench` probes in Go: like target.c, and the line `unwind` makes the runtime
// walk the stack through work and grow it.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"unsafe"
)

var sink uint64

//go:noinline
func deep(levels int) uint64 {
	var frame [512]byte
	frame[levels%len(frame)] = byte(levels)
	if levels == 0 {
		return uint64(len(debug.Stack()))
	}
	return deep(levels-1) + uint64(frame[levels%len(frame)])
}

//go:noinline
func leaf(value uint64) uint64 { return value * 2654435761 }

//go:noinline
func work(value uint64, unwind bool) uint64 {
	if unwind {
		return deep(64)
	}
	return leaf(value) ^ value
}

// CPU time of this thread; the main goroutine stays on it.
func nowNs() int64 {
	const clockThreadCPU = 3
	var now syscall.Timespec
	_, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockThreadCPU, uintptr(unsafe.Pointer(&now)), 0)
	if errno != 0 {
		panic(errno)
	}
	return now.Nano()
}

func main() {
	runtime.LockOSThread()
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if lines.Text() == "unwind" {
			sink = work(0, true)
			fmt.Println(0)
			continue
		}
		calls, err := strconv.ParseUint(lines.Text(), 10, 64)
		if err != nil {
			panic(err)
		}
		start := nowNs()
		var sum uint64
		for call := uint64(0); call < calls; call++ {
			sum += work(call, false)
		}
		taken := nowNs() - start
		sink = sum
		fmt.Println(taken)
	}
}

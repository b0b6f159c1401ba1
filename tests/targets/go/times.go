package main

import (
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// What each part of the work took, ns.
var chanNs, selectNs, lockNs, sleepNs, pipeNs, syscallNs, networkNs, cpuNs int64

const part = 10 * time.Millisecond

func threadClock() int64 {
	const clockThreadCPU = 3
	var now syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockThreadCPU, uintptr(unsafe.Pointer(&now)), 0)
	return now.Nano()
}

type peers struct {
	mutex                   sync.Mutex
	value, choice, never    chan int
	wantValue, wantChoice   chan bool
	held, wantLock, done    chan bool
	polled, slow            *os.File
	blocking                [2]int
	wantPolled, wantBlocked chan bool
	line, other             net.Conn
	wantAnswer              chan bool
}

//go:noinline
func (p *peers) spins() {
	// A goroutine changes threads; its own clock is none of theirs.
	runtime.LockOSThread()
	start := threadClock()
	for threadClock()-start < int64(part) {
		for i := 0; i < 20000; i++ {
			sink++
		}
	}
	cpuNs += threadClock() - start
	runtime.UnlockOSThread()
}

var sink int

//go:noinline
func (p *peers) receives() {
	start := time.Now()
	p.wantValue <- true
	<-p.value
	chanNs += int64(time.Since(start))
}

//go:noinline
func (p *peers) selects() {
	start := time.Now()
	p.wantChoice <- true
	select {
	case <-p.choice:
	case <-p.never:
	}
	selectNs += int64(time.Since(start))
}

//go:noinline
func (p *peers) locks() {
	<-p.held
	start := time.Now()
	p.wantLock <- true
	p.mutex.Lock()
	lockNs += int64(time.Since(start))
	p.mutex.Unlock()
	p.done <- true
}

//go:noinline
func (p *peers) sleeps() {
	start := time.Now()
	time.Sleep(part)
	sleepNs += int64(time.Since(start))
}

//go:noinline
func (p *peers) reads() {
	var buffer [1]byte
	start := time.Now()
	p.wantPolled <- true
	if _, err := p.polled.Read(buffer[:]); err != nil {
		panic(err)
	}
	pipeNs += int64(time.Since(start))
}

// A system call that the runtime does not know to wait: the thread waits with the goroutine.
//
//go:noinline
func (p *peers) blocks() {
	var buffer [1]byte
	start := time.Now()
	p.wantBlocked <- true
	if _, err := syscall.Read(p.blocking[0], buffer[:]); err != nil {
		panic(err)
	}
	syscallNs += int64(time.Since(start))
}

//go:noinline
func (p *peers) hears() {
	var buffer [1]byte
	start := time.Now()
	p.wantAnswer <- true
	if _, err := p.line.Read(buffer[:]); err != nil {
		panic(err)
	}
	networkNs += int64(time.Since(start))
}

//go:noinline
func (p *peers) work() {
	p.spins()
	p.receives()
	p.selects()
	p.locks()
	p.sleeps()
	p.reads()
	p.blocks()
	p.hears()
}

// Every peer answers a while after it was asked to.
func (p *peers) serve(times int) {
	each := func(answer func()) {
		go func() {
			for i := 0; i < times; i++ {
				answer()
			}
		}()
	}
	each(func() { <-p.wantValue; time.Sleep(part); p.value <- 1 })
	each(func() { <-p.wantChoice; time.Sleep(part); p.choice <- 1 })
	each(func() {
		p.mutex.Lock()
		p.held <- true
		<-p.wantLock
		time.Sleep(part)
		p.mutex.Unlock()
		<-p.done
	})
	each(func() { <-p.wantPolled; time.Sleep(part); p.slow.Write([]byte{1}) })
	each(func() { <-p.wantAnswer; time.Sleep(part); p.other.Write([]byte{1}) })
	each(func() { <-p.wantBlocked; time.Sleep(part); syscall.Write(p.blocking[1], []byte{1}) })
}

// Calls with a known time budget.
func times() report {
	count := argument(0, 10)
	p := &peers{
		value: make(chan int), choice: make(chan int), never: make(chan int),
		wantValue: make(chan bool, 1), wantChoice: make(chan bool, 1),
		held: make(chan bool, 1), wantLock: make(chan bool, 1), done: make(chan bool, 1),
		wantPolled: make(chan bool, 1), wantBlocked: make(chan bool, 1),
		wantAnswer: make(chan bool, 1),
	}
	var err error
	if p.polled, p.slow, err = os.Pipe(); err != nil {
		panic(err)
	}
	if err = syscall.Pipe(p.blocking[:]); err != nil {
		panic(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	if p.line, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		panic(err)
	}
	if p.other, err = listener.Accept(); err != nil {
		panic(err)
	}
	ready()
	p.serve(count)
	start := time.Now()
	for i := 0; i < count; i++ {
		p.work()
	}
	wall := int64(time.Since(start))
	calls := truth{Calls: count}
	return report{
		map[string]truth{"main.(*peers).work": calls},
		map[string]int{
			"wall_ns": int(wall), "cpu_ns": int(cpuNs), "channel_ns": int(chanNs + selectNs),
			"lock_ns": int(lockNs), "sleep_ns": int(sleepNs), "pipe_ns": int(pipeNs),
			"syscall_ns": int(syscallNs), "network_ns": int(networkNs),
		},
	}
}

type node struct {
	next    *node
	payload [8]*node
}

//go:noinline
func collects() { runtime.GC() }

// Collections that are asked for, of a heap that takes a while to mark.
func collections() report {
	count := argument(0, 10)
	var heap *node
	for i := 0; i < 2_000_000; i++ {
		heap = &node{next: heap}
	}
	ready()
	start := time.Now()
	for i := 0; i < count; i++ {
		collects()
	}
	wall := int64(time.Since(start))
	runtime.KeepAlive(heap)
	return report{
		map[string]truth{"main.collects": {Calls: count}},
		map[string]int{"wall_ns": int(wall)},
	}
}

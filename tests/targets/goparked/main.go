// Go target: parks known numbers of goroutines in known places, and says how many there are.
//
// It prints "ready PID", then answers each line of its input: "count" with the number of goroutines,
// "work" with a sum that must never change, "leak" after one more goroutine has leaked, and "go" with
// its own truth after ten calls of work.
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
)

var (
	begun   sync.WaitGroup
	nothing = make(chan int)
	full    = make(chan int)
	mutex   sync.Mutex
	group   sync.WaitGroup
	monitor = sync.NewCond(&sync.Mutex{})
)

//go:noinline
func receives() { begun.Done(); <-nothing }

//go:noinline
func sends() { begun.Done(); full <- 1 }

//go:noinline
func selects() {
	begun.Done()
	select {
	case <-nothing:
	case full <- 2:
	}
}

//go:noinline
func sleeps() { begun.Done(); time.Sleep(time.Hour) }

//go:noinline
func locks() { begun.Done(); mutex.Lock() }

//go:noinline
func waits() { begun.Done(); group.Wait() }

//go:noinline
func conditions() {
	monitor.L.Lock()
	begun.Done()
	monitor.Wait()
}

//go:noinline
func forever() { begun.Done(); select {} }

//go:noinline
func accepts(listener net.Listener) {
	begun.Done()
	_, err := listener.Accept()
	panic(err)
}

//go:noinline
func calls(pipe int) {
	begun.Done()
	var bytes [1]byte
	_, _ = syscall.Read(pipe, bytes[:])
}

//go:noinline
func leaks() { begun.Done(); <-nothing }

func start(count int, what func()) {
	begun.Add(count)
	for i := 0; i < count; i++ {
		go what()
	}
}

//go:noinline
func work() uint64 {
	sum := uint64(1)
	for i := uint64(1); i < 1_000_000; i++ {
		sum = sum*6364136223846793005 + i
	}
	return sum
}

func main() {
	mutex.Lock()
	group.Add(1)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	var pipe [2]int
	if err := syscall.Pipe(pipe[:]); err != nil {
		panic(err)
	}
	start(3, receives)
	start(2, sends)
	start(4, selects)
	start(5, sleeps)
	start(6, locks)
	start(7, waits)
	start(8, conditions)
	start(9, forever)
	start(1, func() { accepts(listener) })
	start(2, func() { calls(pipe[0]) })
	begun.Wait()
	fmt.Printf("ready %d\n", os.Getpid())
	input := bufio.NewScanner(os.Stdin)
	for input.Scan() {
		switch input.Text() {
		case "count":
			fmt.Println(runtime.NumGoroutine())
		case "work":
			fmt.Println(work())
		case "leak":
			start(1, leaks)
			begun.Wait()
			fmt.Println("leaked")
		case "go":
			for i := 0; i < 10; i++ {
				work()
			}
			fmt.Printf(`{"functions":{"main.work":{"calls":10,"unwound":0,"in_flight":0}},"values":{"goroutines":%d}}`+"\n", runtime.NumGoroutine())
		case "exit":
			return
		case "collect":
			runtime.GC()
			fmt.Println("collected")
		}
	}
}

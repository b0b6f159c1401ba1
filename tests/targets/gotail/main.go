// Calls of which one in fifty is slow, for a reason named by the first argument.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"
)

const slowFor = 12 * time.Millisecond

var (
	stock  sync.Mutex
	stored int
	held   = make(chan bool)
	wanted = make(chan bool)
	answer = make(chan int)
	reader *os.File
	writer *os.File
)

// Holds the lock for a while, and says when it has it.
//
//go:noinline
func restock() {
	stock.Lock()
	held <- true
	time.Sleep(slowFor)
	stock.Unlock()
}

// Does what slow calls wait for.
func helps(reason string) {
	for range wanted {
		switch reason {
		case "lock":
			restock()
		case "channel":
			time.Sleep(slowFor)
			answer <- 1
		case "pipe":
			time.Sleep(slowFor)
			if _, err := writer.Write([]byte("x")); err != nil {
				panic(err)
			}
		}
	}
}

//go:noinline
func reserveStock() {
	stock.Lock()
	stored++
	stock.Unlock()
}

//go:noinline
func checksum(long time.Duration) {
	start := time.Now()
	for time.Since(start) < long {
		for i := 0; i < 20000; i++ {
			stored++
		}
	}
}

//go:noinline
func backOff() {
	time.Sleep(slowFor)
}

//go:noinline
func readAnswer() {
	var one [1]byte
	if _, err := reader.Read(one[:]); err != nil {
		panic(err)
	}
}

//go:noinline
func receive() {
	stored += <-answer
}

//go:noinline
func handle(reason string, slow bool) {
	checksum(100 * time.Microsecond)
	if slow {
		switch reason {
		case "sleep":
			backOff()
		case "spin":
			checksum(slowFor)
		case "pipe":
			readAnswer()
		case "channel":
			receive()
		}
	}
	reserveStock()
}

func main() {
	reason, calls := os.Args[1], 1000
	if len(os.Args) > 2 {
		number, err := strconv.Atoi(os.Args[2])
		if err != nil {
			panic(err)
		}
		calls = number
	}
	var err error
	if reader, writer, err = os.Pipe(); err != nil {
		panic(err)
	}
	go helps(reason)
	input := bufio.NewScanner(os.Stdin)
	fmt.Printf("ready %d\n", os.Getpid())
	for input.Scan() && input.Text() != "go" {
	}
	for i := 0; i < calls; i++ {
		slow := i%50 == 49
		if slow && (reason == "lock" || reason == "channel" || reason == "pipe") {
			wanted <- true
		}
		if slow && reason == "lock" {
			<-held
		}
		handle(reason, slow)
	}
	fmt.Printf("{\"functions\":{\"main.handle\":{\"calls\":%d,\"unwound\":0,\"in_flight\":0}},\"values\":{\"slow\":%d}}\n",
		calls, calls/50)
	for input.Scan() && input.Text() != "exit" {
	}
}

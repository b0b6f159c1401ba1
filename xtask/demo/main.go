// Command orders is the sample service that `cargo xtask demo` profiles. It processes
// made-up orders in a few goroutines: prices them, reserves stock, charges a card and writes a
// receipt. One order in 50 meets a slow card gateway, and one in 200 a locked stock row, so that
// the latency of ProcessOrder has a tail with a reason in its stacks.
//
// The mix is deterministic: worker w processes orders w, w+workers, w+2*workers and so on.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func main() {
	workers := flag.Int("workers", 4, "number of goroutines that process orders")
	pause := flag.Duration("pause", 2*time.Millisecond, "wait between two orders of a worker")
	flag.Parse()

	service := NewService()
	stop := make(chan struct{})
	var processed atomic.Uint64
	var wait sync.WaitGroup
	for worker := 0; worker < *workers; worker++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			runWorker(service, worker, *workers, *pause, stop, &processed)
		}()
	}

	fmt.Printf("orders: pid %d, %d workers\n", os.Getpid(), *workers)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	<-signals
	close(stop)
	wait.Wait()
	fmt.Printf("orders: %d processed, %d declined\n", processed.Load(), service.declined.Load())
}

func runWorker(service *Service, first, step int, pause time.Duration, stop <-chan struct{}, processed *atomic.Uint64) {
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for id := first; ; id += step {
		select {
		case <-stop:
			return
		case <-ticker.C:
			service.ProcessOrder(newOrder(id))
			processed.Add(1)
		}
	}
}

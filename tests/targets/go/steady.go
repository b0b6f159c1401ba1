package main

import (
	"sync"
	"sync/atomic"
	"time"
)

const step = time.Millisecond

var asleepNs, answeredNs, ordersNs atomic.Int64

// What a worker asks, and is answered a while later.
type desk struct{ questions, answers chan int }

//go:noinline
func (d desk) order() {
	start := time.Now()
	time.Sleep(step)
	slept := time.Now()
	d.questions <- 1
	<-d.answers
	end := time.Now()
	asleepNs.Add(int64(slept.Sub(start)))
	answeredNs.Add(int64(end.Sub(slept)))
	ordersNs.Add(int64(end.Sub(start)))
}

func (d desk) answer() {
	for range d.questions {
		time.Sleep(step)
		d.answers <- 1
	}
}

// Calls that are all alike, one after the other by several goroutines.
func steady() report {
	workers, count := argument(0, 4), argument(1, 1000)
	ready()
	var group sync.WaitGroup
	for i := 0; i < workers; i++ {
		d := desk{questions: make(chan int), answers: make(chan int)}
		go d.answer()
		group.Add(1)
		go func() {
			defer group.Done()
			for i := 0; i < count; i++ {
				d.order()
			}
			close(d.questions)
		}()
	}
	group.Wait()
	return report{
		map[string]truth{"main.desk.order": {Calls: workers * count}},
		map[string]int{
			"wall_ns": int(ordersNs.Load()), "sleep_ns": int(asleepNs.Load()),
			"channel_ns": int(answeredNs.Load()),
		},
	}
}

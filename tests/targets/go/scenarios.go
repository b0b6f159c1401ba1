package main

import (
	"runtime"
	"sync"
)

//go:noinline
func leaf(x int) int { return x*3 + 1 }

//go:noinline
func caller(x int) int {
	y := leaf(x)
	return y + leaf(y&7)
}

// Server has methods with pointer and value receivers.
type Server struct{ served int }

//go:noinline
func (s *Server) Handle(x int) int {
	s.served++
	return leaf(x) + s.served
}

func parallel(goroutines int, run func() int) int {
	totals := make([]int, goroutines)
	var wait sync.WaitGroup
	for i := range totals {
		wait.Add(1)
		go func(i int) {
			defer wait.Done()
			totals[i] = run()
		}(i)
	}
	wait.Wait()
	total := 0
	for _, t := range totals {
		total += t
	}
	return total
}

func calls() report {
	goroutines, times := argument(0, 8), argument(1, 500)
	ready()
	total := parallel(goroutines, func() int {
		sum, server := 0, &Server{}
		for i := 0; i < times; i++ {
			sum += caller(i) + server.Handle(i)
		}
		return sum
	})
	n := goroutines * times
	return report{
		map[string]truth{"caller": {n, 0, 0}, "leaf": {3 * n, 0, 0}, "(*Server).Handle": {n, 0, 0}},
		map[string]int{"total": total},
	}
}

//go:noinline
func recurse(depth int) int {
	if depth <= 1 {
		return 1
	}
	return recurse(depth-1) + 1
}

func recursion() report {
	depth, times := argument(0, 5000), argument(1, 3)
	ready()
	total := 0
	for i := 0; i < times; i++ {
		total += recurse(depth)
	}
	return report{map[string]truth{"recurse": {depth * times, 0, 0}}, map[string]int{"total": total}}
}

//go:noinline
func descend(depth int, fails bool) int {
	if depth == 0 {
		if fails {
			panic("as asked")
		}
		return 0
	}
	return descend(depth-1, fails) + 1
}

//go:noinline
func recovers(depth int, fails bool) (result int) {
	defer func() {
		if recover() != nil {
			result = -1
		}
	}()
	return descend(depth, fails)
}

//go:noinline
func dereferences(p *int) int { return *p + leaf(1) }

//go:noinline
func survives(p *int) (result int) {
	defer func() {
		if recover() != nil {
			result = -1
		}
	}()
	return dereferences(p)
}

func panics() report {
	goroutines, depth, times := argument(0, 4), argument(1, 10), argument(2, 100)
	ready()
	total := parallel(goroutines, func() int {
		sum, one := 0, 1
		for i := 0; i < times; i++ {
			sum += recovers(depth, i%2 == 1)
			if i%2 == 1 {
				sum += survives(nil)
			} else {
				sum += survives(&one)
			}
		}
		return sum
	})
	failing, good := goroutines*(times/2), goroutines*(times-times/2)
	return report{
		map[string]truth{
			"recovers":     {good + failing, 0, 0},
			"survives":     {good + failing, 0, 0},
			"descend":      {(depth + 1) * good, (depth + 1) * failing, 0},
			"dereferences": {good, failing, 0},
		},
		map[string]int{"total": total},
	}
}

//go:noinline
func leaves(depth int) int {
	if depth == 0 {
		runtime.Goexit()
	}
	return leaves(depth-1) + 1
}

func goexits() report {
	depth, times := argument(0, 5), argument(1, 50)
	ready()
	for i := 0; i < times; i++ {
		done := make(chan struct{})
		go func() {
			defer close(done)
			leaves(depth)
		}()
		<-done
	}
	return report{map[string]truth{"leaves": {0, (depth + 1) * times, 0}}, map[string]int{}}
}

//go:noinline
func moves(yields int, other chan int) int {
	sum := 0
	for i := 0; i < yields; i++ {
		runtime.Gosched()
		select {
		case x := <-other:
			sum += x
		case other <- 1:
		default:
		}
	}
	return leaf(yields)
}

func migrates() report {
	goroutines, times, yields := argument(0, 16), argument(1, 20), argument(2, 10)
	runtime.GOMAXPROCS(4)
	other := make(chan int)
	ready()
	total := parallel(goroutines, func() int {
		sum := 0
		for i := 0; i < times; i++ {
			sum += moves(yields, other)
		}
		return sum
	})
	n := goroutines * times
	return report{
		map[string]truth{"moves": {n, 0, 0}, "leaf": {n, 0, 0}},
		map[string]int{"total": total},
	}
}

//go:noinline
func grows(depth int) int {
	var block [64]int
	for i := range block {
		block[i] = depth + i
	}
	if depth > 0 {
		block[0] += grows(depth - 1)
	}
	return block[0] + block[depth%64]
}

func growth() report {
	goroutines, depth := argument(0, 20), argument(1, 300)
	ready()
	total := 0
	for i := 0; i < goroutines; i++ {
		total += parallel(2, func() int { return grows(depth) })
	}
	return report{
		map[string]truth{"grows": {goroutines * 2 * (depth + 1), 0, 0}},
		map[string]int{"total": total},
	}
}

func churn() report {
	rounds, goroutines := argument(0, 20), argument(1, 100)
	ready()
	total := 0
	for i := 0; i < rounds; i++ {
		total += parallel(goroutines, func() int { return caller(i) })
	}
	n := rounds * goroutines
	return report{
		map[string]truth{"caller": {n, 0, 0}, "leaf": {2 * n, 0, 0}},
		map[string]int{"total": total},
	}
}

//go:noinline
func stays(inside chan<- int, end <-chan int) int {
	inside <- 1
	return <-end + leaf(1)
}

func open() report {
	goroutines, returned := argument(0, 5), argument(1, 3)
	inside, end := make(chan int), make(chan int, returned)
	ready()
	for i := 0; i < returned; i++ {
		end <- i
		done := make(chan int)
		go func() { done <- stays(inside, end) }()
		<-inside
		<-done
	}
	for i := 0; i < goroutines; i++ {
		go stays(inside, end)
		<-inside
	}
	return report{
		map[string]truth{"stays": {returned, 0, goroutines}, "leaf": {returned, 0, 0}},
		map[string]int{},
	}
}

//go:noinline
func beginsEarly(early bool) int {
	if early {
		ready()
	}
	return 1
}

func before() report {
	times := argument(0, 3)
	total := beginsEarly(true)
	for i := 0; i < times; i++ {
		total += beginsEarly(false)
	}
	return report{map[string]truth{"beginsEarly": {times, 0, 0}}, map[string]int{"total": total}}
}

type number interface{ ~int | ~float64 }

//go:noinline
func sumOf[T number](values []T) T {
	var sum T
	for _, value := range values {
		sum += value
	}
	return sum
}

func generics() report {
	times := argument(0, 100)
	ready()
	total := 0
	for i := 0; i < times; i++ {
		total += sumOf([]int{i, 1}) + int(sumOf([]float64{float64(i), 2}))
	}
	return report{map[string]truth{"sumOf": {2 * times, 0, 0}}, map[string]int{"total": total}}
}

//go:noinline
func mix(total, i int) int { return total*31 ^ i }

//go:noinline
func burn(rounds int) int {
	total := 0
	for i := 0; i < rounds; i++ {
		total = mix(total, i)
	}
	return total
}

func burns() report {
	goroutines, times := argument(0, 2), argument(1, 5)
	ready()
	total := parallel(goroutines, func() int {
		sum := 0
		for i := 0; i < times; i++ {
			sum += burn(50_000_000) & 1
		}
		return sum
	})
	return report{map[string]truth{"burn": {goroutines * times, 0, 0}}, map[string]int{"total": total}}
}

// A traced function that is called through methods, closures, the library and deferred calls, on several
// goroutines, and that waits in a system call.
package main

import (
	"bufio"
	"fmt"
	"os"
	"sort"
	"strings"
	"syscall"
	"unsafe"
)

var sink int

//go:noinline
func waits(how int) {
	if how == 1 {
		time := syscall.Timespec{Nsec: 1000000}
		syscall.Syscall(syscall.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&time)), 0, 0)
	}
	sink += how
}

type shop interface{ serve(how int) }

type small struct{ count int }

//go:noinline
func (s *small) serve(how int) {
	s.count++
	waits(how)
	sink += s.count
}

type large struct{ numbers [200]int }

// Its receiver is copied, which takes a large frame.
//
//go:noinline
func (l large) serve(how int) {
	waits(how)
	sink += l.numbers[how]
}

//go:noinline
func sorts(how int) {
	numbers := []int{3, 1, 2}
	sort.Slice(numbers, func(i, j int) bool {
		waits(how)
		return numbers[i] < numbers[j]
	})
	sink += numbers[0]
}

//go:noinline
func maps(how int) {
	sink += len(strings.Map(func(r rune) rune { waits(how); return r + 1 }, "ab"))
}

//go:noinline
func defers(how int) {
	defer waits(how)
	sink++
}

//go:noinline
func recovers(how int) {
	defer func() {
		recover()
		waits(how)
	}()
	panic("as asked")
}

//go:noinline
func descends(depth, how int) {
	if depth > 0 {
		descends(depth-1, how)
		sink++
		return
	}
	for _, each := range []shop{&small{}, large{}} {
		each.serve(how)
	}
	sorts(how)
	maps(how)
	defers(how)
	recovers(how)
}

func main() {
	fmt.Printf("ready %d\n", os.Getpid())
	lines := bufio.NewScanner(os.Stdin)
	lines.Scan()
	for how := 0; how < 2; how++ {
		descends(3, how)
		done := make(chan bool)
		go func() {
			descends(1, how)
			done <- true
		}()
		<-done
	}
	fmt.Println(`{"functions":{},"values":{}}`)
	lines.Scan()
}

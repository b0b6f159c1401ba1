// An HTTP server that asks itself over loopback until told "go", and checks each answer: thousands
// of functions, goroutines that come and go, stacks that grow.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"time"
)

type answer struct {
	Number int    `json:"number"`
	Text   string `json:"text"`
}

var hotCalls, slowCalls, served int64

//go:noinline
func hot(x int) int {
	hotCalls++
	return x*3 + 1
}

//go:noinline
func slow() {
	slowCalls++
	time.Sleep(5 * time.Millisecond)
}

//go:noinline
func serve(w http.ResponseWriter, r *http.Request) {
	number := int(atomic.AddInt64(&served, 1))
	_ = json.NewEncoder(w).Encode(answer{number, r.URL.Path})
}

//go:noinline
func ask(client *http.Client, url string, expected int) error {
	response, err := client.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	var got answer
	if err := json.Unmarshal(body, &got); err != nil {
		return err
	}
	if got.Number != expected || got.Text != "/path" {
		return fmt.Errorf("answer %d is %+v", expected, got)
	}
	return nil
}

func main() {
	input := bufio.NewScanner(os.Stdin)
	server := httptest.NewServer(http.HandlerFunc(serve))
	var stop atomic.Bool
	done := make(chan error)
	asked, sum := 0, 0
	go func() {
		for !stop.Load() {
			asked++
			if err := ask(server.Client(), server.URL+"/path", asked); err != nil {
				done <- err
				return
			}
			for i := 0; i < 2000; i++ {
				sum = hot(sum) % 1000003
			}
			slow()
		}
		done <- nil
	}()
	fmt.Printf("ready %d\n", os.Getpid())
	input.Scan()
	stop.Store(true)
	if err := <-done; err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(4)
	}
	expected := 0
	for i := int64(0); i < hotCalls; i++ {
		expected = (expected*3 + 1) % 1000003
	}
	fmt.Printf(`{"functions":{"main.hot":{"calls":%d,"unwound":0,"in_flight":0},"main.slow":{"calls":%d,"unwound":0,"in_flight":0},"main.serve":{"calls":%d,"unwound":0,"in_flight":0}},"values":{"sum":%d,"expected":%d}}`+"\n",
		hotCalls, slowCalls, served, sum, expected)
	input.Scan()
}

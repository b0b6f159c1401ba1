// Go target: runs the scenario named by the first argument, prints its own counts.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
)

type truth struct {
	Calls    int `json:"calls"`
	Unwound  int `json:"unwound"`
	InFlight int `json:"in_flight"`
}

type report struct {
	Functions map[string]truth `json:"functions"`
	Values    map[string]int   `json:"values"`
}

var input = bufio.NewScanner(os.Stdin)

func await(word string) bool {
	for input.Scan() {
		if input.Text() == word {
			return true
		}
	}
	return false
}

func ready() {
	fmt.Printf("ready %d\n", os.Getpid())
	if !await("go") {
		os.Exit(3)
	}
}

func argument(index, otherwise int) int {
	if index+2 < len(os.Args) {
		number, err := strconv.Atoi(os.Args[index+2])
		if err != nil {
			panic(err)
		}
		return number
	}
	return otherwise
}

func main() {
	scenarios := map[string]func() report{
		"calls":     calls,
		"recursion": recursion,
		"panic":     panics,
		"goexit":    goexits,
		"migrate":   migrates,
		"growth":    growth,
		"churn":     churn,
		"open":      open,
		"before":    before,
		"generic":   generics,
		"burn":      burns,
		"steady":    steady,
		"times":     times,
		"collect":   collections,
	}
	name := ""
	if len(os.Args) > 1 {
		name = os.Args[1]
	}
	scenario, found := scenarios[name]
	if !found {
		fmt.Fprintln(os.Stderr, "usage: target SCENARIO [NUMBER...]")
		os.Exit(2)
	}
	text, err := json.Marshal(scenario())
	if err != nil {
		panic(err)
	}
	fmt.Println(string(text))
	await("exit")
}

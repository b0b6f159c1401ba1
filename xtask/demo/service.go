package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	slowGatewayEvery = 50
	lockedRowEvery   = 200
	declineEvery     = 25
)

var errDeclined = errors.New("card declined")

// Item is one line of an order.
type Item struct {
	SKU      string
	Quantity int
	Cents    int
}

// Order is what a customer sends.
type Order struct {
	ID    int
	Items []Item
}

// Service holds what orders share.
type Service struct {
	mutex    sync.Mutex
	stock    map[string]int
	declined atomic.Uint64
}

// NewService makes a service with an empty stock list, which is filled on demand.
func NewService() *Service {
	return &Service{stock: make(map[string]int)}
}

func newOrder(id int) Order {
	items := make([]Item, 1+id%5)
	for index := range items {
		items[index] = Item{
			SKU:      fmt.Sprintf("sku-%03d", (id*7+index*13)%400),
			Quantity: 1 + (id+index)%3,
			Cents:    199 + (id*31+index*17)%9000,
		}
	}
	return Order{ID: id, Items: items}
}

// ProcessOrder is the function to watch.
func (service *Service) ProcessOrder(order Order) error {
	total := priceOrder(order)
	reserveStock(service, order)
	if err := chargeCard(order, total); err != nil {
		service.declined.Add(1)
		releaseStock(service, order)
		return err
	}
	writeReceipt(order, total)
	return nil
}

//go:noinline
func priceOrder(order Order) int {
	total := 0
	for _, item := range order.Items {
		total += item.Cents * item.Quantity
	}
	return total - discount(order, total)
}

//go:noinline
func discount(order Order, total int) int {
	if len(order.Items) > 3 {
		return total / 10
	}
	return 0
}

//go:noinline
func reserveStock(service *Service, order Order) {
	service.mutex.Lock()
	defer service.mutex.Unlock()
	if order.ID%lockedRowEvery == lockedRowEvery-1 {
		waitForRowLock()
	}
	for _, item := range order.Items {
		if service.stock[item.SKU] < item.Quantity {
			service.stock[item.SKU] += 1000
		}
		service.stock[item.SKU] -= item.Quantity
	}
}

//go:noinline
func releaseStock(service *Service, order Order) {
	service.mutex.Lock()
	defer service.mutex.Unlock()
	for _, item := range order.Items {
		service.stock[item.SKU] += item.Quantity
	}
}

// waitForRowLock stands for a database row that somebody else holds.
//
//go:noinline
func waitForRowLock() {
	time.Sleep(8 * time.Millisecond)
}

//go:noinline
func chargeCard(order Order, cents int) error {
	signature := signRequest(order, cents)
	if order.ID%slowGatewayEvery == slowGatewayEvery-1 {
		callGateway(25 * time.Millisecond)
	} else {
		callGateway(time.Duration(300+order.ID%7*50) * time.Microsecond)
	}
	if order.ID%declineEvery == 0 || len(signature) == 0 {
		return errDeclined
	}
	return nil
}

// callGateway stands for a request to a payment provider.
//
//go:noinline
func callGateway(latency time.Duration) {
	time.Sleep(latency)
}

//go:noinline
func signRequest(order Order, cents int) string {
	digest := sha256.Sum256([]byte(fmt.Sprintf("%d:%d", order.ID, cents)))
	for round := 0; round < 40+order.ID%20; round++ {
		digest = sha256.Sum256(digest[:])
	}
	return fmt.Sprintf("%x", digest)
}

//go:noinline
func writeReceipt(order Order, cents int) string {
	lines := make([]string, 0, len(order.Items)+1)
	for _, item := range order.Items {
		lines = append(lines, fmt.Sprintf("%-10s %3d x %8d", item.SKU, item.Quantity, item.Cents))
	}
	sort.Strings(lines)
	return strings.Join(append(lines, fmt.Sprintf("total %d", cents)), "\n")
}

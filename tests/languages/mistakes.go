// What strangers do wrong in Go, by the value of the record.
package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"millstream"
	"millstream/transform"
)

func init() { transform.Each(judge) }

func main() {}

func reads(list []int, index int) int { return list[index] }

func recurses(depth int) int { return recurses(depth+1) + 1 }

func judge(record millstream.Record) millstream.Verdict {
	one := func(value string) millstream.Verdict {
		return millstream.Emit(millstream.Output{Value: []byte(value)})
	}
	switch string(record.Value) {
	case "panics":
		panic("no such customer")
	case "reads beyond":
		return one(fmt.Sprint(reads([]int{1, 2, 3}, len(record.Value))))
	case "reads nil":
		var order *struct{ price int }
		return one(fmt.Sprint(order.price))
	case "fails":
		return millstream.Fail(errors.New("no such item"))
	case "emits to nowhere":
		return millstream.Emit(millstream.Output{Topic: "nowhere"})
	case "logs":
		millstream.Log(millstream.Info, "seen %d", 12)
		fmt.Println("odd")
	case "loops":
		for {
		}
	case "recurses":
		return one(fmt.Sprint(recurses(0)))
	case "takes memory":
		var taken [][]byte
		for {
			taken = append(taken, make([]byte, 1<<20))
			taken[len(taken)-1][0] = 1
		}
	case "waits for nobody":
		<-make(chan int)
	case "starts another":
		told := make(chan string)
		go func() { told <- "from another" }()
		return one(<-told)
	case "sleeps":
		before := time.Now()
		time.Sleep(5 * time.Millisecond)
		return one(fmt.Sprint(time.Since(before) >= 5*time.Millisecond))
	case "tells the time":
		return one(fmt.Sprint(time.Now().Year()))
	case "fetches":
		if _, err := http.Get("http://127.0.0.1:1/"); err != nil {
			return millstream.Fail(err)
		}
	case "opens":
		if _, err := os.ReadFile("/etc/passwd"); err != nil {
			return millstream.Fail(err)
		}
	case "rejects":
		return millstream.Reject("because")
	case "drops":
		return millstream.Drop
	}
	return millstream.Keep
}

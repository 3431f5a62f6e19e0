// Orders before they are stored: what is no order is refused, test orders are dropped, the rest gets its total.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"

	"millstream"
	"millstream/transform"
)

var currency string

func init() {
	transform.Each(judge)
	transform.Open(func() error {
		currency = millstream.Param("currency", "EUR")
		return nil
	})
}

func main() {} // never called

type order struct {
	Price    *int64 `json:"price"`
	Quantity *int64 `json:"quantity"`
	Test     bool   `json:"test"`
}

func judge(record millstream.Record) millstream.Verdict {
	if record.Value == nil { // a tombstone
		return millstream.Keep
	}
	var found order
	if json.Unmarshal(record.Value, &found) != nil || found.Price == nil || found.Quantity == nil {
		return millstream.Reject("price (in cents) and quantity have to be whole numbers")
	}
	if found.Test {
		return millstream.Drop
	}
	// The members that are there stay as they are.
	value := bytes.TrimSuffix(bytes.TrimSpace(record.Value), []byte("}"))
	value = fmt.Appendf(value[:len(value):len(value)], `,"total":%d,"currency":%q}`, *found.Price**found.Quantity, currency)
	return millstream.Emit(millstream.Output{Value: value})
}

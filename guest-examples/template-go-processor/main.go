// Counts the records of each key; every record leads to the new count.
package main

import (
	"strconv"

	"millstream"
	"millstream/processor"
	"millstream/state"
)

var counts = state.Open("counts") // key -> count as decimal text, so that a query shows it as a JSON number

func init() { processor.Each(count) }

func main() {} // never called

func count(record millstream.Record) millstream.Verdict {
	if record.Key == nil {
		return millstream.Drop // leads to nothing
	}
	seen, _ := strconv.ParseInt(string(counts.Get(record.Key)), 10, 64)
	value := strconv.AppendInt(nil, seen+1, 10)
	counts.Put(record.Key, value)
	return millstream.Emit(millstream.Output{Value: value})
}

// Counts the records of each key; every record leads to the new count. Whoever asks is told the count of a key.
package main

import (
	"strconv"

	"millstream"
	"millstream/processor"
	"millstream/query"
	"millstream/state"
)

var counts = state.Open("counts") // key -> count as decimal text, so that a query shows it as a JSON number

func init() {
	processor.Each(count)
	query.Each(countOf)
}

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

// countOf is asked in instances of its own, also while records are processed: each question sees the state of one moment.
func countOf(request []byte) ([]byte, error) {
	if count := counts.Get(request); count != nil {
		return count, nil
	}
	return nil, query.NotFound("this key was never seen")
}

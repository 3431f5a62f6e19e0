// Refuses empty records, drops heartbeats, and puts the rest into upper case.
package main

import (
	"bytes"

	"millstream"
	"millstream/transform"
)

func init() { transform.Each(judge) }

func main() {} // never called

func judge(record millstream.Record) millstream.Verdict {
	switch {
	case record.Value == nil: // a tombstone
		return millstream.Keep
	case len(record.Value) == 0:
		return millstream.Reject("the value is empty")
	case string(record.Value) == "heartbeat":
		return millstream.Drop
	}
	return millstream.Emit(millstream.Output{Value: bytes.ToUpper(record.Value)})
}

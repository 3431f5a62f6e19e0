// Package millstream is for code that runs inside Millstream, as plain functions. A transform judges one record at a time,
// before it is stored:
//
//	func init() { transform.Each(judge) }
//	func main() {} // never called
//
//	func judge(record millstream.Record) millstream.Verdict {
//		if string(record.Value) == "heartbeat" {
//			return millstream.Drop
//		}
//		return millstream.Keep
//	}
//
// A processor turns records into state and outputs, topic to topic: see the packages processor, state, timed and query. What is
// imported of them decides what the server calls. There is no network and no file; what is printed goes to the
// deployment's log. A panic is a fault of the record at hand.
package millstream

import (
	"fmt"
	"iter"

	"millstream/internal/abi"
)

// Record is a record that comes in. Its bytes may be kept, but not changed.
type Record struct {
	Topic     uint32 // index among the deployment's inputs
	Partition uint32
	Offset    uint64 // before the record is stored: its index in its batch
	Timestamp int64  // milliseconds since 1970
	Key       []byte // nil: null
	Value     []byte // nil: a tombstone
	headers   []byte
}

// Header is a name and bytes; nil is a header without a value.
type Header = abi.Header

// Headers are those of the record in their order.
func (r Record) Headers() iter.Seq[Header] { return abi.Headers(r.headers) }

// Header is the first header of this name.
func (r Record) Header(name string) ([]byte, bool) {
	for header := range r.Headers() {
		if header.Name == name {
			return header.Value, true
		}
	}
	return nil, false
}

// Null is a key or a value that is null, where nil means: as the source has it.
var Null = abi.Null

// Output is a record to emit; what is left out is as the source has it. An output of a timer has no source.
type Output struct {
	Key       []byte
	Value     []byte // Null: a tombstone
	Headers   []Header
	Timestamp int64  // milliseconds since 1970; 0: the source's
	Topic     string // a route of the deployment
}

// Verdict is what code says of a record.
type Verdict struct {
	action  abi.Action
	reason  string
	outputs []Output
}

var (
	// Keep passes the record on as it is.
	Keep = Verdict{action: abi.Keep}
	// Drop leaves the record out; it leads to nothing.
	Drop = Verdict{action: abi.Drop}
)

// Reject refuses the record, with a reason for its producer. In a processor the same as Fail.
func Reject(reason string) Verdict { return Verdict{action: abi.Reject, reason: reason} }

// Fail is a fault of this record or timer; `on_error` of the deployment decides about it.
func Fail(err error) Verdict { return Verdict{action: abi.Fail, reason: err.Error()} }

// Emit gives these records instead.
func Emit(outputs ...Output) Verdict { return Verdict{action: abi.Emit, outputs: outputs} }

// Param is a parameter of the deployment, or what stands in for it.
func Param(name, otherwise string) string {
	if found, is := abi.Param(name); is {
		return found
	}
	return otherwise
}

// Level is that of a line of the log.
type Level uint32

const (
	Trace Level = iota
	Debug
	Info
	Warn
	Error
)

// Log writes a line to the deployment's log.
func Log(level Level, format string, parts ...any) {
	abi.Log(uint32(level), fmt.Sprintf(format, parts...))
}

// For the packages beside this one.

// FromInput is the record of an entry.
func FromInput(input abi.Input) Record {
	return Record{input.Topic, input.Partition, input.Offset, input.Timestamp, input.Key, input.Value, input.Headers}
}

// Packed hands a verdict on.
func (v Verdict) Packed() abi.Verdict {
	packed := abi.Verdict{Action: v.action, Reason: v.reason}
	for _, o := range v.outputs {
		packed.Outputs = append(packed.Outputs, abi.Output(o))
	}
	return packed
}

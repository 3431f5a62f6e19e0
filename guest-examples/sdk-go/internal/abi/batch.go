package abi

import (
	"encoding/binary"
	"iter"
	"unsafe"
)

// Input is a record as it is handed over.
type Input struct {
	Topic, Partition    uint32
	Offset              uint64
	Timestamp           int64
	Key, Value, Headers []byte
}

// Output is a record as it is handed back.
type Output struct {
	Key, Value []byte
	Headers    []Header
	Timestamp  int64
	Topic      string
}

// Header is a name and bytes; nil is a header without a value.
type Header struct {
	Name  string
	Value []byte
}

// Null is told from other empty bytes by where it lies.
var Null = make([]byte, 0, 1)

// Action is what becomes of a record.
type Action uint32

const (
	Keep Action = iota
	Emit
	Reject
	Drop
	Fail
)

// Verdict is what code says of a record or timer.
type Verdict struct {
	Action  Action
	Reason  string
	Outputs []Output
}

// lengths that are none
const (
	isNull     = -1
	fromSource = -2
)

// entryIn is `entry-in` of the WIT.
type entryIn struct {
	topic, partition uint32
	offset           uint64
	timestamp        int64
	key, value       int32
	headers          uint32
}

// Inputs are the records of a batch.
func Inputs(entries unsafe.Pointer, count uint32, data unsafe.Pointer, size uint32) iter.Seq2[int, Input] {
	bytes := unsafe.Slice((*byte)(data), size)
	take := func(size int32) []byte {
		if size < 0 {
			return nil
		}
		taken := bytes[:size:size]
		bytes = bytes[size:]
		return taken
	}
	return func(yield func(int, Input) bool) {
		for i, e := range unsafe.Slice((*entryIn)(entries), count) {
			input := Input{e.topic, e.partition, e.offset, e.timestamp, take(e.key), take(e.value), take(int32(e.headers))}
			if !yield(i, input) {
				return
			}
		}
	}
}

// Headers are packed as: length of the name, name, length of the value, value.
func Headers(packed []byte) iter.Seq[Header] {
	return func(yield func(Header) bool) {
		for rest := packed; len(rest) >= 2; {
			size := int(binary.LittleEndian.Uint16(rest))
			header := Header{Name: string(rest[2 : 2+size])}
			rest = rest[2+size:]
			size = int(int32(binary.LittleEndian.Uint32(rest)))
			rest = rest[4:]
			if size >= 0 {
				header.Value, rest = rest[:size:size], rest[size:]
			}
			if !yield(header) {
				return
			}
		}
	}
}

// entryOut is `entry-out` of transform-packed, and of processor-packed without the action.
type entryOut interface{ transformed | processed }

type transformed struct {
	source, action, topic uint32
	_                     uint32
	hasTime               uint64
	time                  int64
	key, value, headers   int32
	_                     uint32
}

type processed struct {
	source              int32
	topic               uint32
	hasTime             uint64
	time                int64
	key, value, headers int32
	_                   uint32
}

// Batch is what comes of a call. Its memory is used again by the next.
type Batch[E entryOut] struct {
	entries []E
	data    []byte
	answer  [5]uint32
	why     string
}

type (
	// Transformed is what comes of a batch of a transform.
	Transformed = Batch[transformed]
	// Processed is what comes of a batch of a processor, and of timers.
	Processed = Batch[processed]
)

func (b *Batch[E]) begin() { b.entries, b.data = b.entries[:0], b.data[:0] }

func (b *Batch[E]) add(source int32, action Action, output *Output) {
	var entry any
	hasTime := uint64(0)
	if output.Timestamp != 0 {
		hasTime = 1
	}
	topic := route(output.Topic)
	none := int32(fromSource)
	if source < 0 {
		none = isNull
	}
	key, value, headers := b.put(output.Key, none), b.put(output.Value, none), b.putHeaders(output.Headers)
	var zero E
	switch any(zero).(type) {
	case transformed:
		entry = transformed{uint32(source), uint32(action), topic, 0, hasTime, output.Timestamp, key, value, headers, 0}
	case processed:
		entry = processed{source, topic, hasTime, output.Timestamp, key, value, headers, 0}
	}
	b.entries = append(b.entries, entry.(E))
}

func (b *Batch[E]) put(bytes []byte, none int32) int32 {
	if bytes == nil {
		return none
	}
	if cap(bytes) == 1 && unsafe.SliceData(bytes) == unsafe.SliceData(Null) {
		return isNull
	}
	b.data = append(b.data, bytes...)
	return int32(len(bytes))
}

func (b *Batch[E]) putHeaders(headers []Header) int32 {
	if headers == nil {
		return fromSource
	}
	from := len(b.data)
	for _, header := range headers {
		b.data = binary.LittleEndian.AppendUint16(b.data, uint16(len(header.Name)))
		b.data = append(b.data, header.Name...)
		size := int32(isNull)
		if header.Value != nil {
			size = int32(len(header.Value))
		}
		b.data = binary.LittleEndian.AppendUint32(b.data, uint32(size))
		b.data = append(b.data, header.Value...)
	}
	return int32(len(b.data) - from)
}

// failed is a fault of the record or timer with this index.
func (b *Batch[E]) failed(index int, why string) unsafe.Pointer {
	b.why = why
	at, size := Text(b.why)
	const ofOne = 2
	b.answer = [5]uint32{1, ofOne, uint32(index), address(at), size}
	return unsafe.Pointer(&b.answer)
}

func (b *Batch[E]) done() unsafe.Pointer {
	data, size := At(b.data)
	entries := unsafe.Pointer(&nothing)
	if len(b.entries) > 0 {
		entries = unsafe.Pointer(unsafe.SliceData(b.entries))
	}
	b.answer = [5]uint32{0, address(entries), uint32(len(b.entries)), address(data), size}
	return unsafe.Pointer(&b.answer)
}

// Run asks `judge` about everything in a call and packs what it says. `of` gives the source of an index, -1 for none.
func Run[E entryOut, T any](b *Batch[E], all iter.Seq2[int, T], of func(int) int32, judge func(T) Verdict) (answer unsafe.Pointer) {
	b.begin()
	at := 0
	defer func() {
		if what := recover(); what != nil {
			answer = b.failed(at, words(what))
		}
	}()
	var zero E
	_, isTransform := any(zero).(transformed)
	for index, one := range all {
		at = index
		verdict := judge(one)
		action := verdict.Action
		if action == Reject && !isTransform {
			action = Fail
		}
		switch action {
		case Keep:
			b.add(of(index), Keep, &Output{})
		case Emit:
			for i := range verdict.Outputs {
				b.add(of(index), Emit, &verdict.Outputs[i])
			}
		case Reject:
			b.add(of(index), Reject, &Output{Value: []byte(verdict.Reason)})
		case Fail:
			return b.failed(index, verdict.Reason)
		}
	}
	return b.done()
}

// Source is that of records.
func Source(index int) int32 { return int32(index) }

// NoSource is that of timers.
func NoSource(int) int32 { return -1 }

// Counts the records of each key by the minute, by their timestamps. A minute's counts are told when it is over: when no
// record of it is expected any more.
package main

import (
	"encoding/binary"
	"fmt"

	"millstream"
	"millstream/processor"
	"millstream/state"
	"millstream/timed"
)

const minute = 60_000

var counts = state.Open("counts") // start of the minute, then the key -> count

func init() {
	processor.Each(count)
	timed.Each(tell)
}

func main() {} // never called

func count(record millstream.Record) millstream.Verdict {
	if record.Key == nil {
		return millstream.Drop // leads to nothing
	}
	start := record.Timestamp / minute * minute
	end := start + minute
	if watermark, is := timed.EventTime.Now(); is && end <= watermark {
		return millstream.Drop // this minute has been told
	}
	name := append(binary.BigEndian.AppendUint64(nil, uint64(start)), record.Key...)
	seen := countOf(name)
	if seen == 0 {
		timed.EventTime.Set(name, end)
	}
	counts.Put(name, binary.BigEndian.AppendUint64(nil, seen+1))
	return millstream.Drop
}

// When a minute of a key is over. State, timers and outputs of a call are one commit.
func tell(timer timed.Timer) millstream.Verdict {
	seen := countOf(timer.Name)
	counts.Delete(timer.Name)
	value := fmt.Appendf(nil, `{"start":%d,"count":%d}`, timer.At-minute, seen)
	return millstream.Emit(millstream.Output{Key: timer.Name[8:], Value: value, Timestamp: timer.At - 1})
}

func countOf(name []byte) uint64 {
	if stored := counts.Get(name); stored != nil {
		return binary.BigEndian.Uint64(stored)
	}
	return 0
}

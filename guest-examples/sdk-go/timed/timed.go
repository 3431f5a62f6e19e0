// Package timed makes a processor one that is called again when time has come so far. What is set and cancelled commits
// together with the outputs of the call, or not at all.
package timed

import (
	"iter"
	"unsafe"

	"millstream"
	"millstream/internal/abi"
)

//go:wasmimport millstream:functions/timers@0.1.0 set
func hostSet(clock uint32, name unsafe.Pointer, size uint32, at int64)

//go:wasmimport millstream:functions/timers@0.1.0 cancel
func hostCancel(clock uint32, name unsafe.Pointer, size uint32)

//go:wasmimport millstream:functions/timers@0.1.0 now
func hostNow(clock uint32, found unsafe.Pointer)

// Clock is what moves timers on.
type Clock uint32

const (
	// EventTime is moved by the timestamps of the records, as the task's watermark.
	EventTime Clock = iota
	// Wall is the server's clock.
	Wall
)

// Set sets the timer of this name (at most 1024 bytes), or moves it. It fires once, after the call in which this clock has
// reached `at` (milliseconds since 1970); at once when it is there already.
func (c Clock) Set(name []byte, at int64) {
	nameAt, size := abi.At(name)
	hostSet(uint32(c), nameAt, size, at)
}

// Cancel cancels a timer; one that is not set is no error.
func (c Clock) Cancel(name []byte) {
	at, size := abi.At(name)
	hostCancel(uint32(c), at, size)
}

// Now is the clock's time, fixed while a call lasts; false when there is no watermark yet.
func (c Clock) Now() (int64, bool) {
	var found struct{ some, at int64 }
	hostNow(uint32(c), unsafe.Pointer(&found))
	return found.at, found.some&1 == 1
}

// Timer is a timer that is due, as it was set.
type Timer struct {
	Clock Clock
	Name  []byte
	At    int64
}

var (
	each func(Timer) millstream.Verdict
	made abi.Processed
)

// Each asks `tell` what a timer that is due leads to: Emit or Drop. An output without a timestamp has the time of the last
// timer of the call. Call it in `init`.
func Each(tell func(Timer) millstream.Verdict) { each = tell }

type entry struct {
	clock, name, size, _ uint32
	at                   int64
}

func timers(due unsafe.Pointer, count uint32) iter.Seq2[int, Timer] {
	return func(yield func(int, Timer) bool) {
		for i, e := range unsafe.Slice((*entry)(due), count) {
			if !yield(i, Timer{Clock(e.clock & 0xff), abi.Bytes(e.name, e.size), e.at}) {
				return
			}
		}
	}
}

//go:wasmexport millstream:functions/on-timer-packed@0.1.0#on-timer
func onTimer(due unsafe.Pointer, count uint32) unsafe.Pointer {
	return abi.Run(&made, timers(due, count), abi.NoSource, func(timer Timer) abi.Verdict {
		return each(timer).Packed()
	})
}

// The server has read the answer.
//
//go:wasmexport cabi_post_millstream:functions/on-timer-packed@0.1.0#on-timer
//go:nosplit
func afterOnTimer(unsafe.Pointer) { abi.Over() }

// Package processor is for code that turns records into state and outputs, topic to topic. State, outputs and the position are
// one commit.
package processor

import (
	"unsafe"

	"millstream"
	"millstream/internal/abi"
)

var (
	each  func(millstream.Record) millstream.Verdict
	start func() error
	made  abi.Processed
)

// Each asks `judge` what every record leads to: Emit, Keep (the record itself) or Drop. Call it in `init`.
func Each(judge func(millstream.Record) millstream.Verdict) { each = judge }

// Open is called once per instance, before the first record: read parameters there. An error stops the deployment.
func Open(open func() error) { start = open }

//go:wasmexport millstream:functions/processor-packed@0.1.0#open
func open() unsafe.Pointer { return abi.Open("processor.Each", each != nil, start) }

// The server has read the answer.
//
//go:wasmexport cabi_post_millstream:functions/processor-packed@0.1.0#open
//go:nosplit
func afterOpen(unsafe.Pointer) { abi.Over() }

//go:wasmexport millstream:functions/processor-packed@0.1.0#process
func process(entries unsafe.Pointer, count uint32, data unsafe.Pointer, size uint32) unsafe.Pointer {
	return abi.Run(&made, abi.Inputs(entries, count, data, size), abi.Source, func(input abi.Input) abi.Verdict {
		return each(millstream.FromInput(input)).Packed()
	})
}

// The server has read the answer.
//
//go:wasmexport cabi_post_millstream:functions/processor-packed@0.1.0#process
//go:nosplit
func afterProcess(unsafe.Pointer) { abi.Over() }

// Package query makes a processor answer questions about what it keeps, in instances of its own, also while records are
// processed. A question sees the stores as they were committed at one moment, and cannot change them.
package query

import (
	"errors"
	"unsafe"

	"millstream/internal/abi"
)

var (
	answer func([]byte) ([]byte, error)
	start  func() error
)

// NotFound is the error of a question whose object is not there, with the reason.
type NotFound string

func (e NotFound) Error() string { return string(e) }

// BadRequest is the error of a question that makes no sense, with the reason.
type BadRequest string

func (e BadRequest) Error() string { return string(e) }

// Each asks `ask` for the answer to every request. What it fails with, but for NotFound and BadRequest and what wraps them, is
// told as a failure, and so is a panic. Call it in `init`.
func Each(ask func(request []byte) ([]byte, error)) { answer = ask }

// Open is called once per instance, before the first question; the processor's own is not called there.
func Open(open func() error) { start = open }

//go:wasmexport millstream:functions/query@0.1.0#open
func open() unsafe.Pointer { return abi.Open("query.Each", answer != nil, start) }

// The server has read the answer.
//
//go:wasmexport cabi_post_millstream:functions/query@0.1.0#open
//go:nosplit
func afterOpen(unsafe.Pointer) { abi.Over() }

//go:wasmexport millstream:functions/query@0.1.0#query
func query(request unsafe.Pointer, size uint32) unsafe.Pointer {
	return abi.Query(unsafe.Slice((*byte)(request), size), func(request []byte) ([]byte, abi.Failure, error) {
		found, err := answer(request)
		var bad BadRequest
		var missing NotFound
		switch {
		case errors.As(err, &bad):
			return nil, abi.BadRequest, err
		case errors.As(err, &missing):
			return nil, abi.NotFound, err
		default:
			return found, abi.Failed, err
		}
	})
}

// The server has read the answer.
//
//go:wasmexport cabi_post_millstream:functions/query@0.1.0#query
//go:nosplit
func afterQuery(unsafe.Pointer) { abi.Over() }

// Package abi speaks the packed forms of wit/millstream.wit by the canonical ABI of WebAssembly components. Pointers are 32
// bits wide there, while Go's have 64.
package abi

import "unsafe"

// kept is what the server was given to write to in this call: nothing else points to it yet.
var kept [][]byte

var nothing [2]uint64

// Nothing outside may be called while the server hands something over or takes an answer, and Go's runtime looks at its clocks
// where it asks for memory, grows a stack or collects garbage. The clocks stand still between hold(1) and hold(0).
//
//go:wasmimport wasi_snapshot_preview1 hold
//go:noescape
func hold(held uint32)

// Where the server puts what it hands over. Without a look at the stack, which would come before hold.
//
//go:wasmexport cabi_realloc
//go:nosplit
func realloc(old unsafe.Pointer, oldLen, align, size uint32) unsafe.Pointer {
	hold(1)
	made := room(old, oldLen, size)
	hold(0)
	return made
}

// A size is a multiple of its alignment, which is how Go aligns.
//
//go:noinline
func room(old unsafe.Pointer, oldLen, size uint32) unsafe.Pointer {
	if size == 0 {
		return unsafe.Pointer(&nothing)
	}
	made := make([]byte, size)
	if old != nil {
		copy(made, unsafe.Slice((*byte)(old), oldLen))
	}
	kept = append(kept, made)
	return unsafe.Pointer(unsafe.SliceData(made))
}

// Over ends a call: the server has read its answer.
//
//go:nosplit
func Over() {
	hold(1)
	forget()
	hold(0)
}

//go:noinline
func forget() {
	clear(kept)
	kept = kept[:0]
}

// Bytes are at a pointer that the server was given by realloc.
func Bytes(at, size uint32) []byte {
	if size == 0 {
		return []byte{}
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(uintptr(at))), size)
}

// At is where bytes lie, for the server to read before the call is over.
func At(bytes []byte) (unsafe.Pointer, uint32) {
	if len(bytes) == 0 {
		return unsafe.Pointer(&nothing), 0
	}
	return unsafe.Pointer(unsafe.SliceData(bytes)), uint32(len(bytes))
}

// Text is At for text.
func Text(text string) (unsafe.Pointer, uint32) {
	return At(unsafe.Slice(unsafe.StringData(text), len(text)))
}

func address(at unsafe.Pointer) uint32 { return uint32(uintptr(at)) }

// Package state is the keyed memory of a processor. What is put commits together with the outputs of the batch, or not at
// all.
package state

import (
	"unsafe"

	"millstream/internal/abi"
)

//go:wasmimport millstream:functions/state@0.1.0 [constructor]store
func hostOpen(name unsafe.Pointer, size uint32) int32

//go:wasmimport millstream:functions/state@0.1.0 [method]store.get
func hostGet(store int32, key unsafe.Pointer, size uint32, found unsafe.Pointer)

//go:wasmimport millstream:functions/state@0.1.0 [method]store.put
func hostPut(store int32, key unsafe.Pointer, size uint32, value unsafe.Pointer, valueSize uint32)

//go:wasmimport millstream:functions/state@0.1.0 [method]store.delete
func hostDelete(store int32, key unsafe.Pointer, size uint32)

//go:wasmimport millstream:functions/state@0.1.0 [method]store.scan
func hostScan(store int32, start unsafe.Pointer, size uint32, hasEnd uint32, end unsafe.Pointer, endSize uint32, limit uint32, found unsafe.Pointer)

// Store is a named store of the deployment. Keys are ordered bytewise.
type Store struct {
	name   string
	handle int32
	isOpen bool
}

// Open gives the store of this name; it may stand at the top of a file, for it is opened at its first use.
func Open(name string) *Store { return &Store{name: name} }

func (s *Store) open() int32 {
	if !s.isOpen {
		s.handle, s.isOpen = hostOpen(abi.Text(s.name)), true
	}
	return s.handle
}

// Get is nil when there is nothing.
func (s *Store) Get(key []byte) []byte {
	var found abi.Option
	at, size := abi.At(key)
	hostGet(s.open(), at, size, unsafe.Pointer(&found))
	return found.Get()
}

func (s *Store) Put(key, value []byte) {
	at, size := abi.At(key)
	valueAt, valueSize := abi.At(value)
	hostPut(s.open(), at, size, valueAt, valueSize)
}

func (s *Store) Delete(key []byte) {
	at, size := abi.At(key)
	hostDelete(s.open(), at, size)
}

// Entry is a key and its value.
type Entry struct{ Key, Value []byte }

// Scan gives at most `limit` entries in the order of their keys, from `start` on and before `end`; end nil: to the last key.
func (s *Store) Scan(start, end []byte, limit uint32) []Entry {
	var list abi.Pair
	at, size := abi.At(start)
	endAt, endSize := abi.At(end)
	hasEnd := uint32(0)
	if end != nil {
		hasEnd = 1
	}
	hostScan(s.open(), at, size, hasEnd, endAt, endSize, limit, unsafe.Pointer(&list))
	entries := make([]Entry, list.Size)
	for i := range entries {
		pairs := (*[2]abi.Pair)(unsafe.Pointer(uintptr(list.At) + uintptr(i)*16))
		entries[i] = Entry{abi.Bytes(pairs[0].At, pairs[0].Size), abi.Bytes(pairs[1].At, pairs[1].Size)}
	}
	return entries
}

package abi

import "unsafe"

//go:wasmimport millstream:functions/log@0.1.0 write
func hostLog(level uint32, text unsafe.Pointer, size uint32)

//go:wasmimport millstream:functions/config@0.1.0 get
func hostParam(name unsafe.Pointer, size uint32, found unsafe.Pointer)

//go:wasmimport millstream:functions/config@0.1.0 outputs
func hostOutputs(found unsafe.Pointer)

// Option is an option of bytes, as the server writes it.
type Option struct{ some, at, size uint32 }

// Get are the bytes; nil when there are none.
func (o *Option) Get() []byte {
	if o.some&1 == 0 {
		return nil
	}
	return Bytes(o.at, o.size)
}

// Pair is a list of bytes, as the server writes it.
type Pair struct{ At, Size uint32 }

// Log writes a line to the deployment's log.
func Log(level uint32, text string) {
	at, size := Text(text)
	hostLog(level, at, size)
}

// Param is a parameter of the deployment.
func Param(name string) (string, bool) {
	var found Option
	at, size := Text(name)
	hostParam(at, size, unsafe.Pointer(&found))
	value := found.Get()
	return string(value), value != nil
}

// routes are the outputs by their names; fixed while an instance lives.
var routes map[string]uint32

func route(name string) uint32 {
	if name == "" {
		return 0
	}
	if routes == nil {
		var list Pair
		hostOutputs(unsafe.Pointer(&list))
		routes = map[string]uint32{}
		for i := range list.Size {
			name := (*Pair)(unsafe.Pointer(uintptr(list.At + i*8)))
			routes[string(Bytes(name.At, name.Size))] = i + 1
		}
	}
	found, is := routes[name]
	if !is {
		panic("the deployment has no route `" + name + "`")
	}
	return found
}

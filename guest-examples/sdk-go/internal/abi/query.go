package abi

import (
	"errors"
	"unsafe"
)

// Failure is a case of `query.error` of the WIT.
type Failure uint32

const (
	BadRequest Failure = iota
	NotFound
	Failed
)

// The answer of a query lies here until the server has read it.
var replied struct {
	reply [4]uint32
	bytes []byte
}

// Query runs code for one request.
func Query(request []byte, ask func([]byte) ([]byte, Failure, error)) (reply unsafe.Pointer) {
	defer func() {
		if what := recover(); what != nil {
			reply = replyWith(nil, Failed, errors.New(words(what)))
		}
	}()
	return replyWith(ask(request))
}

func replyWith(answer []byte, failure Failure, err error) unsafe.Pointer {
	replied.bytes = answer
	if err != nil {
		replied.bytes = []byte(err.Error())
	}
	at, size := At(replied.bytes)
	if err != nil {
		replied.reply = [4]uint32{1, uint32(failure), address(at), size}
	} else {
		replied.reply = [4]uint32{0, address(at), size}
	}
	return unsafe.Pointer(&replied.reply)
}

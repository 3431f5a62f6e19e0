package abi

import (
	"fmt"
	"runtime"
	"strings"
	"unsafe"
)

var opened struct {
	answer [3]uint32
	why    string
}

// Open runs what an instance begins with. `each` is what the code must have called by then.
func Open(each string, isCalled bool, open func() error) (answer unsafe.Pointer) {
	opened.answer = [3]uint32{}
	if !isCalled {
		return notOpened("the code does not say what is to be done: func init() { " + each + "(…) }")
	}
	defer func() {
		if what := recover(); what != nil {
			answer = notOpened(words(what))
		}
	}()
	if open == nil {
		return unsafe.Pointer(&opened.answer)
	}
	if err := open(); err != nil {
		return notOpened(err.Error())
	}
	return unsafe.Pointer(&opened.answer)
}

func notOpened(why string) unsafe.Pointer {
	opened.why = why
	at, size := Text(opened.why)
	opened.answer = [3]uint32{1, address(at), size}
	return unsafe.Pointer(&opened.answer)
}

// words are a panic's, with the calls of the code that led to it.
func words(what any) string {
	var told strings.Builder
	fmt.Fprint(&told, what)
	var callers [32]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(3, callers[:])])
	for {
		frame, more := frames.Next()
		if isOurs(frame.Function) {
			return told.String()
		}
		if !strings.HasPrefix(frame.Function, "runtime.") {
			fmt.Fprintf(&told, "\n    at %s (%s:%d)", frame.Function, frame.File, frame.Line)
		}
		if !more {
			return told.String()
		}
	}
}

// isOurs tells the functions that call the code.
func isOurs(function string) bool {
	for _, name := range []string{"Run", "Open", "Query"} {
		if strings.HasPrefix(function, "millstream/internal/abi."+name) {
			return true
		}
	}
	return false
}

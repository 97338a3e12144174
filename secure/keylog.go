package secure

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"
)

// keyLog is Config.KeyLog as crypto/tls has it. That calls it under a lock of the whole process,
// which stays locked if the call doesn't return: so whatever the program's own function does,
// it does on a goroutine of its own.
type keyLog struct{ to io.Writer }

// newKeyLog is nil without one: crypto/tls asks for that.
func newKeyLog(to io.Writer) io.Writer {
	if to == nil {
		return nil
	}
	return keyLog{to}
}

var errKeyLogGoexit = errors.New("runtime.Goexit was called in the KeyLog")

// Write implements io.Writer.
func (l keyLog) Write(p []byte) (n int, err error) {
	err = errKeyLogGoexit // unless l.to returns
	written := make(chan struct{})
	go func() {
		defer close(written)
		defer func() {
			if v := recover(); v != nil {
				err = fmt.Errorf("panic in the KeyLog: %v\n%s", v, debug.Stack())
			}
		}()
		n, err = l.to.Write(p)
	}()
	<-written
	return n, err
}

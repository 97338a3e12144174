package server_test

import (
	"strings"
	"testing"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/server"
)

type misspelt struct{ server.BaseCallback }

func (*misspelt) OnReadComplete(*conn.Stream, *buffers.Buffer) {}

type misspeltWrite struct{ server.BaseCallback }

func (misspeltWrite) OnWriteComplete(*conn.Stream, *buffers.Buffer) {}

type misdeclared struct{ server.BaseCallback }

func (misdeclared) OnWriteCompleted(*conn.Stream, []byte) {}

type outer struct{ misspelt }

type ownMethods struct{ server.BaseCallback }

func (ownMethods) OnTick()                                        {} // nobody's name
func (ownMethods) On()                                            {}
func (ownMethods) onReadComplete()                                {}
func (ownMethods) OnWriteCompleted(*conn.Stream, *buffers.Buffer) {}

// DESIGN: New refuses an unknown On… method within two letters of a callback, and a
// WriteCallback that isn't one.
func TestMisspeltCallbacks(t *testing.T) {
	tests := []struct {
		cb   server.Callback
		want string
	}{
		{&misspelt{}, "*server_test.misspelt has OnReadComplete; did you mean OnReadCompleted?"},
		{misspeltWrite{}, "did you mean OnWriteCompleted?"},
		{misdeclared{}, "OnWriteCompleted(c *conn.Stream, b *buffers.Buffer)"},
		{&outer{}, "*server_test.outer has OnReadComplete"},
	}
	for _, tt := range tests {
		if _, err := server.New(server.Config{Callback: tt.cb}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%T: %v, want %s", tt.cb, err, tt.want)
		}
	}
	ownMethods{}.onReadComplete()
	if _, err := server.New(server.Config{Callback: ownMethods{}}); err != nil {
		t.Error(err)
	}
}

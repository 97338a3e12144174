package engine

import (
	"testing"
	"unsafe"
)

// DESIGN: sizeof(stream) ≤ 256 bytes.
func TestConnIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(Conn{}); n > 256 {
		t.Errorf("sizeof(Conn) = %d, want at most 256", n)
	} else {
		t.Logf("sizeof(Conn) = %d", n)
	}
}

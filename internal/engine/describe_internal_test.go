package engine

import (
	"strings"
	"testing"
)

// Every flag and every kind of work has the name that the source gives it.
func TestNames(t *testing.T) {
	if got := moved.String(); got != "moved" {
		t.Errorf("the last flag is called %q", got)
	}
	if got := (readable | refused).String(); got != "readable refused" {
		t.Errorf("two flags are called %q", got)
	}
	if got := doRelease.String(); got != "release" || int(doRelease) != len(workNames)-1 {
		t.Errorf("the last work is called %q", got)
	}
}

func TestDescribe(t *testing.T) {
	c := &Conn{shard: &Shard{env: &Env{}}, flow: &defaultFlow}
	c.extLocked().waitsFor = &gate{of: &Conn{id: 7}}
	c.ext.gate = &gate{}
	c.read = readOp{kind: readFull, need: 3}
	for _, part := range []string{"idle", "reads (of 3)", "connection 7", "to do: open"} {
		if got := c.Describe(); !strings.Contains(got, part) {
			t.Errorf("%q isn't in %q", part, got)
		}
	}
}

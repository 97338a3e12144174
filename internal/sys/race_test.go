//go:build race

package sys_test

import (
	"bytes"
	"os"
	"os/exec"
	"testing"
)

// DESIGN, Raw calls: race builds annotate the ranges, or the detector can't see what
// a raw call touches.
func TestRaceDetectorSeesRawCalls(t *testing.T) {
	calls := map[string]func(a, b int, p []byte){
		"Recv":  func(_, b int, p []byte) { receive(t, b, p) },
		"Send":  func(a, _ int, p []byte) { kernel.Send(a, p) },
		"Sendv": func(a, _ int, p []byte) { kernel.Sendv(a, [][]byte{p}) },
	}
	if name := os.Getenv("SLUICE_TEST_RACE"); name != "" {
		a, b, _ := unixPair(t)
		send(t, a, []byte("x"))
		p := make([]byte, 8)
		done := make(chan struct{})
		go func() {
			p[0] = 1 // races with the call, which nothing orders
			close(done)
		}()
		calls[name](a, b, p)
		<-done
		return
	}
	for name := range calls {
		t.Run(name, func(t *testing.T) {
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRaceDetectorSeesRawCalls$")
			child.Env = append(os.Environ(), "SLUICE_TEST_RACE="+name, "GORACE=halt_on_error=0")
			out, err := child.CombinedOutput()
			if err == nil || !bytes.Contains(out, []byte("DATA RACE")) {
				t.Errorf("no race was found: %v\n%s", err, out)
			}
		})
	}
}

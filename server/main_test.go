package server_test

import (
	"fmt"
	"net"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// childVariable names the program that this test binary is to be instead of a test run.
const childVariable = "SLUICE_SERVER_TEST_CHILD"

func TestMain(m *testing.M) {
	if name := os.Getenv(childVariable); name != "" {
		run := children[name]
		if run == nil {
			fmt.Fprintf(os.Stderr, "no child program %q\n", name)
			os.Exit(2)
		}
		if err := run(); err != nil {
			fmt.Fprintln(os.Stderr, name+":", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	warmUp()
	goleak.VerifyTestMain(m)
}

// warmUp has the runtime open what it opens once, so that counts of descriptors begin
// behind it.
func warmUp() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return
	}
	defer l.Close()
	if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
		c.Close()
	}
}

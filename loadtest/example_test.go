package loadtest_test

import (
	"context"
	"fmt"
	"io"
	"net"

	"github.com/sluice-net/sluice/loadtest"
	"github.com/sluice-net/sluice/loadtest/result"
)

// A thousand messages, each of which is verified.
func ExampleRun() {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	go func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c)
				c.Close()
			}()
		}
	}()

	target, err := loadtest.ParseTarget("tcp://" + server.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	r, err := loadtest.Run(context.Background(), loadtest.Load{
		Targets:     []loadtest.Target{target},
		Connections: 5,
		Messages:    1000,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	total := r.Total()
	fmt.Println(total.Received, "replies,", total.Failed(), "errors,",
		total.Histograms[result.RoundTrip].Count(), "round trips measured")
	// Output: 1000 replies, 0 errors, 1000 round trips measured
}

// upper is the protocol of a server that answers lines in upper case.
type upper struct{ loadtest.Line }

func (u upper) CheckReply(m loadtest.Message, b []byte) (int, error) {
	want := u.AppendRequest(nil, m)
	n := min(len(b), len(want))
	for i := range n {
		c := want[i]
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		if b[i] != c {
			return 0, fmt.Errorf("byte %d is %q instead of %q", i, b[i], c)
		}
	}
	if n < len(want) {
		return 0, nil // more is needed
	}
	return n, nil
}

// A protocol of one's own: a Codec that changes one of those that are there.
func ExampleCodec() {
	codec := upper{loadtest.Line{Payload: loadtest.Text}}
	m := loadtest.Message{Connection: 1, Sequence: 2, Size: 40}
	request := codec.AppendRequest(nil, m)
	_, err := codec.CheckReply(m, request)
	fmt.Printf("%d bytes, echoed as they are: %v\n", len(request), err)
	// Output: 41 bytes, echoed as they are: byte 32 is 'o' instead of 'O'
}

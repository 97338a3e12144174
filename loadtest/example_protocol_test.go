package loadtest_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"

	"github.com/sluice-net/sluice/loadtest"
	"github.com/sluice-net/sluice/loadtest/result"
)

// A load that speaks a protocol of one's own, upper of [ExampleCodec]; what it found is
// judged by objectives.
func Example_ownProtocol() {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	go shout(server)

	target, err := loadtest.ParseTarget("tcp://" + server.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	r, err := loadtest.Run(context.Background(), loadtest.Load{
		Targets:  []loadtest.Target{target},
		Messages: 1000,
		Codec:    upper{loadtest.Line{Payload: loadtest.Text}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	objectives, err := result.ParseObjectives("errors<0.01%, roundtrip max<1m")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, o := range objectives {
		fmt.Printf("%s: %v\n", o, o.Judge(r.Total()).Kept)
	}
	// Output:
	// errors<0.01%: true
	// roundtrip max<1m: true
}

// shout answers each line in upper case.
func shout(server net.Listener) {
	for {
		c, err := server.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			for r := bufio.NewReader(c); ; {
				line, err := r.ReadBytes('\n')
				if err != nil {
					return
				}
				if _, err := c.Write(bytes.ToUpper(line)); err != nil {
					return
				}
			}
		}()
	}
}

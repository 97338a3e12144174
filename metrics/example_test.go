package metrics_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/sluice-net/sluice/metrics"
	"github.com/sluice-net/sluice/server"
)

// A program serves the Handler where only those who operate it come.
func ExampleHandler() {
	srv, err := server.New(server.Config{
		Name:      "greeter",
		Listeners: []server.Listener{{Name: "public", Network: "tcp", Address: "127.0.0.1:0"}},
		Callback:  server.BaseCallback{},
	})
	if err != nil {
		panic(err)
	}
	watched, err := metrics.NewCollector(srv)
	if err != nil {
		panic(err)
	}
	admin := httptest.NewServer(metrics.Handler(metrics.Options{Collector: watched}))
	defer admin.Close()

	fmt.Print(get(admin.URL + "/readyz"))
	for line := range strings.Lines(get(admin.URL + "/metrics")) {
		if strings.HasPrefix(line, "sluice_ready") {
			fmt.Print(line)
		}
	}
	// Output:
	// new: server greeter hasn't been started; wait
	// sluice_ready 0
}

func get(url string) string {
	response, err := http.Get(url)
	if err != nil {
		panic(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		panic(err)
	}
	return string(text)
}

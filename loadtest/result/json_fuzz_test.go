package result_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/loadtest/result"
)

// Whatever a file has in it, it's refused or it can be summed, merged and written.
func FuzzRead(f *testing.F) {
	var b strings.Builder
	if err := result.Write(&b, made(1, 2, start)); err != nil {
		f.Fatal(err)
	}
	f.Add(b.String())
	frame := func(intervals string) string {
		return `{"version":1,"started":"2026-01-02T03:04:05Z","ended":"2026-01-02T03:04:05Z","targets":["unix:///x"],` +
			`"load":{"mode":"open","interval_ns":1},"clients":[{}],"intervals":[` + intervals + `]}`
	}
	f.Add(frame(`{"phase":"measure","histograms":{"round_trip":null},"errors":{"lost":1}}`))
	f.Add(frame(`{"phase":"measure","start_ns":-1,"length_ns":9223372036854775807},null`))
	f.Add(frame(`{"phase":"drain","start_ns":5},{"phase":"drain","start_ns":5},{"phase":"measure"}`))
	f.Add(`{"version":2}`)
	f.Fuzz(func(t *testing.T, text string) {
		r, err := result.Read(strings.NewReader(text))
		if err != nil {
			return
		}
		merged, err := result.Merge(r, r)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := merged.Total().Received, 2*r.Total().Received; got != want {
			t.Errorf("%d replies, want %d", got, want)
		}
		for _, write := range []func(io.Writer, *result.Result) error{result.Write, result.WriteCSV, result.WriteHDRLog} {
			if err := write(new(bytes.Buffer), merged); err != nil {
				t.Log(err) // such as a year that JSON hasn't
			}
		}
	})
}

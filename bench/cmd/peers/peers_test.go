//go:build linux

package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// The test binary is also the servers' process.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == serveCommand {
		os.Exit(serve(os.Args[2:]))
	}
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) // gnet's import starts two
}

// peers.md, the table and the list: none of it is ours. The rows wait more than they work, so
// they're asked at the same time.
func TestSluiceIsGreen(t *testing.T) {
	var wg sync.WaitGroup
	for _, r := range rows {
		wg.Go(func() {
			if c := r.judge(t.Context(), "sluice"); c.verdict != passes {
				t.Errorf("%s: %s", r.name, c)
			}
		})
	}
	wg.Wait()
}

// A row that nobody fails shows nothing. These are quick, and certain.
func TestRowsHaveTeeth(t *testing.T) {
	certain := map[string]string{"stale": "gnet", "delayed": "netpoll", "panic": "std"}
	var wg sync.WaitGroup
	for _, r := range rows {
		if name, ok := certain[r.role]; ok {
			wg.Go(func() {
				if c := r.judge(t.Context(), name); c.verdict != fails {
					t.Errorf("%s: %s: %s", r.name, name, c)
				}
			})
		}
	}
	wg.Wait()
}

func TestRowsAreWellFormed(t *testing.T) {
	known := roles(nil, nil)
	for _, r := range rows {
		if known[r.role] == nil {
			t.Errorf("%s: no role %q", r.name, r.role)
		}
		for name := range strings.FieldsSeq(r.defects) {
			if !strings.Contains(strings.Join(serverNames(), " "), name) || r.skip[name] != "" {
				t.Errorf("%s: %q can't have the defect", r.name, name)
			}
		}
	}
}

// A part of the table doesn't replace the page's.
func TestRunPrintsAPart(t *testing.T) {
	const text = "<!-- begin table -->\nwhole\n<!-- end table -->\n"
	page := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(page, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-servers", "sluice,std", "-rows", "^Panic|^Out-of", "-markdown", page}, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| sluice", "✓ that connection ends", "✗ the process ends", "✓ delivered", "– no API"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
	if got, err := os.ReadFile(page); err != nil || string(got) != text {
		t.Errorf("the page is now %q: %v", got, err)
	}
}

func TestRunRefuses(t *testing.T) {
	for want, args := range map[string][]string{
		`"evio"`: {"-servers", "sluice,evio"},
		"-rows":  {"-rows", "("},
	} {
		if err := run(t.Context(), args, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v", args, err)
		}
	}
}

func TestTable(t *testing.T) {
	tab := table{servers: []string{"sluice", "other"}, lines: []line{
		{row{name: "one"}, []cell{pass("good"), fail("%d bytes", 3)}},
		{row{name: "two"}, []cell{fail("bad"), {verdict: passes, text: "mended", better: true}}},
	}}
	const want = `|     | sluice | other      |
|-----|--------|------------|
| one | ✓ good | ✗ 3 bytes  |
| two | ✗ bad  | ✓ mended ¹ |

¹ better than`
	if got := tab.markdown(); !strings.HasPrefix(got, want) {
		t.Errorf("got:\n%s", got)
	}
	if got := tab.failures("sluice"); len(got) != 1 || got[0] != "two: bad" {
		t.Errorf("failures: %q", got)
	}
	if tab.failures("absent") != nil {
		t.Error("failures of a server that wasn't asked")
	}
}

func TestGrouped(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 8388608: "8,388,608"} {
		if got := grouped(n); got != want {
			t.Errorf("%d: got %s", n, got)
		}
	}
}

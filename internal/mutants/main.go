package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// mutant is a deliberate bug: the text old, which is in file once, becomes new.
type mutant struct {
	name     string
	file     string
	old, new string
}

// patience is how long a test may take; a mutant that hangs is found, too.
const patience = 3 * time.Minute

func main() {
	only := flag.String("run", "", "a regular expression of names")
	seeds := flag.Int("seeds", 10000, "how many seeds the simulation tries")
	traces := flag.String("traces", "", "a folder for what the simulation printed")
	flag.Parse()
	escaped, err := run(regexp.MustCompile(*only), *seeds, *traces)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(2)
	}
	if escaped > 0 {
		os.Exit(1)
	}
}

// run tries the mutants and prints the table of what has found them.
func run(only *regexp.Regexp, seeds int, traces string) (escaped int, err error) {
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	tried := 0
	for _, m := range mutants {
		if !only.MatchString(m.name) {
			continue
		}
		tried++
		overlay, err := m.overlay(dir)
		if err != nil {
			return 0, err
		}
		begun := time.Now()
		by, output := find(overlay, seeds)
		if bytes.Contains(output, []byte("[build failed]")) || bytes.Contains(output, []byte("[setup failed]")) {
			return 0, fmt.Errorf("%q doesn't compile:\n%s", m.name, output)
		}
		if by == "" {
			by = "NOBODY"
			escaped++
		}
		say("%-58s %3.0f s  %s", m.name, time.Since(begun).Seconds(), by)
		if traces != "" {
			if err := os.WriteFile(filepath.Join(traces, strings.ReplaceAll(m.name, " ", "-")+".txt"), output, 0o644); err != nil {
				return 0, err
			}
		}
	}
	say("%d mutants, %d not found", tried, escaped)
	return escaped, nil
}

// say prints a line of the table.
func say(format string, args ...any) { _, _ = fmt.Fprintf(os.Stdout, format+"\n", args...) }

// overlay writes the mutated file and the compiler's instruction to take it.
func (m mutant) overlay(dir string) (string, error) {
	text, err := os.ReadFile(m.file)
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(text), m.old); n != 1 {
		return "", fmt.Errorf("%q: %s has the text to change %d times, want once: the code has moved on, the list must follow", m.name, m.file, n)
	}
	mutated := filepath.Join(dir, "mutated.go")
	if err := os.WriteFile(mutated, []byte(strings.Replace(string(text), m.old, m.new, 1)), 0o600); err != nil {
		return "", err
	}
	path, err := filepath.Abs(m.file)
	if err != nil {
		return "", err
	}
	instruction, err := json.Marshal(map[string]map[string]string{"Replace": {path: mutated}})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, instruction, 0o600)
}

// find has the simulation, and then the other tests, look for the mutant. It returns who
// has found it, and what was printed.
func find(overlay string, seeds int) (by string, output []byte) {
	for _, s := range []struct {
		name string
		args []string
	}{
		{"seeds", []string{"./internal/sim", "-run", "^TestSeeds$", "-args", "-seeds", fmt.Sprint(seeds)}},
		{"stories", []string{"./internal/sim", "-run", "Stor"}},
		{"internal/engine", []string{"./internal/engine"}},
		{"internal/reactor", []string{"./internal/reactor"}},
		{"buffers", []string{"./buffers"}},
		{"server", []string{"./server"}},
	} {
		output, err := goTest(overlay, s.args...)
		if err == nil {
			continue
		}
		return s.name + ": " + reason(output, err), output
	}
	return "", nil
}

func goTest(overlay string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-overlay", overlay}, args...)...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	err := cmd.Run()
	if ctx.Err() != nil {
		err = errors.New("it hangs")
	}
	return output.Bytes(), err
}

var failures = []*regexp.Regexp{
	regexp.MustCompile(`(?m)the first that fails, after (.*)$`),
	regexp.MustCompile(`(?m)^--- FAIL: (the world .*)$`),
	regexp.MustCompile(`(?m)^panic: (.*)$`),
	regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`),
}

// reason is the line that says what was wrong.
func reason(output []byte, err error) string {
	for _, f := range failures {
		if m := f.FindSubmatch(output); m != nil {
			line := string(m[1])
			if len(line) > 90 {
				line = line[:90] + "…"
			}
			return line
		}
	}
	return err.Error()
}

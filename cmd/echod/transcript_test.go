package main

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for what must happen. It's only waited out when it
// doesn't.
const patience = 30 * time.Second

// transcript is what a daemon writes to standard error, as it comes.
type transcript struct {
	mu    sync.Mutex
	text  strings.Builder
	grown chan struct{} // closed by the next Write
}

func newTranscript() *transcript { return &transcript{grown: make(chan struct{})} }

func (tr *transcript) Write(p []byte) (int, error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	close(tr.grown)
	tr.grown = make(chan struct{})
	return tr.text.Write(p)
}

func (tr *transcript) String() string {
	text, _ := tr.now()
	return text
}

func (tr *transcript) now() (text string, grown <-chan struct{}) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.text.String(), tr.grown
}

// event is a line of a log in JSON.
type event map[string]any

func (e event) text(key string) string {
	s, _ := e[key].(string)
	return s
}

func (e event) number(key string) int {
	n, _ := e[key].(float64)
	return int(n)
}

// events are the complete lines so far that are JSON.
func events(text string) []event {
	var all []event
	for line := range strings.Lines(text) {
		var e event
		if strings.HasSuffix(line, "\n") && json.Unmarshal([]byte(line), &e) == nil {
			all = append(all, e)
		}
	}
	return all
}

// await returns the first event with that message, and with these keys and texts.
func (tr *transcript) await(t *testing.T, message string, keysAndTexts ...string) event {
	t.Helper()
	late := time.After(patience)
	for {
		text, grown := tr.now()
		for _, e := range events(text) {
			if e.matches(message, keysAndTexts) {
				return e
			}
		}
		select {
		case <-grown:
		case <-late:
			t.Fatalf("no %q %q in the log:\n%s", message, keysAndTexts, text)
		}
	}
}

func (e event) matches(message string, keysAndTexts []string) bool {
	if e.text("msg") != message {
		return false
	}
	for i := 0; i < len(keysAndTexts); i += 2 {
		if e.text(keysAndTexts[i]) != keysAndTexts[i+1] {
			return false
		}
	}
	return true
}

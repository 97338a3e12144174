package main

import (
	"encoding/json"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestLogElsewhere is about a log that isn't on a terminal: no colours, in whatever
// format, and nothing below the level.
func TestLogElsewhere(t *testing.T) {
	t.Parallel()
	text := newTranscript()
	log := newLogger(process{stderr: text, lookupEnv: lookupIn(nil)}, formatText, level(slog.LevelWarn))
	log.Info("no")
	log.Warn("yes", "took", 10*time.Second)
	if want := regexp.MustCompile(`^time=\d{4}-\d\d-\d\dT[^ ]+ level=WARN msg=yes took=10s\n$`); !want.MatchString(text.String()) {
		t.Errorf("text: %q", text)
	}

	structured := newTranscript()
	log = newLogger(process{stderr: structured, lookupEnv: lookupIn(nil)}, formatJSON, level(slog.LevelInfo))
	log.Debug("no")
	log.Info("yes", "took", 10*time.Second)
	var e event
	if err := json.Unmarshal([]byte(structured.String()), &e); err != nil || e.text("msg") != "yes" || e.text("took") != "10s" {
		t.Errorf("JSON: %q, %v", structured, err)
	}
}

// TestLogToFile: a file is no terminal, and neither is a device without a screen.
func TestLogToFile(t *testing.T) {
	t.Parallel()
	for _, name := range []string{t.TempDir() + "/log", os.DevNull} {
		f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if isTerminal(f) {
			t.Errorf("%s passes for a terminal", name)
		}
		f.Close()
		if isTerminal(f) {
			t.Errorf("%s passes for a terminal once it's closed", name)
		}
	}
}

// TestLogLevel runs a daemon at each end of the scale.
func TestLogLevel(t *testing.T) {
	t.Parallel()
	quiet := launch(t, map[string]string{"ECHOD_LOG_LEVEL": "error"})
	quiet.kill(t, os.Interrupt)
	quiet.mustEnd(t, exitClean)
	if text := quiet.log.String(); text != "" {
		t.Errorf("at level error: %s", text)
	}

	all := launch(t, map[string]string{"ECHOD_LOG_LEVEL": "debug"})
	c := dial(t, all.ready(t))
	roundTrip(t, c, "hello")
	c.Close()
	all.log.await(t, "connection closed")
	if !strings.Contains(all.log.String(), `"level":"DEBUG"`) {
		t.Errorf("at level debug: %s", all.log)
	}
}

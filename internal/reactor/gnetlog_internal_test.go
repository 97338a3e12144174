package reactor

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/panjf2000/gnet/v2/pkg/logging"
)

// DESIGN, Why gnet's pkg/netpoll: its logging package is bridged to slog.
func TestGnetLogsToSlog(t *testing.T) {
	bridgeGnetLog()
	var out bytes.Buffer
	old := slog.Default()
	defer slog.SetDefault(old)
	slog.SetDefault(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	calls := []struct {
		level string
		log   func(string, ...any)
	}{
		{"DEBUG", logging.Debugf}, {"INFO", logging.Infof}, {"WARN", logging.Warnf}, {"ERROR", logging.Errorf},
	}
	for _, c := range calls {
		out.Reset()
		c.log("descriptor %d", 7)
		if got := out.String(); !strings.Contains(got, "level="+c.level) || !strings.Contains(got, "poller: descriptor 7") {
			t.Errorf("%s: %q", c.level, got)
		}
	}
	defer func() {
		if v := recover(); v != "poller: fatal 8" {
			t.Errorf("Fatalf: %v", v)
		}
	}()
	gnetLog{}.Fatalf("fatal %d", 8)
}

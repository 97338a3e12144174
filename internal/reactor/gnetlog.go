package reactor

import (
	"fmt"
	"log/slog"
	"sync"

	"github.com/panjf2000/gnet/v2/pkg/logging"
)

// bridgeGnetLog sends what gnet's poller logs (failures of epoll_wait and of its
// wake-up) to slog instead of the logger that its package makes at start. That
// logger is global, so the first group decides.
var bridgeGnetLog = sync.OnceFunc(func() {
	logging.SetDefaultLoggerAndFlusher(gnetLog{}, func() error { return nil })
})

type gnetLog struct{}

func (gnetLog) Debugf(format string, args ...any) { slog.Debug(gnetMessage(format, args)) }
func (gnetLog) Infof(format string, args ...any)  { slog.Info(gnetMessage(format, args)) }
func (gnetLog) Warnf(format string, args ...any)  { slog.Warn(gnetMessage(format, args)) }
func (gnetLog) Errorf(format string, args ...any) { slog.Error(gnetMessage(format, args)) }
func (gnetLog) Fatalf(format string, args ...any) { panic(gnetMessage(format, args)) }

func gnetMessage(format string, args []any) string {
	return "poller: " + fmt.Sprintf(format, args...)
}

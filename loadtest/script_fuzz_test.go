package loadtest_test

import (
	"strings"
	"testing"

	"github.com/sluice-net/sluice/loadtest"
)

// Whatever a script has in it, it's refused or it can be spoken: a request isn't
// empty, and of anything that comes as a reply no more is taken than there is.
func FuzzReadScript(f *testing.F) {
	f.Add("send \"a\"\nexpect \"b\"\n", "b")
	f.Add("send \"{payload}{sequence}\"\nuntil \"\\r\\n\"\n", "anything\r\nmore")
	f.Add("# nothing\n", "")
	f.Add("send \"a\"\nsend \"b\"\n", "")
	f.Fuzz(func(t *testing.T, text, reply string) {
		s, err := loadtest.ReadScript(strings.NewReader(text), true)
		if err != nil {
			return
		}
		for q := range uint64(3) {
			m := loadtest.Message{Connection: 1, Sequence: q, Size: 20}
			if len(s.AppendRequest(nil, m)) == 0 {
				t.Errorf("the request to %q is empty", text)
			}
			if n, err := s.CheckReply(m, []byte(reply)); n < 0 || n > len(reply) || n > 0 && err != nil {
				t.Errorf("%q: %d of %d bytes, %v", text, n, len(reply), err)
			}
		}
	})
}

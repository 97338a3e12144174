package framing_test

import (
	"strings"
	"testing"

	"github.com/sluice-net/sluice/framing"
)

// TestConfigErrorsNameFieldAndRemedy.
func TestConfigErrorsNameFieldAndRemedy(t *testing.T) {
	length := func(c framing.LengthConfig) error { _, err := framing.NewLength(c); return err }
	delimiter := func(c framing.DelimiterConfig) error { _, err := framing.NewDelimiter(c); return err }
	line := func(c framing.LineConfig) error { _, err := framing.NewLine(c); return err }
	fixed := func(c framing.FixedConfig) error { _, err := framing.NewFixed(c); return err }
	for _, tt := range []struct {
		name string
		err  error
		want []string // parts of the message; none: no error
	}{
		{"length", length(framing.LengthConfig{}), nil},
		{"every size", length(framing.LengthConfig{Bytes: 8, LittleEndian: true, Included: true, Keep: true, Max: 1}), nil},
		{"varint", length(framing.LengthConfig{Varint: true, Included: true}), nil},
		{"line", line(framing.LineConfig{}), nil},
		{"delimiter", delimiter(framing.DelimiterConfig{Delimiter: []byte{0}}), nil},
		{"fixed", fixed(framing.FixedConfig{Size: 1}), nil},

		{"negative maximum", length(framing.LengthConfig{Max: -1}), []string{"LengthConfig.Max is -1", "0 for 1048576"}},
		{"header of 9", length(framing.LengthConfig{Bytes: 9}), []string{"LengthConfig.Bytes is 9", "1 to 8"}},
		{"header of -1", length(framing.LengthConfig{Bytes: -1}), []string{"LengthConfig.Bytes is -1", "1 to 8"}},
		{"varint of 4", length(framing.LengthConfig{Bytes: 4, Varint: true}), []string{"LengthConfig.Bytes is 4", "Varint", "want 0"}},
		{"varint with an order", length(framing.LengthConfig{LittleEndian: true, Varint: true}), []string{"LengthConfig.LittleEndian", "Varint", "want false"}},
		{"no delimiter", delimiter(framing.DelimiterConfig{}), []string{"DelimiterConfig.Delimiter is empty", "at least one"}},
		{"delimiter, negative maximum", delimiter(framing.DelimiterConfig{Delimiter: []byte{0}, Max: -7}), []string{"DelimiterConfig.Max is -7", "0 for"}},
		{"line, negative maximum", line(framing.LineConfig{Max: -7}), []string{"LineConfig.Max is -7", "0 for"}},
		{"no size", fixed(framing.FixedConfig{}), []string{"FixedConfig.Size is 0", "1 or more"}},
		{"negative size", fixed(framing.FixedConfig{Size: -3}), []string{"FixedConfig.Size is -3", "1 or more"}},
	} {
		if len(tt.want) == 0 {
			if tt.err != nil {
				t.Errorf("%s: %v", tt.name, tt.err)
			}
			continue
		}
		if tt.err == nil {
			t.Errorf("%s: no error", tt.name)
			continue
		}
		for _, part := range tt.want {
			if !strings.Contains(tt.err.Error(), part) {
				t.Errorf("%s: %q doesn't say %q", tt.name, tt.err, part)
			}
		}
	}
}

// TestDelimiterIsCopied: the configuration's slice remains its owner's.
func TestDelimiterIsCopied(t *testing.T) {
	p := []byte("--")
	d := must(framing.NewDelimiter(framing.DelimiterConfig{Delimiter: p}))
	copy(p, "xx")
	if got := string(d.AppendTail(nil)); got != "--" {
		t.Errorf("the delimiter became %q", got)
	}
}

// TestConstructorsRefuseNil.
func TestConstructorsRefuseNil(t *testing.T) {
	a := newAllocator(t)
	f := must(framing.NewLine(framing.LineConfig{}))
	mustPanic(t, "NewReader needs", func() { framing.NewReader(f, nil) })
	mustPanic(t, "NewReader needs", func() { framing.NewReader(nil, a) })
	mustPanic(t, "NewWriter needs", func() { framing.NewWriter(f, nil) })
	mustPanic(t, "NewWriter needs", func() { framing.NewWriter(nil, a) })
}

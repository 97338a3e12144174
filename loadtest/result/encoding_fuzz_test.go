package result_test

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"io"
	"math"
	"testing"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"

	"github.com/sluice-net/sluice/loadtest/result"
)

// unpacked is what a histogram's encoding has compressed in it.
func unpacked(f *testing.F, h *hdr.Histogram) []byte {
	f.Helper()
	encoded, err := h.Encode(hdr.V2CompressedEncodingCookieBase)
	if err != nil {
		f.Fatal(err)
	}
	b, err := base64.StdEncoding.DecodeString(string(encoded))
	if err != nil {
		f.Fatal(err)
	}
	z, err := zlib.NewReader(bytes.NewReader(b[8:]))
	if err != nil {
		f.Fatal(err)
	}
	contents, err := io.ReadAll(z)
	if err != nil {
		f.Fatal(err)
	}
	return contents
}

func packed(contents []byte) []byte {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	_, _ = z.Write(contents) // into memory
	_ = z.Close()
	encoded := binary.BigEndian.AppendUint32(nil, 0x1c849314)
	encoded = binary.BigEndian.AppendUint32(encoded, uint32(b.Len()))
	return base64.StdEncoding.AppendEncode(nil, append(encoded, b.Bytes()...))
}

// Whatever is compressed in an encoding, it's refused, or read as the library reads it; and
// the same is read again from what is written then.
func FuzzUnmarshal(f *testing.F) {
	for _, count := range []int64{1, 64, 1 << 31, 1 << 54, 1 << 55, math.MaxInt64 / 4} {
		own, foreign := hdr.New(1, int64(time.Hour), 3), hdr.New(10, int64(time.Minute), 2)
		for _, v := range []int64{1, 2, 4, 2047, 2048, 1e6, int64(time.Minute), int64(time.Hour)} {
			_ = own.RecordValues(v, count/8+1)
			_ = foreign.RecordValues(v, 1)
		}
		f.Add(unpacked(f, own))
		f.Add(unpacked(f, foreign))
	}
	own := unpacked(f, hdr.New(1, int64(time.Hour), 3))
	f.Fuzz(func(t *testing.T, contents []byte) {
		var h, again result.Histogram
		text := packed(contents)
		if h.UnmarshalText(text) != nil {
			return
		}
		if bytes.Equal(contents[8:32], own[8:32]) { // the range and precision: others are rounded
			theirs, err := hdr.Decode(text)
			if err != nil {
				t.Fatalf("the library reads none: %v", err)
			}
			if theirs.TotalCount() != int64(h.Count()) || theirs.Max() != int64(h.Max()) || theirs.ValueAtPercentile(50) != int64(h.Percentile(50)) {
				t.Fatalf("%d times up to %v, and the library has %d up to %v", h.Count(), h.Max(), theirs.TotalCount(), time.Duration(theirs.Max()))
			}
		}
		text, err := h.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		if err := again.UnmarshalText(text); err != nil {
			t.Fatal(err)
		}
		mustHaveBuckets(t, "again", &again, buckets(&h))
	})
}

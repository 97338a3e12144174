package framing_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/buffers"
)

// TestEveryCutOfSmallInputs: all strings of up to 5 bytes out of 4, and each way to cut
// them, come to what the reference says.
func TestEveryCutOfSmallInputs(t *testing.T) {
	longest := 5
	if testing.Short() || raceEnabled {
		longest = 4
	}
	for _, s := range subjects() {
		alphabet := []byte{0, 1, 2, 0x81}
		if strings.HasPrefix(s.name, "Line") {
			alphabet = []byte("\n\rab")
		}
		t.Run(s.name, func(t *testing.T) {
			a := buffers.New(buffers.Config{})
			for n := range longest + 1 {
				everyString(alphabet, make([]byte, 0, n), func(input []byte) {
					everyCut(len(input), func(cuts []int) { checkSplit(t, a, s, input, cuts) })
				})
			}
			mustBalance(t, a)
		})
	}
}

// everyString calls f for each string of cap(p) letters that begins with p.
func everyString(alphabet, p []byte, f func([]byte)) {
	if len(p) == cap(p) {
		f(p)
		return
	}
	for _, letter := range alphabet {
		everyString(alphabet, append(p, letter), f)
	}
}

// everyCut calls f for each set of cuts between n bytes.
func everyCut(n int, f func(cuts []int)) {
	cuts := make([]int, 0, n)
	for set := range 1 << max(n-1, 0) {
		cuts = cuts[:0]
		for i := range n - 1 {
			if set>>i&1 == 1 {
				cuts = append(cuts, i+1)
			}
		}
		f(cuts)
	}
}

// TestRandomCuts: longer streams of messages, valid and with something wrong now and
// then, in segments of all sizes.
func TestRandomCuts(t *testing.T) {
	const seed1, seed2 = 7, 11
	rng := rand.New(rand.NewPCG(seed1, seed2))
	rounds := 300
	if testing.Short() || raceEnabled {
		rounds = 50
	}
	for _, s := range subjects() {
		t.Run(s.name, func(t *testing.T) {
			a := newAllocator(t)
			for range rounds {
				checkSplit(t, a, s, randomStream(rng, s), nil)
				input := randomStream(rng, s)
				checkSplit(t, a, s, input, randomCuts(rng, len(input)))
			}
		})
	}
}

// TestLongMessages: the same with messages of many reads.
func TestLongMessages(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 5))
	for _, s := range longSubjects() {
		t.Run(s.name, func(t *testing.T) {
			a := newAllocator(t)
			for range 10 {
				var input []byte
				for range 3 {
					msg := letters(rng.IntN(200_000))
					if p, err := s.encoder.AppendHead(input, msg); err == nil {
						input = s.encoder.AppendTail(append(p, msg...))
					}
				}
				checkSplit(t, a, s, input, randomCuts(rng, len(input)))
			}
		})
	}
}

// randomStream is some framed messages, cut short and changed in places.
func randomStream(rng *rand.Rand, s subject) (p []byte) {
	for range 1 + rng.IntN(10) {
		msg := make([]byte, rng.IntN([]int{2, 5, 200}[rng.IntN(3)]))
		for i := range msg {
			msg[i] = "abc\r\x01\x02\xff"[rng.IntN(7)]
		}
		if strings.HasPrefix(s.name, "Fixed") {
			p = append(p, msg...)
			continue
		}
		q, err := s.encoder.AppendHead(p, msg)
		if err != nil {
			continue
		}
		p = s.encoder.AppendTail(append(q, msg...))
	}
	if rng.IntN(3) == 0 {
		p = p[:rng.IntN(len(p)+1)]
	}
	if rng.IntN(5) == 0 && len(p) > 0 {
		p[rng.IntN(len(p))] = byte(rng.IntN(256))
	}
	return p
}

// randomCuts is up to 8 places within n bytes, the same one perhaps twice: an empty read.
func randomCuts(rng *rand.Rand, n int) []int {
	cuts := make([]int, rng.IntN(9))
	for i := range cuts {
		cuts[i] = rng.IntN(n + 1)
	}
	slices.Sort(cuts)
	return cuts
}

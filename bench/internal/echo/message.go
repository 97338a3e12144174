package echo

import "encoding/binary"

// stride is the distance of the sequence numbers in a message: a block of this
// size can't be swapped for one of another request or connection unnoticed.
const stride = 64

// The sizes that a message can have: one sequence number at least.
const (
	MinSize = 8
	MaxSize = 64 << 20
)

// fill writes the pattern of a connection: pseudo-random bytes (splitmix64)
// that depend on its id.
func fill(msg []byte, id uint64) {
	x := id << 32
	for i := 0; i < len(msg); i += 8 {
		x += 0x9e3779b97f4a7c15
		z := (x ^ x>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], z^z>>31)
		copy(msg[i:], word[:])
	}
}

// advance turns a request into the connection's next one.
func advance(msg []byte) {
	for i := 0; i+8 <= len(msg); i += stride {
		word := msg[i : i+8]
		binary.LittleEndian.PutUint64(word, binary.LittleEndian.Uint64(word)+1)
	}
}

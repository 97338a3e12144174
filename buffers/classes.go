package buffers

import "math/bits"

// Blocks come in size classes: the powers of two from 512 bytes to 1 MiB.
// Anything larger has exactly the size that was asked for and is never pooled.
const (
	minShift = 9
	maxShift = 20
	classes  = maxShift - minShift + 1

	minSize = 1 << minShift
	maxSize = 1 << maxShift

	// oversize is the class of what is too large to be pooled. It is the one
	// value of a class that isn't an index.
	oversize = classes
)

// classOf is the smallest class that holds n bytes; n is not negative.
func classOf(n int) uint {
	if n <= minSize {
		return 0
	}
	return min(uint(bits.Len(uint(n-1)))-minShift, oversize)
}

// sizeOf is the number of bytes in a block of class c, which isn't oversize.
func sizeOf(c uint) int { return minSize << c }

// grown is the size that a block of size bytes grows to so that it can hold need:
// geometric, so that appending stays linear, but by a quarter only where nothing
// is pooled.
func grown(size, need int) int {
	if size < maxSize {
		return max(need, 2*size)
	}
	return max(need, size+size/4)
}

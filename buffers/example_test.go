package buffers_test

import (
	"fmt"

	"github.com/sluice-net/sluice/buffers"
)

func Example() {
	a := buffers.New(buffers.Config{})

	b := a.Get(100)
	defer b.Release()
	b.Append([]byte("hello, world"))

	// A slice sees the same memory and has a reference of its own.
	world := b.Slice(7, 12)
	defer world.Release()

	fmt.Printf("%s, %s\n", b.Bytes(), world.Bytes())
	// Output: hello, world, world
}

func ExampleBuffer_Reserve() {
	a := buffers.New(buffers.Config{})
	b := a.Get(0)
	defer b.Release()

	room := b.Reserve(1000)
	n := copy(room, "what a read has put there")
	b.Commit(n)

	fmt.Printf("%d: %s\n", b.Len(), b.Bytes())
	// Output: 25: what a read has put there
}

func ExampleBuffer_Split() {
	a := buffers.New(buffers.Config{})
	b := a.Copy([]byte("headbody"))
	defer b.Release()

	head := b.Split(4)
	defer head.Release()

	fmt.Printf("%s %s\n", head.Bytes(), b.Bytes())
	// Output: head body
}

func ExampleChain() {
	a := buffers.New(buffers.Config{})
	k := a.NewCache() // one per goroutine
	defer k.Close()

	var c buffers.Chain
	b := a.Copy([]byte("a buffer, "))
	c.Append(k, b, false)
	b.Release() // the chain has a reference of its own
	c.AppendCopy(k, nil, []byte("and a copy"), false, false)

	for _, v := range c.Vectors(make([][]byte, 0, 16), 14) {
		fmt.Printf("%q\n", v)
	}
	c.Consume(k, 14)
	fmt.Printf("%q is left\n", c.Front())
	c.Release(k)
	// Output:
	// "a buffer, "
	// "and "
	// "a copy" is left
}

func ExampleAllocator_Leaks() {
	a := buffers.New(buffers.Config{Leaks: buffers.LeaksAll})
	b := a.Get(1000)

	for _, l := range a.Leaks() {
		fmt.Println(l.Size, "bytes were not released") // l.Stack says who took them
	}
	b.Release()
	fmt.Println(len(a.Leaks()), "leaks")
	// Output:
	// 1024 bytes were not released
	// 0 leaks
}

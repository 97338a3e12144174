package secure

// Watching is Watch, whose ticks are calls.
func Watching(x *Context) (look func()) {
	w := watch{x: x}
	return w.look
}

// Halved is halved.
var Halved = halved

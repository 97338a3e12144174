package engine

// shortReadDrains: on epoll a short read leaves no edge to wait for.
const shortReadDrains = true

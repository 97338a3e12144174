package reactor

// Task is something to run on a loop. Its link makes it its own list node; a task
// must not be posted again before RunTask was called for it.
type Task interface {
	RunTask()
	OnPanic(value any, stack []byte)
	TaskLink() *Link
}

// Link is embedded in a Task.
type Link struct{ next Task }

// taskList is a queue of tasks, first in, first out.
type taskList struct{ head, tail Task }

func (l *taskList) push(t Task) {
	if l.tail == nil {
		l.head = t
	} else {
		l.tail.TaskLink().next = t
	}
	l.tail = t
}

func (l *taskList) pop() Task {
	t := l.head
	if t == nil {
		return nil
	}
	link := t.TaskLink()
	l.head = link.next
	if l.head == nil {
		l.tail = nil
	}
	link.next = nil
	return t
}

// Post runs t on the loop, after what was posted before it and after the events that
// are ready now. Any goroutine may call it. It returns ErrStopped, and t never runs,
// once the loop has stopped.
func (r *Reactor) Post(t Task) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return ErrStopped
	}
	r.posts.push(t)
	r.backlog.Add(1)
	if !r.waking {
		if err := r.poller.Wake(); err != nil {
			// Not to be expected of a descriptor that's open. The next post tries
			// again; the report calls a logger, so it doesn't come under our lock.
			r.group.config.Spawn(func() { r.group.config.OnFailure(err) })
			return nil
		}
		r.waking = true
	}
	return nil
}

// PostFunc posts a function.
func (r *Reactor) PostFunc(f func()) error { return r.Post(&funcTask{group: r.group, f: f}) }

type funcTask struct {
	Link
	group *Group
	f     func()
}

func (t *funcTask) TaskLink() *Link { return &t.Link }
func (t *funcTask) RunTask()        { t.f() }

func (t *funcTask) OnPanic(value any, stack []byte) { t.group.config.OnPanic(value, stack) }

// runPosts runs what is posted by now. waking is cleared in the critical section that
// takes the snapshot, so a later post wakes the poller again.
func (r *Reactor) runPosts() {
	r.mu.Lock()
	snapshot := r.posts
	r.posts = taskList{}
	r.waking = false
	r.mu.Unlock()
	r.runTasks(snapshot)
	if r.stopping {
		r.fence()
	}
}

func (r *Reactor) runTasks(l taskList) {
	for t := l.pop(); t != nil; t = l.pop() {
		r.backlog.Add(-1)
		r.runTask(t)
	}
}

func (r *Reactor) runTask(t Task) {
	defer r.enter(t).leave()
	t.RunTask()
	r.current = nil
}

// Call runs t at once, on its own behalf, within the present dispatch. On the loop only.
func (r *Reactor) Call(t Task) {
	outer := r.current
	r.runTask(t)
	r.current = outer
}

// fence ends the loop's life: posts are refused from here on, what was posted before
// runs, and whoever is still registered is told to go.
func (r *Reactor) fence() {
	r.mu.Lock()
	r.stopped = true
	snapshot := r.posts
	r.posts = taskList{}
	r.mu.Unlock()
	r.runTasks(snapshot)
	r.Handlers(func(h Handler) bool {
		r.stopHandler(h)
		return true
	})
	r.wheel.stop()
}

func (r *Reactor) stopHandler(h Handler) {
	defer r.enter(h).leave()
	h.OnStop()
	r.current = nil
}

// stop asks the loop to end. The request is a task like any other, so everything
// posted earlier runs.
func (r *Reactor) stop() {
	_ = r.PostFunc(func() { r.stopping = true })
}

// close releases the poller, once the loop has ended.
func (r *Reactor) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
	return r.poller.Close()
}

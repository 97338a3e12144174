/*
 * cepoll ADDRESS:PORT [fanout] - a TCP echo server that is one bare epoll loop:
 * the cost below which no server built on epoll can go.
 *
 * A connection is registered once, edge-triggered, for both directions. Its
 * bytes go from recv straight to send. What a send doesn't take is kept in
 * memory of the connection's own, and until that has gone nothing more is read
 * from it, so a slow reader holds at most one buffer.
 *
 * With "fanout" a connection's first message subscribes it and is answered to
 * it alone; each later one is sent to all subscribers. The sending is done by
 * another thread, straight to the sockets.
 *
 * Linux only.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 128, BUFFER = 64 * 1024 };

/* Unsent output; data is NULL while there is none. */
struct rest {
	char *data;
	size_t len, off;
};

static struct rest *rests; /* by descriptor */
static char buffer[BUFFER];

/* Fan-out: a message on its way to the publishing thread, small enough for a
 * pipe to take it whole. */
struct message {
	int only; /* the one to send to, or -1: all */
	size_t len;
	char data[2048];
};

static int publishing; /* the pipe's end for the loop; 0: echo */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int *members, *place, count; /* guarded by lock; place is by descriptor, 0: none, or index + 1 */

static void die(const char *what)
{
	fprintf(stderr, "cepoll: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Whoever is no member any more isn't sent to: the lock is held meanwhile. */
static void leave(int fd)
{
	pthread_mutex_lock(&lock);
	if (place[fd]) {
		int last = members[--count];
		members[place[fd] - 1] = last;
		place[last] = place[fd];
		place[fd] = 0;
	}
	pthread_mutex_unlock(&lock);
}

static void drop(int fd)
{
	if (publishing)
		leave(fd);
	free(rests[fd].data);
	rests[fd].data = NULL;
	close(fd);
}

/* Sends what fits: how much that was, or -1 when the connection is lost. */
static ssize_t put(int fd, const char *p, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = send(fd, p + done, len - done, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n >= 0)
			done += (size_t)n;
		else if (errno == EAGAIN)
			break;
		else if (errno != EINTR)
			return -1;
	}
	return (ssize_t)done;
}

static int keep(int fd, const char *p, size_t len)
{
	char *copy = malloc(len);

	if (!copy)
		return -1;
	memcpy(copy, p, len);
	rests[fd] = (struct rest){ copy, len, 0 };
	return 0;
}

static void publish(int fd, size_t len)
{
	struct message m = { .only = -1, .len = len };

	memcpy(m.data, buffer, len);
	pthread_mutex_lock(&lock);
	if (!place[fd]) {
		m.only = fd;
		members[count++] = fd;
		place[fd] = count;
	}
	pthread_mutex_unlock(&lock);
	if (write(publishing, &m, sizeof m) != sizeof m)
		die("publish");
}

static void *publisher(void *pipe)
{
	struct message m;
	ssize_t sent;

	while (read(*(int *)pipe, &m, sizeof m) == sizeof m) {
		pthread_mutex_lock(&lock);
		for (int i = 0; i < count; i++)
			if (m.only < 0 || m.only == members[i])
				/* One that has just ended is no matter; one that doesn't read is. */
				if ((sent = put(members[i], m.data, m.len)) >= 0 && sent < (ssize_t)m.len)
					die("a subscriber is behind");
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

static void start_publisher(void)
{
	static int ends[2];
	pthread_t thread;

	if (pipe(ends) < 0 || pthread_create(&thread, NULL, publisher, &ends[0]) != 0)
		die("start the publisher");
	publishing = ends[1];
}

/*
 * Serves one event. A short read means that the socket is empty, as this is
 * TCP without out-of-band data, unless the peer has closed (hup): then only a
 * read of 0 or an error ends the connection.
 */
static void serve(int fd, int hup)
{
	struct rest *r = &rests[fd];
	ssize_t n, sent, room = publishing ? (ssize_t)sizeof(((struct message *)0)->data) : BUFFER;

	if (r->data) {
		sent = put(fd, r->data + r->off, r->len - r->off);
		if (sent < 0)
			goto lost;
		r->off += (size_t)sent;
		if (r->off < r->len)
			return;
		free(r->data);
		r->data = NULL;
		hup = 1; /* the edge may have passed while reading was paused */
	}
	for (;;) {
		n = recv(fd, buffer, room, MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0)
			goto lost;
		if (publishing) {
			publish(fd, (size_t)n);
			goto next;
		}
		sent = put(fd, buffer, (size_t)n);
		if (sent < 0)
			goto lost;
		if (sent < n) {
			if (keep(fd, buffer + sent, (size_t)(n - sent)) < 0)
				goto lost;
			return;
		}
	next:
		if (n < room && !hup)
			return;
	}
lost:
	drop(fd);
}

static void accept_all(int ep, int lfd)
{
	for (;;) {
		int one = 1, fd = accept4(lfd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET };

		if (fd < 0) {
			if (errno == EAGAIN)
				return;
			if (errno == EINTR || errno == ECONNABORTED)
				continue;
			die("accept"); /* out of descriptors: the run is void */
		}
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		ev.data.fd = fd;
		if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) < 0)
			die("epoll_ctl");
	}
}

static int listen_on(const char *addr)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	char host[64];
	const char *colon = strrchr(addr, ':');
	int one = 1, fd;

	if (!colon || (size_t)(colon - addr) >= sizeof host) {
		errno = EINVAL;
		die(addr);
	}
	memcpy(host, addr, (size_t)(colon - addr));
	host[colon - addr] = 0;
	sa.sin_port = htons((uint16_t)atoi(colon + 1));
	if (inet_pton(AF_INET, host, &sa.sin_addr) != 1) {
		errno = EINVAL;
		die(addr);
	}
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(fd, (struct sockaddr *)&sa, sizeof sa) < 0 || listen(fd, SOMAXCONN) < 0)
		die(addr);
	return fd;
}

int main(int argc, char **argv)
{
	struct epoll_event ev = { .events = EPOLLIN }, events[EVENTS];
	struct rlimit lim;
	int ep, lfd, i, n;

	if (argc != 2 && (argc != 3 || strcmp(argv[2], "fanout") != 0)) {
		fprintf(stderr, "usage: cepoll ADDRESS:PORT [fanout]\n");
		return 2;
	}
	if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
		die("getrlimit");
	lim.rlim_cur = lim.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &lim) < 0)
		die("setrlimit");
	rests = calloc(lim.rlim_cur, sizeof *rests); /* resident only where used */
	members = calloc(lim.rlim_cur, sizeof *members);
	place = calloc(lim.rlim_cur, sizeof *place);
	if (!rests || !members || !place)
		die("calloc");
	if (argc == 3)
		start_publisher();

	lfd = listen_on(argv[1]);
	ep = epoll_create1(EPOLL_CLOEXEC);
	ev.data.fd = lfd;
	if (ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, lfd, &ev) < 0)
		die("epoll");
	for (;;) {
		n = epoll_wait(ep, events, EVENTS, -1);
		if (n < 0 && errno != EINTR)
			die("epoll_wait");
		for (i = 0; i < n; i++) {
			if (events[i].data.fd == lfd)
				accept_all(ep, lfd);
			else
				serve(events[i].data.fd,
				      events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
		}
	}
}

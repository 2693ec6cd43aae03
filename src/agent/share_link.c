#include "agent/share_link.h"

#include "base/local_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_MS 1000000ULL
#define NS_PER_S  1000000000ULL
#define AGAIN_NS  NS_PER_S       /* between attempts to find a shipper that is gone */
#define SEEN_NS   (2 * NS_PER_S) /* at most, until a word on which the host has to act was taken */
#define HEAD      "OVS1"
#define HEAD_LEN  4

/* Made whole before it is shown to other threads; never changed, and never given back while they may look at it. */
struct link {
	struct share_ring *ring;
	struct share_bell *bell;
	uint32_t number;
	pid_t owner;   /* a fork that this library was not told of leaves a stranger's ring behind */
	pid_t shipper; /* 0: of another PID namespace */
};

static const struct share_settings *settings;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the making of links */
static struct link places[2];                            /* the current one, and the one before it */
static _Atomic(const struct link *) current;
static atomic_uint_fast64_t tried_ns;    /* when a shipper was last looked for in vain */
static atomic_bool late;                 /* the shipper has let a deadline pass */
static atomic_uint_fast64_t late_ticket; /* which it was */
static atomic_int_fast64_t counts[SHARE_COUNTS];

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

bool share_link_on(void)
{
	return settings && settings->on;
}

/* The ring. */

/* The size is sealed: whoever maps it cannot be made to fault. */
static int make_memory(void)
{
	int fd = memfd_create("overt-share", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd >= 0 && (ftruncate(fd, (off_t)SHARE_RING_SIZE) != 0 ||
			       fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Whoever has the name when the shipper is gone is not the shipper. */
static int knock(pid_t *shipper)
{
	const struct timeval patience = {
		.tv_sec = settings->deadline_ms / 1000, .tv_usec = (suseconds_t)(settings->deadline_ms % 1000) * 1000};
	struct sockaddr_un at;
	struct ucred who;
	socklen_t len = local_socket_address(settings->address, &at), who_len = sizeof(who);
	int fd = len > 0 ? socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0) : -1;
	if (fd < 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, (const struct sockaddr *)&at, len) == 0 &&
		getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &who_len) == 0 && who.uid == settings->uid) {
		*shipper = who.pid;
		return fd;
	}
	close(fd);
	return -1;
}

/* The bell's descriptor, or -1. */
static int receive_bell(int fd, uint32_t *number)
{
	uint8_t room[HEAD_LEN + 4];
	int bell;
	ssize_t n = local_socket_receive(fd, room, sizeof(room), &bell);
	struct bytes in = bytes_of(room, n > 0 ? (size_t)n : 0);
	if (bell >= 0 && bytes_starts(in, bytes_str(HEAD)) && bytes_skip(&in, HEAD_LEN) && bytes_u32(&in, number))
		return bell;
	if (bell >= 0)
		close(bell);
	return -1;
}

/* Leaves no descriptor behind. */
static bool make_link(struct link *link)
{
	int memory = make_memory(), door = -1, bell = -1;
	*link = (struct link){.owner = getpid()};
	link->ring = memory >= 0 ? share_ring_map(memory, SHARE_RING_SIZE) : NULL;
	if (link->ring) {
		share_ring_init(link->ring);
		for (size_t i = 0; i < SHARE_COUNTS; i++)
			atomic_store(&link->ring->counts[i], (uint64_t)atomic_load(&counts[i]));
		door = knock(&link->shipper);
	}
	if (door >= 0 && local_socket_send(door, bytes_str(HEAD), memory, 0))
		bell = receive_bell(door, &link->number);
	if (bell >= 0)
		link->bell = share_ring_map(bell, SHARE_BELL_SIZE);
	if (memory >= 0)
		close(memory);
	if (door >= 0)
		close(door);
	if (bell >= 0)
		close(bell);
	if (!link->bell && link->ring)
		munmap(link->ring, SHARE_RING_SIZE);
	return link->bell != NULL;
}

static bool shipper_gone(const struct link *link)
{
	return atomic_load(&link->bell->closed) != 0 ||
	       (link->shipper != 0 && kill(link->shipper, 0) != 0 && errno == ESRCH);
}

/* Makes a link where there is none, or none that serves. `first` does not ask when it was last tried. */
static const struct link *relink(bool first)
{
	pthread_mutex_lock(&lock);
	const struct link *link = atomic_load(&current);
	bool ours = link && link->owner == getpid();
	if ((ours && !shipper_gone(link)) || (!first && now_ns() - atomic_load(&tried_ns) < AGAIN_NS)) {
		pthread_mutex_unlock(&lock);
		return ours ? link : NULL;
	}
	/* Threads may still look at the current one: the new one is made in the other place, and the old mapping stays. */
	struct link *place = link == &places[0] ? &places[1] : &places[0];
	if (make_link(place)) {
		atomic_store(&late, false);
		atomic_store(&current, place);
	} else {
		atomic_store(&tried_ns, now_ns());
		if (!ours)
			atomic_store(&current, NULL);
	}
	link = atomic_load(&current);
	pthread_mutex_unlock(&lock);
	return link;
}

/* NULL: no shipper. */
static const struct link *link_now(void)
{
	const struct link *link = atomic_load(&current);
	bool ours = link && link->owner == getpid();
	if (ours && !(atomic_load(&late) && shipper_gone(link)))
		return link;
	return relink(!ours && link);
}

/* In the child, which has one thread, and still its parent's rights. */
static void forked(void)
{
	int kept = errno;
	const struct link *old = atomic_load(&current);
	lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	atomic_store(&current, NULL);
	for (size_t i = 0; i < SHARE_COUNTS; i++)
		atomic_store(&counts[i], 0);
	atomic_store(&late, false);
	if (old && old->owner != getpid()) {
		munmap(old->ring, SHARE_RING_SIZE);
		munmap(old->bell, SHARE_BELL_SIZE);
		(void)!relink(true);
	}
	errno = kept;
}

void share_link_open(const struct share_settings *from)
{
	settings = from;
	if (share_link_on())
		pthread_atfork(NULL, NULL, forked);
}

bool share_link_wants(enum keylog_label label)
{
	const struct link *link = atomic_load(&current);
	switch (label) {
	case KEYLOG_MASTER:
	case KEYLOG_CLIENT_TRAFFIC:
	case KEYLOG_SERVER_TRAFFIC:
		return true;
	case KEYLOG_CLIENT_HANDSHAKE:
	case KEYLOG_SERVER_HANDSHAKE:
		return !link || atomic_load(&link->bell->data_only) == 0;
	default:
		return false;
	}
}

void share_link_prepare(void)
{
	int kept = errno;
	if (share_link_on() && !atomic_load(&current))
		(void)!relink(false);
	errno = kept;
}

/* Giving. */

/* No more waits until the shipper has gone on from where it stood. */
static bool still_late(const struct link *link)
{
	if (!atomic_load(&late))
		return false;
	if (!share_ring_taken(link->ring, atomic_load(&late_ticket)))
		return true;
	atomic_store(&late, false);
	return false;
}

void share_link_count(enum share_count which, int64_t more)
{
	int64_t now = atomic_fetch_add(&counts[which], more) + more;
	const struct link *link = atomic_load(&current);
	if (link && link->owner == getpid())
		atomic_store(&link->ring->counts[which], (uint64_t)now);
}

static bool put(const struct link *link, const struct share_item *item, uint64_t *ticket)
{
	uint8_t room[SHARE_SLOT_MAX];
	struct writer to = writer_over(room, sizeof(room));
	bool ok = share_item_write(item, &to) && share_ring_put(link->ring, bytes_of(room, to.len), ticket);
	explicit_bzero(room, sizeof(room));
	return ok;
}

static bool give(const struct link *link, const struct share_item *items, size_t count, bool wait)
{
	uint64_t ticket = 0, began_ns = now_ns();
	bool ok = true;
	for (size_t i = 0; i < count; i++)
		ok = put(link, &items[i], &ticket) && ok;
	/* Keys of a handshake are of use with those of data: where these follow at once, they need not be looked at. */
	const struct share_item *last = &items[count - 1];
	bool vouched = wait && !settings->closed && share_bell_looks(link->bell, began_ns);
	if (wait && !vouched)
		share_bell_ring(link->bell, link->number);
	else if (wait || last->kind != SHARE_KEY || last->key.stage == RECORD_STAGE_APPLICATION ||
		 last->terms.mode == SHARE_AFTER_ROTATION)
		share_bell_mark(link->bell, link->number);
	if (!wait || !ok || still_late(link))
		return ok && !(wait && atomic_load(&late));
	ok = vouched || share_ring_wait(link->ring, ticket, began_ns + settings->deadline_ms * NS_PER_MS);
	share_waits_count(&link->ring->waits, now_ns() - began_ns);
	if (ok)
		return true;
	atomic_store(&late_ticket, ticket);
	atomic_store(&late, true);
	return false;
}

bool share_link_give(const struct share_item *items, size_t count, bool wait)
{
	int kept = errno;
	if (count == 0 && !wait)
		return true;
	const struct link *link = link_now();
	/* Of a suite that is not known here there is no key to give: no better than one that does not get there. */
	bool given = count > 0 && link && give(link, items, count, wait);
	if (!given && wait)
		share_link_count(SHARE_COUNT_MISSED, 1);
	errno = kept;
	return given || !wait || !settings->closed;
}

bool share_link_leave(const struct share_item *item)
{
	uint64_t ticket;
	const struct link *link = atomic_load(&current);
	return link && link->owner == getpid() && put(link, item, &ticket);
}

bool share_link_there(void)
{
	int kept = errno;
	const struct link *link = link_now();
	errno = kept;
	return link != NULL;
}

uint64_t share_link_ends(void)
{
	const struct link *link = atomic_load(&current);
	return link ? share_ring_ends(link->ring) : 0;
}

enum share_end share_link_ended(uint64_t *seen, const uint8_t client_random[static KEYLOG_RANDOM])
{
	const struct link *link = atomic_load(&current);
	return link ? share_ring_ended(link->ring, seen, client_random) : SHARE_END_NONE;
}

void share_link_say(enum share_kind kind, const char *text)
{
	int kept = errno;
	uint64_t ticket;
	struct share_item item = {.kind = (uint8_t)kind};
	snprintf(item.text, sizeof(item.text), "%s", text);
	const struct link *link = kind == SHARE_FILE ? link_now() : NULL;
	if (kind != SHARE_FILE) {
		(void)!share_link_give(&item, 1, false);
	} else if (link && put(link, &item, &ticket)) {
		/* By then the host looks for the hellos of what the program is about to do. */
		share_bell_ring(link->bell, link->number);
		(void)!share_ring_wait(link->ring, ticket, now_ns() + SEEN_NS);
	}
	errno = kept;
}

#include "share/shipper.h"

#include "base/clock.h"
#include "share/door.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SLEEP_NS UINT64_C(200000000) /* at most, between looks at all rings: a bell that was missed costs no more */
/*
 * While keys come, programs need not wake anybody: a system call and, between two cores, an interrupt for each handshake
 * would cost many times what the key does.
 */
#define NAP_NS    UINT64_C(500000)
#define ACTIVE_NS UINT64_C(20000000) /* without a key, until it sleeps */
#define EVENTS    32

/* Marks of descriptors in the epoll set; below them are the numbers of rings. */
#define MARK_DOOR SHARE_RINGS_MAX
#define MARK_STOP (SHARE_RINGS_MAX + 1)

/* A program. */
struct client {
	struct share_ring *ring;
	uint64_t read;               /* the ticket to be read next */
	uint64_t taken;              /* all before it count as taken, as the program sees it */
	bool done[SHARE_RING_SLOTS]; /* those from `taken` to `read` that are where they shall be */
	uint32_t birth;              /* tells it from another one of its number */
	int process;                 /* a pidfd */
	struct shipper_from from;
};

struct shipper {
	struct shipper_options options;
	struct share_bell *bell;
	int bell_fd, door, stop, epoll;
	pthread_t porter, taker;
	bool porter_runs, taker_runs;
	atomic_bool ending;
	/* Of what follows. A program waits for whoever holds it, so nobody does for long. */
	pthread_mutex_t lock;
	uint32_t births;
	struct client *clients[SHARE_RINGS_MAX];
	struct shipper_counts counts;
};

/* Rings. All under the lock. */

/* What a program has counted, as it stands in its ring. */
static void add_counts(struct shipper_counts *counts, const struct share_ring *ring)
{
	counts->full += atomic_load(&ring->full);
	share_waits_add(&counts->waits, &ring->waits);
	counts->missed += atomic_load(&ring->counts[SHARE_COUNT_MISSED]);
	counts->rotations += atomic_load(&ring->counts[SHARE_COUNT_ROTATIONS]);
	counts->overruns += atomic_load(&ring->counts[SHARE_COUNT_OVERRUNS]);
	counts->lost += atomic_load(&ring->counts[SHARE_COUNT_LOST]);
	counts->unheld += atomic_load(&ring->counts[SHARE_COUNT_UNHELD]);
}

static void let_go(struct shipper *shipper, uint32_t number)
{
	struct client *client = shipper->clients[number];
	add_counts(&shipper->counts, client->ring);
	shipper->counts.lost += atomic_load(&client->ring->counts[SHARE_COUNT_HELD]);
	shipper->clients[number] = NULL;
	/* What was written and never taken is wiped with the last mapping. */
	explicit_bzero(client->ring, SHARE_RING_SIZE);
	munmap(client->ring, SHARE_RING_SIZE);
	close(client->process);
	free(client);
}

/* Tickets count as taken in their order. */
static void advance(struct client *client)
{
	while (client->taken < client->read && client->done[client->taken % SHARE_RING_SLOTS]) {
		client->done[client->taken % SHARE_RING_SLOTS] = false;
		share_ring_done(client->ring, &client->taken);
	}
}

static void take_octets(struct shipper *shipper, uint32_t number, struct bytes octets)
{
	struct client *client = shipper->clients[number];
	const struct shipper_ticket ticket = {.at = client->read, .number = number, .birth = client->birth};
	struct share_item item;
	bool done = true;
	if (share_item_read(octets, &item)) {
		shipper->counts.items++;
		done = shipper->options.take(shipper->options.arg, &client->from, &item, ticket);
		share_item_wipe(&item);
	} else {
		shipper->counts.malformed++;
	}
	client->done[client->read % SHARE_RING_SLOTS] = done;
	client->read++;
	advance(client);
}

static void empty(struct shipper *shipper, uint32_t number)
{
	struct client *client = shipper->clients[number];
	uint8_t octets[SHARE_SLOT_MAX];
	size_t len;
	enum share_take took = SHARE_TAKE_NONE;
	/* Not for ever: other programs wait, too. What is left rings again below. */
	for (unsigned i = 0; i < SHARE_RING_SLOTS && client->read - client->taken < SHARE_RING_SLOTS; i++) {
		took = share_ring_take(client->ring, client->read, octets, &len);
		if (took != SHARE_TAKE_OCTETS)
			break;
		take_octets(shipper, number, bytes_of(octets, len));
		explicit_bzero(octets, sizeof(octets));
	}
	if (took == SHARE_TAKE_OCTETS) {
		share_bell_ring(shipper->bell, number);
	} else if (took == SHARE_TAKE_BROKEN) {
		shipper->counts.broken++;
		let_go(shipper, number);
	}
}

void shipper_done(struct shipper *shipper, struct shipper_ticket ticket)
{
	pthread_mutex_lock(&shipper->lock);
	struct client *client = ticket.number < SHARE_RINGS_MAX ? shipper->clients[ticket.number] : NULL;
	if (client && client->birth == ticket.birth && ticket.at >= client->taken && ticket.at < client->read) {
		client->done[ticket.at % SHARE_RING_SLOTS] = true;
		advance(client);
	}
	pthread_mutex_unlock(&shipper->lock);
}

unsigned shipper_end(struct shipper *shipper, uint32_t pid, const uint8_t *client_random, enum share_end how)
{
	unsigned told = 0;
	pthread_mutex_lock(&shipper->lock);
	for (uint32_t i = 0; i < SHARE_RINGS_MAX; i++) {
		struct client *client = shipper->clients[i];
		if (!client || (pid != 0 && client->from.pid != pid))
			continue;
		share_ring_end(client->ring, client_random, how);
		told++;
	}
	pthread_mutex_unlock(&shipper->lock);
	return told;
}

/* False when no bell had been rung. */
static bool empty_dirty(struct shipper *shipper)
{
	bool any = false;
	for (size_t word = 0; word < SHARE_RINGS_MAX / 32; word++) {
		uint32_t dirty = share_bell_dirty(shipper->bell, word);
		for (uint32_t bit = 0; dirty != 0; bit++, dirty >>= 1) {
			uint32_t number = (uint32_t)word * 32 + bit;
			any |= (dirty & 1) != 0;
			if ((dirty & 1) != 0 && shipper->clients[number])
				empty(shipper, number);
		}
	}
	return any;
}

static void empty_all(struct shipper *shipper)
{
	for (uint32_t i = 0; i < SHARE_RINGS_MAX; i++) {
		if (shipper->clients[i])
			empty(shipper, i);
	}
}

/* The process behind a ring is no more: all it could ever write is there. */
static bool has_ended(const struct client *client)
{
	struct pollfd process = {.fd = client->process, .events = POLLIN};
	return poll(&process, 1, 0) == 1;
}

static void end_client(struct shipper *shipper, uint32_t number)
{
	if (!shipper->clients[number] || !has_ended(shipper->clients[number]))
		return;
	empty(shipper, number);
	if (shipper->clients[number])
		let_go(shipper, number);
}

void shipper_drain(struct shipper *shipper)
{
	pthread_mutex_lock(&shipper->lock);
	empty_all(shipper);
	for (uint32_t i = 0; i < SHARE_RINGS_MAX; i++)
		end_client(shipper, i);
	pthread_mutex_unlock(&shipper->lock);
}

static void *take(void *arg)
{
	struct shipper *shipper = arg;
	uint64_t last_ns = 0;
	while (!atomic_load(&shipper->ending)) {
		uint32_t rung = share_bell_rung(shipper->bell);
		uint64_t now_ns = clock_monotonic_ns();
		if (shipper->options.vouches)
			share_bell_look(shipper->bell, now_ns);
		pthread_mutex_lock(&shipper->lock);
		bool any = empty_dirty(shipper);
		pthread_mutex_unlock(&shipper->lock);
		if (any)
			last_ns = now_ns;
		if (shipper->options.vouches && now_ns - last_ns < ACTIVE_NS)
			share_bell_nap(shipper->bell, rung, NAP_NS);
		else if (!any)
			share_bell_wait(shipper->bell, rung, SLEEP_NS);
	}
	return NULL;
}

/* The door. */

/* The number it got, or SHARE_RINGS_MAX. */
static uint32_t add(struct shipper *shipper, struct client *client)
{
	uint32_t number = 0;
	while (number < SHARE_RINGS_MAX && shipper->clients[number])
		number++;
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = number};
	if (number == SHARE_RINGS_MAX || epoll_ctl(shipper->epoll, EPOLL_CTL_ADD, client->process, &event) != 0)
		return SHARE_RINGS_MAX;
	client->birth = ++shipper->births;
	shipper->clients[number] = client;
	return number;
}

/* The name is read before the process can be another: its pidfd is held, and it waits for us. */
static struct client *client_of(const struct door_guest *guest)
{
	struct client *client = calloc(1, sizeof(*client));
	char path[64];
	if (!client)
		return NULL;
	client->ring = guest->ring;
	client->process = (int)syscall(SYS_pidfd_open, guest->pid, 0);
	client->from = (struct shipper_from){.pid = (uint32_t)guest->pid, .uid = guest->uid};
	snprintf(path, sizeof(path), "/proc/%d/comm", (int)guest->pid);
	FILE *file = fopen(path, "re");
	if (file) {
		if (!fgets(client->from.program, sizeof(client->from.program), file))
			client->from.program[0] = '\0';
		client->from.program[strcspn(client->from.program, "\n")] = '\0';
		fclose(file);
	}
	if (client->process >= 0)
		return client;
	free(client);
	return NULL;
}

static bool welcome(struct shipper *shipper, struct door_guest *guest)
{
	struct client *client = client_of(guest);
	if (!client)
		return false;
	bool ok = !shipper->options.admit || shipper->options.admit(shipper->options.arg, &client->from);
	uint32_t number = SHARE_RINGS_MAX;
	pthread_mutex_lock(&shipper->lock);
	number = ok ? add(shipper, client) : SHARE_RINGS_MAX;
	shipper->counts.rings += number < SHARE_RINGS_MAX;
	pthread_mutex_unlock(&shipper->lock);
	if (number == SHARE_RINGS_MAX) {
		close(client->process);
		free(client);
		return false;
	}
	/* It is in the list before it may write. */
	door_answer(guest, number, shipper->bell_fd);
	return true;
}

static void open_door(struct shipper *shipper)
{
	struct door_guest guest;
	while (door_next(shipper->door, &guest)) {
		if (!guest.ring || !welcome(shipper, &guest)) {
			if (guest.ring)
				munmap(guest.ring, SHARE_RING_SIZE);
			pthread_mutex_lock(&shipper->lock);
			shipper->counts.refused++;
			pthread_mutex_unlock(&shipper->lock);
		}
		door_leave(&guest);
	}
}

/* Its number may be another's by now: who drained has seen it end, too. */
static void process_ended(struct shipper *shipper, uint32_t number)
{
	pthread_mutex_lock(&shipper->lock);
	end_client(shipper, number);
	pthread_mutex_unlock(&shipper->lock);
}

static void *keep_door(void *arg)
{
	struct shipper *shipper = arg;
	struct epoll_event events[EVENTS];
	while (!atomic_load(&shipper->ending)) {
		int n = epoll_wait(shipper->epoll, events, EVENTS, -1);
		for (int i = 0; i < n; i++) {
			if (events[i].data.u32 == MARK_DOOR)
				open_door(shipper);
			else if (events[i].data.u32 < SHARE_RINGS_MAX)
				process_ended(shipper, events[i].data.u32);
		}
	}
	return NULL;
}

/* Making. */

static bool watch(struct shipper *shipper, int fd, uint32_t mark)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = mark};
	return epoll_ctl(shipper->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

static bool begin(struct shipper *shipper, struct error *err)
{
	shipper->epoll = epoll_create1(EPOLL_CLOEXEC);
	shipper->stop = eventfd(0, EFD_CLOEXEC);
	shipper->bell = door_make_bell(&shipper->bell_fd);
	if (shipper->epoll < 0 || shipper->stop < 0 || !shipper->bell)
		return error_set_errno(err, "no memory or descriptors to take keys");
	atomic_store(&shipper->bell->data_only, shipper->options.data_only);
	shipper->door = door_open(shipper->options.address, shipper->options.mode, err);
	if (shipper->door < 0)
		return false;
	if (!watch(shipper, shipper->door, MARK_DOOR) || !watch(shipper, shipper->stop, MARK_STOP))
		return error_set_errno(err, "%s", shipper->options.address);
	shipper->porter_runs = pthread_create(&shipper->porter, NULL, keep_door, shipper) == 0;
	shipper->taker_runs = pthread_create(&shipper->taker, NULL, take, shipper) == 0;
	return (shipper->porter_runs && shipper->taker_runs) || error_set(err, "no threads to take keys");
}

struct shipper *shipper_new(const struct shipper_options *options, struct error *err)
{
	struct shipper *shipper = calloc(1, sizeof(*shipper));
	if (!shipper || pthread_mutex_init(&shipper->lock, NULL) != 0) {
		free(shipper);
		error_set(err, "no memory to take keys");
		return NULL;
	}
	shipper->options = *options;
	shipper->bell_fd = shipper->door = shipper->stop = shipper->epoll = -1;
	if (begin(shipper, err))
		return shipper;
	shipper_free(shipper);
	return NULL;
}

struct shipper_counts shipper_count(struct shipper *shipper)
{
	pthread_mutex_lock(&shipper->lock);
	struct shipper_counts counts = shipper->counts;
	for (size_t i = 0; i < SHARE_RINGS_MAX; i++) {
		if (shipper->clients[i]) {
			counts.open++;
			add_counts(&counts, shipper->clients[i]->ring);
		}
	}
	pthread_mutex_unlock(&shipper->lock);
	return counts;
}

static void end_threads(struct shipper *shipper)
{
	uint64_t one = 1;
	atomic_store(&shipper->ending, true);
	if (shipper->stop >= 0)
		(void)!write(shipper->stop, &one, sizeof(one));
	if (shipper->bell) {
		atomic_store(&shipper->bell->closed, 1);
		share_bell_ring(shipper->bell, 0);
	}
	if (shipper->porter_runs)
		pthread_join(shipper->porter, NULL);
	if (shipper->taker_runs)
		pthread_join(shipper->taker, NULL);
}

void shipper_free(struct shipper *shipper)
{
	if (!shipper)
		return;
	end_threads(shipper);
	empty_all(shipper);
	for (uint32_t i = 0; i < SHARE_RINGS_MAX; i++) {
		if (shipper->clients[i])
			let_go(shipper, i);
	}
	door_close(shipper->door, shipper->options.address);
	if (shipper->bell)
		munmap(shipper->bell, SHARE_BELL_SIZE);
	int fds[] = {shipper->bell_fd, shipper->stop, shipper->epoll};
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
	pthread_mutex_destroy(&shipper->lock);
	free(shipper);
}

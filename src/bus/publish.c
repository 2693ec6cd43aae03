#include "bus/publish.h"

#include "base/clock.h"
#include "base/log.h"
#include "bus/load.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define CHAINS   1024              /* in which messages in flight are found; a power of two */
#define TRY_MS   2000              /* for the answer to one attempt */
#define PAUSE_NS (100 * NS_PER_MS) /* before the next */
#define REACH_NS NS_PER_S          /* between attempts to connect */
#define LOOK_NS  (100 * NS_PER_MS) /* between looks at what is too late */
#define GRACE_NS (500 * NS_PER_MS) /* for the thread to find out itself that something is too late */
#define SAY_NS   (60 * NS_PER_S)   /* between lines of the log about the same */
#define NEVER    UINT64_MAX

/* First in, first out. */
struct list {
	struct load_item *first, **end;
};

struct bus_publisher {
	struct loop *loop;
	struct loop_io told;       /* an eventfd: loads have ended */
	struct loop_timer overdue; /* while there are loads */
	uint64_t wait_ns;
	struct bus_events events;
	atomic_bool there; /* a server was connected when the thread last looked */
	pthread_t thread;
	bool runs;
	/* Under the lock. */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool ending;
	uint64_t said_failed_ns, said_full_ns; /* when that was last said; 0: never */
	struct list fresh, again;
	struct load_item *flying[CHAINS];
	size_t in_flight;
	struct bus_load *loads; /* not settled, newest first */
	struct bus_load *ended, **ended_end;
	struct bus_publish_counts counts;
	/* The thread's. */
	struct bus_connection bus;
	uint64_t reach_ns; /* when to try to connect again */
	bool said_unreached;
};

static void list_init(struct list *list)
{
	list->first = NULL;
	list->end = &list->first;
}

static void list_add(struct list *list, struct load_item *item)
{
	item->next = NULL;
	*list->end = item;
	list->end = &item->next;
}

static struct load_item *list_take(struct list *list)
{
	struct load_item *item = list->first;
	list->first = item->next;
	if (!list->first)
		list->end = &list->first;
	return item;
}

/* Messages in flight, by their address. */

static struct load_item **chain_of(struct bus_publisher *publisher, const natsMsg *msg)
{
	return &publisher->flying[((uintptr_t)msg >> 4) & (CHAINS - 1)];
}

static void fly(struct bus_publisher *publisher, struct load_item *item)
{
	struct load_item **chain = chain_of(publisher, item->msg);
	item->next = *chain;
	*chain = item;
	publisher->in_flight++;
}

/* NULL when it is not ours any more. */
static struct load_item *land(struct bus_publisher *publisher, const natsMsg *msg)
{
	for (struct load_item **at = chain_of(publisher, msg); *at; at = &(*at)->next) {
		struct load_item *item = *at;
		if (item->msg != msg)
			continue;
		*at = item->next;
		item->msg = NULL;
		publisher->in_flight--;
		return item;
	}
	return NULL;
}

/* Ends, under the lock. */

static void unlink_load(struct bus_publisher *publisher, struct bus_load *load)
{
	if (load->prev)
		load->prev->next = load->next;
	else
		publisher->loads = load->next;
	if (load->next)
		load->next->prev = load->prev;
	publisher->counts.octets -= load->octets.cap;
}

/* An item's end is known. The load's is with the last one's. `ok`: stored, or refused. */
static void item_ended(struct bus_publisher *publisher, struct load_item *item, bool ok)
{
	const uint64_t one = 1;
	struct bus_load *load = item->load;
	load->failed |= !ok;
	load->refused += item->refused;
	if (--load->left > 0)
		return;
	load->ended = NULL;
	*publisher->ended_end = load;
	publisher->ended_end = &load->ended;
	(void)!write(publisher->told.fd, &one, sizeof(one));
}

static bool too_late(const struct load_item *item, uint64_t now_ns)
{
	return item->load->told || item->load->failed || now_ns >= item->load->deadline_ns;
}

static void try_later(struct bus_publisher *publisher, struct load_item *item)
{
	uint64_t now_ns = clock_monotonic_ns();
	item->again_ns = now_ns + PAUSE_NS;
	if (publisher->ending || too_late(item, now_ns))
		item_ended(publisher, item, false);
	else
		list_add(&publisher->again, item);
}

/* Once in a while. */
static bool may_say(uint64_t *said_ns)
{
	uint64_t now_ns = clock_monotonic_ns();
	if (*said_ns != 0 && now_ns - *said_ns < SAY_NS)
		return false;
	*said_ns = now_ns;
	return true;
}

/*
 * The stream is full, or does not take what is so long. Of other failures of its store ("maximum" begins the texts of limits
 * only) and of a server without room it is not known whether they last, and all readers have them in common.
 */
static bool has_no_room(const jsPubAckErr *error)
{
	static const char limit[] = "maximum ";
	return error && (error->ErrCode == JSStreamMessageExceedsMaximumErr ||
				(error->ErrCode == JSStreamStoreFailedErr && error->ErrText &&
					strncmp(error->ErrText, limit, sizeof(limit) - 1) == 0));
}

static void refuse(struct bus_publisher *publisher, struct load_item *item, const jsPubAckErr *error)
{
	publisher->counts.refused++;
	if (may_say(&publisher->said_full_ns))
		log_warn("a reader's stream has no room", LOG_S("why", error->ErrText ? error->ErrText : "too long"),
			LOG_S("subject", item->subject), LOG_N("refused", publisher->counts.refused),
			LOG_S("in-force", "its keys are refused, others are taken"));
	item->refused = true;
	item_ended(publisher, item, true);
}

/* From a thread of libnats: an attempt was answered, or its time is over. */
static void answered(jsCtx *js, natsMsg *msg, jsPubAck *ack, jsPubAckErr *error, void *closure)
{
	struct bus_publisher *publisher = closure;
	(void)js;
	pthread_mutex_lock(&publisher->lock);
	struct load_item *item = land(publisher, msg);
	if (item && ack) {
		publisher->counts.published++;
		publisher->counts.known += ack->Duplicate;
		item_ended(publisher, item, true);
	} else if (item && has_no_room(error)) {
		refuse(publisher, item, error);
	} else if (item) {
		if (may_say(&publisher->said_failed_ns))
			log_warn("bus has not taken a key",
				LOG_S("why", error && error->ErrText ? error->ErrText : "no answer"),
				LOG_S("subject", item->subject));
		try_later(publisher, item);
	}
	pthread_cond_signal(&publisher->wake);
	pthread_mutex_unlock(&publisher->lock);
	natsMsg_Destroy(msg);
}

/* The thread. */

static void pause_until(struct bus_publisher *publisher, uint64_t at_ns)
{
	struct timespec until = {.tv_sec = (time_t)(at_ns / NS_PER_S), .tv_nsec = (long)(at_ns % NS_PER_S)};
	if (at_ns == NEVER)
		(void)pthread_cond_wait(&publisher->wake, &publisher->lock);
	else
		(void)pthread_cond_timedwait(&publisher->wake, &publisher->lock, &until);
}

/* What is to be sent next; NULL when nothing is now, and then until when that is sure. */
static struct load_item *next_item(struct bus_publisher *publisher, uint64_t *until_ns)
{
	uint64_t now_ns = clock_monotonic_ns();
	*until_ns = publisher->again.first ? publisher->again.first->again_ns : NEVER;
	if (publisher->in_flight >= BUS_IN_FLIGHT)
		return NULL;
	if (publisher->again.first && *until_ns <= now_ns)
		return list_take(&publisher->again);
	return publisher->fresh.first ? list_take(&publisher->fresh) : NULL;
}

/* What waits when there is no bus: it fails when its time is over. */
static void drop_late(struct bus_publisher *publisher, struct list *list)
{
	uint64_t now_ns = clock_monotonic_ns();
	struct list kept;
	list_init(&kept);
	while (list->first) {
		struct load_item *item = list_take(list);
		if (publisher->ending || too_late(item, now_ns))
			item_ended(publisher, item, false);
		else
			list_add(&kept, item);
	}
	list_init(list);
	while (kept.first)
		list_add(list, list_take(&kept));
}

static natsStatus send_item(struct bus_publisher *publisher, struct load_item *item)
{
	jsPubOptions options;
	natsMsg *msg = NULL;
	natsStatus s = natsMsg_Create(&msg, item->subject, NULL, (const char *)item->body.data, (int)item->body.len);
	if (s != NATS_OK)
		return s;
	jsPubOptions_Init(&options);
	options.MsgId = item->id;
	options.MaxWait = TRY_MS;
	/* The answer may come before the call is over. */
	pthread_mutex_lock(&publisher->lock);
	publisher->counts.again += item->tried;
	item->tried = true;
	item->msg = msg;
	fly(publisher, item);
	pthread_mutex_unlock(&publisher->lock);
	s = js_PublishMsgAsync(publisher->bus.js, &msg, &options);
	if (s == NATS_OK || !msg)
		return NATS_OK;
	pthread_mutex_lock(&publisher->lock);
	bool ours = land(publisher, msg) != NULL;
	pthread_mutex_unlock(&publisher->lock);
	natsMsg_Destroy(msg);
	return ours ? s : NATS_OK;
}

/* Nothing will be answered any more by a connection that is dropped. */
static void drop_bus(struct bus_publisher *publisher)
{
	pthread_mutex_lock(&publisher->lock);
	for (size_t i = 0; i < CHAINS; i++) {
		while (publisher->flying[i])
			try_later(publisher, land(publisher, publisher->flying[i]->msg));
	}
	pthread_mutex_unlock(&publisher->lock);
	bus_drop(&publisher->bus);
}

static bool reach(struct bus_publisher *publisher)
{
	struct error err;
	jsOptions js;
	if (publisher->bus.conn && !natsConnection_IsClosed(publisher->bus.conn))
		return true;
	if (publisher->bus.conn) {
		log_warn("bus closed", LOG_S("in-force", "it is tried again"));
		drop_bus(publisher);
	}
	if (clock_monotonic_ns() < publisher->reach_ns)
		return false;
	jsOptions_Init(&js);
	js.PublishAsync.MaxPending = (int64_t)2 * BUS_IN_FLIGHT;
	js.PublishAsync.AckHandler = answered;
	js.PublishAsync.AckHandlerClosure = publisher;
	bool ok = bus_connect(&publisher->bus, &js, &err);
	publisher->reach_ns = clock_monotonic_ns() + REACH_NS;
	if (ok)
		log_info("bus found", LOG_S("servers", publisher->bus.servers));
	else if (!publisher->said_unreached)
		log_error("bus not reached", LOG_S("why", err.text), LOG_S("in-force", "keys are refused meanwhile"));
	publisher->said_unreached = !ok;
	return ok;
}

static bool reached(struct bus_publisher *publisher)
{
	bool ok = reach(publisher);
	atomic_store(&publisher->there, ok && natsConnection_Status(publisher->bus.conn) == NATS_CONN_STATUS_CONNECTED);
	return ok;
}

/* Under the lock, which it lets go of meanwhile. */
static void send_next(struct bus_publisher *publisher, struct load_item *item)
{
	if (publisher->ending || too_late(item, clock_monotonic_ns())) {
		item_ended(publisher, item, false);
		return;
	}
	pthread_mutex_unlock(&publisher->lock);
	natsStatus s = send_item(publisher, item);
	pthread_mutex_lock(&publisher->lock);
	if (s != NATS_OK)
		try_later(publisher, item);
}

static void *run(void *arg)
{
	struct bus_publisher *publisher = arg;
	uint64_t until_ns = NEVER;
	bool there = reached(publisher);
	pthread_mutex_lock(&publisher->lock);
	while (!publisher->ending) {
		struct load_item *item = there ? next_item(publisher, &until_ns) : NULL;
		if (item) {
			send_next(publisher, item);
			continue;
		}
		drop_late(publisher, &publisher->fresh);
		drop_late(publisher, &publisher->again);
		uint64_t look_ns = clock_monotonic_ns() + LOOK_NS;
		pause_until(publisher, there && until_ns < look_ns ? until_ns : look_ns);
		pthread_mutex_unlock(&publisher->lock);
		there = reached(publisher);
		pthread_mutex_lock(&publisher->lock);
	}
	pthread_mutex_unlock(&publisher->lock);
	drop_bus(publisher);
	nats_ReleaseThreadMemory();
	return NULL;
}

/* The loop's side. */

static void tell(struct bus_load *load)
{
	load->told = true;
	load->done(!load->failed, load->failed ? NULL : load, load->ctx);
}

/* Loads whose last item has ended. */
static void ends_ready(struct loop_io *io)
{
	struct bus_publisher *publisher = (struct bus_publisher *)((char *)io - offsetof(struct bus_publisher, told));
	uint64_t count;
	(void)!read(io->fd, &count, sizeof(count));
	io->readable = false;
	pthread_mutex_lock(&publisher->lock);
	struct bus_load *ended = publisher->ended;
	publisher->ended = NULL;
	publisher->ended_end = &publisher->ended;
	for (struct bus_load *load = ended; load; load = load->ended) {
		unlink_load(publisher, load);
		publisher->counts.failed += load->failed && !load->told;
	}
	pthread_mutex_unlock(&publisher->lock);
	while (ended) {
		struct bus_load *load = ended;
		ended = load->ended;
		if (!load->told)
			tell(load);
		bus_load_free(load);
	}
}

/* The oldest load that is too late and has not been told so. */
static struct bus_load *find_late(struct bus_publisher *publisher, uint64_t now_ns, bool *any)
{
	struct bus_load *late = NULL;
	pthread_mutex_lock(&publisher->lock);
	*any = publisher->loads != NULL;
	for (struct bus_load *load = publisher->loads; load; load = load->next) {
		if (!load->told && load->left > 0 && now_ns >= load->deadline_ns + GRACE_NS)
			late = load;
	}
	if (late) {
		late->told = true; /* under the lock: the thread looks at it */
		publisher->counts.failed++;
		publisher->counts.late++;
	}
	pthread_mutex_unlock(&publisher->lock);
	return late;
}

/* Whatever the library does: who waits is told. The load itself goes when its messages have come down. */
static void look_for_late(struct loop_timer *timer)
{
	struct bus_publisher *publisher =
		(struct bus_publisher *)((char *)timer - offsetof(struct bus_publisher, overdue));
	struct bus_load *late;
	uint64_t now_ns = loop_now_ns(publisher->loop);
	bool any;
	while ((late = find_late(publisher, now_ns, &any)))
		late->done(false, NULL, late->ctx);
	if (any)
		loop_timer_set(publisher->loop, timer, now_ns + LOOK_NS, look_for_late);
}

bool bus_publish(struct bus_publisher *publisher, struct bus_load *load,
	void (*done)(bool ok, const struct bus_load *load, void *ctx), void *ctx)
{
	load->done = done;
	load->ctx = ctx;
	load->left = load->count;
	load->deadline_ns = clock_monotonic_ns() + publisher->wait_ns;
	pthread_mutex_lock(&publisher->lock);
	bool room = load->count > 0 && publisher->counts.octets + load->octets.cap <= BUS_ROOM;
	if (room) {
		publisher->counts.octets += load->octets.cap;
		load->next = publisher->loads;
		if (load->next)
			load->next->prev = load;
		publisher->loads = load;
		for (size_t i = 0; i < load->count; i++)
			list_add(&publisher->fresh, &load->items[i]);
		pthread_cond_signal(&publisher->wake);
	} else {
		publisher->counts.full++;
	}
	pthread_mutex_unlock(&publisher->lock);
	if (!room) {
		bus_load_free(load);
		return false;
	}
	if (publisher->overdue.at == 0)
		loop_timer_set(
			publisher->loop, &publisher->overdue, loop_now_ns(publisher->loop) + LOOK_NS, look_for_late);
	return true;
}

struct bus_publish_counts bus_publisher_count(struct bus_publisher *publisher)
{
	pthread_mutex_lock(&publisher->lock);
	struct bus_publish_counts counts = publisher->counts;
	pthread_mutex_unlock(&publisher->lock);
	counts.lost = atomic_load(&publisher->events.lost);
	counts.found = atomic_load(&publisher->events.again);
	counts.there = atomic_load(&publisher->there);
	return counts;
}

/* Making. */

static bool begin(struct bus_publisher *publisher, struct error *err)
{
	pthread_condattr_t clock;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	publisher->told.fd = fd;
	bool ok = fd >= 0 && pthread_condattr_init(&clock) == 0 &&
	          pthread_condattr_setclock(&clock, CLOCK_MONOTONIC) == 0 &&
	          pthread_cond_init(&publisher->wake, &clock) == 0 && pthread_mutex_init(&publisher->lock, NULL) == 0 &&
	          loop_add(publisher->loop, &publisher->told, fd, ends_ready);
	publisher->runs = ok && pthread_create(&publisher->thread, NULL, run, publisher) == 0;
	return publisher->runs || error_set(err, "no thread for the bus");
}

struct bus_publisher *bus_publisher_new(
	struct loop *loop, const struct bus_options *options, const char *site, uint64_t wait_ns, struct error *err)
{
	if (!bus_site_valid(site)) {
		error_set(
			err, "%s: a site has letters, digits, hyphens and underscores, at most %d", site, BUS_SITE_MAX);
		return NULL;
	}
	struct bus_publisher *publisher = calloc(1, sizeof(*publisher));
	if (!publisher) {
		error_set(err, "no memory for the bus");
		return NULL;
	}
	char inbox[BUS_INBOX];
	publisher->loop = loop;
	publisher->told.fd = -1;
	publisher->wait_ns = wait_ns ? wait_ns : BUS_WAIT_NS;
	list_init(&publisher->fresh);
	list_init(&publisher->again);
	publisher->ended_end = &publisher->ended;
	bus_site_inbox(inbox, site);
	if (bus_prepare(&publisher->bus, options, "overt collect", inbox, &publisher->events, err) &&
		begin(publisher, err))
		return publisher;
	bus_publisher_free(publisher, NULL);
	return NULL;
}

/* After the thread: nothing is in flight, and nobody else looks. */
static void settle_all(struct bus_publisher *publisher)
{
	pthread_mutex_lock(&publisher->lock);
	drop_late(publisher, &publisher->fresh);
	drop_late(publisher, &publisher->again);
	pthread_mutex_unlock(&publisher->lock);
	ends_ready(&publisher->told);
}

void bus_publisher_free(struct bus_publisher *publisher, struct bus_publish_counts *counts)
{
	if (!publisher)
		return;
	if (publisher->runs) {
		pthread_mutex_lock(&publisher->lock);
		publisher->ending = true;
		pthread_cond_signal(&publisher->wake);
		pthread_mutex_unlock(&publisher->lock);
		pthread_join(publisher->thread, NULL);
		bus_forget(&publisher->bus);
		settle_all(publisher);
	}
	bus_forget(&publisher->bus);
	if (counts && publisher->runs)
		*counts = bus_publisher_count(publisher);
	loop_timer_clear(publisher->loop, &publisher->overdue);
	loop_remove(publisher->loop, &publisher->told);
	if (publisher->told.fd >= 0)
		close(publisher->told.fd);
	if (publisher->runs) {
		pthread_cond_destroy(&publisher->wake);
		pthread_mutex_destroy(&publisher->lock);
	}
	free(publisher);
}

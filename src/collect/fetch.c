#include "collect/fetch.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "collect/address.h"
#include "collect/link.h"
#include "keys/courier.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_NS  (10 * NS_PER_S)
#define AGAIN_MIN_NS (100 * NS_PER_MS)
#define AGAIN_MAX_NS (5 * NS_PER_S)
#define IN_CAP       ((size_t)COURIER_MAX_BODY + COURIER_HEADER + 16384)
#define OUT_CAP      ((size_t)4096)

struct fetch {
	struct fetch_options options;
	char host[ADDRESS_HOST], port[ADDRESS_PORT];
	struct secret key;
	SSL_CTX *ctx;
	struct loop *loop;
	struct loop_io stop;
	struct loop_timer timer; /* patience, or when to try again */
	struct opener *opener;
	struct link link;
	bool linked, told, enough_said;
	bool current; /* this connection has given all that was held when it began */
	struct buffer in;
	uint8_t instance[COURIER_INSTANCE];
	uint64_t cursor, again_ns;
	struct fetch_counts counts;
	pthread_t thread;
	bool started;
	/* Between the threads. */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool caught_up, over, stopping;
	struct error err;
};

static void connect_now(struct fetch *fetch);

static void tell(struct fetch *fetch, bool caught_up, bool over)
{
	pthread_mutex_lock(&fetch->lock);
	fetch->caught_up |= caught_up;
	fetch->over |= over;
	pthread_cond_broadcast(&fetch->changed);
	pthread_mutex_unlock(&fetch->lock);
}

static void finish(struct fetch *fetch, const char *why)
{
	pthread_mutex_lock(&fetch->lock);
	if (why && !fetch->err.text[0])
		(void)error_set(&fetch->err, "%s: %s", fetch->options.address, why);
	pthread_mutex_unlock(&fetch->lock);
	tell(fetch, false, true);
	loop_stop(fetch->loop);
}

static void drop_link(struct fetch *fetch)
{
	if (fetch->linked)
		link_close(&fetch->link);
	fetch->linked = false;
	buffer_clear(&fetch->in);
	loop_timer_clear(fetch->loop, &fetch->timer);
}

static void try_again(struct loop_timer *timer)
{
	connect_now((struct fetch *)((char *)timer - offsetof(struct fetch, timer)));
}

/* A connection that never worked is a mistake to be told at once; one that did is tried for as long as it is wanted. */
static void lost(struct fetch *fetch, const char *why, bool for_good)
{
	struct error said;
	(void)error_set(&said, "%s", why && *why ? why : "the connection ended");
	drop_link(fetch);
	if (for_good || !fetch->options.follow || !fetch->caught_up) {
		finish(fetch, said.text);
		return;
	}
	log_warn("collector lost", LOG_S("address", fetch->options.address), LOG_S("why", said.text));
	fetch->again_ns = fetch->again_ns ? fetch->again_ns * 2 : AGAIN_MIN_NS;
	if (fetch->again_ns > AGAIN_MAX_NS)
		fetch->again_ns = AGAIN_MAX_NS;
	loop_timer_set(fetch->loop, &fetch->timer, clock_monotonic_ns() + fetch->again_ns, try_again);
}

static void too_slow(struct loop_timer *timer)
{
	lost((struct fetch *)((char *)timer - offsetof(struct fetch, timer)),
		"no answer in time; it gives nothing while its audit log cannot be written", false);
}

/* What is held already comes without long pauses; what comes later, comes when it comes. */
static void be_patient(struct fetch *fetch)
{
	if (!fetch->current)
		loop_timer_set(fetch->loop, &fetch->timer, clock_monotonic_ns() + PATIENCE_NS, too_slow);
}

/* Frames. */

static void take_key(struct fetch *fetch, const struct courier_given *given)
{
	struct release release;
	char sender[COLLECT_NAME_MAX + 1];
	enum seal_result result = opener_open(fetch->opener, given->sealed, &release);
	if (result != SEAL_OK) {
		if (fetch->counts.unopened++ == 0)
			log_warn("key not opened", LOG_S("why", seal_result_text(result)));
		return;
	}
	text_clean(sender, sizeof(sender), given->sender);
	fetch->counts.keys++;
	fetch->options.took(&release, sender, fetch->options.ctx);
	release_wipe(&release);
}

static bool take_give(struct fetch *fetch, struct bytes body)
{
	struct courier_given given;
	struct bytes items;
	uint64_t next;
	if (!courier_give_read(body, &next, &items))
		return false;
	while (courier_given_take(&items, &given))
		take_key(fetch, &given);
	be_patient(fetch);
	fetch->cursor = next;
	return items.len == 0;
}

static bool take_instance(struct fetch *fetch, struct bytes body)
{
	uint8_t instance[COURIER_INSTANCE];
	uint64_t lifetime_ms;
	if (!courier_instance_read(body, instance, &lifetime_ms))
		return false;
	if (memcmp(instance, fetch->instance, COURIER_INSTANCE) != 0)
		fetch->cursor = 0;
	memcpy(fetch->instance, instance, COURIER_INSTANCE);
	fetch->counts.connected++;
	fetch->again_ns = 0;
	be_patient(fetch);
	return true;
}

static bool say_enough(struct fetch *fetch)
{
	uint8_t room[64];
	struct writer to = writer_over(room, sizeof(room));
	struct bytes frame;
	fetch->enough_said = true;
	fetch->current = false;
	be_patient(fetch);
	courier_enough_write(&to, fetch->options.enough);
	return writer_done(&to, &frame) && link_send(&fetch->link, frame) != LINK_FAILED;
}

static bool take_caught_up(struct fetch *fetch, struct bytes body)
{
	if (!courier_caught_up_read(body, &fetch->cursor))
		return false;
	fetch->current = true;
	loop_timer_clear(fetch->loop, &fetch->timer);
	if (fetch->options.enough && !fetch->enough_said)
		return say_enough(fetch);
	tell(fetch, true, false);
	if (!fetch->options.follow) {
		drop_link(fetch);
		finish(fetch, NULL);
	}
	return true;
}

/* The collector has ended the grant, and has said so in its log. */
static bool take_ended(struct fetch *fetch, struct bytes body)
{
	uint8_t grant[RELEASE_GRANT], why;
	if (!courier_ended_read(body, grant, &why))
		return false;
	if (fetch->enough_said && memcmp(grant, fetch->options.enough, RELEASE_GRANT) == 0) {
		tell(fetch, true, false);
		drop_link(fetch);
		finish(fetch, NULL);
	}
	return true;
}

/* The collector's last word. What another certificate or grant would cure does not cure itself. */
static void take_sorry(struct fetch *fetch, struct bytes body)
{
	uint8_t why;
	struct bytes text;
	char clean[256];
	if (!courier_sorry_read(body, &why, &text)) {
		lost(fetch, "it speaks another protocol", true);
		return;
	}
	text_clean(clean, sizeof(clean), text);
	lost(fetch, clean, why == COURIER_WHY_NOT_ALLOWED || why == COURIER_WHY_FORM);
}

static void take_frame(struct fetch *fetch, const struct courier_frame *frame)
{
	bool ok = false;
	switch (frame->type) {
	case COURIER_INSTANCE_IS:
		ok = take_instance(fetch, frame->body);
		break;
	case COURIER_GIVE:
		ok = take_give(fetch, frame->body);
		break;
	case COURIER_CAUGHT_UP:
		ok = take_caught_up(fetch, frame->body);
		break;
	case COURIER_ENDED:
		ok = take_ended(fetch, frame->body);
		break;
	case COURIER_SORRY:
		take_sorry(fetch, frame->body);
		return;
	default:
		break;
	}
	if (!ok)
		lost(fetch, "it speaks another protocol", true);
}

static void take_frames(struct fetch *fetch)
{
	struct bytes in = buffer_bytes(&fetch->in);
	size_t had = in.len;
	struct courier_frame frame;
	enum courier_result result = COURIER_MORE;
	while (fetch->linked && (result = courier_take(&in, &frame)) == COURIER_OK)
		take_frame(fetch, &frame);
	if (!fetch->linked)
		return;
	if (result != COURIER_MORE)
		lost(fetch, "it speaks another protocol", true);
	else
		buffer_drop(&fetch->in, had - in.len);
}

static void read_on(struct fetch *fetch)
{
	enum link_result result = LINK_OK;
	while (fetch->linked && result == LINK_OK) {
		size_t space, len;
		uint8_t *room = buffer_space(&fetch->in, &space);
		if (!room) {
			lost(fetch, "no memory", false);
			return;
		}
		result = link_read(&fetch->link, room, space, &len);
		if (result == LINK_OK) {
			fetch->in.len += len;
			take_frames(fetch);
		}
	}
	if (fetch->linked && result != LINK_WAIT)
		lost(fetch, fetch->link.fault.text, false);
}

/* The connection. */

static void say_want(struct fetch *fetch)
{
	uint8_t room[64];
	struct writer to = writer_over(room, sizeof(room));
	struct courier_want want = {.follow = fetch->options.follow, .from = fetch->cursor};
	struct bytes frame;
	memcpy(want.instance, fetch->instance, COURIER_INSTANCE);
	courier_want_write(&to, &want);
	fetch->told = true;
	if (!writer_done(&to, &frame) || link_send(&fetch->link, frame) == LINK_FAILED)
		lost(fetch, fetch->link.fault.text, false);
}

static void ready(struct loop_io *io)
{
	struct fetch *fetch = (struct fetch *)((char *)io - offsetof(struct fetch, link.io));
	if (!SSL_is_init_finished(fetch->link.ssl)) {
		enum link_result result = link_handshake(&fetch->link);
		if (result == LINK_WAIT)
			return;
		if (result != LINK_OK) {
			lost(fetch, fetch->link.fault.text, false);
			return;
		}
		if (collect_protocol_of(fetch->link.ssl) != COLLECT_READ) {
			lost(fetch, "no collector answers there", true);
			return;
		}
	}
	if (!fetch->told)
		say_want(fetch);
	if (fetch->linked && link_flush(&fetch->link) == LINK_FAILED)
		lost(fetch, fetch->link.fault.text, false);
	if (fetch->linked)
		read_on(fetch);
}

static void connect_now(struct fetch *fetch)
{
	struct error err;
	int fd = address_connect(fetch->host, fetch->port, &err);
	if (fd < 0) {
		lost(fetch, err.text, false);
		return;
	}
	SSL *ssl = collect_client_ssl(fetch->ctx, fetch->host);
	if (!ssl) {
		close(fd);
		lost(fetch, "no memory for TLS", false);
		return;
	}
	fetch->told = fetch->current = false;
	fetch->in.cap = IN_CAP;
	if (!link_init(&fetch->link, fetch->loop, ssl, fd, OUT_CAP, ready)) {
		lost(fetch, "no memory for a connection", false);
		return;
	}
	fetch->linked = true;
	be_patient(fetch);
	ready(&fetch->link.io);
}

static void stop_ready(struct loop_io *io)
{
	struct fetch *fetch = (struct fetch *)((char *)io - offsetof(struct fetch, stop));
	/* It can always be written to: that is no news. */
	if (io->readable)
		loop_stop(fetch->loop);
}

static void *run(void *arg)
{
	struct fetch *fetch = arg;
	connect_now(fetch);
	pthread_mutex_lock(&fetch->lock);
	bool over = fetch->over;
	pthread_mutex_unlock(&fetch->lock);
	if (!over)
		(void)loop_run(fetch->loop);
	drop_link(fetch);
	tell(fetch, false, true);
	return NULL;
}

static bool make(struct fetch *fetch, struct error *err)
{
	fetch->stop.fd = -1;
	if (!address_split(fetch->options.address, fetch->host, fetch->port))
		return error_set(err, "%s: an address and a port are wanted, as collector.example.com:4489",
			fetch->options.address);
	fetch->ctx = collect_client_context(&fetch->options.files, COURIER_ALPN_READ, err);
	if (!fetch->ctx)
		return false;
	fetch->opener = opener_new(fetch->key.octets);
	fetch->loop = loop_new();
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!fetch->opener || !fetch->loop || fd < 0 || !loop_add(fetch->loop, &fetch->stop, fd, stop_ready)) {
		if (fd >= 0)
			close(fd);
		return error_set(err, "no memory to fetch keys with");
	}
	fetch->started = pthread_create(&fetch->thread, NULL, run, fetch) == 0;
	return fetch->started || error_set(err, "no thread to fetch keys with");
}

struct fetch *fetch_begin(const struct fetch_options *options, const struct secret *key, struct error *err)
{
	struct fetch *fetch = secret_alloc(sizeof(*fetch));
	if (!fetch) {
		(void)error_set(err, "no memory to fetch keys with");
		return NULL;
	}
	fetch->options = *options;
	fetch->key = *key;
	pthread_mutex_init(&fetch->lock, NULL);
	pthread_cond_init(&fetch->changed, NULL);
	bool ok = make(fetch, err);
	if (ok) {
		pthread_mutex_lock(&fetch->lock);
		while (!fetch->caught_up && !fetch->over)
			pthread_cond_wait(&fetch->changed, &fetch->lock);
		ok = fetch->caught_up;
		if (!ok)
			*err = fetch->err;
		pthread_mutex_unlock(&fetch->lock);
	}
	if (ok)
		return fetch;
	fetch_end(fetch, NULL);
	return NULL;
}

bool fetch_over(struct fetch *fetch)
{
	pthread_mutex_lock(&fetch->lock);
	bool over = fetch->over;
	pthread_mutex_unlock(&fetch->lock);
	return over;
}

void fetch_end(struct fetch *fetch, struct fetch_counts *counts)
{
	const uint64_t one = 1;
	if (!fetch)
		return;
	if (fetch->started) {
		(void)!write(fetch->stop.fd, &one, sizeof(one));
		pthread_join(fetch->thread, NULL);
	}
	if (counts)
		*counts = fetch->counts;
	if (fetch->stop.registered) {
		loop_remove(fetch->loop, &fetch->stop);
		close(fetch->stop.fd);
	}
	opener_free(fetch->opener);
	SSL_CTX_free(fetch->ctx);
	loop_free(fetch->loop);
	pthread_cond_destroy(&fetch->changed);
	pthread_mutex_destroy(&fetch->lock);
	secret_free(fetch);
}

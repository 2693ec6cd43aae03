#include "share/sender.h"

#include "audit/log.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "keys/courier.h"
#include "keys/secret.h"
#include "share/granting.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FRAME_ROOM ((size_t)COURIER_HEADER + COURIER_MAX_BODY)
#define PER_BATCH  64       /* releases; each may be sealed to several readers */
#define AGAIN_NS   NS_PER_S /* between attempts to connect */
#define IDLE_NS    NS_PER_S /* between looks at the grants while nothing comes */

struct tag {
	bool set;
	uint8_t octets[SENDER_TAG];
};

struct waiting {
	struct release release;
	struct tag tag;
};

struct sender {
	struct sender_options options;
	struct granting *granting;
	struct loop *loop; /* the log wants one; nothing of it is waited for here */
	struct audit_log *log;
	pthread_t thread;
	bool runs;
	/* Under the lock. */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct waiting *queue; /* SENDER_QUEUE of them: memory for secrets */
	size_t first, count;
	bool ending;
	uint64_t until_ns; /* monotonic: when it ends whatever is left */
	struct sender_counts counts;
	/* The thread's. */
	SSL *ssl;
	uint64_t batch;
	size_t sealed;              /* in the frame */
	struct tag tags[PER_BATCH]; /* of what is in it */
	size_t tag_count;
	struct writer frame;
	size_t mark;
	uint64_t tried_ns;
	uint8_t in[FRAME_ROOM];
	size_t in_len;
	uint8_t room[FRAME_ROOM];
};

/* The queue. */

void sender_put(struct sender *sender, const struct release *release, const void *tag)
{
	pthread_mutex_lock(&sender->lock);
	sender->counts.offered++;
	if (sender->count == SENDER_QUEUE) {
		sender->counts.lost++;
	} else {
		struct waiting *place = &sender->queue[(sender->first + sender->count++) % SENDER_QUEUE];
		place->release = *release;
		place->tag.set = tag != NULL;
		if (tag)
			memcpy(place->tag.octets, tag, SENDER_TAG);
		pthread_cond_signal(&sender->wake);
	}
	pthread_mutex_unlock(&sender->lock);
}

/* False when nothing came. */
static bool next_release(struct sender *sender, struct waiting *out)
{
	pthread_mutex_lock(&sender->lock);
	bool any = sender->count > 0;
	if (any) {
		*out = sender->queue[sender->first];
		release_wipe(&sender->queue[sender->first].release);
		sender->first = (sender->first + 1) % SENDER_QUEUE;
		sender->count--;
	}
	pthread_mutex_unlock(&sender->lock);
	return any;
}

static void tell_done(struct sender *sender, const struct tag *tag)
{
	if (tag->set && sender->options.done)
		sender->options.done(sender->options.arg, tag->octets);
}

/* Until something is there, the end comes, or so long. */
static void wait_for_more(struct sender *sender, uint64_t most_ns)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	uint64_t at = (uint64_t)until.tv_nsec + most_ns;
	until.tv_sec += (time_t)(at / NS_PER_S);
	until.tv_nsec = (long)(at % NS_PER_S);
	pthread_mutex_lock(&sender->lock);
	if (sender->count == 0 && !sender->ending)
		(void)pthread_cond_timedwait(&sender->wake, &sender->lock, &until);
	pthread_mutex_unlock(&sender->lock);
}

static bool may_go_on(struct sender *sender)
{
	pthread_mutex_lock(&sender->lock);
	bool on = !sender->ending || clock_monotonic_ns() < sender->until_ns;
	pthread_mutex_unlock(&sender->lock);
	return on;
}

static bool is_ending(struct sender *sender)
{
	pthread_mutex_lock(&sender->lock);
	bool ending = sender->ending;
	pthread_mutex_unlock(&sender->lock);
	return ending;
}

static void count_in(struct sender *sender, uint64_t *counter, uint64_t n)
{
	pthread_mutex_lock(&sender->lock);
	*counter += n;
	pthread_mutex_unlock(&sender->lock);
}

/* A batch. */

static bool log_release(struct sender *sender, const struct grant *grant, const struct release *release)
{
	char id[2 * RELEASE_GRANT + 1], key[2 * SEAL_KEY_ID + 1], random[2 * KEYLOG_RANDOM + 1];
	struct audit_entry entry = {.kind = AUDIT_RELEASE};
	text_hex(id, sizeof(id), bytes_of(release->grant, RELEASE_GRANT));
	text_hex(key, sizeof(key), bytes_of(grant->key_id, SEAL_KEY_ID));
	text_hex(random, sizeof(random), bytes_of(release->key.client_random, KEYLOG_RANDOM));
	bool ok = audit_entry_add(&entry, AUDIT_T("grant", bytes_str(id))) &&
	          audit_entry_add(&entry, AUDIT_T("reader_key", bytes_str(key))) &&
	          audit_entry_add(&entry, AUDIT_C("connection", bytes_str(random))) &&
	          audit_entry_add(&entry, AUDIT_C("name", bytes_str(release->name))) &&
	          audit_entry_add(
			  &entry, AUDIT_T("direction", bytes_str(release->key.from_client ? "client" : "server"))) &&
	          audit_entry_add(&entry, AUDIT_N("epoch", release->key.epoch)) &&
	          audit_entry_add(&entry, AUDIT_T("mode", bytes_str("live"))) &&
	          audit_entry_add(&entry, AUDIT_T("grade", bytes_str("record"))) &&
	          audit_entry_add(&entry, AUDIT_N("count", 1)) &&
	          audit_entry_add(&entry, AUDIT_T("consent", bytes_str("unilateral")));
	return ok && audit_append(sender->log, &entry, clock_wall_ns(), NULL) == AUDIT_QUEUED;
}

static void add_sealed(void *arg, const struct grant *grant, const struct release *release, struct bytes sealed)
{
	struct sender *sender = arg;
	size_t kept = sender->frame.len;
	writer_vec16(&sender->frame, sealed);
	/* Its entry first: what is not logged does not leave. */
	if (!sender->frame.full && log_release(sender, grant, release)) {
		sender->sealed++;
		return;
	}
	sender->frame.len = kept;
	sender->frame.full = false;
	count_in(sender, &sender->counts.unlogged, 1);
}

/* Into the frame for every reader who is to get it. */
static void seal_one(struct sender *sender, struct waiting *one)
{
	size_t before = sender->sealed;
	size_t count = granting_seal(sender->granting, &one->release, (int64_t)(clock_wall_ns() / NS_PER_S),
		clock_monotonic_ns(), add_sealed, sender);
	count_in(sender, count > 0 ? &sender->counts.sealed : &sender->counts.uncovered, count > 0 ? count : 1);
	if (count == 0)
		tell_done(sender, &one->tag);
	else if (sender->sealed - before == count)
		sender->tags[sender->tag_count++] = one->tag;
	release_wipe(&one->release);
}

/* Fills a frame with what waits. False when there is nothing in it to be sent. */
static bool make_batch(struct sender *sender)
{
	struct waiting one;
	sender->frame = writer_over(sender->room, sizeof(sender->room));
	sender->sealed = sender->tag_count = 0;
	sender->mark = courier_open(&sender->frame, COURIER_PUT);
	writer_u64(&sender->frame, ++sender->batch);
	for (unsigned i = 0; i < PER_BATCH && sender->frame.len < FRAME_ROOM / 2 && next_release(sender, &one); i++)
		seal_one(sender, &one);
	courier_close(&sender->frame, sender->mark);
	if (sender->sealed == 0)
		return false;
	if (audit_flush(sender->log))
		return true;
	count_in(sender, &sender->counts.unlogged, sender->sealed);
	return false;
}

/* The connection. */

static void disconnect(struct sender *sender)
{
	SSL_free(sender->ssl);
	sender->ssl = NULL;
	sender->in_len = 0;
}

static bool connected(struct sender *sender)
{
	struct error err;
	if (sender->ssl)
		return true;
	if (clock_monotonic_ns() - sender->tried_ns < AGAIN_NS)
		return false;
	sender->tried_ns = clock_monotonic_ns();
	sender->ssl = sender->options.connect(sender->options.arg, &err);
	if (!sender->ssl) {
		log_warn("no collector", LOG_S("why", err.text));
		return false;
	}
	count_in(sender, &sender->counts.connections, 1);
	return true;
}

/* What the collector says. True once this batch was answered. */
static bool hear(struct sender *sender, const struct courier_frame *frame)
{
	struct courier_taken taken;
	uint8_t grant[RELEASE_GRANT], why;
	struct bytes text;
	if (frame->type == COURIER_TAKEN && courier_taken_read(frame->body, &taken) && taken.batch == sender->batch) {
		count_in(sender, &sender->counts.taken, (uint64_t)taken.fresh + taken.known);
		count_in(sender, &sender->counts.refused, taken.refused);
		if (taken.refused > 0)
			log_warn("keys refused by the collector", LOG_N("keys", taken.refused),
				LOG_S("why", courier_why_text(taken.why)));
		return true;
	}
	if (frame->type == COURIER_ENDED && courier_ended_read(frame->body, grant, &why))
		granting_end(sender->granting, grant);
	else if (frame->type == COURIER_SORRY && courier_sorry_read(frame->body, &why, &text))
		log_warn("the collector ends the connection", LOG_S("why", courier_why_text(why)));
	return false;
}

static bool await_answer(struct sender *sender)
{
	while (true) {
		struct bytes in = bytes_of(sender->in, sender->in_len);
		struct courier_frame frame;
		enum courier_result result = courier_take(&in, &frame);
		if (result == COURIER_OK) {
			bool answered = hear(sender, &frame);
			memmove(sender->in, in.data, in.len);
			sender->in_len = in.len;
			if (answered)
				return true;
			continue;
		}
		int n = result == COURIER_MORE && sender->in_len < sizeof(sender->in)
		                ? SSL_read(sender->ssl, sender->in + sender->in_len,
					  (int)(sizeof(sender->in) - sender->in_len))
		                : -1;
		if (n <= 0)
			return false;
		sender->in_len += (size_t)n;
	}
}

/* Until it was answered, over as many connections as that takes: what was taken already the collector knows again. */
static void send_batch(struct sender *sender)
{
	while (may_go_on(sender)) {
		if (!connected(sender)) {
			struct timespec pause = {.tv_nsec = 50000000};
			nanosleep(&pause, NULL);
			continue;
		}
		if (SSL_write(sender->ssl, sender->room, (int)sender->frame.len) == (int)sender->frame.len &&
			await_answer(sender)) {
			for (size_t i = 0; i < sender->tag_count; i++)
				tell_done(sender, &sender->tags[i]);
			return;
		}
		disconnect(sender);
	}
	count_in(sender, &sender->counts.unsent, sender->sealed);
}

static void *run(void *arg)
{
	struct sender *sender = arg;
	while (may_go_on(sender)) {
		granting_refresh(sender->granting);
		if (make_batch(sender))
			send_batch(sender);
		else if (is_ending(sender))
			break;
		wait_for_more(sender, IDLE_NS);
	}
	disconnect(sender);
	return NULL;
}

/* Making. */

static bool begin(struct sender *sender, struct error *err)
{
	pthread_condattr_t attributes;
	const struct audit_options audit = {.path = sender->options.audit};
	sender->queue = secret_alloc(SENDER_QUEUE * sizeof(struct waiting));
	sender->loop = loop_new();
	if (!sender->queue || !sender->loop || pthread_mutex_init(&sender->lock, NULL) != 0 ||
		pthread_condattr_init(&attributes) != 0 ||
		pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) != 0 ||
		pthread_cond_init(&sender->wake, &attributes) != 0)
		return error_set(err, "no memory to send keys");
	sender->granting =
		granting_new(sender->options.grants, sender->options.signers, sender->options.signer_count, err);
	sender->log = sender->granting ? audit_log_new(sender->loop, &audit, NULL, NULL, err) : NULL;
	if (!sender->log)
		return false;
	sender->runs = pthread_create(&sender->thread, NULL, run, sender) == 0;
	return sender->runs || error_set(err, "no thread to send keys");
}

struct sender *sender_new(const struct sender_options *options, struct error *err)
{
	struct sender *sender = calloc(1, sizeof(*sender));
	if (!sender) {
		error_set(err, "no memory to send keys");
		return NULL;
	}
	sender->options = *options;
	if (begin(sender, err))
		return sender;
	(void)sender_free(sender, 0);
	return NULL;
}

struct sender_counts sender_free(struct sender *sender, uint64_t most_ns)
{
	if (!sender)
		return (struct sender_counts){0};
	if (sender->runs) {
		pthread_mutex_lock(&sender->lock);
		sender->ending = true;
		sender->until_ns = clock_monotonic_ns() + most_ns;
		pthread_cond_signal(&sender->wake);
		pthread_mutex_unlock(&sender->lock);
		pthread_join(sender->thread, NULL);
		sender->counts.unsent += sender->count;
	}
	struct sender_counts counts = sender->counts;
	audit_log_free(sender->log);
	loop_free(sender->loop);
	granting_free(sender->granting);
	secret_free(sender->queue);
	free(sender);
	return counts;
}

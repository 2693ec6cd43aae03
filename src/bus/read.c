#include "bus/read.h"

#include "audit/log.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/text.h"
#include "bus/missed.h"
#include "bus/name.h"
#include "keys/courier.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BATCH       256                /* messages fetched and logged together */
#define FETCH_NS    INT64_C(500000000) /* how long a request waits for the first of them */
#define FIRST_NS    INT64_C(50000000)  /* the same, while what is held is fetched */
#define SHORT_NS    (200 * NS_PER_MS)  /* between attempts while something fails */
#define PATIENCE_NS (20 * NS_PER_S)    /* with failures, before the first fetch has worked */
#define ANSWER_MS   3000               /* for an answer of JetStream's own */
#define GOODBYE_MS  2000               /* for acknowledgements to leave */
#define GRANTS_READ 16                 /* grants that one entry each is written for at a time */
#define SENDER_TEXT 256
#define NAK_MS      1000           /* before what could not be logged comes again */
#define MISSED_NS   (8 * NS_PER_S) /* after which what stays out was not delivered: longer than the bus itself waits */
#define BACK_NS                                                                                                        \
	(30 * INT64_C(1000000000)) /* what was delivered later may have been waited for by one that ended since */
#define BACK_STEP 512
#define EXPECT_NS (3 * NS_PER_S) /* between looks at where the stream ends */
#define FORBIDDEN "Permissions Violation: this certificate may not have what is sealed to that key"

struct bus_read {
	struct bus_read_options options;
	struct secret key;
	uint8_t key_id[SEAL_KEY_ID];
	char key_hex[2 * SEAL_KEY_ID + 1], stream[BUS_STREAM], inbox[BUS_INBOX];
	struct opener *opener;
	struct loop *loop; /* the audit log's: run while its answer is waited for */
	struct loop_timer timer;
	struct audit_log *log;
	struct bus_events events;
	struct bus_connection bus;
	natsSubscription *sub;
	bool logged, log_ok, said, looked_back;
	struct missed missed;
	uint64_t expect_ns; /* when to ask for the stream's end again */
	uint64_t goal;      /* the stream's end when it was first asked for; 0: not yet */
	char leader[64];    /* of the stream, as was last heard */
	uint64_t steady;    /* the stream's last number then */
	/* Numbers to be read again: another leads, which may have used some of them anew, or another read before us. */
	uint64_t anew, anew_end;
	struct bus_read_counts counts;
	pthread_t thread;
	bool started;
	atomic_bool stopping;
	/* Between the threads. */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool caught_up, over;
	struct error err;
};

/* What was fetched together. */
struct fetched {
	natsMsgList list;
	struct bytes sealed[BATCH];
	struct bytes sender[BATCH];
	uint64_t number[BATCH]; /* in the stream; 0: not known */
	bool delivered;         /* through the consumer: to be acknowledged */
	struct {
		uint8_t id[RELEASE_GRANT];
		uint64_t keys;
	} read[GRANTS_READ];
	size_t grants;
	bool log_lost;
};

static void tell(struct bus_read *read, bool caught_up, bool over, const struct error *err)
{
	pthread_mutex_lock(&read->lock);
	read->caught_up |= caught_up;
	read->over |= over;
	if (err && !read->err.text[0])
		read->err = *err;
	pthread_cond_broadcast(&read->changed);
	pthread_mutex_unlock(&read->lock);
}

/* Waiting, in which the log's own work goes on. */

static void time_over(struct loop_timer *timer)
{
	loop_stop(((struct bus_read *)((char *)timer - offsetof(struct bus_read, timer)))->loop);
}

static void wait_for(struct bus_read *read, uint64_t ns)
{
	loop_timer_set(read->loop, &read->timer, clock_monotonic_ns() + ns, time_over);
	(void)loop_run(read->loop);
	loop_timer_clear(read->loop, &read->timer);
}

static void synced(bool ok, void *ctx)
{
	struct bus_read *read = ctx;
	read->logged = true;
	read->log_ok = ok;
	loop_stop(read->loop);
}

/* Entries. */

static bool log_group(struct bus_read *read, const uint8_t grant[static RELEASE_GRANT], uint64_t keys, bool last)
{
	char id[2 * RELEASE_GRANT + 1];
	struct audit_entry entry = {.kind = AUDIT_READ};
	text_hex(id, sizeof(id), bytes_of(grant, RELEASE_GRANT));
	bool ok = audit_entry_add(&entry, AUDIT_T("client", bytes_str(read->key_hex))) &&
	          audit_entry_add(&entry, AUDIT_T("client_name", bytes_str(read->options.consumer))) &&
	          audit_entry_add(&entry, AUDIT_T("as", bytes_str("reader of the bus"))) &&
	          audit_entry_add(&entry, AUDIT_N("keys", keys)) &&
	          audit_entry_add(&entry, AUDIT_T("grant", bytes_str(id))) &&
	          audit_entry_add(&entry, AUDIT_T("reader_key", bytes_str(read->key_hex)));
	return ok && (last ? audit_append_synced(read->log, &entry, clock_wall_ns(), synced, read)
			   : audit_append(read->log, &entry, clock_wall_ns(), NULL)) == AUDIT_QUEUED;
}

static void count_in(struct bus_read *read, struct fetched *fetched, const uint8_t grant[static RELEASE_GRANT])
{
	size_t at = 0;
	while (at < fetched->grants && memcmp(fetched->read[at].id, grant, RELEASE_GRANT) != 0)
		at++;
	if (at == GRANTS_READ) {
		at--;
		fetched->log_lost |= !log_group(read, fetched->read[at].id, fetched->read[at].keys, false);
		fetched->grants--;
	}
	if (at == fetched->grants) {
		memcpy(fetched->read[at].id, grant, RELEASE_GRANT);
		fetched->read[at].keys = 0;
		fetched->grants++;
	}
	fetched->read[at].keys++;
}

/* Whether the entries are on the disk. */
static bool log_reads(struct bus_read *read, struct fetched *fetched)
{
	bool ok = !fetched->log_lost;
	read->logged = read->log_ok = false;
	for (size_t i = 0; ok && i < fetched->grants; i++)
		ok = log_group(read, fetched->read[i].id, fetched->read[i].keys, i + 1 == fetched->grants);
	if (!ok || fetched->grants == 0)
		return ok;
	while (!read->logged)
		wait_for(read, NS_PER_S);
	return read->log_ok;
}

/* Messages. */

static void look_at(struct bus_read *read, struct fetched *fetched, size_t i)
{
	natsMsg *msg = fetched->list.Msgs[i];
	jsMsgMetaData *meta = NULL;
	struct bytes body = bytes_of(natsMsg_GetData(msg), (size_t)natsMsg_GetDataLength(msg));
	struct courier_given given;
	struct seal_head head;
	if (fetched->delivered)
		fetched->number[i] = 0;
	if (fetched->delivered && natsMsg_GetMetaData(&meta, msg) == NATS_OK) {
		read->counts.again += meta->NumDelivered > 1;
		fetched->number[i] = meta->Sequence.Stream;
		jsMsgMetaData_Destroy(meta);
	}
	fetched->sealed[i] = BYTES_NONE;
	if (!courier_given_take(&body, &given) || body.len > 0 || !seal_head_read(given.sealed, &head)) {
		read->counts.malformed++;
		return;
	}
	fetched->sealed[i] = given.sealed;
	fetched->sender[i] = given.sender;
	count_in(read, fetched, head.grant);
}

static void hand_on(struct bus_read *read, const struct fetched *fetched, size_t i)
{
	struct release release;
	char sender[SENDER_TEXT];
	enum seal_result result = opener_open(read->opener, fetched->sealed[i], &release);
	if (result != SEAL_OK) {
		if (read->counts.unopened++ == 0)
			log_warn("key not opened", LOG_S("why", seal_result_text(result)));
		return;
	}
	text_clean(sender, sizeof(sender), fetched->sender[i]);
	read->counts.keys++;
	read->options.took(&release, sender, read->options.ctx);
	release_wipe(&release);
}

/* What could not be logged stays on the bus and comes again. */
static bool take_all(struct bus_read *read, struct fetched *fetched)
{
	fetched->grants = 0;
	fetched->log_lost = false;
	for (int i = 0; i < fetched->list.Count; i++)
		look_at(read, fetched, (size_t)i);
	if (!log_reads(read, fetched)) {
		read->counts.unlogged += (uint64_t)fetched->list.Count;
		for (int i = 0; fetched->delivered && i < fetched->list.Count; i++)
			(void)!natsMsg_NakWithDelay(fetched->list.Msgs[i], NAK_MS, NULL);
		return false;
	}
	for (int i = 0; i < fetched->list.Count; i++) {
		if (fetched->sealed[i].len > 0)
			hand_on(read, fetched, (size_t)i);
		if (fetched->number[i] > 0)
			missed_mark(&read->missed, fetched->number[i], clock_monotonic_ns());
		if (fetched->delivered)
			(void)!natsMsg_Ack(fetched->list.Msgs[i], NULL);
	}
	return true;
}

/* Fetching. */

static bool closed(const struct bus_read *read)
{
	return !read->bus.conn || natsConnection_IsClosed(read->bus.conn);
}

static void leave(struct bus_read *read)
{
	natsSubscription_Destroy(read->sub);
	read->sub = NULL;
	if (read->bus.conn && !natsConnection_IsClosed(read->bus.conn))
		(void)!natsConnection_FlushTimeout(read->bus.conn, GOODBYE_MS);
	bus_drop(&read->bus);
}

static bool reach(struct bus_read *read, struct error *err)
{
	jsOptions js;
	jsSubOptions options;
	jsErrCode code = 0;
	char why[BUS_WHY];
	if (!closed(read) && read->sub)
		return true;
	if (closed(read)) {
		leave(read);
		jsOptions_Init(&js);
		js.Wait = ANSWER_MS;
		js.Prefix = BUS_API;
		if (!bus_connect(&read->bus, &js, err))
			return false;
	}
	jsSubOptions_Init(&options);
	options.Stream = read->stream;
	options.Consumer = read->options.consumer;
	natsStatus s = js_PullSubscribe(&read->sub, read->bus.js, "", read->options.consumer, NULL, &options, &code);
	if (s == NATS_OK)
		return true;
	return error_set(err, "%s: the consumer %s of the stream %s: %s", read->options.bus.servers,
		read->options.consumer, read->stream,
		atomic_load(&read->events.forbidden) ? FORBIDDEN : bus_why(why, s, code));
}

enum turn {
	TURN_TOOK,
	TURN_NOTHING,
	TURN_FAILED,
	TURN_HOPELESS, /* what never worked will not by itself */
};

/* Before anything has worked: it is not reached, or says that we may not. */
static bool hopeless(const struct bus_read *read)
{
	return !read->bus.conn || atomic_load(&read->events.forbidden);
}

/* TURN_TOOK: `*info` is to be destroyed. */
static enum turn ask(struct bus_read *read, jsConsumerInfo **info, struct error *err)
{
	jsErrCode code = 0;
	char why[BUS_WHY];
	natsStatus s = js_GetConsumerInfo(info, read->bus.js, read->stream, read->options.consumer, NULL, &code);
	if (s == NATS_OK)
		return TURN_TOOK;
	(void)error_set(err, "%s: the consumer %s of the stream %s: %s", read->bus.servers, read->options.consumer,
		read->stream, atomic_load(&read->events.forbidden) ? FORBIDDEN : bus_why(why, s, code));
	return hopeless(read) || code == JSConsumerNotFoundErr || code == JSStreamNotFoundErr ? TURN_HOPELESS
	                                                                                      : TURN_FAILED;
}

/* By number, BATCH of them at most, as far as they are held. `*from` moves past what was taken. */
static enum turn take_numbers(
	struct bus_read *read, struct fetched *fetched, uint64_t *from, uint64_t end, struct error *err)
{
	natsMsg *room[BATCH];
	natsStatus s = NATS_OK;
	uint64_t number = *from;
	fetched->list = (natsMsgList){.Msgs = room};
	fetched->delivered = false;
	for (; number < end && number - *from < BATCH; number++) {
		jsErrCode code = 0;
		natsMsg *msg = NULL;
		s = js_GetMsg(&msg, read->bus.js, read->stream, number, NULL, &code);
		if (s != NATS_OK && s != NATS_NOT_FOUND && code != JSNoMessageFoundErr)
			break;
		s = NATS_OK;
		fetched->number[fetched->list.Count] = number;
		if (msg)
			room[fetched->list.Count++] = msg;
	}
	bool ok = fetched->list.Count == 0 || take_all(read, fetched);
	read->counts.missed += ok ? (uint64_t)fetched->list.Count : 0;
	for (int i = 0; i < fetched->list.Count; i++)
		natsMsg_Destroy(room[i]);
	fetched->list = (natsMsgList){0};
	if (ok)
		*from = number;
	if (ok && s == NATS_OK)
		return TURN_NOTHING;
	(void)error_set(err, "%s: message %llu of %s: %s", read->bus.servers, (unsigned long long)number, read->stream,
		ok ? natsStatus_GetText(s) : "not logged");
	return TURN_FAILED;
}

/* Beside what is to be read again already. */
static void read_anew(struct bus_read *read, uint64_t from, uint64_t end)
{
	bool some = read->anew < read->anew_end;
	read->anew = some && read->anew < from ? read->anew : from;
	read->anew_end = some && read->anew_end > end ? read->anew_end : end;
}

/* When message `number` came to the bus; 0: it is not held, or was not got. */
static int64_t time_of(struct bus_read *read, uint64_t number)
{
	natsMsg *msg = NULL;
	if (js_GetMsg(&msg, read->bus.js, read->stream, number, NULL, NULL) != NATS_OK)
		return 0;
	int64_t time = natsMsg_GetTime(msg);
	natsMsg_Destroy(msg);
	return time;
}

/*
 * What the bus had forgotten, one that ended may still have been waiting for (MISSED_NS), while more than BUS_IN_HAND came
 * behind it. So what came within BACK_NS of the last that was delivered is read again too, beside what comes, as far as a
 * reader keeps account of what is missing.
 */
static void look_further_back(struct bus_read *read, uint64_t from, uint64_t end)
{
	int64_t last = from > 1 ? time_of(read, end - 1) : 0;
	uint64_t first = end > MISSED_WINDOW ? end - MISSED_WINDOW : 1, at = from;
	while (last != 0 && at > first) {
		uint64_t before = at - first > BACK_STEP ? at - BACK_STEP : first;
		int64_t came = time_of(read, at - 1);
		if (came == 0 || came < last - BACK_NS)
			break;
		at = before;
	}
	if (at < from)
		read_anew(read, at, from);
}

/* What another may have had in hand when it ended, under this consumer's name. */
static enum turn look_back(struct bus_read *read, struct fetched *fetched, struct error *err)
{
	jsConsumerInfo *info = NULL;
	enum turn turn = read->looked_back ? TURN_NOTHING : ask(read, &info, err);
	if (turn != TURN_TOOK)
		return turn;
	uint64_t end = info->Delivered.Stream + 1, begin = end > BUS_IN_HAND ? end - BUS_IN_HAND : 1, from = begin;
	jsConsumerInfo_Destroy(info);
	for (turn = TURN_NOTHING; turn == TURN_NOTHING && from < end;)
		turn = take_numbers(read, fetched, &from, end, err);
	read->looked_back = turn == TURN_NOTHING;
	if (read->looked_back) {
		missed_expect(&read->missed, end, clock_monotonic_ns());
		look_further_back(read, begin, end);
	}
	return turn;
}

/* What is there may have been lost on the way, and where nothing comes after it, nothing shows that. */
static void look_ahead(struct bus_read *read)
{
	jsStreamInfo *info = NULL;
	uint64_t now_ns = clock_monotonic_ns();
	if (now_ns < read->expect_ns || !read->looked_back)
		return;
	read->expect_ns = now_ns + EXPECT_NS;
	if (js_GetStreamInfo(&info, read->bus.js, read->stream, NULL, NULL) != NATS_OK)
		return;
	missed_expect(&read->missed, info->State.LastSeq + 1, now_ns);
	read->goal = read->goal ? read->goal : info->State.LastSeq + 1;
	const char *leader = info->Cluster && info->Cluster->Leader ? info->Cluster->Leader : read->leader;
	if (read->leader[0] && strcmp(leader, read->leader) != 0) {
		read_anew(read, read->steady > BUS_IN_HAND ? read->steady - BUS_IN_HAND : 1, info->State.LastSeq + 1);
	}
	snprintf(read->leader, sizeof(read->leader), "%s", leader);
	read->steady = info->State.LastSeq;
	jsStreamInfo_Destroy(info);
}

static enum turn look_for_missed(struct bus_read *read, struct fetched *fetched, struct error *err)
{
	jsStreamInfo *info = NULL;
	uint64_t first, from;
	if (read->anew < read->anew_end)
		return take_numbers(read, fetched, &read->anew, read->anew_end, err);
	if (!missed_next(&read->missed, clock_monotonic_ns(), MISSED_NS, &first))
		return TURN_NOTHING;
	natsStatus s = js_GetStreamInfo(&info, read->bus.js, read->stream, NULL, NULL);
	if (s != NATS_OK) {
		(void)error_set(err, "%s: %s: %s", read->bus.servers, read->stream, natsStatus_GetText(s));
		return TURN_FAILED;
	}
	/* What is not held any more was not lost. */
	missed_skip(&read->missed, info->State.FirstSeq, clock_monotonic_ns());
	jsStreamInfo_Destroy(info);
	from = first = read->missed.floor;
	uint64_t end = read->missed.end - from < BATCH ? read->missed.end : from + BATCH;
	enum turn turn = take_numbers(read, fetched, &from, end, err);
	for (; first < from; first++)
		missed_mark(&read->missed, first, clock_monotonic_ns());
	return turn;
}

/*
 * Nothing came: because there is nothing, or because nobody answers. Without `follow`, what somebody before us has fetched and
 * not acknowledged is waited for, too.
 */
static enum turn look(struct bus_read *read, uint64_t since_ns, struct error *err)
{
	jsConsumerInfo *info = NULL;
	enum turn turn = ask(read, &info, err);
	if (turn != TURN_TOOK)
		return turn;
	bool more = info->NumPending > 0;
	bool theirs = info->NumAckPending > 0 && !read->options.follow && clock_monotonic_ns() - since_ns < PATIENCE_NS;
	jsConsumerInfo_Destroy(info);
	return more || theirs ? TURN_TOOK : TURN_NOTHING;
}

/* What the stream had when this began. A bus on which keys keep coming never has nothing. */
static bool has_all(const struct bus_read *read)
{
	return read->goal != 0 && read->missed.floor >= read->goal && read->anew >= read->anew_end;
}

/* Asks for what there is, and where there is nothing for the first that comes, for a while. */
static enum turn fetch(struct bus_read *read, struct fetched *fetched, uint64_t since_ns, struct error *err)
{
	jsFetchRequest request;
	char why[BUS_WHY];
	if (audit_log_closed(read->log)) {
		(void)error_set(err, "%s", audit_log_closed(read->log));
		return TURN_FAILED;
	}
	if (!reach(read, err))
		return hopeless(read) ? TURN_HOPELESS : TURN_FAILED;
	look_ahead(read);
	enum turn before = look_back(read, fetched, err);
	if (before == TURN_NOTHING)
		before = look_for_missed(read, fetched, err);
	if (before != TURN_NOTHING)
		return before;
	fetched->list = (natsMsgList){0};
	jsFetchRequest_Init(&request);
	request.Batch = BATCH;
	request.NoWait = true;
	request.Expires = read->caught_up ? FETCH_NS : FIRST_NS;
	natsStatus s = natsSubscription_FetchRequest(&fetched->list, read->sub, &request);
	int count = fetched->list.Count;
	fetched->delivered = true;
	if (count > 0)
		(void)!take_all(read, fetched);
	natsMsgList_Destroy(&fetched->list);
	if (count > 0)
		return has_all(read) ? TURN_NOTHING : TURN_TOOK;
	if ((s == NATS_OK || s == NATS_NOT_FOUND || s == NATS_TIMEOUT) && read->anew < read->anew_end)
		return TURN_TOOK; /* there is more to read again */
	if (s == NATS_OK || s == NATS_NOT_FOUND || s == NATS_TIMEOUT)
		return read->caught_up ? TURN_NOTHING : look(read, since_ns, err);
	(void)error_set(err, "%s: %s", read->options.bus.servers,
		atomic_load(&read->events.forbidden) ? FORBIDDEN : bus_why(why, s, 0));
	return hopeless(read) ? TURN_HOPELESS : TURN_FAILED;
}

/* What fails later is tried for as long as it is wanted; what never worked, for a while. True to go on. */
static bool failed(struct bus_read *read, const struct error *err, uint64_t since_ns)
{
	read->counts.failures++;
	if (!read->said)
		log_warn("nothing fetched", LOG_S("why", err->text), LOG_S("in-force", "it is tried again"));
	read->said = true;
	if (!read->caught_up && clock_monotonic_ns() - since_ns > PATIENCE_NS) {
		tell(read, false, true, err);
		return false;
	}
	wait_for(read, SHORT_NS);
	return true;
}

static void *run(void *arg)
{
	struct bus_read *read = arg;
	struct fetched *fetched = calloc(1, sizeof(*fetched));
	struct error err = {"no memory to fetch keys with"};
	uint64_t since_ns = clock_monotonic_ns();
	bool go_on = fetched != NULL;
	while (go_on && !atomic_load(&read->stopping)) {
		switch (fetch(read, fetched, since_ns, &err)) {
		case TURN_HOPELESS:
			go_on = read->caught_up && failed(read, &err, since_ns);
			continue;
		case TURN_FAILED:
			go_on = failed(read, &err, since_ns);
			continue;
		case TURN_NOTHING:
			tell(read, true, false, NULL);
			go_on = read->options.follow;
			break;
		case TURN_TOOK:
			break;
		}
		read->said = false;
	}
	leave(read);
	free(fetched);
	nats_ReleaseThreadMemory();
	tell(read, false, true, &err);
	return NULL;
}

/* Making. */

static bool names(struct bus_read *read, struct error *err)
{
	if (!bus_consumer_valid(read->options.consumer))
		return error_set(err, "%s: a consumer has letters, digits, hyphens and underscores, at most %d",
			read->options.consumer, BUS_CONSUMER_MAX);
	memcpy(read->key_id, opener_key_id(read->opener), SEAL_KEY_ID);
	text_hex(read->key_hex, sizeof(read->key_hex), bytes_of(read->key_id, SEAL_KEY_ID));
	bus_stream(read->stream, read->key_id);
	bus_reader_inbox(read->inbox, read->key_id);
	return bus_prepare(&read->bus, &read->options.bus, "overt reader", read->inbox, &read->events, err);
}

static bool make(struct bus_read *read, struct error *err)
{
	const struct audit_options audit = {.path = read->options.audit};
	read->opener = opener_new(read->key.octets);
	read->loop = loop_new();
	if (!read->opener || !read->loop)
		return error_set(err, "no memory to fetch keys with");
	if (!names(read, err))
		return false;
	read->log = audit_log_new(read->loop, &audit, NULL, NULL, err);
	if (!read->log)
		return false;
	read->started = pthread_create(&read->thread, NULL, run, read) == 0;
	return read->started || error_set(err, "no thread to fetch keys with");
}

struct bus_read *bus_read_begin(const struct bus_read_options *options, const struct secret *key, struct error *err)
{
	struct bus_read *read = secret_alloc(sizeof(*read));
	if (!read) {
		(void)error_set(err, "no memory to fetch keys with");
		return NULL;
	}
	read->options = *options;
	read->key = *key;
	pthread_mutex_init(&read->lock, NULL);
	pthread_cond_init(&read->changed, NULL);
	bool ok = make(read, err);
	if (ok) {
		pthread_mutex_lock(&read->lock);
		while (!read->caught_up && !read->over)
			pthread_cond_wait(&read->changed, &read->lock);
		ok = read->caught_up;
		if (!ok)
			*err = read->err;
		pthread_mutex_unlock(&read->lock);
	}
	if (ok)
		return read;
	bus_read_end(read, NULL);
	return NULL;
}

bool bus_read_over(struct bus_read *read)
{
	pthread_mutex_lock(&read->lock);
	bool over = read->over;
	pthread_mutex_unlock(&read->lock);
	return over;
}

void bus_read_end(struct bus_read *read, struct bus_read_counts *counts)
{
	if (!read)
		return;
	if (read->started) {
		atomic_store(&read->stopping, true);
		pthread_join(read->thread, NULL);
	}
	bus_forget(&read->bus);
	if (counts) {
		*counts = read->counts;
		counts->lost = atomic_load(&read->events.lost);
		counts->found = atomic_load(&read->events.again);
	}
	if (read->log)
		audit_log_free(read->log);
	opener_free(read->opener);
	loop_free(read->loop);
	pthread_cond_destroy(&read->changed);
	pthread_mutex_destroy(&read->lock);
	secret_free(read);
}

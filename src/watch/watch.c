#include "watch/watch.h"

#include "base/clock.h"
#include "base/log.h"
#include "sink/shared.h"
#include "watch/deal.h"
#include "watch/rewrite.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define WAIT_MS       100                  /* between looks at keys and clocks while nothing comes */
#define TURN_FRAMES   4096                 /* then outputs are written and keys looked for */
#define TURN_OCTETS   ((size_t)1 << 20)    /* likewise: well below what a session may let wait for its key */
#define KEYS_BUDGET   ((size_t)4 << 20)    /* octets of a followed key log per look */
#define SMALL_CAPTURE (UINT64_C(64) << 20) /* a file below this is done before a second worker pays */

struct watch;

struct worker {
	struct watch *watch;
	unsigned number;
	pthread_t thread;
	bool started, failed;
	struct feed *feed;
	struct engine *engine;
	struct live *live;
	struct capture_counts capture;
	struct live_counts live_counts;
	bool cut;
	struct error note, err;
	size_t turn_frames, turn_octets;
	uint64_t newest_ns; /* of the frames */
	uint64_t quiet_ns;  /* monotonic: when they stopped coming; 0: they come */
};

struct watch {
	const struct watch_options *options;
	struct keyring *ring;
	bool keys_final, source_begun;
	struct shared_sink *sinks[OUTPUTS_MAX];
	size_t sink_count;
	struct rewrite *rewrite;
	struct worker *workers;
	struct dealer *dealer; /* of a file that several workers share; NULL: each reads what is its own */
	unsigned count;
	atomic_bool stop;
	atomic_uint_fast64_t news; /* how often secrets have come */
};

void watch_options_init(struct watch_options *options)
{
	*options = (struct watch_options){
		.outputs.terminal_fd = -1,
		.table = table_limits_default(),
		.session = session_limits_default,
		.stop_fd = -1,
	};
}

/* Keys. */

static bool add_keys(struct watch *watch, struct error *err)
{
	const struct watch_options *options = watch->options;
	bool follow = !watch->keys_final;
	for (size_t i = 0; i < options->keylogs.count; i++) {
		if (!keyring_add_file(watch->ring, options->keylogs.at[i], follow, err))
			return false;
	}
	for (size_t i = 0; i < options->private_keys.count; i++) {
		if (!keyring_add_private_keys(watch->ring, options->private_keys.at[i], err))
			return false;
	}
	for (size_t i = 0; i < options->psks.count; i++) {
		if (!keyring_add_psks(watch->ring, options->psks.at[i], err))
			return false;
	}
	if (keyring_update(watch->ring, 0, err) == KEYRING_UNREADABLE)
		return false;
	const struct watch_source *source = &options->source;
	watch->source_begun = source->begin && source->begin(watch->ring, follow, source->ctx, err);
	return watch->source_begun || !source->begin;
}

static void take_secrets(const struct capture_secrets *secrets, void *context)
{
	struct watch *watch = context;
	if (keyring_add_text(watch->ring, secrets->text) > 0)
		atomic_fetch_add(&watch->news, 1);
}

/* Secrets that stand in the captures themselves, wherever they stand: known before the first packet is read. */
static bool scan_captures(struct watch *watch, struct error *err)
{
	for (size_t i = 0; i < watch->options->captures.count; i++) {
		struct capture_options options = {
			.path = watch->options->captures.at[i], .stop_fd = watch->options->stop_fd};
		struct capture *capture = capture_open(&options, err);
		bool ok = capture && capture_scan_secrets(capture, take_secrets, watch, err);
		capture_free(capture);
		if (!ok)
			return false;
	}
	return true;
}

/* By whichever worker comes first. */
static void look_for_keys(struct watch *watch)
{
	struct error err;
	struct pollfd ready = {.fd = keyring_fd(watch->ring), .events = POLLIN};
	if (ready.fd < 0 || poll(&ready, 1, 0) <= 0)
		return;
	enum keyring_news news = keyring_update(watch->ring, KEYS_BUDGET, &err);
	if (news == KEYRING_UNREADABLE)
		log_warn("key log not read", LOG_S("why", err.text), LOG_S("in-force", "the keys read before"));
	else if (news != KEYRING_NO_NEWS)
		atomic_fetch_add(&watch->news, 1);
}

/* A worker. */

static void new_keys(struct worker *worker)
{
	if (!worker->watch->keys_final)
		look_for_keys(worker->watch);
	engine_keys(worker->engine);
}

static void turn_on(struct worker *worker, size_t frames, size_t octets)
{
	worker->turn_frames += frames;
	worker->turn_octets += octets;
	if (worker->turn_frames < TURN_FRAMES && worker->turn_octets < TURN_OCTETS)
		return;
	worker->turn_frames = worker->turn_octets = 0;
	new_keys(worker);
	feed_flush(worker->feed);
}

static void take_frame(struct worker *worker, const struct frame *frame)
{
	engine_frame(worker->engine, frame);
	worker->newest_ns = frame->time_ns > worker->newest_ns ? frame->time_ns : worker->newest_ns;
	worker->quiet_ns = 0;
	if (worker->watch->rewrite)
		rewrite_frame(worker->watch->rewrite, frame);
	turn_on(worker, 1, frame->bytes.len);
}

/* The time of the packets, which may be of another year than the clock's, and goes on while none come. */
static uint64_t packet_clock(struct worker *worker)
{
	uint64_t now_ns = clock_monotonic_ns();
	if (worker->quiet_ns == 0)
		worker->quiet_ns = now_ns;
	return worker->newest_ns + (now_ns - worker->quiet_ns);
}

static void take_pause(struct worker *worker)
{
	new_keys(worker);
	engine_tick(worker->engine, packet_clock(worker));
	feed_flush(worker->feed);
	if (worker->watch->rewrite)
		rewrite_flush(worker->watch->rewrite);
}

/* False at the end of this input, and on a fault. */
static bool take_item(struct worker *worker, enum capture_result result, const struct capture_item *item)
{
	switch (result) {
	case CAPTURE_FRAME:
		take_frame(worker, &item->frame);
		return true;
	case CAPTURE_SECRETS:
		if (!worker->watch->keys_final) {
			take_secrets(&item->secrets, worker->watch);
			engine_keys(worker->engine);
		}
		return true;
	case CAPTURE_WAIT:
	case CAPTURE_MORE:
		take_pause(worker);
		return true;
	case CAPTURE_CUT:
		worker->cut = true;
		return false;
	case CAPTURE_BROKEN:
		worker->failed = true;
		return false;
	case CAPTURE_STOPPED:
		atomic_store(&worker->watch->stop, true);
		return false;
	case CAPTURE_END:
		break;
	}
	return false;
}

static void read_capture(struct worker *worker, const struct capture_options *options)
{
	struct capture_item item;
	struct capture *capture = capture_open(options, &worker->err);
	if (!capture) {
		worker->failed = true;
		return;
	}
	int wait = options->follow || options->connect || !capture_seekable(capture) ? WAIT_MS : -1;
	struct error fault;
	while (!atomic_load(&worker->watch->stop)) {
		if (!take_item(worker, capture_next(capture, &item, wait, &fault), &item))
			break;
	}
	if (worker->failed)
		worker->err = fault;
	if (worker->cut)
		worker->note = fault;
	struct capture_counts counts = capture_count(capture);
	capture_count_add(&worker->capture, &counts);
	capture_free(capture);
}

static void read_live(struct worker *worker)
{
	struct capture_item item = {0};
	struct error fault;
	while (!atomic_load(&worker->watch->stop)) {
		if (!take_item(worker, live_next(worker->live, &item.frame, WAIT_MS, &fault), &item))
			break;
	}
	if (worker->failed)
		worker->err = fault;
	worker->live_counts = live_count(worker->live);
}

static void take_hands(struct worker *worker)
{
	const struct hand *hand;
	while ((hand = dealer_take(worker->watch->dealer, worker->number))) {
		for (size_t i = 0; i < hand->count; i++)
			engine_packet(worker->engine, &hand->packets[i].packet, hand->packets[i].hash);
		turn_on(worker, hand->count, hand->octets);
	}
}

static void *run(void *arg)
{
	struct worker *worker = arg;
	const struct watch_options *options = worker->watch->options;
	if (worker->live)
		read_live(worker);
	else if (options->connect)
		read_capture(
			worker, &(struct capture_options){.connect = options->connect, .stop_fd = options->stop_fd});
	else if (worker->watch->dealer)
		take_hands(worker);
	for (size_t i = 0; i < options->captures.count && !worker->failed && !worker->watch->dealer; i++)
		read_capture(worker, &(struct capture_options){.path = options->captures.at[i],
					     .follow = options->follow,
					     .stop_fd = options->stop_fd});
	new_keys(worker);
	engine_finish(worker->engine);
	feed_flush(worker->feed);
	if (worker->failed)
		atomic_store(&worker->watch->stop, true);
	return NULL;
}

/* Making. */

static bool seekable(const struct watch_options *options, uint64_t *octets)
{
	struct error err;
	*octets = 0;
	for (size_t i = 0; i < options->captures.count; i++) {
		/* A named pipe must not be opened to look at it: its writer would see a reader go. */
		struct stat there;
		if (stat(options->captures.at[i], &there) == 0 && S_ISFIFO(there.st_mode))
			return false;
		struct capture *capture =
			capture_open(&(struct capture_options){.path = options->captures.at[i], .stop_fd = -1}, &err);
		bool ok = capture && capture_seekable(capture);
		*octets += ok ? capture_size(capture) : 0;
		capture_free(capture);
		if (!ok)
			return false;
	}
	return options->captures.count > 0;
}

static unsigned workers_for(const struct watch_options *options, bool file, uint64_t octets)
{
	long online = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned wanted = options->workers ? options->workers : online > 0 ? (unsigned)online : 1;
	bool single = options->rewrite || (!file && !options->interface) || options->follow;
	if (single || (!options->workers && file && octets < SMALL_CAPTURE))
		return 1;
	return wanted < WATCH_WORKERS_MAX ? wanted : WATCH_WORKERS_MAX;
}

static bool make_sinks(struct watch *watch, struct error *err)
{
	struct sink *sinks[OUTPUTS_MAX];
	size_t count;
	if (!outputs_make(&watch->options->outputs, sinks, &count, err))
		return false;
	bool ok = true;
	for (size_t i = 0; i < count; i++) {
		watch->sinks[i] = shared_sink_new(sinks[i]);
		ok = ok && watch->sinks[i];
	}
	watch->sink_count = count;
	if (watch->options->rewrite && ok) {
		watch->rewrite = rewrite_new(watch->options->rewrite, watch->ring, err);
		return watch->rewrite != NULL;
	}
	return ok || error_set(err, "no memory for the outputs");
}

static bool make_feed(struct worker *worker, struct error *err)
{
	struct watch *watch = worker->watch;
	worker->feed = feed_new(&(struct feed_options){0}, err);
	if (!worker->feed)
		return false;
	for (size_t i = 0; i < watch->sink_count; i++) {
		struct sink *handle = shared_sink_handle(watch->sinks[i]);
		if (!handle)
			return error_set(err, "no memory for the outputs");
		if (!feed_add_sink(worker->feed, handle)) {
			handle->ops->close(handle);
			return error_set(err, "too many outputs");
		}
	}
	return true;
}

static void random_seen(void *arg, const uint8_t client_random[32])
{
	rewrite_random(arg, client_random);
}

/* Of what is limited in all, each worker gets its share. */
static size_t share(size_t limit, unsigned workers)
{
	return limit / workers + (limit % workers > 0);
}

static void share_limits(struct engine_options *engine, unsigned workers)
{
	struct table_limits *table = &engine->table;
	struct session_limits *session = &engine->session;
	table->connections = share(table->connections, workers);
	table->linger_packets = (uint32_t)share(table->linger_packets, workers);
	session->park_total = share(session->park_total, workers);
	table->stream.total = share(table->stream.total, workers);
	if (session->park_session > session->park_total)
		session->park_session = session->park_total;
}

static bool make_worker(struct watch *watch, unsigned number, struct error *err)
{
	const struct watch_options *options = watch->options;
	struct worker *worker = &watch->workers[number];
	bool live = options->interface != NULL;
	*worker = (struct worker){.watch = watch, .number = number};
	if (!make_feed(worker, err))
		return false;
	struct engine_options engine = {.ring = watch->ring,
		.feed = worker->feed,
		.number = number,
		.keys_final = watch->keys_final,
		.table = options->table,
		.session = options->session,
		.random = watch->rewrite ? random_seen : NULL,
		.random_arg = watch->rewrite};
	share_limits(&engine, watch->count);
	worker->engine = engine_new(&engine, err);
	if (!worker->engine || !live)
		return worker->engine != NULL;
	struct live_options capture = {.interface = options->interface,
		.filter = options->filter,
		.fanout = watch->count > 1 ? (int)(getpid() & 0xffff) : -1,
		.promiscuous = options->promiscuous,
		.stop_fd = options->stop_fd};
	worker->live = live_open(&capture, err);
	return worker->live != NULL;
}

static bool make(struct watch *watch, struct error *err)
{
	const struct watch_options *options = watch->options;
	uint64_t octets;
	bool file = seekable(options, &octets);
	watch->keys_final = file && !options->follow;
	watch->count = workers_for(options, file, octets);
	watch->ring = keyring_new(&options->keys);
	watch->workers = calloc(watch->count, sizeof(*watch->workers));
	if (!watch->ring || !watch->workers) {
		error_set(err, "no memory for keys and workers");
		return false;
	}
	if (!add_keys(watch, err) || (file && !scan_captures(watch, err)) || !make_sinks(watch, err))
		return false;
	/* Live, the kernel shares packets out. */
	if (file && watch->count > 1) {
		struct dealer_options dealer = {.paths = options->captures.at,
			.path_count = options->captures.count,
			.workers = watch->count,
			.stop_fd = options->stop_fd};
		watch->dealer = dealer_new(&dealer);
		if (!watch->dealer)
			return error_set(err, "no memory to share the capture out");
	}
	for (unsigned i = 0; i < watch->count; i++) {
		if (!make_worker(watch, i, err))
			return false;
	}
	return true;
}

/* Running and ending. */

static void run_all(struct watch *watch)
{
	for (unsigned i = 1; i < watch->count; i++) {
		struct worker *worker = &watch->workers[i];
		worker->started = pthread_create(&worker->thread, NULL, run, worker) == 0;
		if (!worker->started) {
			error_set(&worker->err, "no thread for worker %u", i);
			worker->failed = true;
			atomic_store(&watch->stop, true);
			if (watch->dealer)
				dealer_stop(watch->dealer);
		}
	}
	(void)run(&watch->workers[0]);
	for (unsigned i = 1; i < watch->count; i++) {
		if (watch->workers[i].started)
			pthread_join(watch->workers[i].thread, NULL);
	}
}

static bool collect_dealt(const struct dealer *dealer, struct watch_report *report, struct error *err)
{
	struct dealer_report dealt = dealer_report(dealer);
	report->capture = dealt.capture;
	engine_add_link(&report->engines.link, &dealt.link);
	report->engines.fragments_lost += dealt.fragments_lost;
	report->engines.no_memory += dealt.no_memory;
	if (dealt.cut) {
		report->cut = true;
		report->note = dealt.note;
	}
	if (dealt.failed)
		*err = dealt.err;
	return !dealt.failed;
}

static bool collect(const struct watch *watch, struct watch_report *report, struct error *err)
{
	bool ok = true;
	for (unsigned i = 0; i < watch->count; i++) {
		const struct worker *worker = &watch->workers[i];
		engine_count(worker->engine, &report->engines);
		report->live.frames += worker->live_counts.frames;
		report->live.octets += worker->live_counts.octets;
		report->live.dropped += worker->live_counts.dropped;
		report->live.freezes += worker->live_counts.freezes;
		if (worker->cut) {
			report->cut = true;
			report->note = worker->note;
		}
		if (worker->failed && ok) {
			*err = worker->err;
			ok = false;
		}
	}
	report->capture = watch->workers[0].capture; /* live, there is none */
	if (watch->dealer && !collect_dealt(watch->dealer, report, ok ? err : &(struct error){0}))
		ok = false;
	report->keys = keyring_count(watch->ring);
	return ok;
}

static void end(struct watch *watch, struct watch_report *report)
{
	for (unsigned i = 0; watch->workers && i < watch->count; i++) {
		engine_free(watch->workers[i].engine);
		live_free(watch->workers[i].live);
		feed_close(watch->workers[i].feed);
	}
	dealer_free(watch->dealer);
	for (size_t i = 0; i < watch->sink_count; i++) {
		if (watch->sinks[i])
			report->sink_lost += shared_sink_count(watch->sinks[i]).lost_records;
		shared_sink_free(watch->sinks[i]);
	}
	report->sink_lost += rewrite_close(watch->rewrite);
	if (watch->source_begun)
		watch->options->source.end(watch->options->source.ctx);
	free(watch->workers);
	keyring_free(watch->ring);
}

bool watch_run(const struct watch_options *options, struct watch_report *report, struct error *err)
{
	struct watch watch = {.options = options};
	*report = (struct watch_report){0};
	bool ok = make(&watch, err);
	if (ok) {
		run_all(&watch);
		ok = collect(&watch, report, err);
	}
	end(&watch, report);
	return ok;
}

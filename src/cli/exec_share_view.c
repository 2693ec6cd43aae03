#include "cli/exec_share_view.h"

#include "base/clock.h"
#include "watch/engine.h"
#include "watch/live.h"

#include <stdlib.h>
#include <unistd.h>

#define WAIT_MS     20                         /* between looks at keys and clocks while nothing comes */
#define QUIET_MS    60                         /* after the program: nothing for so long is the end */
#define LAST_NS     (200 * NS_PER_MS)          /* packets later than that after its end are not its own */
#define FINISH_NS   (3 * NS_PER_S)             /* however much there is */
#define TURN_FRAMES 256                        /* then keys are looked for, and outputs written */
#define RING        ((size_t)64 * 1024 * 1024) /* of the kernel: decrypting may fall behind for a while */

/* Of what waits for a key that comes late. */
#define PARK_EACH ((size_t)256 << 20)
#define PARK_ALL  ((size_t)1 << 30)
#define PARK_NS   (86400 * NS_PER_S)

struct view {
	struct keyring *ring;
	struct sieve *sieve;
	struct feed *feed;
	struct engine *engine;
	struct live *live;
	struct live_counts live_counts;
	uint64_t frames;
	int stop_fd;
	bool finished;
};

static void give(void *arg, const struct frame *frame)
{
	engine_frame(((struct view *)arg)->engine, frame);
}

static bool make(struct view *view, const struct view_options *options, struct error *err)
{
	view->ring = keyring_new(NULL);
	view->sieve = sieve_new(give, view);
	view->feed = feed_new(&(struct feed_options){0}, err);
	if (!view->ring || !view->sieve)
		return error_set(err, "no memory for keys and connections");
	if (!view->feed || !outputs_open(&options->outputs, view->feed, err))
		return false;
	struct engine_options engine = {.ring = view->ring,
		.feed = view->feed,
		.table = table_limits_default(),
		.session = session_limits_default};
	if (options->late_keys) {
		engine.session.park_session = PARK_EACH;
		engine.session.park_total = PARK_ALL;
		engine.session.park_ns = PARK_NS;
	}
	view->engine = engine_new(&engine, err);
	struct live_options capture = {.interface = options->interface,
		.filter = "tcp",
		.ring = RING,
		.fanout = -1,
		.stop_fd = options->stop_fd};
	view->live = view->engine ? live_open(&capture, err) : NULL;
	return view->live != NULL;
}

struct view *view_new(const struct view_options *options, struct error *err)
{
	struct view *view = calloc(1, sizeof(*view));
	if (!view) {
		error_set(err, "no memory");
		return NULL;
	}
	view->stop_fd = options->stop_fd;
	if (make(view, options, err))
		return view;
	view_free(view);
	return NULL;
}

void view_free(struct view *view)
{
	if (!view)
		return;
	if (view->engine && !view->finished)
		engine_finish(view->engine);
	engine_free(view->engine);
	live_free(view->live);
	feed_close(view->feed);
	sieve_free(view->sieve);
	keyring_free(view->ring);
	free(view);
}

struct keyring *view_keyring(struct view *view)
{
	return view->ring;
}

void view_random(struct view *view, const uint8_t client_random[KEYLOG_RANDOM])
{
	sieve_want(view->sieve, client_random);
}

void view_key(struct view *view, const struct record_key *key)
{
	(void)!keyring_add_record_key(view->ring, key);
	/* The key first: who finds the random finds the key. */
	view_random(view, key->client_random);
}

static void turn(struct view *view)
{
	uint64_t now_ns = clock_wall_ns();
	sieve_turn(view->sieve, now_ns);
	engine_keys(view->engine);
	engine_tick(view->engine, now_ns);
	feed_flush(view->feed);
}

static void take_frame(struct view *view, const struct frame *frame)
{
	sieve_frame(view->sieve, frame);
	if (++view->frames % TURN_FRAMES == 0)
		turn(view);
}

bool view_read(struct view *view, struct error *err)
{
	struct frame frame;
	while (true) {
		enum capture_result result = live_next(view->live, &frame, WAIT_MS, err);
		if (result == CAPTURE_FRAME)
			take_frame(view, &frame);
		else if (result == CAPTURE_WAIT)
			turn(view);
		else
			return result == CAPTURE_STOPPED;
	}
}

/* The kernel hands frames over in blocks, and a machine that is busy may be late with the last one. */
static bool is_empty(struct view *view)
{
	view->live_counts = live_count(view->live);
	const struct live_counts *counts = &view->live_counts;
	return counts->frames + counts->repeated + counts->not_ip + counts->dropped >= counts->arrived;
}

void view_finish(struct view *view)
{
	struct frame frame;
	struct error err;
	uint64_t ended_ns = clock_wall_ns(), late_ns = clock_monotonic_ns() + FINISH_NS, stops;
	while (clock_monotonic_ns() < late_ns) {
		enum capture_result result = live_next(view->live, &frame, QUIET_MS, &err);
		/* Another process of the run has ended, which changes nothing any more. */
		if (result == CAPTURE_STOPPED && read(view->stop_fd, &stops, sizeof(stops)) > 0)
			continue;
		if (result == CAPTURE_WAIT && !is_empty(view))
			continue;
		if (result != CAPTURE_FRAME || frame.time_ns > ended_ns + LAST_NS)
			break;
		take_frame(view, &frame);
	}
	view->live_counts = live_count(view->live);
	turn(view);
	engine_finish(view->engine);
	view->finished = true;
	feed_flush(view->feed);
}

void view_report(struct view *view, struct watch_report *report, struct sieve_counts *sieve)
{
	*report = (struct watch_report){.live = view->live_counts, .keys = keyring_count(view->ring)};
	report->sink_lost = feed_count(view->feed).sink_lost;
	engine_count(view->engine, &report->engines);
	*sieve = sieve_count(view->sieve);
}

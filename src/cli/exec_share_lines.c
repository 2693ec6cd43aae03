#include "cli/exec_share_lines.h"

#include "base/clock.h"
#include "watch/greeting.h"
#include "watch/live.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define WAIT_MS 5              /* for frames, while secrets wait */
#define IDLE_MS 500            /* and while none does */
#define LAST_NS (3 * NS_PER_S) /* nothing that was on its way comes later */
#define LAG_NS  (NS_PER_S / 4) /* frames of one time are handed over within so long */
#define TURN    64             /* frames between looks at what waits, while there is no pause */
#define RING    ((size_t)8 << 20)

struct exec_lines {
	struct exec_send *send;
	pthread_mutex_t lock; /* of `lines`, and of beginning */
	struct line_keys *lines;
	bool tried, runs; /* to capture */
	struct live *live;
	struct greetings *greetings;
	int wake; /* an eventfd: a secret waits, or the end has come */
	atomic_bool ending;
	pthread_t thread;
};

/* Keys. */

static void give(void *arg, const struct release *made)
{
	struct exec_lines *lines = arg;
	struct release release = *made;
	release.made_ns = clock_wall_ns();
	release_text(release.host, sizeof(release.host), bytes_str(lines->send->host));
	if (release_check(&release) == RELEASE_OK)
		sender_put(lines->send->sender, &release, NULL);
	release_wipe(&release);
}

/*
 * Nobody asked the other side, and the line names no server: only a grant with consent unilateral, both directions and all
 * names covers it (keys/grant.h).
 */
static bool send_raw(struct exec_send *send, struct bytes text, const struct keylog_line *line)
{
	struct release release = {.grade = RELEASE_GRADE_RAW,
		.mode = RELEASE_LIVE,
		.consent = RELEASE_UNILATERAL,
		.made_ns = clock_wall_ns()};
	if (!sender_wants_lines(send->sender) || text.len > RELEASE_LINE_MAX)
		return false;
	memcpy(release.line, text.data, text.len);
	release.line_len = text.len;
	memcpy(release.key.client_random, line->id.octets, KEYLOG_RANDOM);
	release_text(release.host, sizeof(release.host), bytes_str(send->host));
	bool good = release_check(&release) == RELEASE_OK;
	if (good)
		sender_put(send->sender, &release, NULL);
	release_wipe(&release);
	return good;
}

static bool take(struct exec_lines *lines, const struct keylog_line *line, struct bytes secret)
{
	uint64_t one = 1;
	pthread_mutex_lock(&lines->lock);
	bool taken = line_keys_take(lines->lines, line, secret, clock_monotonic_ns());
	bool waits = line_keys_count(lines->lines).held > 0;
	pthread_mutex_unlock(&lines->lock);
	if (waits)
		(void)!write(lines->wake, &one, sizeof(one));
	return taken;
}

bool exec_lines_take(struct exec_lines *lines, struct bytes text, const struct keylog_line *line, struct bytes secret)
{
	bool wanted = line->label == KEYLOG_CLIENT_TRAFFIC || line->label == KEYLOG_SERVER_TRAFFIC ||
	              line->label == KEYLOG_MASTER || line->label == KEYLOG_CLIENT_HANDSHAKE ||
	              line->label == KEYLOG_SERVER_HANDSHAKE;
	if (!wanted || line->id.kind != KEYLOG_ID_RANDOM)
		return false;
	bool raw = send_raw(lines->send, text, line);
	return take(lines, line, secret) || raw;
}

void exec_lines_master(struct exec_lines *lines, const struct keylog_id *id, struct bytes master)
{
	const struct keylog_line line = {.label = KEYLOG_MASTER, .id = *id};
	(void)take(lines, &line, master);
}

/* Hellos: a thread of its own from here to "Beginning and end". */

static void meet(void *arg, const struct greeting *greeting)
{
	struct exec_lines *lines = arg;
	struct line_greeting said = {.version = greeting->version,
		.suite = greeting->suite,
		.client = greeting->client,
		.server = greeting->server};
	memcpy(said.client_random, greeting->client_random.data, KEYLOG_RANDOM);
	memcpy(said.server_random, greeting->server_random.data, KEYLOG_RANDOM);
	release_text(said.name, sizeof(said.name), greeting->name);
	pthread_mutex_lock(&lines->lock);
	line_keys_meet(lines->lines, &said);
	pthread_mutex_unlock(&lines->lock);
}

static uint64_t count_held(struct exec_lines *lines)
{
	pthread_mutex_lock(&lines->lock);
	uint64_t held = line_keys_count(lines->lines).held;
	pthread_mutex_unlock(&lines->lock);
	return held;
}

static void pass(struct exec_lines *lines, uint64_t until_ns)
{
	pthread_mutex_lock(&lines->lock);
	line_keys_pass(lines->lines, until_ns);
	pthread_mutex_unlock(&lines->lock);
}

/* Nothing comes. True when all that was captured has been looked at. */
static bool pause_for_lines(struct exec_lines *lines)
{
	/* In this order: what arrived by then has been counted. */
	uint64_t now_ns = clock_monotonic_ns();
	struct live_counts counts = live_count(lines->live);
	bool empty = counts.frames + counts.repeated + counts.not_ip + counts.dropped >= counts.arrived;
	/* Whatever the counters say: what came so long ago has been handed over. */
	uint64_t lag_ns = empty ? 0 : LAST_NS;
	if (lag_ns < now_ns)
		pass(lines, now_ns - lag_ns);
	greetings_tick(lines->greetings, clock_wall_ns());
	return empty;
}

/* There is no pause: frames come in the order of their times, but for a little. */
static void pass_by_time(struct exec_lines *lines, uint64_t frame_ns)
{
	uint64_t now_ns = clock_monotonic_ns(), wall_ns = clock_wall_ns();
	uint64_t behind_ns = (wall_ns > frame_ns ? wall_ns - frame_ns : 0) + LAG_NS;
	if (behind_ns < now_ns)
		pass(lines, now_ns - behind_ns);
}

static void say_blind(const char *what, const struct error *err)
{
	fprintf(stderr,
		"overt exec: %s: %s: keys of TLS 1.3 go out for each suite that they may be of and without the name of "
		"the server, those of TLS 1.2 not at all\n",
		what, err->text);
}

static void *run(void *arg)
{
	struct exec_lines *lines = arg;
	struct frame frame;
	struct error err;
	uint64_t frames = 0, ends_ns = UINT64_MAX, wakes;
	bool empty = false;
	while (!(empty && ends_ns != UINT64_MAX) && clock_monotonic_ns() < ends_ns) {
		if (ends_ns == UINT64_MAX && atomic_load(&lines->ending))
			ends_ns = clock_monotonic_ns() + LAST_NS;
		bool soon = ends_ns != UINT64_MAX || count_held(lines) > 0;
		enum capture_result result = live_next(lines->live, &frame, soon ? WAIT_MS : IDLE_MS, &err);
		if (result == CAPTURE_FRAME) {
			greetings_frame(lines->greetings, &frame);
			if (++frames % TURN == 0)
				pass_by_time(lines, frame.time_ns);
			continue;
		}
		if (result == CAPTURE_STOPPED && read(lines->wake, &wakes, sizeof(wakes)) < 0) {
			error_set_errno(&err, "waiting for secrets");
			result = CAPTURE_BROKEN;
		}
		if (result != CAPTURE_STOPPED && result != CAPTURE_WAIT) {
			say_blind("no more hellos are captured from now on", &err);
			break;
		}
		empty = pause_for_lines(lines);
	}
	/* There is no more to be seen. */
	pthread_mutex_lock(&lines->lock);
	line_keys_wait(lines->lines, false);
	pthread_mutex_unlock(&lines->lock);
	return NULL;
}

/* Beginning and end. */

static bool begin(struct exec_lines *lines, struct error *err)
{
	const struct live_options capture = {
		.interface = "any", .filter = "tcp", .ring = RING, .fanout = -1, .stop_fd = lines->wake};
	lines->greetings = greetings_new(meet, lines);
	lines->live = live_open(&capture, err);
	if (!lines->live)
		return false;
	if (!lines->greetings)
		return error_set(err, "no memory");
	line_keys_wait(lines->lines, true);
	lines->runs = pthread_create(&lines->thread, NULL, run, lines) == 0;
	if (lines->runs)
		return true;
	line_keys_wait(lines->lines, false);
	return error_set(err, "no thread");
}

void exec_lines_watch(struct exec_lines *lines)
{
	struct error err;
	pthread_mutex_lock(&lines->lock);
	bool first = !lines->tried;
	lines->tried = true;
	if (first && !begin(lines, &err))
		say_blind("hellos are not captured", &err);
	pthread_mutex_unlock(&lines->lock);
}

struct exec_lines *exec_lines_new(struct exec_send *send)
{
	struct exec_lines *lines = calloc(1, sizeof(*lines));
	if (!lines || pthread_mutex_init(&lines->lock, NULL) != 0) {
		free(lines);
		return NULL;
	}
	const struct line_keys_options options = {.give = give, .arg = lines};
	lines->send = send;
	lines->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	lines->lines = line_keys_new(&options);
	if (lines->lines && lines->wake >= 0)
		return lines;
	exec_lines_free(lines);
	return NULL;
}

static void tell(const struct line_keys_counts *counts)
{
	unsigned long long guessed = counts->guessed, unsure = counts->unsure, unfit = counts->unfit;
	if (guessed > 0)
		fprintf(stderr,
			"overt exec: of %llu secrets of TLS 1.3 the hellos were not seen: their keys went out for each "
			"suite that they may be of, without the server's name\n",
			guessed);
	if (unsure > 0)
		fprintf(stderr,
			"overt exec: of %llu secrets of TLS 1.2 the hellos were not seen: no keys can be made of "
			"them\n",
			unsure);
	if (unfit > 0)
		fprintf(stderr, "overt exec: %llu secrets do not fit the suites of their connections\n", unfit);
}

void exec_lines_free(struct exec_lines *lines)
{
	uint64_t one = 1;
	if (!lines)
		return;
	atomic_store(&lines->ending, true);
	/* The thread looks by itself, too, only later; it must be over before anything of it is freed. */
	if (lines->runs) {
		(void)!write(lines->wake, &one, sizeof(one));
		pthread_join(lines->thread, NULL);
	}
	if (lines->lines) {
		line_keys_pass(lines->lines, UINT64_MAX);
		struct line_keys_counts counts = line_keys_count(lines->lines);
		tell(&counts);
	}
	greetings_free(lines->greetings);
	live_free(lines->live);
	line_keys_free(lines->lines);
	if (lines->wake >= 0)
		close(lines->wake);
	pthread_mutex_destroy(&lines->lock);
	free(lines);
}

#include "cli/exec_share_fifo.h"

#include "keys/keylog.h"
#include "keys/secret.h"
#include "share/line_keys.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROOM ((size_t)64 * 1024) /* as much as a pipe holds */

struct fifo {
	const char *path;
	struct view *view; /* NULL: keys go to `to` */
	struct exec_lines *to;
	struct crypto *crypto;
	struct line_keys *lines; /* of `view` */
	int fd, stop;
	pthread_t thread;
	bool made, runs;
	size_t len;
	struct fifo_counts counts;
	uint8_t room[ROOM];
};

/* A line does not tell the suite: the key of each that the secret may be of. The ServerHello says which it is. */
static void share_key(void *arg, const struct release *release)
{
	const struct fifo *fifo = arg;
	view_key(fifo->view, &release->key);
}

/* The same, which no collector gets. */
static bool share_handshake(struct fifo *fifo, const struct keylog_line *line, struct bytes secret)
{
	static const uint16_t suites[] = {0x1301, 0x1302, 0x1303, 0x1304, 0x1305};
	bool any = false;
	for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++) {
		struct release release = {0};
		if (release_from_secret13(
			    &release, fifo->crypto, suites[i], line->label == KEYLOG_CLIENT_HANDSHAKE, 0, secret)) {
			release.key.stage = RECORD_STAGE_HANDSHAKE;
			memcpy(release.key.client_random, line->id.octets, KEYLOG_RANDOM);
			view_key(fifo->view, &release.key);
			any = true;
		}
		release_wipe(&release);
	}
	return any;
}

/* A master secret is of use only with the server's random, which the capture has: it stays, in this process, to the end. */
static bool take_line(struct fifo *fifo, struct bytes text)
{
	struct keylog_line line;
	uint8_t secret[KEYLOG_MAX_SECRET];
	if (keylog_parse(text, &line) != KEYLOG_OK || line.id.kind != KEYLOG_ID_RANDOM)
		return false;
	struct bytes octets = bytes_of(secret, keylog_secret(&line, secret, sizeof(secret)));
	bool ok = false;
	if (!fifo->view) {
		ok = exec_lines_take(fifo->to, text, &line, octets);
	} else if (line.label == KEYLOG_MASTER) {
		ok = keyring_add_secret(view_keyring(fifo->view), &line.id, KEYLOG_MASTER, 0, octets);
		view_random(fifo->view, line.id.octets);
	} else if (line.label == KEYLOG_CLIENT_HANDSHAKE || line.label == KEYLOG_SERVER_HANDSHAKE) {
		ok = share_handshake(fifo, &line, octets);
	} else {
		ok = line_keys_take(fifo->lines, &line, octets, 0);
	}
	explicit_bzero(secret, sizeof(secret));
	return ok;
}

static void take_lines(struct fifo *fifo)
{
	struct bytes in = bytes_of(fifo->room, fifo->len);
	size_t end;
	while ((end = bytes_find(in, '\n', 0)) < in.len) {
		struct bytes line;
		if (!bytes_take(&in, end, &line) || !bytes_skip(&in, 1))
			break;
		if (take_line(fifo, line))
			fifo->counts.lines++;
		else
			fifo->counts.refused++;
	}
	/* No line of a key log is as long as the room. */
	size_t rest = in.len < ROOM ? in.len : 0;
	if (rest > 0)
		memmove(fifo->room, in.data, rest);
	explicit_bzero(fifo->room + rest, ROOM - rest);
	fifo->len = rest;
}

static void drain(struct fifo *fifo)
{
	ssize_t n;
	while ((n = read(fifo->fd, fifo->room + fifo->len, ROOM - fifo->len)) > 0) {
		fifo->len += (size_t)n;
		take_lines(fifo);
	}
}

static void *run(void *arg)
{
	struct fifo *fifo = arg;
	struct pollfd polled[] = {{.fd = fifo->fd, .events = POLLIN}, {.fd = fifo->stop, .events = POLLIN}};
	do {
		if (poll(polled, 2, -1) < 0 && errno != EINTR)
			break;
		drain(fifo);
	} while (polled[1].revents == 0);
	return NULL;
}

/* Held open for writing, too: else its end would come with the first program that closes it. */
static bool begin(struct fifo *fifo, struct error *err)
{
	const struct line_keys_options options = {.give = share_key, .arg = fifo, .ccm = true};
	fifo->crypto = crypto_new();
	fifo->lines = line_keys_new(&options);
	fifo->stop = eventfd(0, EFD_CLOEXEC);
	fifo->made = mkfifo(fifo->path, 0600) == 0;
	fifo->fd = fifo->made ? open(fifo->path, O_RDWR | O_NONBLOCK | O_CLOEXEC) : -1;
	if (!fifo->crypto || !fifo->lines || fifo->stop < 0 || fifo->fd < 0)
		return error_set_errno(err, "%s", fifo->path);
	fifo->runs = pthread_create(&fifo->thread, NULL, run, fifo) == 0;
	return fifo->runs || error_set(err, "no thread to read keys");
}

struct fifo *fifo_new(const char *path, struct view *view, struct exec_lines *to, struct error *err)
{
	struct fifo *fifo = secret_alloc(sizeof(*fifo)); /* secrets pass through it */
	if (!fifo) {
		error_set(err, "no memory");
		return NULL;
	}
	fifo->path = path;
	fifo->view = view;
	fifo->to = to;
	fifo->fd = fifo->stop = -1;
	if (begin(fifo, err))
		return fifo;
	(void)fifo_free(fifo);
	return NULL;
}

struct fifo_counts fifo_free(struct fifo *fifo)
{
	uint64_t one = 1;
	if (!fifo)
		return (struct fifo_counts){0};
	if (fifo->runs && write(fifo->stop, &one, sizeof(one)) == (ssize_t)sizeof(one))
		pthread_join(fifo->thread, NULL);
	struct fifo_counts counts = fifo->counts;
	if (fifo->fd >= 0)
		close(fifo->fd);
	if (fifo->stop >= 0)
		close(fifo->stop);
	if (fifo->made)
		unlink(fifo->path);
	line_keys_free(fifo->lines);
	crypto_free(fifo->crypto);
	secret_free(fifo);
	return counts;
}

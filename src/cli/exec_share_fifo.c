#include "cli/exec_share_fifo.h"

#include "cli/exec_share_lines.h"
#include "keys/keylog.h"
#include "keys/secret.h"
#include "tls/hello.h"
#include "tls/schedule13.h"

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
	struct view *view; /* NULL: keys go to `send` */
	struct exec_send *send;
	struct crypto *crypto;
	int fd, stop;
	pthread_t thread;
	bool made, runs;
	size_t len;
	struct fifo_counts counts;
	uint8_t room[ROOM];
};

/* A line does not tell the suite: the key of each that the secret may belong to. The ServerHello says which it is. */
static bool share_secret(struct fifo *fifo, const struct keylog_line *line, struct bytes secret)
{
	static const uint16_t suites[] = {0x1301, 0x1302, 0x1303, 0x1304, 0x1305};
	bool handshake = line->label == KEYLOG_CLIENT_HANDSHAKE || line->label == KEYLOG_SERVER_HANDSHAKE;
	bool any = false;
	struct tls_secret traffic = {0};
	if (line->epoch == KEYLOG_EPOCH_UNNAMED || !tls_secret_set(&traffic, secret))
		return false;
	for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++) {
		const struct suite *suite = suite_find(suites[i]);
		struct traffic_keys keys;
		struct shape shape;
		if (!suite || crypto_hash_len(suite->prf) != secret.len || !shape_of(suite, TLS_VERSION_13, &shape) ||
			!schedule13_keys(fifo->crypto, suite, &traffic, &keys))
			continue;
		struct record_key key = {
			.from_client = line->label == KEYLOG_CLIENT_HANDSHAKE || line->label == KEYLOG_CLIENT_TRAFFIC,
			.stage = handshake ? RECORD_STAGE_HANDSHAKE : RECORD_STAGE_APPLICATION,
			.epoch = line->epoch,
			.version = TLS_VERSION_13,
			.suite = suites[i],
			.key_len = shape.key,
			.iv_len = shape.iv};
		memcpy(key.client_random, line->id.octets, KEYLOG_RANDOM);
		memcpy(key.key, keys.key, shape.key);
		memcpy(key.iv, keys.iv, shape.iv);
		view_key(fifo->view, &key);
		record_key_wipe(&key);
		traffic_keys_wipe(&keys);
		any = true;
	}
	tls_secret_wipe(&traffic);
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
		enum exec_line sent = exec_line_send(fifo->send, fifo->crypto, text, &line, octets);
		fifo->counts.unsure += sent == EXEC_LINE_UNSURE;
		ok = sent == EXEC_LINE_SENT;
	} else if (line.label == KEYLOG_MASTER) {
		ok = keyring_add_secret(view_keyring(fifo->view), &line.id, KEYLOG_MASTER, 0, octets);
		view_random(fifo->view, line.id.octets);
	} else if (line.label == KEYLOG_CLIENT_HANDSHAKE || line.label == KEYLOG_SERVER_HANDSHAKE ||
		   line.label == KEYLOG_CLIENT_TRAFFIC || line.label == KEYLOG_SERVER_TRAFFIC) {
		ok = share_secret(fifo, &line, octets);
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
	fifo->crypto = crypto_new();
	fifo->stop = eventfd(0, EFD_CLOEXEC);
	fifo->made = mkfifo(fifo->path, 0600) == 0;
	fifo->fd = fifo->made ? open(fifo->path, O_RDWR | O_NONBLOCK | O_CLOEXEC) : -1;
	if (!fifo->crypto || fifo->stop < 0 || fifo->fd < 0)
		return error_set_errno(err, "%s", fifo->path);
	fifo->runs = pthread_create(&fifo->thread, NULL, run, fifo) == 0;
	return fifo->runs || error_set(err, "no thread to read keys");
}

struct fifo *fifo_new(const char *path, struct view *view, struct exec_send *send, struct error *err)
{
	struct fifo *fifo = secret_alloc(sizeof(*fifo)); /* secrets pass through it */
	if (!fifo) {
		error_set(err, "no memory");
		return NULL;
	}
	fifo->path = path;
	fifo->view = view;
	fifo->send = send;
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
	crypto_free(fifo->crypto);
	secret_free(fifo);
	return counts;
}

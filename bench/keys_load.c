/*
 * keys_load — a sender of keys for a collector, as fast as it goes: seals releases, sends them in batches with several
 * unanswered, and says how long sealing took, how long batches waited for their answer, and what the collector's process
 * spent on each key.
 *
 *     keys_load HOST:PORT DIR CLIENT READER.pub GRANT KEYS [BATCH [UNANSWERED [PID]]]
 */
#include "base/clock.h"
#include "base/text.h"
#include "collect/address.h"
#include "collect/tls.h"
#include "keys/courier.h"
#include "keys/reader.h"
#include "pki/file.h"

#include <fcntl.h>
#include <openssl/rand.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UNANSWERED_MAX 64
#define FRAME_ROOM     ((size_t)COURIER_MAX_BODY + COURIER_HEADER)

struct load {
	SSL *ssl;
	int fd;
	uint8_t *frames; /* all of them, made before the clock starts */
	size_t *ends;
	size_t batches, batch, unanswered;
	uint64_t *sent_ns, *waited_ns;
	struct courier_taken total;
	uint8_t in[1024];
	size_t in_len;
};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "keys_load: %s\n", what);
	exit(1);
}

static void connect_to(struct load *load, const char *address, const char *folder, const char *client)
{
	char host[ADDRESS_HOST], port[ADDRESS_PORT], cert[FILE_PATH_MAX], key[FILE_PATH_MAX], ca[FILE_PATH_MAX];
	struct error err = {0};
	snprintf(cert, sizeof(cert), "%s/%s.pem", folder, client);
	snprintf(key, sizeof(key), "%s/%s.key", folder, client);
	snprintf(ca, sizeof(ca), "%s/ca.pem", folder);
	SSL_CTX *ctx = collect_client_context(
		&(struct collect_files){.certificate = cert, .key = key, .ca = ca}, COURIER_ALPN_KEYS, &err);
	if (!ctx || !address_split(address, host, port))
		die(err.text);
	load->fd = address_connect(host, port, &err);
	if (load->fd < 0)
		die(err.text);
	(void)!fcntl(load->fd, F_SETFL, fcntl(load->fd, F_GETFL) & ~O_NONBLOCK);
	(void)!poll(&(struct pollfd){.fd = load->fd, .events = POLLOUT}, 1, 10000);
	load->ssl = collect_client_ssl(ctx, host);
	if (!load->ssl || SSL_set_fd(load->ssl, load->fd) != 1 || SSL_connect(load->ssl) != 1)
		die("no TLS with the collector");
	SSL_CTX_free(ctx);
}

/* One key as an agent would release it, of a connection of its own. */
static void make_release(struct release *release, const uint8_t grant[static RELEASE_GRANT], uint64_t number)
{
	*release = (struct release){.grade = RELEASE_GRADE_RECORD,
		.mode = RELEASE_LIVE,
		.consent = RELEASE_BOTH,
		.made_ns = clock_wall_ns(),
		.name = "www.example.org",
		.host = "bench",
		.program = "nginx"};
	struct record_key *key = &release->key;
	memcpy(release->grant, grant, RELEASE_GRANT);
	if (RAND_bytes(key->client_random, KEYLOG_RANDOM) != 1)
		die("no randomness");
	memcpy(key->key, key->client_random, 16);
	memcpy(key->client_random, &number, sizeof(number));
	key->from_client = number & 1;
	key->stage = RECORD_STAGE_APPLICATION;
	key->version = 0x0304;
	key->suite = 0x1301;
	key->key_len = 16;
	key->iv_len = 12;
}

/* Returns nanoseconds per sealed key. */
static double make_frames(struct load *load, struct sealer *sealer, const uint8_t grant[static RELEASE_GRANT])
{
	static uint8_t sealed[SEAL_MAX];
	struct writer to = writer_over(load->frames, load->batches * FRAME_ROOM);
	uint64_t spent_ns = 0;
	for (size_t b = 0; b < load->batches; b++) {
		size_t mark = courier_open(&to, COURIER_PUT);
		writer_u64(&to, b);
		for (size_t i = 0; i < load->batch; i++) {
			struct release release;
			struct writer one = writer_over(sealed, sizeof(sealed));
			make_release(&release, grant, b * load->batch + i);
			uint64_t before = clock_monotonic_ns();
			if (sealer_seal(sealer, before, &release, &one) != SEAL_OK)
				die("it was not sealed");
			spent_ns += clock_monotonic_ns() - before;
			writer_vec16(&to, bytes_of(sealed, one.len));
		}
		courier_close(&to, mark);
		load->ends[b] = to.len;
	}
	if (to.full)
		die("a batch is longer than a frame");
	return (double)spent_ns / (double)(load->batches * load->batch);
}

static void take_answer(struct load *load)
{
	struct courier_frame frame;
	struct courier_taken taken;
	for (;;) {
		struct bytes in = bytes_of(load->in, load->in_len);
		if (courier_take(&in, &frame) == COURIER_OK) {
			if (frame.type != COURIER_TAKEN || !courier_taken_read(frame.body, &taken))
				die("the collector did not take it");
			load->waited_ns[taken.batch] = clock_monotonic_ns() - load->sent_ns[taken.batch];
			load->total.fresh += taken.fresh;
			load->total.known += taken.known;
			load->total.refused += taken.refused;
			memmove(load->in, load->in + load->in_len - in.len, in.len);
			load->in_len = in.len;
			return;
		}
		size_t got;
		if (SSL_read_ex(load->ssl, load->in + load->in_len, sizeof(load->in) - load->in_len, &got) != 1)
			die("the collector has gone");
		load->in_len += got;
	}
}

static void run(struct load *load)
{
	size_t answered = 0;
	for (size_t b = 0; b < load->batches; b++) {
		size_t from = b ? load->ends[b - 1] : 0, sent = 0;
		load->sent_ns[b] = clock_monotonic_ns();
		for (; from < load->ends[b]; from += sent) {
			if (SSL_write_ex(load->ssl, load->frames + from, load->ends[b] - from, &sent) != 1)
				die("the collector has gone");
		}
		while (b + 1 - answered >= load->unanswered) {
			take_answer(load);
			answered++;
		}
	}
	for (; answered < load->batches; answered++)
		take_answer(load);
}

/* CPU time of a process so far; 0 when it cannot be read. */
static double cpu_s(long pid)
{
	char path[64], text[1024] = "";
	unsigned long user = 0, system = 0;
	snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
	FILE *file = pid > 0 ? fopen(path, "re") : NULL;
	if (!file)
		return 0;
	size_t len = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[len] = '\0';
	const char *at = strrchr(text, ')');
	if (at)
		(void)sscanf(at, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
	return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static int ascending(const void *a, const void *b)
{
	const uint64_t *one = a, *two = b;
	return (*one > *two) - (*one < *two);
}

/* Of the sorted waits. */
static double waited_ms(const struct load *load, size_t percent)
{
	size_t at = load->batches * percent / 100;
	return (double)load->waited_ns[at < load->batches ? at : load->batches - 1] / 1e6;
}

static size_t number(const char *text, size_t most)
{
	uint64_t value;
	if (!text_number(bytes_str(text), most, &value) || value == 0)
		die("a number is wanted");
	return (size_t)value;
}

int main(int argc, char **argv)
{
	static struct load load;
	struct error err = {0};
	uint8_t grant[RELEASE_GRANT], reader[READER_KEY];
	struct file_bytes pem = {0};
	size_t len = 0;
	if (argc < 7 || argc > 10 || !text_unhex(grant, sizeof(grant), &len, bytes_str(argv[5])) ||
		len != sizeof(grant))
		die("usage: keys_load HOST:PORT DIR CLIENT READER.pub GRANT KEYS [BATCH [UNANSWERED [PID]]]");
	if (!file_read(argv[4], 65536, &pem, NULL, &err) ||
		!reader_public_read(READER_X25519, bytes_of(pem.data, pem.len), argv[4], reader, &err))
		die(err.text);
	file_bytes_free(&pem);
	load.batch = argc > 7 ? number(argv[7], 150) : 100;
	load.unanswered = argc > 8 ? number(argv[8], UNANSWERED_MAX) : 16;
	long pid = argc > 9 ? (long)number(argv[9], 1 << 22) : 0;
	load.batches = (number(argv[6], 100000000) + load.batch - 1) / load.batch;
	load.frames = malloc(load.batches * FRAME_ROOM);
	load.ends = calloc(load.batches, sizeof(*load.ends));
	load.sent_ns = calloc(load.batches, sizeof(*load.sent_ns));
	load.waited_ns = calloc(load.batches, sizeof(*load.waited_ns));
	struct sealer *sealer = sealer_new(reader, 0);
	if (!load.frames || !load.ends || !load.sent_ns || !load.waited_ns || !sealer)
		die("no memory");
	double seal_ns = make_frames(&load, sealer, grant);
	connect_to(&load, argv[1], argv[2], argv[3]);
	double cpu_before = cpu_s(pid);
	uint64_t before = clock_monotonic_ns();
	run(&load);
	double took_s = (double)(clock_monotonic_ns() - before) / 1e9;
	double keys = (double)(load.batches * load.batch), cpu = cpu_s(pid) - cpu_before;
	qsort(load.waited_ns, load.batches, sizeof(*load.waited_ns), ascending);
	printf("keys %.0f fresh %u known %u refused %u octets/key %.0f\n", keys, load.total.fresh, load.total.known,
		load.total.refused, (double)load.ends[load.batches - 1] / keys);
	printf("seal %.0f ns/key; took %.3f s: %.0f keys/s; collector CPU %.2f s: %.2f us/key, %.0f keys/s of one "
	       "core\n",
		seal_ns, took_s, keys / took_s, cpu, cpu > 0 ? cpu / keys * 1e6 : 0, cpu > 0 ? keys / cpu : 0);
	printf("batch acknowledged after p50 %.2f p90 %.2f p99 %.2f max %.2f ms\n", waited_ms(&load, 50),
		waited_ms(&load, 90), waited_ms(&load, 99), waited_ms(&load, 100));
	SSL_free(load.ssl);
	close(load.fd);
	sealer_free(sealer);
	free(load.frames);
	free(load.ends);
	free(load.sent_ns);
	free(load.waited_ns);
	return load.total.refused > 0;
}

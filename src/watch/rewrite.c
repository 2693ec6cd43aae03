#include "watch/rewrite.h"

#include "base/cache.h"
#include "base/text.h"
#include "sink/pcapng_block.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

#define INTERFACES_MAX 1024                /* pairs of interface and link type that get a description of their own */
#define KNOWN_MAX      ((size_t)1 << 20)   /* connections whose secrets are known to stand in the file */
#define LINES_MAX      ((size_t)256 << 10) /* octets of key log per connection: KEYSET_MAX lines */

struct described {
	uint32_t interface;
	uint16_t link;
};

struct rewrite {
	struct sink sink; /* for the output's counts and its name in the log */
	struct output out;
	struct keyring *ring;
	struct cache *known; /* client_random, to how many secrets were written */
	struct described interfaces[INTERFACES_MAX];
	uint32_t interface_count;
	uint8_t lines[LINES_MAX];
};

/* The labels of RFC 9850. */
static const char *const labels[KEYLOG_LABELS] = {
	[KEYLOG_MASTER] = "CLIENT_RANDOM",
	[KEYLOG_PREMASTER] = "PMS_CLIENT_RANDOM",
	[KEYLOG_EARLY_TRAFFIC] = "CLIENT_EARLY_TRAFFIC_SECRET",
	[KEYLOG_CLIENT_HANDSHAKE] = "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
	[KEYLOG_SERVER_HANDSHAKE] = "SERVER_HANDSHAKE_TRAFFIC_SECRET",
	[KEYLOG_CLIENT_TRAFFIC] = "CLIENT_TRAFFIC_SECRET",
	[KEYLOG_SERVER_TRAFFIC] = "SERVER_TRAFFIC_SECRET",
	/* Exporter secrets open no packet. */
	[KEYLOG_ECH_SECRET] = "ECH_SECRET",
	[KEYLOG_ECH_CONFIG] = "ECH_CONFIG",
};

static void put_hex(struct writer *w, struct bytes octets)
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < octets.len; i++) {
		writer_u8(w, (uint8_t)digits[octets.data[i] >> 4]);
		writer_u8(w, (uint8_t)digits[octets.data[i] & 15]);
	}
}

static void put_line(struct writer *w, const struct keyset_key *key, struct bytes random)
{
	char epoch[16] = "";
	if (!labels[key->label] || key->cut)
		return;
	if (key->label == KEYLOG_CLIENT_TRAFFIC || key->label == KEYLOG_SERVER_TRAFFIC)
		snprintf(epoch, sizeof(epoch), "_%u", key->epoch);
	writer_bytes(w, bytes_str(labels[key->label]));
	writer_bytes(w, bytes_str(epoch));
	writer_u8(w, ' ');
	put_hex(w, random);
	writer_u8(w, ' ');
	put_hex(w, key->secret);
	writer_u8(w, '\n');
}

static void put_secrets(struct rewrite *rewrite, const struct keyset *set, struct bytes random)
{
	struct writer lines = writer_over(rewrite->lines, sizeof(rewrite->lines));
	struct keyset_key key;
	struct bytes text;
	for (size_t i = 0; keyset_at(set, i, &key); i++)
		put_line(&lines, &key, random);
	if (!writer_done(&lines, &text) || text.len == 0)
		return;
	struct writer w = pcapng_open(&rewrite->out, PCAPNG_SECRETS, text.len + 64);
	pcapng_u32(&w, PCAPNG_TLS_KEYS);
	pcapng_u32(&w, (uint32_t)text.len);
	writer_bytes(&w, text);
	pcapng_pad(&w);
	pcapng_close(&rewrite->out, &w);
	OPENSSL_cleanse(rewrite->lines, text.len);
}

void rewrite_random(struct rewrite *rewrite, const uint8_t client_random[32])
{
	struct bytes random = bytes_of(client_random, KEYLOG_RANDOM);
	struct keyset set = {0};
	uintptr_t before = (uintptr_t)cache_get(rewrite->known, random);
	(void)!keyring_find_random(rewrite->ring, random, &set);
	if (set.count > before) {
		put_secrets(rewrite, &set, random);
		(void)!cache_put(rewrite->known, random, (void *)(uintptr_t)set.count);
	}
	keyset_free(&set);
}

/* The number in the file of an interface of the source. */
static uint32_t describe(struct rewrite *rewrite, const struct frame *frame)
{
	uint32_t i = rewrite->interface_count;
	while (i > 0 && (rewrite->interfaces[i - 1].interface != frame->interface ||
				rewrite->interfaces[i - 1].link != frame->link))
		i--;
	if (i > 0)
		return i - 1;
	if (rewrite->interface_count == INTERFACES_MAX) {
		/* One of the right link type will do. */
		for (i = INTERFACES_MAX; i > 1 && rewrite->interfaces[i - 1].link != frame->link; i--)
			continue;
		return i - 1;
	}
	rewrite->interfaces[rewrite->interface_count] = (struct described){frame->interface, frame->link};
	pcapng_put_interface(&rewrite->out, frame->link, "", "");
	return rewrite->interface_count++;
}

void rewrite_frame(struct rewrite *rewrite, const struct frame *frame)
{
	struct pcapng_packet packet = {
		.interface = describe(rewrite, frame),
		.time_ns = frame->time_ns,
		.original = frame->original,
		.bytes = frame->bytes,
	};
	pcapng_put_packet(&rewrite->out, &packet);
}

void rewrite_flush(struct rewrite *rewrite)
{
	output_flush(&rewrite->out);
}

struct rewrite *rewrite_new(const char *path, struct keyring *ring, struct error *err)
{
	struct rewrite *rewrite = calloc(1, sizeof(*rewrite));
	if (rewrite)
		rewrite->known = cache_new(KNOWN_MAX, NULL);
	if (!rewrite || !rewrite->known) {
		free(rewrite);
		error_set(err, "no memory to write %s", path);
		return NULL;
	}
	rewrite->ring = ring;
	rewrite->sink.name = "pcapng";
	if (output_open(&rewrite->out, &rewrite->sink, path, OUTPUT_REPLACE, err)) {
		rewrite->out.secret = true;
		pcapng_put_section(&rewrite->out);
		return rewrite;
	}
	cache_free(rewrite->known);
	free(rewrite);
	return NULL;
}

uint64_t rewrite_close(struct rewrite *rewrite)
{
	if (!rewrite)
		return 0;
	output_close(&rewrite->out);
	uint64_t lost = rewrite->sink.counts.lost_records;
	cache_free(rewrite->known);
	free(rewrite);
	return lost;
}

/* Key logs made at random, and what a reader that looks at every line would find in them. */
#ifndef TESTS_KEYS_LOG_MAKER_H
#define TESTS_KEYS_LOG_MAKER_H

#include "base/text.h"
#include "keys/keyset.h"

#include <stdio.h>
#include <stdlib.h>

struct made {
	char *text;
	size_t len, room;
	uint64_t state; /* of the generator; not 0 */
};

static inline uint32_t made_random(struct made *made, uint32_t below)
{
	/* xorshift64* */
	made->state ^= made->state >> 12;
	made->state ^= made->state << 25;
	made->state ^= made->state >> 27;
	return (uint32_t)((made->state * 0x2545f4914f6cdd1dULL) >> 33) % below;
}

static inline void made_add(struct made *made, const char *text, size_t len)
{
	if (!made->text || made->len + len > made->room) {
		made->room = (made->len + len) * 2;
		made->text = realloc(made->text, made->room);
	}
	if (!made->text)
		abort();
	memcpy(made->text + made->len, text, len);
	made->len += len;
}

/* The client_random of session `n`. */
static inline struct keylog_id made_id(uint32_t n)
{
	struct keylog_id id;
	uint8_t octets[KEYLOG_RANDOM];
	for (size_t i = 0; i < sizeof(octets); i++)
		octets[i] = (uint8_t)(n >> (i % 4 * 8) ^ i * 37);
	if (!keylog_id_set(&id, KEYLOG_ID_RANDOM, bytes_of(octets, sizeof(octets))))
		abort();
	return id;
}

/* A line of session `n` whose secret is made of `seed`. */
static inline size_t made_line(char *out, size_t cap, const char *label, uint32_t n, uint32_t seed, size_t secret_len)
{
	struct keylog_id id = made_id(n);
	uint8_t secret[64];
	for (size_t i = 0; i < sizeof(secret); i++)
		secret[i] = (uint8_t)(seed >> (i % 4 * 8) ^ i);
	size_t len = (size_t)snprintf(out, cap, "%s ", label);
	len += text_hex(out + len, cap - len, bytes_of(id.octets, id.len));
	out[len++] = ' ';
	return len + text_hex(out + len, cap - len, bytes_of(secret, secret_len));
}

/* One line in a hundred ways, of one of `sessions`; its line end too. */
static inline void made_add_random(struct made *made, uint32_t sessions)
{
	static const struct {
		const char *label;
		size_t len;
	} kinds[] = {{"CLIENT_RANDOM", 48}, {"CLIENT_HANDSHAKE_TRAFFIC_SECRET", 32},
		{"SERVER_HANDSHAKE_TRAFFIC_SECRET", 48}, {"CLIENT_TRAFFIC_SECRET_0", 32},
		{"SERVER_TRAFFIC_SECRET_0", 32}, {"CLIENT_TRAFFIC_SECRET_N", 32}, {"SERVER_TRAFFIC_SECRET_3", 48},
		{"EXPORTER_SECRET", 32}, {"CLIENT_RANDOM", 32 /* refused: a master secret has 48 */},
		{"GARBAGE_SECRET", 32}};
	char line[512];
	uint32_t kind = made_random(made, sizeof(kinds) / sizeof(kinds[0]));
	/* Few seeds: duplicates and contradictions are wanted. */
	size_t len = made_line(line, sizeof(line), kinds[kind].label, made_random(made, sessions), made_random(made, 4),
		kinds[kind].len);
	if (made_random(made, 10) == 0) {
		for (size_t i = 0; i < len; i++)
			line[i] = (char)(line[i] >= 'a' && line[i] <= 'f' ? line[i] - 32 : line[i]);
	}
	if (made_random(made, 20) == 0)
		len = made_random(made, (uint32_t)len); /* cut in the middle */
	made_add(made, line, len);
	if (made_random(made, 10) == 0)
		made_add(made, "\r", 1);
	made_add(made, "\n", 1);
	if (made_random(made, 30) == 0)
		made_add(made, "# a comment\n\n \r\n", 16);
	if (made_random(made, 300) == 0) {
		for (int i = 0; i < 5000; i++)
			made_add(made, "long ", 5);
		made_add(made, "\n", 1);
	}
}

/* All secrets of `id`, line by line. The text after the last LF counts when it parses. */
static inline void made_find(struct bytes text, const struct keylog_id *id, struct keyset *out)
{
	while (text.len) {
		struct bytes line;
		struct keylog_line parsed;
		size_t end = bytes_find(text, '\n', 0);
		bool cut = end == text.len;
		if (!bytes_take(&text, end, &line) || (!cut && !bytes_skip(&text, 1)))
			abort();
		if (keylog_parse(line, &parsed) == KEYLOG_OK && keylog_id_equal(&parsed.id, id))
			(void)keyset_add_line(out, &parsed, cut);
	}
}

static inline bool made_same(const struct keyset *a, const struct keyset *b)
{
	struct keyset_key x;
	struct keyset_key y;
	if (a->count != b->count || a->duplicates != b->duplicates || a->contradictory != b->contradictory)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		if (!keyset_at(a, i, &x) || !keyset_at(b, i, &y) || x.label != y.label || x.epoch != y.epoch ||
			x.counted != y.counted || x.cut != y.cut || !bytes_equal(x.secret, y.secret))
			return false;
	}
	return true;
}

#endif

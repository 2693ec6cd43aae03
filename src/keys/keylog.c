#include "keys/keylog.h"

#include "base/hash.h"
#include "base/text.h"

#include <openssl/evp.h>
#include <stdio.h>

/* Lengths of secrets that a label may have, in octets. */
enum length_rule {
	LENGTH_MASTER, /* 48: master secrets, and premaster secrets of the RSA key exchange */
	LENGTH_HASH,   /* 32, 48, 64: what a hash function of the suite gives */
	LENGTH_ANY,    /* 1..KEYLOG_MAX_SECRET */
};

struct label {
	const char *name;
	uint8_t len;
	uint8_t label;   /* enum keylog_label */
	uint8_t kind;    /* enum keylog_id_kind */
	uint8_t length;  /* enum length_rule */
	bool has_epoch;  /* the name goes on with a number or with N */
	bool quic_alias; /* once written with QUIC_ in front */
};

#define LABEL(text, ...)                                                                                               \
	{                                                                                                              \
		text, sizeof(text) - 1, __VA_ARGS__                                                                    \
	}

/* In order of how often they occur. RSA is read apart: two forms share the name. */
static const struct label labels[] = {
	LABEL("CLIENT_HANDSHAKE_TRAFFIC_SECRET", KEYLOG_CLIENT_HANDSHAKE, KEYLOG_ID_RANDOM, LENGTH_HASH, false, true),
	LABEL("SERVER_HANDSHAKE_TRAFFIC_SECRET", KEYLOG_SERVER_HANDSHAKE, KEYLOG_ID_RANDOM, LENGTH_HASH, false, true),
	LABEL("CLIENT_TRAFFIC_SECRET_", KEYLOG_CLIENT_TRAFFIC, KEYLOG_ID_RANDOM, LENGTH_HASH, true, true),
	LABEL("SERVER_TRAFFIC_SECRET_", KEYLOG_SERVER_TRAFFIC, KEYLOG_ID_RANDOM, LENGTH_HASH, true, true),
	LABEL("EXPORTER_SECRET", KEYLOG_EXPORTER, KEYLOG_ID_RANDOM, LENGTH_HASH, false, false),
	LABEL("CLIENT_RANDOM", KEYLOG_MASTER, KEYLOG_ID_RANDOM, LENGTH_MASTER, false, false),
	LABEL("CLIENT_EARLY_TRAFFIC_SECRET", KEYLOG_EARLY_TRAFFIC, KEYLOG_ID_RANDOM, LENGTH_HASH, false, true),
	LABEL("EARLY_EXPORTER_SECRET", KEYLOG_EARLY_EXPORTER, KEYLOG_ID_RANDOM, LENGTH_HASH, false, false),
	LABEL("EARLY_EXPORTER_MASTER_SECRET", KEYLOG_EARLY_EXPORTER, KEYLOG_ID_RANDOM, LENGTH_HASH, false, false),
	LABEL("PMS_CLIENT_RANDOM", KEYLOG_PREMASTER, KEYLOG_ID_RANDOM, LENGTH_ANY, false, false),
	LABEL("ECH_SECRET", KEYLOG_ECH_SECRET, KEYLOG_ID_RANDOM, LENGTH_ANY, false, false),
	LABEL("ECH_CONFIG", KEYLOG_ECH_CONFIG, KEYLOG_ID_RANDOM, LENGTH_ANY, false, false),
};

static const struct label rsa_premaster =
	LABEL("RSA", KEYLOG_PREMASTER, KEYLOG_ID_ENCRYPTED, LENGTH_MASTER, false, false);
static const struct label rsa_session = LABEL("RSA", KEYLOG_MASTER, KEYLOG_ID_SESSION, LENGTH_MASTER, false, false);

const char *keylog_label_text(enum keylog_label label)
{
	static const char *const texts[KEYLOG_LABELS] = {
		[KEYLOG_MASTER] = "master secret",
		[KEYLOG_PREMASTER] = "premaster secret",
		[KEYLOG_EARLY_TRAFFIC] = "client early traffic secret",
		[KEYLOG_CLIENT_HANDSHAKE] = "client handshake traffic secret",
		[KEYLOG_SERVER_HANDSHAKE] = "server handshake traffic secret",
		[KEYLOG_CLIENT_TRAFFIC] = "client application traffic secret",
		[KEYLOG_SERVER_TRAFFIC] = "server application traffic secret",
		[KEYLOG_EXPORTER] = "exporter secret",
		[KEYLOG_EARLY_EXPORTER] = "early exporter secret",
		[KEYLOG_ECH_SECRET] = "ECH secret",
		[KEYLOG_ECH_CONFIG] = "ECH configuration",
	};
	return label < KEYLOG_LABELS ? texts[label] : "no label";
}

const char *keylog_result_text(enum keylog_result result)
{
	static const char *const texts[KEYLOG_RESULTS] = {
		[KEYLOG_OK] = "a secret",
		[KEYLOG_NOTHING] = "blank or a comment",
		[KEYLOG_UNKNOWN_LABEL] = "the label is unknown",
		[KEYLOG_BAD_EPOCH] = "the epoch is no number",
		[KEYLOG_NO_ID] = "nothing stands behind the label",
		[KEYLOG_BAD_ID] = "the client random, session id or encrypted secret is not hex",
		[KEYLOG_BAD_ID_LENGTH] = "the client random, session id or encrypted secret has the wrong length",
		[KEYLOG_NO_SECRET] = "the secret is missing",
		[KEYLOG_BAD_SECRET] = "the secret is not hex",
		[KEYLOG_BAD_SECRET_LENGTH] = "the secret has the wrong length",
		[KEYLOG_TRAILING] = "something stands behind the secret",
		[KEYLOG_TOO_LONG] = "the line is too long",
	};
	return result < KEYLOG_RESULTS ? texts[result] : "no result";
}

bool keylog_id_set(struct keylog_id *id, enum keylog_id_kind kind, struct bytes octets)
{
	static const uint8_t lengths[] = {
		[KEYLOG_ID_RANDOM] = KEYLOG_RANDOM,
		[KEYLOG_ID_ENCRYPTED] = KEYLOG_ENCRYPTED,
		[KEYLOG_ID_TICKET] = KEYLOG_MAX_ID,
		[KEYLOG_ID_ENDS] = KEYLOG_MAX_ID,
	};
	if (kind == KEYLOG_ID_SESSION ? octets.len == 0 || octets.len > KEYLOG_MAX_ID : octets.len != lengths[kind])
		return false;
	*id = (struct keylog_id){.kind = (uint8_t)kind, .len = (uint8_t)octets.len};
	memcpy(id->octets, octets.data, octets.len);
	return true;
}

bool keylog_id_of_ticket(struct keylog_id *id, struct bytes ticket)
{
	*id = (struct keylog_id){.kind = KEYLOG_ID_TICKET, .len = KEYLOG_MAX_ID};
	return EVP_Digest(ticket.len ? ticket.data : id->octets, ticket.len, id->octets, NULL, EVP_sha256(), NULL) == 1;
}

bool keylog_id_equal(const struct keylog_id *a, const struct keylog_id *b)
{
	return a->kind == b->kind && a->len == b->len && memcmp(a->octets, b->octets, sizeof(a->octets)) == 0;
}

uint64_t keylog_id_hash(const struct keylog_id *id)
{
	_Static_assert(sizeof(*id) == 2 + KEYLOG_MAX_ID, "no padding may be hashed");
	return hash_bytes(bytes_of(id, sizeof(*id)));
}

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

static void skip_blanks(struct bytes *in)
{
	struct bytes skipped;
	size_t n = 0;
	while (n < in->len && is_blank(in->data[n]))
		n++;
	(void)!bytes_take(in, n, &skipped);
}

/* What stands up to the next blank, and the blanks behind it. */
static struct bytes field_take(struct bytes *in)
{
	struct bytes field = BYTES_NONE;
	size_t n = bytes_find(*in, ' ', 0);
	size_t tab = bytes_find(bytes_of(in->data, n), '\t', 0);
	(void)!bytes_take(in, tab < n ? tab : n, &field);
	skip_blanks(in);
	return field;
}

static struct bytes trimmed(struct bytes line)
{
	static const struct bytes byte_order_mark = {(const uint8_t *)"\xef\xbb\xbf", 3};
	if (bytes_starts(line, byte_order_mark))
		(void)!bytes_skip(&line, byte_order_mark.len);
	while (line.len && (is_blank(line.data[line.len - 1]) || line.data[line.len - 1] == '\r'))
		line.len--;
	skip_blanks(&line);
	return line;
}

/*
 * Nearly all octets of a key log are hex digits, and logs are large: these two loops have no branches, so that compilers
 * make vectors of them.
 */
static bool is_hex(struct bytes in)
{
	uint8_t wrong = 0;
	for (size_t i = 0; i < in.len; i++) {
		uint8_t c = in.data[i];
		uint8_t not_digit = (uint8_t)(c - '0') > 9;
		uint8_t not_letter = (uint8_t)((c | 0x20) - 'a') > 5;
		wrong |= not_digit & not_letter;
	}
	return !wrong;
}

static uint8_t digit_value(uint8_t c)
{
	return (uint8_t)((c & 0xf) + 9 * (c >> 6));
}

/* An even number of digits, as is_hex has found, to half as many octets. */
static void unhex(uint8_t *out, struct bytes digits)
{
	for (size_t i = 0; i < digits.len / 2; i++)
		out[i] = (uint8_t)(digit_value(digits.data[2 * i]) << 4 | digit_value(digits.data[2 * i + 1]));
}

static bool length_allowed(enum length_rule rule, size_t octets)
{
	switch (rule) {
	case LENGTH_MASTER:
		return octets == 48;
	case LENGTH_HASH:
		return octets == 32 || octets == 48 || octets == 64;
	case LENGTH_ANY:
		break;
	}
	return octets > 0 && octets <= KEYLOG_MAX_SECRET;
}

/* NULL when there is no such label; `*rest` is what stands behind a name that goes on. */
static const struct label *label_find(struct bytes name, struct bytes *rest)
{
	static const struct bytes quic = {(const uint8_t *)"QUIC_", 5};
	bool aliased = bytes_starts(name, quic);
	if (aliased)
		(void)!bytes_skip(&name, quic.len);
	for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
		const struct label *l = &labels[i];
		if (l->has_epoch ? name.len < l->len : name.len != l->len)
			continue;
		if (memcmp(name.data, l->name, l->len) != 0 || (aliased && !l->quic_alias))
			continue;
		(void)!bytes_skip(&name, l->len);
		*rest = name;
		return l;
	}
	return NULL;
}

static bool epoch_read(struct bytes text, uint32_t *epoch)
{
	uint64_t number;
	if (text.len == 1 && text.data[0] == 'N') {
		*epoch = KEYLOG_EPOCH_UNNAMED;
		return true;
	}
	if (!text_number(text, KEYLOG_EPOCH_UNNAMED - 1, &number))
		return false;
	*epoch = (uint32_t)number;
	return true;
}

/* "NAME:value": the value, or false. */
static bool named_field(struct bytes field, const char *name, struct bytes *value)
{
	struct bytes prefix = bytes_str(name);
	if (!bytes_starts(field, prefix))
		return false;
	*value = field;
	return bytes_skip(value, prefix.len);
}

/* The two fields behind the label, and nothing else. */
static enum keylog_result values_read(const struct label *label, struct bytes rest, struct keylog_line *out)
{
	uint8_t octets[KEYLOG_MAX_ID];
	struct bytes id = field_take(&rest);
	struct bytes secret = field_take(&rest);
	bool session = label == &rsa_session;
	if (session && !named_field(id, "Session-ID:", &id))
		return KEYLOG_NO_ID;
	if (id.len == 0)
		return KEYLOG_NO_ID;
	if (id.len % 2 != 0 || !is_hex(id))
		return KEYLOG_BAD_ID;
	if (id.len / 2 > sizeof(octets))
		return KEYLOG_BAD_ID_LENGTH;
	unhex(octets, id);
	if (!keylog_id_set(&out->id, label->kind, bytes_of(octets, id.len / 2)))
		return KEYLOG_BAD_ID_LENGTH;
	if (session && !named_field(secret, "Master-Key:", &secret))
		return KEYLOG_NO_SECRET;
	if (secret.len == 0)
		return KEYLOG_NO_SECRET;
	if (secret.len % 2 != 0 || !is_hex(secret))
		return KEYLOG_BAD_SECRET;
	if (!length_allowed(label->length, secret.len / 2))
		return KEYLOG_BAD_SECRET_LENGTH;
	out->secret_hex = secret;
	return rest.len == 0 ? KEYLOG_OK : KEYLOG_TRAILING;
}

enum keylog_result keylog_parse(struct bytes line, struct keylog_line *out)
{
	if (line.len > KEYLOG_MAX_LINE)
		return KEYLOG_TOO_LONG;
	line = trimmed(line);
	if (line.len == 0 || line.data[0] == '#')
		return KEYLOG_NOTHING;
	struct bytes name = field_take(&line);
	struct bytes epoch = BYTES_NONE;
	const struct label *label;
	if (bytes_equal(name, bytes_str("RSA")))
		label = bytes_starts(line, bytes_str("Session-ID:")) ? &rsa_session : &rsa_premaster;
	else
		label = label_find(name, &epoch);
	if (!label)
		return KEYLOG_UNKNOWN_LABEL;
	out->label = label->label;
	out->epoch = 0;
	if (label->has_epoch && !epoch_read(epoch, &out->epoch))
		return KEYLOG_BAD_EPOCH;
	return values_read(label, line, out);
}

size_t keylog_secret(const struct keylog_line *line, uint8_t *out, size_t cap)
{
	size_t len = line->secret_hex.len / 2;
	if (len > cap)
		return 0;
	unhex(out, line->secret_hex);
	return len;
}

static void write_hex(struct writer *to, struct bytes octets)
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < octets.len; i++) {
		writer_u8(to, (uint8_t)digits[octets.data[i] >> 4]);
		writer_u8(to, (uint8_t)digits[octets.data[i] & 0xf]);
	}
}

/* What the label and the kind of id are called together; NULL: nothing. */
static const struct label *label_of(enum keylog_label label, enum keylog_id_kind kind)
{
	if (kind == KEYLOG_ID_SESSION)
		return label == KEYLOG_MASTER ? &rsa_session : NULL;
	if (kind == KEYLOG_ID_ENCRYPTED)
		return label == KEYLOG_PREMASTER ? &rsa_premaster : NULL;
	for (size_t i = 0; kind == KEYLOG_ID_RANDOM && i < sizeof(labels) / sizeof(labels[0]); i++) {
		if (labels[i].label == label)
			return &labels[i];
	}
	return NULL;
}

bool keylog_write(
	struct writer *to, enum keylog_label label, uint32_t epoch, const struct keylog_id *id, struct bytes secret)
{
	char number[16];
	const struct label *l = label_of(label, id->kind);
	if (!l || !length_allowed(l->length, secret.len) || (!l->has_epoch && epoch != 0))
		return false;
	writer_bytes(to, bytes_of(l->name, l->len));
	if (l->has_epoch) {
		(void)!snprintf(number, sizeof(number), "%u", epoch);
		writer_bytes(to, bytes_str(epoch == KEYLOG_EPOCH_UNNAMED ? "N" : number));
	}
	writer_bytes(to, bytes_str(l == &rsa_session ? " Session-ID:" : " "));
	write_hex(to, bytes_of(id->octets, id->len));
	writer_bytes(to, bytes_str(l == &rsa_session ? " Master-Key:" : " "));
	write_hex(to, secret);
	writer_u8(to, '\n');
	return !to->full;
}

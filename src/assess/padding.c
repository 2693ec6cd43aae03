#include "assess/padding.h"

#include "assess/flight.h"
#include "assess/offer.h"
#include "base/clock.h"
#include "tls/handshake.h"
#include "tls/record.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define SECRET     48
#define BLOCK_MAX  1024 /* octets of a key */
#define REPLY_NS   (2 * NS_PER_S)
#define FINISHED   40 /* octets of a Finished under AES-GCM: nonce, message, tag */
#define REPLY_TEXT 60

/* How the block before encryption is wrong. */
enum form { FORM_RIGHT, FORM_START, FORM_NO_ZERO, FORM_ZERO_EARLY, FORM_VERSION, FORMS };

static const char *const form_names[FORMS] = {
	"right", "wrong start", "no zero octet", "zero octet too early", "wrong version"};

static bool make_block(enum form form, uint8_t *block, size_t size)
{
	if (size < SECRET + 11 || RAND_bytes(block, (int)size) != 1)
		return false;
	for (size_t i = 2; i < size; i++)
		block[i] = block[i] ? block[i] : 0x5a;
	block[0] = 0;
	block[1] = form == FORM_START ? 0x17 : 0x02;
	if (form != FORM_NO_ZERO)
		block[size - SECRET - 1] = 0;
	if (form == FORM_ZERO_EARLY)
		block[6] = 0;
	block[size - SECRET] = form == FORM_VERSION ? 0x02 : 0x03;
	block[size - SECRET + 1] = 0x03;
	return true;
}

static size_t encrypt(X509 *leaf, enum form form, uint8_t out[BLOCK_MAX])
{
	EVP_PKEY *key = X509_get0_pubkey(leaf);
	uint8_t block[BLOCK_MAX];
	size_t size = key && EVP_PKEY_is_a(key, "RSA") ? (size_t)EVP_PKEY_get_size(key) : 0, len = BLOCK_MAX;
	if (size == 0 || size > BLOCK_MAX || !make_block(form, block, size))
		return 0;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
	bool ok = ctx && EVP_PKEY_encrypt_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING) == 1 &&
	          EVP_PKEY_encrypt(ctx, out, &len, block, size) == 1;
	EVP_PKEY_CTX_free(ctx);
	return ok ? len : 0;
}

/* ClientKeyExchange, ChangeCipherSpec, and octets in the place of a Finished. */
static bool write_flight(struct writer *out, struct bytes encrypted)
{
	uint8_t finished[FINISHED];
	if (RAND_bytes(finished, sizeof(finished)) != 1)
		return false;
	writer_u8(out, RECORD_HANDSHAKE);
	writer_u16(out, TLS_VERSION_12);
	size_t record = writer_open(out, 2);
	writer_u8(out, HANDSHAKE_CLIENT_KEY_EXCHANGE);
	size_t message = writer_open(out, 3);
	writer_vec16(out, encrypted);
	writer_close(out, message, 3);
	writer_close(out, record, 2);
	writer_u8(out, RECORD_CHANGE_CIPHER_SPEC);
	writer_u16(out, TLS_VERSION_12);
	writer_vec16(out, bytes_of("\x01", 1));
	writer_u8(out, RECORD_HANDSHAKE);
	writer_u16(out, TLS_VERSION_12);
	writer_vec16(out, bytes_of(finished, sizeof(finished)));
	return !out->full;
}

static bool await_flight(int fd, struct flight *flight, uint64_t deadline_ns)
{
	uint8_t room[16384];
	while (flight->kind == FLIGHT_MORE && wait_until(fd, POLLIN, deadline_ns)) {
		ssize_t n = recv(fd, room, sizeof(room), 0);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return false;
		if (n > 0)
			(void)flight_take(flight, bytes_of(room, (size_t)n));
	}
	return flight->kind == FLIGHT_HELLO && flight->version == TLS_VERSION_12;
}

/* What comes back: an alert, an end, or nothing. */
static void await_reply(int fd, char out[REPLY_TEXT])
{
	uint8_t room[4096];
	struct record record;
	struct alert alert;
	uint64_t deadline_ns = clock_monotonic_ns() + REPLY_NS;
	ssize_t n = -1;
	errno = ETIMEDOUT;
	while (wait_until(fd, POLLIN, deadline_ns)) {
		n = recv(fd, room, sizeof(room), 0);
		if (n >= 0 || (errno != EAGAIN && errno != EINTR))
			break;
	}
	struct bytes got = bytes_of(room, n > 0 ? (size_t)n : 0);
	if (n > 0 && record_read(&got, &record) == RECORD_OK && record.type == RECORD_ALERT &&
		alert_read(record.fragment, &alert))
		snprintf(out, REPLY_TEXT, "alert %u", alert.description);
	else
		snprintf(out, REPLY_TEXT, "%s",
			n > 0                ? "octets"
			: n == 0             ? "an end"
			: errno == ETIMEDOUT ? "nothing"
					     : "a reset");
}

static bool ask(struct target *target, const char *name, X509 *leaf, enum form form, char out[REPLY_TEXT])
{
	static const uint16_t suites[] = {0x009c, 0x009d};
	uint8_t room[OFFER_RECORD_MAX + BLOCK_MAX], encrypted[BLOCK_MAX];
	struct writer hello = writer_over(room, sizeof(room));
	struct offer offer = {.version = TLS_VERSION_12,
		.suites = suites,
		.suite_count = 2,
		.name = name,
		.extended_master_secret = true};
	struct flight flight;
	uint64_t deadline_ns = 0;
	int fd = -1;
	size_t len = encrypt(leaf, form, encrypted);
	(void)!RAND_bytes(offer.random, sizeof(offer.random));
	if (len == 0 || !offer_write(&offer, &hello) || target_dial(target, &fd, &deadline_ns) != DIAL_OK)
		return false;
	flight_begin(&flight);
	bool ok = send_until(fd, bytes_of(room, hello.len), deadline_ns) && await_flight(fd, &flight, deadline_ns);
	flight_free(&flight);
	struct writer second = writer_over(room, sizeof(room));
	ok = ok && write_flight(&second, bytes_of(encrypted, len)) &&
	     send_until(fd, bytes_of(room, second.len), deadline_ns);
	if (ok)
		await_reply(fd, out);
	close(fd);
	return ok;
}

static bool ask_all(struct target *target, const char *name, X509 *leaf, char replies[FORMS][REPLY_TEXT])
{
	for (enum form form = FORM_RIGHT; form < FORMS; form++) {
		if (!ask(target, name, leaf, form, replies[form]))
			return false;
	}
	return true;
}

/* The first form that is answered otherwise than the right one; FORMS: none. */
static enum form different(char replies[FORMS][REPLY_TEXT])
{
	for (enum form form = FORM_RIGHT; form < FORMS; form++) {
		if (strcmp(replies[form], replies[FORM_RIGHT]) != 0)
			return form;
	}
	return FORMS;
}

enum padding_result padding_ask(struct target *target, const char *name, X509 *leaf, char *text, size_t cap)
{
	char first[FORMS][REPLY_TEXT], again[FORMS][REPLY_TEXT];
	snprintf(text, cap, "not all was answered");
	if (!ask_all(target, name, leaf, first))
		return PADDING_UNKNOWN;
	enum form form = different(first);
	if (form == FORMS) {
		snprintf(text, cap, "%s to each of %d blocks, padded rightly or not", first[FORM_RIGHT], FORMS);
		return PADDING_SILENT;
	}
	if (!ask_all(target, name, leaf, again))
		return PADDING_UNKNOWN;
	if (strcmp(first[form], again[form]) == 0 && strcmp(first[FORM_RIGHT], again[FORM_RIGHT]) == 0) {
		snprintf(text, cap, "%s where the padding is right, %s where it has a %s: the same twice",
			first[FORM_RIGHT], first[form], form_names[form]);
		return PADDING_ORACLE;
	}
	snprintf(text, cap, "the answers differ, and not twice in the same way");
	return PADDING_UNKNOWN;
}

void padding_report(struct report *report, const char *check, enum padding_result result, const char *text)
{
	static const enum grade grades[] = {GRADE_A, GRADE_F, GRADE_UNKNOWN};
	report_add(report, check, grades[result], "premaster secrets of RSA key exchange, padded rightly and wrongly",
		result == PADDING_ORACLE ? "Whoever asks often enough decrypts recorded connections with it (ROBOT)."
					 : NULL,
		"%s", text);
}

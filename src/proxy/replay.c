#include "proxy/replay.h"

#include <openssl/crypto.h>
#include <stdlib.h>

static const uint8_t ssl_request[] = {0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f};

void replay_clear(struct replay *r)
{
	if (r->said.data)
		OPENSSL_cleanse(r->said.data, r->said.room);
	buffer_clear(&r->said);
	r->judged = r->at = 0;
}

static void never(struct replay *r, const char *why)
{
	replay_clear(r);
	r->never = why;
}

/* Up to the next blank or the end of the line; `line` then stands behind the blank. */
static struct bytes take_word(struct bytes *line)
{
	struct bytes word = BYTES_NONE;
	if (bytes_take(line, bytes_find(*line, ' ', 0), &word) && line->len > 0 && !bytes_skip(line, 1))
		return BYTES_NONE;
	return word;
}

static bool one_of(struct bytes word, const char *const list[])
{
	for (size_t i = 0; list[i]; i++) {
		if (bytes_equal_nocase(word, bytes_str(list[i])))
			return true;
	}
	return false;
}

/* The verb of a line without its end. */
static struct bytes verb_of(enum starttls_protocol protocol, struct bytes line)
{
	if (protocol == STARTTLS_IMAP)
		(void)take_word(&line); /* the tag */
	return take_word(&line);
}

static bool begins_tls(enum starttls_protocol protocol, struct bytes line)
{
	struct bytes verb = verb_of(protocol, line);
	return bytes_equal_nocase(verb, bytes_str(protocol == STARTTLS_POP3 ? "STLS" : "STARTTLS"));
}

/* Changes nothing at the server, tells it nothing about the client, and is answered the same way every time. */
static bool harmless(enum starttls_protocol protocol, struct bytes line)
{
	static const char *const smtp[] = {"EHLO", "HELO", "LHLO", "NOOP", "RSET", "HELP", "STARTTLS", NULL};
	static const char *const imap[] = {"CAPABILITY", "NOOP", "ID", "STARTTLS", NULL};
	static const char *const pop3[] = {"CAPA", "NOOP", "STLS", NULL};
	/* A literal makes the line go on in the next: nothing that begins TLS has one. */
	if (protocol == STARTTLS_IMAP && line.len > 0 && line.data[line.len - 1] == '}')
		return false;
	const char *const *list = protocol == STARTTLS_SMTP ? smtp : protocol == STARTTLS_IMAP ? imap : pop3;
	return one_of(verb_of(protocol, line), list);
}

/* The next line of what was said, from `at`: with its end, and without. False: no whole one is left. */
static bool next_line(const struct replay *r, size_t at, struct bytes *whole, struct bytes *line)
{
	struct bytes in = buffer_bytes(&r->said);
	if (!bytes_skip(&in, at))
		return false;
	size_t end = bytes_find(in, '\n', 0);
	if (end == in.len || !bytes_take(&in, end + 1, whole))
		return false;
	*line = bytes_of(whole->data, end);
	if (line->len > 0 && line->data[line->len - 1] == '\r')
		line->len--;
	return true;
}

/* All the room at once: growing would leave copies behind, and a line may turn out to hold a password. */
static bool begin_to_keep(struct replay *r)
{
	if (r->said.data)
		return true;
	r->said = (struct buffer){.data = malloc(REPLAY_MAX), .cap = REPLAY_MAX};
	r->said.room = r->said.data ? REPLAY_MAX : 0;
	return r->said.data != NULL;
}

void replay_note(struct replay *r, enum starttls_protocol protocol, struct bytes piece)
{
	struct bytes whole, line;
	/* PostgreSQL's clients say nothing before TLS but that they want it. */
	if (r->never || protocol == STARTTLS_POSTGRESQL || protocol == STARTTLS_NONE)
		return;
	if (!begin_to_keep(r)) {
		never(r, "there was no memory for what the client said before TLS");
		return;
	}
	r->capped = piece.len > REPLAY_MAX - r->said.len;
	if (!buffer_add(&r->said, piece)) {
		never(r, "the client said more before TLS than is kept");
		return;
	}
	while (next_line(r, r->judged, &whole, &line)) {
		if (!harmless(protocol, line)) {
			never(r, "the client said something before TLS that must not be said twice");
			return;
		}
		r->judged += whole.len;
	}
}

const char *replay_never(const struct replay *r, enum starttls_protocol protocol)
{
	if (r->never)
		return r->never;
	if (protocol == STARTTLS_POSTGRESQL)
		return NULL;
	return r->judged > 0 ? NULL : "how TLS began on it is not known";
}

void replay_begin(struct replay *r, enum starttls_protocol protocol)
{
	starttls_begin(&r->watch, protocol);
	r->at = 0;
	r->why = NULL;
}

/* Requests for TLS before the last were refused: on the fresh connection they might not be. */
static bool next_command(struct replay *r, struct bytes *out)
{
	struct bytes line;
	enum starttls_protocol protocol = r->watch.protocol;
	if (protocol == STARTTLS_POSTGRESQL) {
		*out = bytes_of(ssl_request, sizeof(ssl_request));
		return r->at++ == 0;
	}
	while (r->at < r->judged && next_line(r, r->at, out, &line)) {
		r->at += out->len;
		if (r->at == r->judged || !begins_tls(protocol, line))
			return true;
	}
	return false;
}

static enum replay_result failed(struct replay *r, const char *why)
{
	r->why = why;
	return REPLAY_FAILED;
}

enum replay_result replay_step(struct replay *r, struct bytes in, struct bytes *out)
{
	*out = BYTES_NONE;
	switch (starttls_feed(&r->watch, STARTTLS_SERVER, in)) {
	case STARTTLS_PASS:
		break;
	case STARTTLS_BEGINS:
		return REPLAY_AGREED;
	case STARTTLS_REFUSE:
		return failed(r, r->watch.why);
	default:
		return failed(r, "it speaks without TLS now");
	}
	if (!starttls_settled(&r->watch))
		return REPLAY_WAIT;
	if (!next_command(r, out))
		return failed(r, "it refuses TLS now, to which it agreed before");
	if (starttls_feed(&r->watch, STARTTLS_CLIENT, *out) == STARTTLS_PASS)
		return REPLAY_SAY;
	return failed(r, r->watch.why ? r->watch.why : "what was said before TLS cannot be said again");
}

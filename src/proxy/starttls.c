#include "proxy/starttls.h"

#include "base/text.h"

#define TLS_HANDSHAKE 0x16

#define PG_SSL_REQUEST 80877103
#define PG_GSS_REQUEST 80877104

void starttls_begin(struct starttls *s, enum starttls_protocol protocol)
{
	*s = (struct starttls){.protocol = protocol};
	/* SMTP and POP3 servers greet first: a reply that no command asked for. */
	s->waiting = 1;
}

enum starttls_protocol starttls_by_port(uint16_t port)
{
	switch (port) {
	case 25:
	case 587:
	case 2525:
		return STARTTLS_SMTP;
	case 143:
		return STARTTLS_IMAP;
	case 110:
		return STARTTLS_POP3;
	case 5432:
		return STARTTLS_POSTGRESQL;
	default:
		return STARTTLS_NONE;
	}
}

static bool starts_nocase(struct bytes in, const char *text)
{
	struct bytes front;
	return bytes_take(&in, strlen(text), &front) && bytes_equal_nocase(front, bytes_str(text));
}

/* SMTP's servers should name SMTP or ESMTP in their first line (RFC 5321, 4.2). */
static bool names_smtp(struct bytes in)
{
	in.len = bytes_find(in, '\n', 0);
	while (in.len > 0) {
		if (starts_nocase(in, "SMTP"))
			return true;
		if (!bytes_skip(&in, 1))
			break;
	}
	return false;
}

void starttls_begin_by_greeting(struct starttls *s, struct bytes in)
{
	bool greets = starts_nocase(in, "220 ") || starts_nocase(in, "220-");
	enum starttls_protocol protocol = greets                      ? STARTTLS_SMTP
	                                  : starts_nocase(in, "* OK") ? STARTTLS_IMAP
	                                  : starts_nocase(in, "+OK")  ? STARTTLS_POP3
	                                                              : STARTTLS_NONE;
	starttls_begin(s, protocol);
	s->guessed = greets && !names_smtp(in);
}

static enum starttls_result over(struct starttls *s, enum starttls_result result)
{
	s->stage = STARTTLS_OVER;
	s->final = result;
	return result;
}

static enum starttls_result refuse(struct starttls *s, const char *why)
{
	s->why = why;
	return over(s, STARTTLS_REFUSE);
}

/* The server agreed with the line just read. Nothing may stand behind it. */
static enum starttls_result agree(struct starttls *s, struct bytes rest)
{
	if (rest.len > 0)
		return refuse(s, "the server sent plaintext behind its agreement to TLS");
	s->stage = STARTTLS_AGREED;
	return STARTTLS_BEGINS;
}

static enum starttls_result ask(struct starttls *s, struct bytes rest)
{
	s->asked = true;
	return rest.len > 0 ? refuse(s, "the client sent plaintext behind its request for TLS") : STARTTLS_PASS;
}

/* The line without its end, as much of it as is kept. */
static struct bytes line_text(const struct starttls_lines *l)
{
	size_t n = l->len < STARTTLS_PREFIX ? l->len : STARTTLS_PREFIX;
	if (l->last == '\r' && n == l->len && n > 0)
		n--;
	return bytes_of(l->prefix, n);
}

/* Steps of `{`, digits, `+`, `}` at the end of a line (RFC 9051, 9: literal). */
enum brace { BRACE_NONE, BRACE_OPEN, BRACE_DIGITS, BRACE_PLUS, BRACE_CLOSED, BRACE_CLOSED_PLUS };

static void brace_octet(struct starttls_lines *l, uint8_t c)
{
	bool number = l->brace == BRACE_OPEN || l->brace == BRACE_DIGITS;
	if (c == '{') {
		l->brace = BRACE_OPEN;
		l->literal = 0;
	} else if (number && c >= '0' && c <= '9' && l->literal < UINT32_MAX) {
		l->brace = BRACE_DIGITS;
		l->literal = l->literal * 10 + (uint64_t)(c - '0');
	} else if (l->brace == BRACE_DIGITS && c == '+') {
		l->brace = BRACE_PLUS;
	} else if ((l->brace == BRACE_DIGITS || l->brace == BRACE_PLUS) && c == '}') {
		l->brace = l->brace == BRACE_PLUS ? BRACE_CLOSED_PLUS : BRACE_CLOSED;
	} else if (c != '\r') {
		l->brace = BRACE_NONE;
	}
}

/*
 * Takes octets up to the end of a line. True: the line is whole, and `in` stands behind it. False: `in` is used up.
 * A bare LF ends a line as well: where the server takes it otherwise, the replies no longer fit, no agreement is
 * recognised, and the ClientHello that follows is refused.
 */
static bool next_line(struct starttls_lines *l, struct bytes *in)
{
	uint8_t c;
	while (bytes_u8(in, &c)) {
		if (l->complete) {
			l->complete = false;
			l->len = 0;
			l->last = 0;
			l->brace = BRACE_NONE;
		}
		if (c == '\n') {
			l->complete = true;
			return true;
		}
		if (l->len < STARTTLS_PREFIX)
			l->prefix[l->len] = c;
		l->len++;
		l->last = c;
		brace_octet(l, c);
	}
	return false;
}

/* Passes over a literal or a chunk, as much of it as has come. */
static void skip_octets(struct starttls_lines *l, struct bytes *in)
{
	size_t n = in->len < l->skip ? in->len : (size_t)l->skip;
	if (bytes_skip(in, n))
		l->skip -= n;
}

static bool at_line_start(const struct starttls_lines *l)
{
	return !l->middle && (l->complete || l->len == 0);
}

/* The first word, and what follows its space. */
static struct bytes take_word(struct bytes *line)
{
	struct bytes word = BYTES_NONE;
	if (bytes_take(line, bytes_find(*line, ' ', 0), &word) && line->len > 0 && !bytes_skip(line, 1))
		return BYTES_NONE;
	return word;
}

static bool word_is(struct bytes word, const char *text)
{
	return bytes_equal_nocase(word, bytes_str(text));
}

/* One more command waits for its reply. */
static bool owe(struct starttls *s, bool special)
{
	unsigned at = (s->oldest + s->waiting) % STARTTLS_QUEUE;
	uint8_t bit = (uint8_t)(1U << at % 8);
	if (s->waiting == STARTTLS_QUEUE)
		return false;
	s->special[at / 8] = (uint8_t)(special ? s->special[at / 8] | bit : s->special[at / 8] & ~bit);
	s->waiting++;
	return true;
}

/* The oldest command got its reply. *special is what was noted of it. False: no command waited. */
static bool settle(struct starttls *s, bool *special)
{
	*special = s->special[s->oldest / 8] >> s->oldest % 8 & 1;
	if (s->waiting == 0)
		return false;
	s->waiting--;
	s->oldest = (s->oldest + 1) % STARTTLS_QUEUE;
	return true;
}

static const char too_many[] = "the client sent more commands than are answered";

static enum starttls_result smtp_content(struct starttls *s)
{
	struct bytes line = line_text(&s->client);
	bool bare_before = s->bare_lf;
	s->bare_lf = s->client.last != '\r';
	if (line.len != 1 || line.data[0] != '.')
		return STARTTLS_PASS;
	/* Servers disagree whether this ends the mail, and so about what is a command behind it. */
	if (s->bare_lf || bare_before)
		return refuse(s, "a line with a dot alone is not between two CRLF, within mail content");
	s->data = false;
	return owe(s, false) ? STARTTLS_PASS : refuse(s, too_many);
}

static enum starttls_result smtp_client(struct starttls *s, struct bytes rest)
{
	if (s->data)
		return smtp_content(s);
	struct bytes line = line_text(&s->client);
	struct bytes verb = take_word(&line);
	if (s->guessed && !word_is(verb, "EHLO") && !word_is(verb, "HELO") && !word_is(verb, "LHLO"))
		return over(s, STARTTLS_PLAIN);
	s->guessed = false;
	if (!owe(s, word_is(verb, "DATA")))
		return refuse(s, too_many);
	if (word_is(verb, "BDAT") && !text_number(take_word(&line), INT64_MAX, &s->client.skip))
		return refuse(s, "the size of a BDAT chunk is no number");
	return word_is(verb, "STARTTLS") ? ask(s, rest) : STARTTLS_PASS;
}

/* A reply is lines of three digits and a hyphen, and a last one with a space or nothing behind the digits. */
static enum starttls_result smtp_server(struct starttls *s, struct bytes rest)
{
	struct bytes line = line_text(&s->server);
	struct bytes digits;
	uint64_t code;
	bool opens_data;
	if (!bytes_take(&line, 3, &digits) || !text_number(digits, 999, &code))
		return STARTTLS_PASS;
	if ((line.len > 0 && line.data[0] == '-') || !settle(s, &opens_data))
		return STARTTLS_PASS;
	if (opens_data && code == 354) {
		s->data = true;
		s->bare_lf = false;
	}
	/* STARTTLS is the last command sent, so its reply is the last one owed. */
	if (!s->asked || s->waiting > 0)
		return STARTTLS_PASS;
	s->asked = false;
	return code == 220 ? agree(s, rest) : STARTTLS_PASS;
}

static enum starttls_result pop3_client(struct starttls *s, struct bytes rest)
{
	struct bytes line = line_text(&s->client);
	struct bytes verb = take_word(&line);
	bool bare = line.len == 0;
	bool many = word_is(verb, "CAPA") || word_is(verb, "RETR") || word_is(verb, "TOP") ||
	            (bare && (word_is(verb, "LIST") || word_is(verb, "UIDL") || word_is(verb, "AUTH") ||
				     word_is(verb, "LANG")));
	if (!owe(s, many))
		return refuse(s, too_many);
	return word_is(verb, "STLS") ? ask(s, rest) : STARTTLS_PASS;
}

static enum starttls_result pop3_server(struct starttls *s, struct bytes rest)
{
	struct bytes line = line_text(&s->server);
	bool many;
	if (s->in_reply) {
		s->in_reply = line.len != 1 || line.data[0] != '.';
		return STARTTLS_PASS;
	}
	bool good = starts_nocase(line, "+OK");
	/* "+ " asks for the next line of AUTH, which then counts as a command of its own. */
	if (line.len == 0 || (line.data[0] != '+' && line.data[0] != '-') || !settle(s, &many))
		return STARTTLS_PASS;
	s->in_reply = many && good;
	if (!s->asked || s->waiting > 0)
		return STARTTLS_PASS;
	s->asked = false;
	return good ? agree(s, rest) : STARTTLS_PASS;
}

/* A line that ends in {n} is followed by n octets of anything, and then goes on. True when it began a command. */
static bool imap_literal(struct starttls_lines *l)
{
	bool begins = !l->middle;
	l->middle = l->brace == BRACE_CLOSED || l->brace == BRACE_CLOSED_PLUS;
	if (l->middle)
		l->skip = l->literal;
	return begins;
}

static enum starttls_result imap_client(struct starttls *s, struct bytes rest)
{
	bool begins = imap_literal(&s->client);
	s->awaits_go = s->client.middle && s->client.brace == BRACE_CLOSED;
	if (!begins)
		return STARTTLS_PASS;
	s->answered = false;
	struct bytes line = line_text(&s->client);
	struct bytes tag = take_word(&line);
	s->tag_len = tag.len;
	if (tag.len > 0)
		memcpy(s->tag, tag.data, tag.len);
	return word_is(take_word(&line), "STARTTLS") ? ask(s, rest) : STARTTLS_PASS;
}

static enum starttls_result imap_server(struct starttls *s, struct bytes rest)
{
	if (!imap_literal(&s->server))
		return STARTTLS_PASS;
	s->answered = s->answered || !s->client_spoke;
	struct bytes line = line_text(&s->server);
	struct bytes tag = take_word(&line);
	if (tag.len == 0 || !bytes_equal(tag, bytes_of(s->tag, s->tag_len)))
		return STARTTLS_PASS;
	s->answered = true;
	/* The command is over. If the client still waited to send a literal, it will not. */
	if (s->awaits_go) {
		s->client.skip = 0;
		s->client.middle = s->awaits_go = false;
	}
	if (!s->asked)
		return STARTTLS_PASS;
	s->asked = false;
	return word_is(take_word(&line), "OK") ? agree(s, rest) : STARTTLS_PASS;
}

/* PostgreSQL: Int32 length, Int32 code; SSLRequest and GSSENCRequest are 8 octets and answered with one. */
static enum starttls_result postgresql_client(struct starttls *s, struct bytes in)
{
	struct starttls_lines *l = &s->client;
	uint8_t c;
	while (l->len < 8 && bytes_u8(&in, &c))
		l->prefix[l->len++] = c;
	if (l->len < 8)
		return STARTTLS_PASS;
	struct bytes message = bytes_of(l->prefix, 8);
	uint32_t length, code;
	if (!bytes_u32(&message, &length) || !bytes_u32(&message, &code))
		return STARTTLS_PASS;
	l->len = 0;
	s->request = length != 8 ? 0 : code == PG_SSL_REQUEST ? 'S' : code == PG_GSS_REQUEST ? 'G' : 0;
	return s->request ? ask(s, in) : over(s, STARTTLS_PLAIN);
}

/* The server speaks when asked and not before, but for an ErrorResponse of one too busy or too old to be asked. */
static enum starttls_result postgresql_server(struct starttls *s, struct bytes in)
{
	uint8_t answer;
	if (!bytes_u8(&in, &answer))
		return STARTTLS_PASS;
	bool asked = s->asked;
	s->asked = false;
	if (answer == 'E' || (asked && answer == 'G' && s->request == 'G'))
		return over(s, STARTTLS_PLAIN);
	if (asked && answer == 'S' && s->request == 'S')
		return agree(s, in);
	if (!asked || answer != 'N')
		return refuse(s, "the server says something that is no answer to the request for encryption");
	/* Declined. Anything more is unasked for. */
	return in.len > 0 ? postgresql_server(s, in) : STARTTLS_PASS;
}

static enum starttls_result line_feed(struct starttls *s, enum starttls_side side, struct bytes rest)
{
	bool client = side == STARTTLS_CLIENT;
	switch (s->protocol) {
	case STARTTLS_SMTP:
		return client ? smtp_client(s, rest) : smtp_server(s, rest);
	case STARTTLS_IMAP:
		return client ? imap_client(s, rest) : imap_server(s, rest);
	case STARTTLS_POP3:
		return client ? pop3_client(s, rest) : pop3_server(s, rest);
	default:
		return over(s, STARTTLS_PLAIN);
	}
}

/* TLS at a place where a command could stand, which nobody agreed to: commands and replies were miscounted. */
static const char unasked[] = "the client begins TLS where none was agreed";

static enum starttls_result watch(struct starttls *s, enum starttls_side side, struct bytes in)
{
	struct starttls_lines *l = side == STARTTLS_CLIENT ? &s->client : &s->server;
	enum starttls_result result = STARTTLS_PASS;
	while (in.len > 0 && result == STARTTLS_PASS) {
		if (l->skip > 0) {
			skip_octets(l, &in);
			s->awaits_go &= side != STARTTLS_CLIENT;
			continue;
		}
		if (side == STARTTLS_CLIENT && at_line_start(l) && in.data[0] == TLS_HANDSHAKE)
			return refuse(s, unasked);
		if (next_line(l, &in))
			result = line_feed(s, side, in);
	}
	return result;
}

enum starttls_result starttls_feed(struct starttls *s, enum starttls_side side, struct bytes in)
{
	bool client = side == STARTTLS_CLIENT;
	if (s->stage == STARTTLS_OVER)
		return s->final;
	if (in.len == 0)
		return STARTTLS_PASS;
	if (s->stage == STARTTLS_AGREED && !client)
		return refuse(s, "the server sent plaintext behind its agreement to TLS");
	if (s->stage == STARTTLS_AGREED && in.data[0] != TLS_HANDSHAKE)
		return refuse(s, "the client sent plaintext where TLS was agreed");
	bool opens = client && !s->client_spoke && (!s->server_spoke || s->guessed) && in.data[0] == TLS_HANDSHAKE;
	if (s->stage == STARTTLS_AGREED || opens)
		return over(s, STARTTLS_HELLO);
	if (client && s->asked)
		return refuse(s, "the client sent plaintext behind its request for TLS");
	s->client_spoke |= client;
	s->server_spoke |= !client;
	if (s->protocol == STARTTLS_NONE)
		return over(s, STARTTLS_PLAIN);
	if (s->protocol != STARTTLS_POSTGRESQL)
		return watch(s, side, in);
	if (!client)
		return postgresql_server(s, in);
	return s->client.len == 0 && in.data[0] == TLS_HANDSHAKE ? refuse(s, unasked) : postgresql_client(s, in);
}

bool starttls_settled(const struct starttls *s)
{
	switch (s->protocol) {
	case STARTTLS_SMTP:
		return s->waiting == 0;
	case STARTTLS_POP3:
		return s->waiting == 0 && !s->in_reply;
	case STARTTLS_IMAP:
		return s->answered;
	default:
		return !s->asked;
	}
}

#include "share/post.h"

#include "base/clock.h"
#include "base/log.h"

#include <openssl/err.h>
#include <poll.h>
#include <stdlib.h>

#define AGAIN_NS NS_PER_S        /* between attempts to connect */
#define SAY_NS   (60 * NS_PER_S) /* between lines of the log that say that it was in vain */
#define IN_ROOM  ((size_t)COURIER_HEADER + COURIER_MAX_BODY)

struct post {
	struct post_options options;
	SSL *ssl;
	uint64_t tried_ns, said_ns, connections;
	size_t in_len;
	uint8_t in[IN_ROOM];
};

struct post *post_new(const struct post_options *options)
{
	struct post *post = calloc(1, sizeof(*post));
	if (post)
		post->options = *options;
	return post;
}

static void disconnect(struct post *post)
{
	SSL_free(post->ssl);
	post->ssl = NULL;
	post->in_len = 0;
}

void post_free(struct post *post)
{
	if (post)
		disconnect(post);
	free(post);
}

/* At once, and then once in a while: it is tried for as long as it takes. */
static void say_none(struct post *post, const struct error *err)
{
	uint64_t now_ns = clock_monotonic_ns();
	if (post->said_ns != 0 && now_ns - post->said_ns < SAY_NS)
		return;
	post->said_ns = now_ns;
	log_warn("no collector", LOG_S("why", err->text), LOG_S("in-force", "it is tried again"));
}

bool post_ready(struct post *post)
{
	struct error err;
	if (post->ssl)
		return true;
	if (post->tried_ns && clock_monotonic_ns() - post->tried_ns < AGAIN_NS)
		return false;
	post->tried_ns = clock_monotonic_ns();
	post->ssl = post->options.connect(post->options.arg, &err);
	if (!post->ssl) {
		say_none(post, &err);
		return false;
	}
	post->said_ns = 0;
	post->connections++;
	return true;
}

/* True once this batch was answered; `taken` NULL: none is waited for. */
static bool hear(struct post *post, const struct courier_frame *frame, uint64_t batch, struct courier_taken *taken)
{
	struct courier_taken said;
	uint8_t grant[RELEASE_GRANT], why;
	struct bytes text;
	if (frame->type == COURIER_TAKEN && courier_taken_read(frame->body, &said) && taken && said.batch == batch) {
		*taken = said;
		return true;
	}
	if (frame->type == COURIER_ENDED && courier_ended_read(frame->body, grant, &why))
		post->options.ended(post->options.own, grant, (enum courier_why)why);
	else if (frame->type == COURIER_SORRY && courier_sorry_read(frame->body, &why, &text))
		log_warn("the collector ends the connection", LOG_S("why", courier_why_text(why)));
	return false;
}

/* Whole frames that have come. True once this batch was answered. */
static bool hear_all(struct post *post, uint64_t batch, struct courier_taken *taken, bool *broken)
{
	struct bytes in = bytes_of(post->in, post->in_len);
	struct courier_frame frame;
	enum courier_result result;
	bool answered = false;
	while (!answered && (result = courier_take(&in, &frame)) == COURIER_OK)
		answered = hear(post, &frame, batch, taken);
	*broken = !answered && result != COURIER_MORE;
	memmove(post->in, in.data, in.len);
	post->in_len = in.len;
	return answered;
}

static bool read_more(struct post *post)
{
	size_t room = sizeof(post->in) - post->in_len;
	ERR_clear_error();
	int n = room > 0 ? SSL_read(post->ssl, post->in + post->in_len, (int)room) : -1;
	if (n > 0)
		post->in_len += (size_t)n;
	return n > 0;
}

static bool await_answer(struct post *post, uint64_t batch, struct courier_taken *taken)
{
	bool broken = false;
	while (!hear_all(post, batch, taken, &broken)) {
		if (broken || !read_more(post))
			return false;
	}
	return true;
}

/* A context that lets the other side write in part gives back one record at a time. */
static bool write_all(SSL *ssl, struct bytes octets)
{
	while (octets.len > 0) {
		size_t written = 0;
		ERR_clear_error();
		if (SSL_write_ex(ssl, octets.data, octets.len, &written) != 1 || !bytes_skip(&octets, written))
			return false;
	}
	return true;
}

/* With TLS 1.3 a client hears only afterwards that its certificate was refused. */
static void say_lost(void)
{
	struct error err;
	if (ERR_peek_error() != 0)
		(void)error_set_openssl(&err, "TLS");
	else
		(void)error_set(&err, "the connection ended");
	log_warn("the collector was lost", LOG_S("why", err.text));
}

bool post_send(struct post *post, struct bytes frame, uint64_t batch, struct courier_taken *taken)
{
	if (write_all(post->ssl, frame) && await_answer(post, batch, taken))
		return true;
	say_lost();
	disconnect(post);
	return false;
}

void post_listen(struct post *post)
{
	bool broken = false;
	while (post->ssl) {
		struct pollfd polled = {.fd = SSL_get_fd(post->ssl), .events = POLLIN};
		(void)!hear_all(post, 0, NULL, &broken);
		if (SSL_pending(post->ssl) == 0 && poll(&polled, 1, 0) != 1)
			return;
		if (broken || !read_more(post))
			disconnect(post);
	}
}

uint64_t post_connections(const struct post *post)
{
	return post->connections;
}

#include "proxy/leg.h"

#include "tls/alert.h"

#include <errno.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

bool leg_room_init(struct leg_room *room)
{
	*room = (struct leg_room){.plain = malloc(LEG_PLAIN), .out = malloc(LEG_OUT)};
	if (room->plain && room->out)
		return true;
	leg_room_free(room);
	return false;
}

void leg_room_free(struct leg_room *room)
{
	if (room->plain)
		OPENSSL_cleanse(room->plain, LEG_PLAIN);
	free(room->plain);
	free(room->out);
	*room = (struct leg_room){0};
}

/* The BIO between libssl and the socket. */

static int read_early(struct leg *leg, char *to, int cap)
{
	size_t n = leg->early_len - leg->early_at;
	if (n > (size_t)cap)
		n = (size_t)cap;
	memcpy(to, leg->early + leg->early_at, n);
	leg->early_at += n;
	if (leg->early_at == leg->early_len) {
		free(leg->early);
		leg->early = NULL;
	}
	return (int)n;
}

static int read_socket(struct leg *leg, BIO *bio, char *to, int cap)
{
	if (!leg->io->readable) {
		BIO_set_retry_read(bio);
		return -1;
	}
	ssize_t n = recv(leg->io->fd, to, (size_t)cap, 0);
	if (n > 0) {
		/* A short read emptied the socket; the next arrival is a new edge. Only a hang-up may already be in. */
		if (n < cap && !leg->io->hung)
			leg->io->readable = false;
		leg->wire_in += (uint64_t)n;
		return (int)n;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		if (errno == EAGAIN)
			leg->io->readable = false;
		BIO_set_retry_read(bio);
		return -1;
	}
	leg->socket_ended = n == 0;
	leg->socket_failed = n < 0;
	return (int)n;
}

static int bio_read(BIO *bio, char *to, int cap)
{
	struct leg *leg = BIO_get_data(bio);
	BIO_clear_retry_flags(bio);
	if (leg->chatter > LEG_CHATTER_MAX)
		return -1;
	if (leg->early)
		return read_early(leg, to, cap);
	return read_socket(leg, bio, to, cap);
}

static int bio_write(BIO *bio, const char *from, int len)
{
	struct leg *leg = BIO_get_data(bio);
	struct leg_room *room = leg->room;
	BIO_clear_retry_flags(bio);
	/* Reading one leg may make libssl answer on it (KeyUpdate) while the other's records are still gathered here. */
	if (room->owner && room->owner != leg)
		(void)!leg_flush(room->owner);
	room->owner = leg;
	if (len < 0 || (size_t)len > LEG_OUT - room->out_len) {
		BIO_set_retry_write(bio);
		return -1;
	}
	memcpy(room->out + room->out_len, from, (size_t)len);
	room->out_len += (size_t)len;
	return len;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
	(void)number;
	(void)pointer;
	struct leg *leg = BIO_get_data(bio);
	switch (command) {
	case BIO_CTRL_FLUSH:
		return 1; /* leg_flush does, once per turn */
	case BIO_CTRL_EOF:
		return leg && leg->socket_ended;
	default:
		return 0;
	}
}

static BIO_METHOD *method;
static pthread_once_t method_once = PTHREAD_ONCE_INIT;

static void make_method(void)
{
	method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "overt leg");
	if (!method)
		return;
	BIO_meth_set_read(method, bio_read);
	BIO_meth_set_write(method, bio_write);
	BIO_meth_set_ctrl(method, bio_ctrl);
}

static void note(const SSL *ssl, int where, int code)
{
	struct leg *leg = SSL_get_app_data(ssl);
	bool fatal = (where & SSL_CB_ALERT) && code >> 8 == SSL3_AL_FATAL;
	if (leg && !fatal)
		leg->chatter += (where & (SSL_CB_LOOP | SSL_CB_ALERT)) != 0;
	if (!leg || !fatal)
		return;
	if (where & SSL_CB_READ)
		leg->alert_received = code & 0xff;
	else
		leg->alert_sent = code & 0xff;
}

bool leg_init(struct leg *leg, SSL *ssl, struct loop_io *io, struct leg_room *room, struct bytes early)
{
	*leg = (struct leg){.ssl = ssl, .io = io, .room = room, .alert_received = -1, .alert_sent = -1};
	pthread_once(&method_once, make_method);
	BIO *bio = method ? BIO_new(method) : NULL;
	if (!bio) {
		leg_free(leg);
		return false;
	}
	BIO_set_data(bio, leg);
	BIO_set_init(bio, 1);
	SSL_set_bio(ssl, bio, bio);
	SSL_set_app_data(ssl, leg);
	/* Else libssl sends a fatal alert to a peer that has only closed its side. */
	SSL_set_options(ssl, SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_set_info_callback(ssl, note);
	if (early.len > 0) {
		leg->early = malloc(early.len);
		if (!leg->early) {
			leg_free(leg);
			return false;
		}
		memcpy(leg->early, early.data, early.len);
		leg->early_len = early.len;
		leg->wire_in = early.len;
	}
	return true;
}

void leg_free(struct leg *leg)
{
	/* Else libssl spoils the session for resumption, which a TCP end without close_notify does not deserve. */
	if (leg->ssl && SSL_is_init_finished(leg->ssl))
		SSL_set_shutdown(leg->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(leg->ssl);
	free(leg->early);
	outbox_free(&leg->box);
	if (leg->room && leg->room->owner == leg) {
		leg->room->owner = NULL;
		leg->room->out_len = 0;
	}
	*leg = (struct leg){.alert_received = -1, .alert_sent = -1};
}

/* What a failed call of libssl means here. */
static enum leg_result result_of(const struct leg *leg, int returned)
{
	switch (SSL_get_error(leg->ssl, returned)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_X509_LOOKUP: /* a callback made the handshake stand still, and knows why */
		return LEG_WAIT;
	case SSL_ERROR_WANT_WRITE:
		return LEG_FULL;
	case SSL_ERROR_ZERO_RETURN:
		/* SSL_OP_IGNORE_UNEXPECTED_EOF makes TCP's end look like close_notify; the relay tells them apart. */
		return leg->socket_ended ? LEG_END : LEG_NOTIFIED;
	default:
		break;
	}
	if (leg->alert_received >= 0)
		return LEG_ALERT;
	if (leg->socket_ended)
		return LEG_END;
	return leg->socket_failed ? LEG_RESET : LEG_FAULT;
}

enum leg_result leg_handshake(struct leg *leg)
{
	ERR_clear_error();
	int n = SSL_do_handshake(leg->ssl);
	enum leg_result result = n == 1 ? LEG_OK : result_of(leg, n);
	/* Also after a failure: the alert that explains it is waiting. */
	enum leg_result sent = leg_flush(leg);
	return result == LEG_OK ? sent : result;
}

enum leg_result leg_read(struct leg *leg, size_t *len)
{
	ERR_clear_error();
	int n = SSL_read_ex(leg->ssl, leg->room->plain, LEG_PLAIN, len);
	if (n != 1)
		return result_of(leg, n);
	leg->effort = 1 + leg->chatter;
	leg->chatter = 0;
	return LEG_OK;
}

enum leg_result leg_write(struct leg *leg, struct bytes plain)
{
	bool crowded = leg->room->owner == leg && leg->room->out_len > LEG_FLUSH;
	if (leg_stalled(leg) || crowded)
		return LEG_FULL;
	ERR_clear_error();
	size_t written;
	int n = SSL_write_ex(leg->ssl, plain.data, plain.len, &written);
	return n == 1 ? LEG_OK : result_of(leg, n);
}

enum leg_result leg_flush(struct leg *leg)
{
	struct leg_room *room = leg->room;
	struct bytes fresh = BYTES_NONE;
	if (room->owner == leg) {
		fresh = bytes_of(room->out, room->out_len);
		room->owner = NULL;
		room->out_len = 0;
	}
	if (outbox_send(&leg->box, leg->io, fresh))
		return LEG_OK;
	leg->socket_failed = true;
	return LEG_RESET;
}

void leg_notify(struct leg *leg)
{
	ERR_clear_error();
	if (SSL_is_init_finished(leg->ssl))
		(void)SSL_shutdown(leg->ssl);
	(void)!leg_flush(leg);
}

bool leg_holds_input(const struct leg *leg)
{
	return leg->early != NULL || SSL_has_pending(leg->ssl);
}

void leg_fault_text(const struct leg *leg, char *out, size_t cap)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;
	if (leg->alert_received >= 0)
		snprintf(out, cap, "peer sent the alert %s", alert_name((uint8_t)leg->alert_received));
	else if (leg->socket_ended)
		snprintf(out, cap, "peer closed the connection");
	else if (leg->socket_failed)
		snprintf(out, cap, "connection lost");
	else if (leg->chatter > LEG_CHATTER_MAX)
		snprintf(out, cap, "peer sent handshake messages without end");
	else
		snprintf(out, cap, "%s", reason ? reason : "TLS failed without a reason");
	ERR_clear_error();
}

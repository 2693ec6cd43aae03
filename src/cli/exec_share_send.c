#include "cli/exec_share_send.h"

#include "base/clock.h"
#include "collect/address.h"
#include "keys/courier.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define PATIENCE_S 10              /* for each step of the connection */
#define LAST_NS    (10 * NS_PER_S) /* after the program: for what was not sent yet */

/* CERT.pem has its key in CERT.key and its CA in ca.pem beside it, as `overt collect client` makes them. */
static bool find_files(struct exec_send *send, struct error *err)
{
	const char *certificate = send->files.certificate;
	const char *slash = strrchr(certificate, '/');
	size_t len = strlen(certificate);
	bool pem = len > 4 && strcmp(certificate + len - 4, ".pem") == 0;
	if (!send->files.key) {
		if (!pem)
			return error_set(err, "--key: where is the key of %s?", certificate);
		snprintf(send->key_room, sizeof(send->key_room), "%.*s.key", (int)(len - 4), certificate);
		send->files.key = send->key_room;
	}
	if (!send->files.ca) {
		snprintf(send->ca_room, sizeof(send->ca_room), "%.*sca.pem", slash ? (int)(slash - certificate) + 1 : 0,
			certificate);
		send->files.ca = send->ca_room;
	}
	return true;
}

#define COLLECTORS_MAX 16
#define COLLECTOR_TEXT (ADDRESS_HOST + ADDRESS_PORT + 2)

/* The address of this number. False at and past the end, and when it is too long. */
static bool address_at(const char *list, unsigned number, char out[static COLLECTOR_TEXT])
{
	struct bytes rest = bytes_str(list), one = rest;
	for (unsigned i = 0; i <= number; i++) {
		if (i > 0 && !bytes_skip(&rest, 1))
			return false;
		(void)!bytes_take(&rest, bytes_find(rest, ',', 0), &one);
	}
	return snprintf(out, COLLECTOR_TEXT, "%.*s", (int)one.len, (const char *)one.data) < COLLECTOR_TEXT;
}

static bool complete(struct exec_send *send, struct error *err)
{
	char one[COLLECTOR_TEXT], host[ADDRESS_HOST], port[ADDRESS_PORT];
	unsigned count = 0;
	while (count < COLLECTORS_MAX && address_at(send->collector, count, one) && address_split(one, host, port))
		count++;
	if (count == 0 || address_at(send->collector, count, one))
		return error_set(err, "--collector %s: expected HOST:PORT, or up to %d of them with commas between",
			send->collector, COLLECTORS_MAX);
	send->collectors = count;
	if (!send->files.certificate)
		return error_set(err, "--collector needs --certificate: who sends");
	if (!send->grants || send->signer_count == 0 || !send->audit)
		return error_set(err,
			"--collector needs --grants, --signer and --audit: without a grant no key leaves, "
			"and none without an entry");
	return find_files(send, err);
}

/* The socket of an SSL, which blocks from now on, but for no longer than it is worth. False: there is no connection. */
static bool settle(int fd)
{
	const struct timeval patience = {.tv_sec = PATIENCE_S};
	struct pollfd polled = {.fd = fd, .events = POLLOUT};
	int failed = 0, off = 0;
	socklen_t len = sizeof(failed);
	return poll(&polled, 1, PATIENCE_S * 1000) == 1 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &len) == 0 &&
	       failed == 0 && ioctl(fd, FIONBIO, &off) == 0 &&
	       setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0 &&
	       setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) == 0;
}

/* SSL_connect has failed, and has just set errno: it has no reason of its own where nothing came, or the end. */
static void say_why(const SSL *ssl, const char *address, struct error *err)
{
	bool silent = errno == EAGAIN;
	long verdict = SSL_get_verify_result(ssl);
	if (verdict != X509_V_OK)
		error_set(err, "%s: its certificate was refused: %s", address, X509_verify_cert_error_string(verdict));
	else if (ERR_peek_error() != 0)
		error_set_openssl(err, "%s", address);
	else
		error_set(err, "%s %s", address, silent ? "does not answer" : "ends the connection");
	ERR_clear_error();
}

static SSL *reach_one(const struct exec_send *send, const char *address, struct error *err)
{
	char host[ADDRESS_HOST], port[ADDRESS_PORT];
	if (!address_split(address, host, port)) {
		error_set(err, "no address");
		return NULL;
	}
	int fd = address_connect(host, port, err);
	BIO *bio = fd >= 0 && settle(fd) ? BIO_new_socket(fd, BIO_CLOSE) : NULL;
	SSL *ssl = bio ? collect_client_ssl(send->ctx, host) : NULL;
	if (ssl) {
		SSL_set_bio(ssl, bio, bio);
		ERR_clear_error();
		if (SSL_connect(ssl) == 1)
			return ssl;
		say_why(ssl, address, err);
		SSL_free(ssl);
		return NULL;
	}
	if (fd >= 0)
		error_set(err, "%s does not answer", address);
	if (bio)
		BIO_free(bio);
	else if (fd >= 0)
		close(fd);
	return NULL;
}

/* Whoever answers first; the next time begins with the one after: a collector that has sent us away is not asked at once. */
static SSL *reach(void *arg, struct error *err)
{
	struct exec_send *send = arg;
	char one[COLLECTOR_TEXT];
	SSL *ssl = NULL;
	for (unsigned tried = 0; !ssl && tried < send->collectors; tried++) {
		if (address_at(send->collector, send->turn++ % send->collectors, one))
			ssl = reach_one(send, one, err);
	}
	return ssl;
}

_Static_assert(sizeof(struct shipper_ticket) == SENDER_TAG, "a tag is a ticket");

static void done(void *arg, const void *tag)
{
	struct exec_send *send = arg;
	struct shipper_ticket ticket;
	memcpy(&ticket, tag, sizeof(ticket));
	pthread_mutex_lock(&send->lock);
	if (send->shipper)
		shipper_done(send->shipper, ticket);
	pthread_mutex_unlock(&send->lock);
}

/* Whichever program has the connection changes its keys, where its library can. */
static void over(void *arg, const uint8_t client_random[static KEYLOG_RANDOM], const void *tag)
{
	struct exec_send *send = arg;
	(void)tag;
	pthread_mutex_lock(&send->lock);
	if (send->shipper)
		(void)shipper_end(send->shipper, 0, client_random, SHARE_END_ROTATE);
	pthread_mutex_unlock(&send->lock);
}

void exec_send_tell(struct exec_send *send, struct shipper *shipper)
{
	pthread_mutex_lock(&send->lock);
	send->shipper = shipper;
	pthread_mutex_unlock(&send->lock);
}

bool exec_send_begin(struct exec_send *send, struct error *err)
{
	if (!complete(send, err))
		return false;
	struct sender_options options = {.grants = send->grants,
		.signers = send->signers,
		.signer_count = send->signer_count,
		.audit = send->audit,
		.name = send->self.name,
		.connect = reach,
		.done = send->ack_collector ? done : NULL,
		.over = over,
		.arg = send};
	if (gethostname(send->host, sizeof(send->host)) != 0)
		send->host[0] = '\0';
	send->host[sizeof(send->host) - 1] = '\0';
	send->ctx = collect_client_context(&send->files, COURIER_ALPN_KEYS, err);
	if (!send->ctx)
		return false;
	if (!collect_identity_own(send->ctx, &send->self))
		return error_set(
			err, "%s: no common name of at most %d octets", send->files.certificate, COLLECT_NAME_MAX);
	memcpy(options.key_hash, send->self.key_hash, sizeof(options.key_hash));
	send->sender = sender_new(&options, err);
	return send->sender != NULL;
}

bool exec_send_key(struct exec_send *send, const struct shipper_from *from, const struct share_item *item,
	struct shipper_ticket ticket)
{
	struct release release = {.grade = RELEASE_GRADE_RECORD,
		.mode = item->terms.mode,
		.consent = RELEASE_UNILATERAL,
		.key = item->key,
		.client = item->server ? item->peer : item->local,
		.server = item->server ? item->local : item->peer,
		.made_ns = clock_wall_ns(),
		.pid = from->pid};
	exec_consent_terms(send->consent, from, item, &release);
	release_text(release.name, sizeof(release.name), bytes_str(item->name));
	release_text(release.host, sizeof(release.host), bytes_str(send->host));
	release_text(release.program, sizeof(release.program), bytes_str(from->program));
	bool good = release_check(&release) == RELEASE_OK;
	if (good)
		sender_put(send->sender, &release, &ticket);
	release_wipe(&release);
	return !good || !send->ack_collector;
}

void exec_send_disagreed(struct exec_send *send, const struct share_item *item)
{
	if (send->sender)
		sender_disagreed(send->sender, item);
}

bool exec_send_end(struct exec_send *send)
{
	bool ran = send->sender != NULL;
	struct sender_counts counts = sender_free(send->sender, LAST_NS);
	SSL_CTX_free(send->ctx);
	send->sender = NULL;
	send->ctx = NULL;
	if (!ran)
		return true;
	unsigned long long offered = counts.offered, uncovered = counts.uncovered, sealed = counts.sealed;
	unsigned long long taken = counts.taken, refused = counts.refused, lost = counts.lost, unsent = counts.unsent;
	unsigned long long unlogged = counts.unlogged;
	fprintf(stderr,
		"overt exec: %llu keys: %llu under no grant; %llu sealed, of which the collector has %llu and refused "
		"%llu\n",
		offered, uncovered, sealed, taken, refused);
	if (counts.ended > 0)
		fprintf(stderr, "overt exec: %llu keys were not sent: their grants had ended by then\n",
			(unsigned long long)counts.ended);
	if (lost + unsent + unlogged > 0)
		fprintf(stderr,
			"overt exec: keys not released: %llu unsent, %llu for which there was no room, %llu "
			"that could not be logged\n",
			unsent, lost, unlogged);
	if (counts.over > 0)
		fprintf(stderr, "overt exec: %llu times a grant ended within a connection; %llu keys were kept back\n",
			(unsigned long long)counts.over, (unsigned long long)counts.kept_back);
	return lost + unsent + unlogged + refused == 0;
}

#include "cli/exec_share_send.h"

#include "base/clock.h"
#include "collect/address.h"
#include "keys/courier.h"

#include <openssl/err.h>
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

static bool complete(struct exec_send *send, struct error *err)
{
	char host[ADDRESS_HOST], port[ADDRESS_PORT];
	if (!address_split(send->collector, host, port))
		return error_set(err, "--collector %s: expected HOST:PORT", send->collector);
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

static SSL *reach(void *arg, struct error *err)
{
	struct exec_send *send = arg;
	char host[ADDRESS_HOST], port[ADDRESS_PORT];
	if (!address_split(send->collector, host, port)) {
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
		error_set_openssl(err, "%s", send->collector);
		SSL_free(ssl);
		return NULL;
	}
	if (fd >= 0)
		error_set(err, "%s does not answer", send->collector);
	if (bio)
		BIO_free(bio);
	else if (fd >= 0)
		close(fd);
	return NULL;
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
		.connect = reach,
		.done = done,
		.arg = send};
	if (gethostname(send->host, sizeof(send->host)) != 0)
		send->host[0] = '\0';
	send->host[sizeof(send->host) - 1] = '\0';
	send->ctx = collect_client_context(&send->files, COURIER_ALPN_KEYS, err);
	send->sender = send->ctx ? sender_new(&options, err) : NULL;
	return send->sender != NULL;
}

bool exec_send_key(struct exec_send *send, const struct shipper_from *from, const struct share_item *item,
	struct shipper_ticket ticket)
{
	struct release release = {.grade = RELEASE_GRADE_RECORD,
		.mode = RELEASE_LIVE,
		.consent = RELEASE_UNILATERAL,
		.key = item->key,
		.client = item->server ? item->peer : item->local,
		.server = item->server ? item->local : item->peer,
		.made_ns = clock_wall_ns(),
		.pid = from->pid};
	release_text(release.name, sizeof(release.name), bytes_str(item->name));
	release_text(release.host, sizeof(release.host), bytes_str(send->host));
	release_text(release.program, sizeof(release.program), bytes_str(from->program));
	bool good = release_check(&release) == RELEASE_OK;
	if (good)
		sender_put(send->sender, &release, send->ack_collector ? &ticket : NULL);
	release_wipe(&release);
	return !good || !send->ack_collector;
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
	if (lost + unsent + unlogged > 0)
		fprintf(stderr,
			"overt exec: keys not released: %llu unsent, %llu for which there was no room, %llu "
			"that could not be logged\n",
			unsent, lost, unlogged);
	return lost + unsent + unlogged + refused == 0;
}

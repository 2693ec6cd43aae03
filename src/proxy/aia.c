#include "proxy/aia.h"

#include "base/buffer.h"
#include "base/cache.h"
#include "base/clock.h"
#include "base/error.h"
#include "proxy/intake_http.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs7.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define VIA         "overt"
#define REQUEST_MAX (AIA_URL_MAX + HTTP_MAX_FORWARD)

struct aia {
	struct aia_options options; /* with defaults filled in */
	struct cache *cache;        /* by address: struct known */
	struct aia_counts counts;
};

/* What an address gave. */
struct known {
	STACK_OF(X509) * certs; /* NULL: nothing */
	uint64_t until_ns;
	char why[200]; /* with NULL */
};

struct aia_fetch {
	struct aia *aia;
	aia_done_fn *done;
	dial_permits_fn *permits;
	void *ctx;
	char url[AIA_URL_MAX];
	struct target target;
	struct dial *dial;
	struct loop_io io; /* fd -1: not connected */
	struct loop_timer late;
	struct loop_task finish;
	struct buffer answer;
	struct bytes request; /* into `room` */
	bool found;
	char why[200];
	uint8_t room[REQUEST_MAX];
};

static struct aia_fetch *of_io(struct loop_io *io)
{
	return (struct aia_fetch *)(void *)((char *)io - offsetof(struct aia_fetch, io));
}

/* What is known. */

static void known_free(void *value)
{
	struct known *known = value;
	sk_X509_pop_free(known->certs, X509_free);
	free(known);
}

static const struct known *known_of(struct aia *aia, const char *url)
{
	const struct known *known = cache_get(aia->cache, bytes_str(url));
	return known && known->until_ns > clock_monotonic_ns() ? known : NULL;
}

STACK_OF(X509) * aia_find(struct aia *aia, const char *url)
{
	const struct known *known = known_of(aia, url);
	return known ? known->certs : NULL;
}

static void remember(struct aia_fetch *fetch, STACK_OF(X509) * certs)
{
	struct aia *aia = fetch->aia;
	struct known *known = calloc(1, sizeof(*known));
	if (!known) {
		sk_X509_pop_free(certs, X509_free);
		return;
	}
	known->certs = certs;
	known->until_ns = clock_monotonic_ns() + (certs ? AIA_KEEP_NS : aia->options.keep_bad_ns);
	snprintf(known->why, sizeof(known->why), "%s", fetch->why);
	fetch->found = cache_put(aia->cache, bytes_str(fetch->url), known) && certs;
}

/* Ends. */

static void fetch_free(struct aia_fetch *fetch)
{
	struct loop *loop = fetch->aia->options.loop;
	dial_cancel(fetch->dial);
	loop_timer_clear(loop, &fetch->late);
	loop_task_cancel(loop, &fetch->finish);
	if (fetch->io.fd >= 0) {
		loop_remove(loop, &fetch->io);
		close(fetch->io.fd);
	}
	buffer_clear(&fetch->answer);
	fetch->aia->counts.pending--;
	/* It may hold the credentials of a proxy in between. */
	OPENSSL_cleanse(fetch->room, sizeof(fetch->room));
	free(fetch);
}

void aia_cancel(struct aia_fetch *fetch)
{
	if (fetch)
		fetch_free(fetch);
}

static void run_finish(struct loop_task *task)
{
	struct aia_fetch *fetch = (struct aia_fetch *)(void *)((char *)task - offsetof(struct aia_fetch, finish));
	aia_done_fn *done = fetch->done;
	void *ctx = fetch->ctx;
	bool found = fetch->found;
	char why[sizeof(fetch->why)];
	memcpy(why, fetch->why, sizeof(why));
	*(found ? &fetch->aia->counts.fetched : &fetch->aia->counts.failed) += 1;
	fetch_free(fetch);
	done(found, why, ctx);
}

static void finish(struct aia_fetch *fetch)
{
	struct loop *loop = fetch->aia->options.loop;
	loop_timer_clear(loop, &fetch->late);
	if (fetch->io.fd >= 0) {
		loop_remove(loop, &fetch->io);
		close(fetch->io.fd);
		fetch->io.fd = -1;
	}
	loop_task_queue(loop, &fetch->finish, run_finish);
}

static void fail(struct aia_fetch *fetch, const char *why)
{
	snprintf(fetch->why, sizeof(fetch->why), "%s", why);
	remember(fetch, NULL);
	finish(fetch);
}

/* Certificates out of an answer. */

/* Takes over what is in `more`, up to the cap. */
static void collect(STACK_OF(X509) * certs, const STACK_OF(X509) * more)
{
	for (int i = 0; i < sk_X509_num(more) && sk_X509_num(certs) < AIA_CERTS_MAX; i++) {
		X509 *cert = sk_X509_value(more, i);
		if (sk_X509_push(certs, cert) > 0)
			X509_up_ref(cert);
	}
}

static void collect_one(STACK_OF(X509) * certs, X509 *cert)
{
	if (!cert || sk_X509_push(certs, cert) <= 0)
		X509_free(cert);
}

/* RFC 2585: one certificate in DER, or certs-only CMS in DER. Both must fill the body. */
static void read_der(struct bytes body, OSSL_LIB_CTX *lib, STACK_OF(X509) * certs)
{
	const unsigned char *at = body.data;
	X509 *cert = X509_new_ex(lib, NULL);
	if (cert && d2i_X509(&cert, &at, (long)body.len) && at == body.data + body.len) {
		collect_one(certs, cert);
		return;
	}
	X509_free(cert);
	at = body.data;
	PKCS7 *message = PKCS7_new_ex(lib, NULL);
	if (message && d2i_PKCS7(&message, &at, (long)body.len) && PKCS7_type_is_signed(message) &&
		message->d.sign->cert)
		collect(certs, message->d.sign->cert);
	PKCS7_free(message);
}

/* No RFC allows it, and enough authorities do it. */
static void read_pem(struct bytes body, OSSL_LIB_CTX *lib, STACK_OF(X509) * certs)
{
	BIO *bio = BIO_new_mem_buf(body.data, (int)body.len);
	while (bio && sk_X509_num(certs) < AIA_CERTS_MAX) {
		X509 *cert = X509_new_ex(lib, NULL);
		if (!cert || !PEM_read_bio_X509(bio, &cert, NULL, NULL)) {
			X509_free(cert);
			break;
		}
		collect_one(certs, cert);
	}
	BIO_free(bio);
}

static STACK_OF(X509) * read_certs(struct bytes body, OSSL_LIB_CTX *lib)
{
	STACK_OF(X509) *certs = sk_X509_new_null();
	if (!certs)
		return NULL;
	if (body.len > 0 && body.data[0] == 0x30)
		read_der(body, lib, certs);
	else
		read_pem(body, lib, certs);
	ERR_clear_error();
	if (sk_X509_num(certs) > 0)
		return certs;
	sk_X509_free(certs);
	return NULL;
}

/* The answer. */

static void take(struct aia_fetch *fetch, struct bytes body)
{
	if (body.len > AIA_MAX_OCTETS) {
		fail(fetch, "its answer is too long");
		return;
	}
	STACK_OF(X509) *certs = read_certs(body, fetch->aia->options.lib);
	if (!certs) {
		fail(fetch, "its answer holds no certificate");
		return;
	}
	remember(fetch, certs);
	finish(fetch);
}

/* The body is whole when its length is there, or when the server closed. */
static void judge(struct aia_fetch *fetch, bool closed)
{
	struct http_scan scan = {0};
	const struct http_asked asked = {.http10 = true, .close = true};
	struct http_head head;
	struct error why;
	struct bytes in = buffer_bytes(&fetch->answer);
	enum http_response_result result = http_response_read(&scan, in, &asked, &head, &why);
	if (result == HTTP_RESPONSE_NEED_MORE && !closed)
		return;
	if (result != HTTP_RESPONSE_FINAL || !bytes_skip(&in, head.len)) {
		fail(fetch, "its answer is no HTTP");
	} else if (head.status != 200) {
		char text[64];
		snprintf(text, sizeof(text), "it answered with status %u", head.status);
		fail(fetch, text);
	} else if (head.framing == HTTP_CHUNKED || head.framing == HTTP_NO_BODY) {
		fail(fetch, "its answer has no body that could be read");
	} else if (head.framing == HTTP_LENGTH && head.content_length > AIA_MAX_OCTETS) {
		fail(fetch, "its answer is too long");
	} else if (head.framing == HTTP_LENGTH && in.len >= head.content_length) {
		take(fetch, bytes_of(in.data, (size_t)head.content_length));
	} else if (closed && head.framing == HTTP_UNTIL_CLOSE) {
		take(fetch, in);
	} else if (closed) {
		fail(fetch, "its answer was cut short");
	}
}

static void read_answer(struct aia_fetch *fetch)
{
	while (fetch->io.readable && !fetch->finish.queued) {
		size_t space;
		uint8_t *to = buffer_space(&fetch->answer, &space);
		if (!to) {
			fail(fetch, "its answer is too long");
			return;
		}
		ssize_t n = recv(fetch->io.fd, to, space, 0);
		if (n > 0) {
			fetch->answer.len += (size_t)n;
			judge(fetch, false);
		} else if (n == 0) {
			judge(fetch, true);
			return;
		} else if (errno == EAGAIN) {
			fetch->io.readable = false;
		} else if (errno != EINTR) {
			fail(fetch, "the connection to it was lost");
			return;
		}
	}
}

static void ready(struct loop_io *io)
{
	struct aia_fetch *fetch = of_io(io);
	while (io->writable && fetch->request.len > 0) {
		ssize_t n = send(io->fd, fetch->request.data, fetch->request.len, MSG_NOSIGNAL);
		if (n > 0) {
			(void)!bytes_skip(&fetch->request, (size_t)n);
		} else if (n < 0 && errno == EAGAIN) {
			io->writable = false;
		} else if (n < 0 && errno != EINTR) {
			fail(fetch, "the connection to it was lost");
			return;
		}
	}
	read_answer(fetch);
}

/* The request. */

/* True behind an HTTP proxy, which is asked for the address itself. */
static bool by_proxy(const struct aia *aia)
{
	return aia->options.through && aia->options.through->kind == UPSTREAM_HTTP;
}

/* One word: an address is written into a request line as it is. */
static bool is_one_word(const char *url)
{
	for (const char *at = url; *at; at++) {
		if (*at <= 0x20 || *at > 0x7e)
			return false;
	}
	return true;
}

/*
 * The address is read by the reader of proxied requests: what it would not send on is not fetched either. HTTP/1.0, so
 * that the answer comes in one piece.
 */
static bool write_request(struct aia_fetch *fetch)
{
	const struct config_upstream *through = fetch->aia->options.through;
	struct intake_http *http = calloc(1, sizeof(*http));
	char line[AIA_URL_MAX + 32];
	char credentials[512] = "";
	snprintf(line, sizeof(line), "GET %s HTTP/1.0\r\n\r\n", fetch->url);
	bool good = http && is_one_word(fetch->url) &&
	            intake_http_read(http, bytes_str(line), bytes_str(VIA)) == INTAKE_HTTP_ABSOLUTE;
	if (good) {
		struct http_upstream_proxy proxy = {0};
		struct writer w = writer_over(fetch->room, sizeof(fetch->room));
		if (by_proxy(fetch->aia) && through->user) {
			snprintf(credentials, sizeof(credentials), "%s:%s", through->user,
				through->password ? through->password : "");
			proxy.credentials = bytes_str(credentials);
		}
		intake_http_forward(http, bytes_str(VIA), by_proxy(fetch->aia) ? &proxy : NULL, &w);
		fetch->target = http->target;
		good = writer_done(&w, &fetch->request);
	}
	OPENSSL_cleanse(credentials, sizeof(credentials));
	free(http);
	return good;
}

static void dialled(const struct dial_result *result, void *ctx)
{
	struct aia_fetch *fetch = ctx;
	fetch->dial = NULL;
	if (result->failure != DIAL_CONNECTED) {
		char text[sizeof(fetch->why)];
		snprintf(text, sizeof(text), "%.190s", result->text);
		fail(fetch, text);
		return;
	}
	fetch->io.fd = result->fd;
	if (!loop_add(fetch->aia->options.loop, &fetch->io, result->fd, ready)) {
		close(result->fd);
		fetch->io.fd = -1;
		fail(fetch, "the connection could not be watched");
		return;
	}
	if (result->early.len > 0 && !buffer_add(&fetch->answer, result->early))
		fail(fetch, "its answer is too long");
}

static bool permits(const struct hostport *to, void *ctx)
{
	const struct aia_fetch *fetch = ctx;
	return !fetch->permits || fetch->permits(to, fetch->ctx);
}

static void late(struct loop_timer *timer)
{
	struct aia_fetch *fetch = (struct aia_fetch *)(void *)((char *)timer - offsetof(struct aia_fetch, late));
	dial_cancel(fetch->dial);
	fetch->dial = NULL;
	fail(fetch, "it took too long to answer");
}

/* False without memory. */
static bool begin(struct aia_fetch *fetch)
{
	const struct aia_options *options = &fetch->aia->options;
	const struct known *known = known_of(fetch->aia, fetch->url);
	if (known) {
		fetch->found = known->certs != NULL;
		snprintf(fetch->why, sizeof(fetch->why), "%s", known->why);
		finish(fetch);
		return true;
	}
	if (!write_request(fetch)) {
		fail(fetch, "it is no address that can be fetched from");
		return true;
	}
	struct dial_request request = {
		.target = &fetch->target,
		.through = options->through,
		.no_tunnel = by_proxy(fetch->aia),
		.permits = permits,
		.dns_ns = options->timeout_ns,
		.connect_ns = options->timeout_ns,
	};
	fetch->dial = dial_start(options->loop, options->resolver, &request, dialled, fetch);
	return fetch->dial &&
	       loop_timer_set(options->loop, &fetch->late, clock_monotonic_ns() + options->timeout_ns, late);
}

struct aia_fetch *aia_fetch(struct aia *aia, const char *url, dial_permits_fn *permit, aia_done_fn *done, void *ctx)
{
	bool fits = strlen(url) < AIA_URL_MAX;
	struct aia_fetch *fetch = NULL;
	if (fits && aia->counts.pending < aia->options.fetches)
		fetch = calloc(1, sizeof(*fetch));
	if (!fetch) {
		aia->counts.refused++;
		return NULL;
	}
	fetch->aia = aia;
	fetch->done = done;
	fetch->permits = permit;
	fetch->ctx = ctx;
	fetch->io.fd = -1;
	fetch->answer.cap = HTTP_MAX_HEAD + AIA_MAX_OCTETS;
	snprintf(fetch->url, sizeof(fetch->url), "%s", url);
	aia->counts.pending++;
	if (begin(fetch))
		return fetch;
	aia->counts.refused++;
	fetch_free(fetch);
	return NULL;
}

/* Life. */

struct aia *aia_new(const struct aia_options *options, struct error *err)
{
	struct aia *aia = calloc(1, sizeof(*aia));
	if (aia)
		aia->cache = cache_new(options->cache ? options->cache : AIA_CACHE, known_free);
	if (!aia || !aia->cache) {
		free(aia);
		error_set(err, "no memory for fetched issuers");
		return NULL;
	}
	aia->options = *options;
	struct aia_options *o = &aia->options;
	o->timeout_ns = o->timeout_ns ? o->timeout_ns : AIA_TIMEOUT_NS;
	o->keep_bad_ns = o->keep_bad_ns ? o->keep_bad_ns : AIA_KEEP_BAD_NS;
	o->fetches = o->fetches ? o->fetches : AIA_FETCHES;
	return aia;
}

void aia_free(struct aia *aia)
{
	if (!aia)
		return;
	cache_free(aia->cache);
	free(aia);
}

struct aia_counts aia_count(const struct aia *aia)
{
	struct aia_counts counts = aia->counts;
	struct cache_counts cache = cache_count(aia->cache);
	counts.hits = cache.hits;
	counts.misses = cache.misses;
	counts.evicted = cache.evicted;
	counts.held = cache.held;
	counts.cap = cache.cap;
	counts.pending_cap = aia->options.fetches;
	return counts;
}

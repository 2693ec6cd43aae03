/*
 * proxy/aia.h — fetches the certificate of an issuer that a server should have sent and did not, from the address that
 * the server's certificate names (authorityInfoAccess, caIssuers: RFC 5280, 4.2.2.1 and RFC 2585, 4). One plain HTTP GET,
 * without redirects, bounded in octets, in time and in number, cached by address. Only where a rule says `aia: true`.
 *
 * What is fetched is trusted no more than what a server sends: it may help to build a path to an anchor, nothing else.
 * Asynchronous on the worker's loop.
 */
#ifndef PROXY_AIA_H
#define PROXY_AIA_H

#include "base/clock.h"
#include "base/loop.h"
#include "policy/config.h"
#include "proxy/dial.h"

#include <openssl/x509.h>

#define AIA_URL_MAX     512                 /* octets of an address, with its NUL */
#define AIA_MAX_OCTETS  ((size_t)64 * 1024) /* of an answer's body */
#define AIA_CERTS_MAX   8                   /* taken from one answer */
#define AIA_TIMEOUT_NS  (5 * NS_PER_S)      /* for all of it: name, connection, answer */
#define AIA_KEEP_NS     (UINT64_C(24) * 3600 * NS_PER_S)
#define AIA_KEEP_BAD_NS (60 * NS_PER_S) /* an address that gave nothing is not asked again so soon */
#define AIA_CACHE       256             /* addresses */
#define AIA_FETCHES     32              /* at once */

struct aia;
struct aia_fetch;

struct aia_options {
	struct loop *loop;
	struct resolver_client *resolver;
	const struct config_upstream *through; /* another proxy; kind UPSTREAM_DIRECT or NULL: none. Outlives the aia */
	OSSL_LIB_CTX *lib;                     /* decodes certificates (pki/slim.h); NULL: the default context */
	uint64_t timeout_ns;                   /* 0: AIA_TIMEOUT_NS */
	uint64_t keep_bad_ns;                  /* 0: AIA_KEEP_BAD_NS */
	size_t cache, fetches;                 /* 0: AIA_CACHE, AIA_FETCHES */
};

struct aia_counts {
	uint64_t fetched; /* answers with a certificate */
	uint64_t failed;  /* fetches that gave none, and those spared because one failed just now */
	uint64_t refused; /* more than `fetches` at once */
	uint64_t hits, misses, evicted;
	size_t held, cap; /* addresses */
	size_t pending, pending_cap;
};

must_check struct aia *aia_new(const struct aia_options *options, struct error *err);
/* Every fetch must have ended or been cancelled. NULL is allowed. */
void aia_free(struct aia *aia);

/* What that address gave lately, or NULL. The aia's: valid until the next turn of the loop. */
must_check STACK_OF(X509) * aia_find(struct aia *aia, const char *url);

/* `found`: aia_find has it now. Else `why` is a sentence for people, without a full stop. */
typedef void aia_done_fn(bool found, const char *why, void *ctx);

/*
 * Fetches from `url` ("http://…"), asking `permits` (with `ctx`) about each address it is about to connect to. `done` is
 * called once, from the loop, never inside this call. NULL, and no call, without memory or with too many fetches under
 * way (counted).
 */
must_check struct aia_fetch *aia_fetch(
	struct aia *aia, const char *url, dial_permits_fn *permits, aia_done_fn *done, void *ctx);
/* `done` will not be called. Not after `done`. NULL is allowed. */
void aia_cancel(struct aia_fetch *fetch);

must_check struct aia_counts aia_count(const struct aia *aia);

#endif

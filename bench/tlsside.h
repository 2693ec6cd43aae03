/* bench/tlsside.h — what both programs ask of TLS 1.3 (RFC 8446): one version, one group, one suite. */
#ifndef BENCH_TLSSIDE_H
#define BENCH_TLSSIDE_H

#include "base/error.h"

#include <openssl/ssl.h>
#include <stdint.h>

struct tlsside {
	const char *group; /* as OpenSSL names it: "X25519" */
	const char *suite; /* "TLS_AES_128_GCM_SHA256" */
};

/* A context for TLS 1.3 only. NULL with `err` set; else SSL_CTX_free it. */
must_check SSL_CTX *tlsside_context(const SSL_METHOD *method, const struct tlsside *side, struct error *err);
/* True when the finished handshake of `ssl` has the version, group and suite. A resumed one may have no group. */
must_check bool tlsside_agreed(const SSL *ssl, const struct tlsside *side, struct error *err);
/* CPU time of this process so far. */
must_check uint64_t cpu_time_ns(void);
/* Raises the number of descriptors to what the system allows. */
void descriptors_raise(void);

#endif

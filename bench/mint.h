/*
 * bench/mint.h — leaves for whatever name a client asks for (RFC 5280), signed by the benchmark's intermediate, so that
 * every name has a certificate of its own and no proxy profits from one that serves many.
 */
#ifndef BENCH_MINT_H
#define BENCH_MINT_H

#include "base/error.h"

#include <openssl/x509.h>

struct mint;

/* PEM files; `cert_file` holds the intermediate. NULL with `err` set; else mint_free it. */
must_check struct mint *mint_new(const char *cert_file, const char *key_file, struct error *err);
void mint_free(struct mint *mint);

/* The key of all leaves, on P-256. The mint's. */
must_check EVP_PKEY *mint_key(const struct mint *mint);
must_check X509 *mint_intermediate(const struct mint *mint);

/* The leaf for `name`: the kept one, or a new one. The mint's. NULL without memory or room. */
must_check X509 *mint_leaf(struct mint *mint, const char *name);
/* A leaf for `name` that is signed by its own key and not kept. X509_free it. */
must_check X509 *mint_self_signed(struct mint *mint, const char *name);

#endif

/* explain/readonly_parts.h — what the files of the story of reading without writing share. */
#ifndef EXPLAIN_READONLY_PARTS_H
#define EXPLAIN_READONLY_PARTS_H

#include "explain/lab.h"
#include "explain/story.h"
#include "tls/hello.h"
#include "tls/protect.h"

#define READONLY_SUITE13 "TLS_AES_128_GCM_SHA256"
#define READONLY_BLOCK   16

/* The same edit by a proxy that holds a session with each side: nothing leaks (readonly_nonce.c). */
must_check bool readonly_two_sessions(const struct lab *lab, struct story *story, struct error *err);
/* An edit inside one AEAD session, seen by somebody before and behind it (readonly_nonce.c). False when it cannot be run. */
must_check bool readonly_nonce(const struct lab *lab, struct story *story, struct error *err);
/* The keys of a direction of TLS 1.3, from this end's key log; wipe them. */
must_check bool readonly_keys(
	struct crypto *crypto, const struct lab_end *end, const char *label, struct traffic_keys *out);
/* Seals or opens with them, from this record on. NULL: no memory. */
must_check struct protect *readonly_protect(struct crypto *crypto, const struct traffic_keys *keys, uint64_t sequence);
/* One record of application data into `room`. False when it does not fit. */
must_check bool readonly_seal(struct protect *by, const char *text, uint8_t *room, size_t cap, struct bytes *out);

#endif

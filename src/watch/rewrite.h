/*
 * watch/rewrite.h — the packets of a capture as they came, into one pcapng file together with the secrets that open them
 * (draft-ietf-opsawg-pcapng, Decryption Secrets Block). The secrets of a connection stand before the packet that begins
 * it, where they are known by then; else before the packet with its first plaintext. One thread.
 */
#ifndef WATCH_REWRITE_H
#define WATCH_REWRITE_H

#include "base/error.h"
#include "keys/keyring.h"
#include "watch/capture_frame.h"

struct rewrite;

/* The file begins anew, with mode 0600. NULL with `err` set. */
must_check struct rewrite *rewrite_new(const char *path, struct keyring *ring, struct error *err);
/* A connection with this client_random is about to be written: so are its secrets, those not written yet. */
void rewrite_random(struct rewrite *rewrite, const uint8_t client_random[32]);
void rewrite_frame(struct rewrite *rewrite, const struct frame *frame);
void rewrite_flush(struct rewrite *rewrite);
/* Returns how many blocks could not be written. NULL is allowed: none. */
uint64_t rewrite_close(struct rewrite *rewrite);

#endif

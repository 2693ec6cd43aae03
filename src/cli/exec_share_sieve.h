/*
 * cli/exec_share_sieve.h — of all connections that an interface carries, those of one program: the ones whose
 * client_random a key came for. Until that is known a connection's frames are held. One thread, but for sieve_want.
 */
#ifndef CLI_EXEC_SHARE_SIEVE_H
#define CLI_EXEC_SHARE_SIEVE_H

#include "base/error.h"
#include "keys/keylog.h"
#include "watch/capture_frame.h"

#define SIEVE_CONNECTIONS 65536              /* kept in mind at a time: the longest silent goes */
#define SIEVE_HELD        ((size_t)64 << 20) /* octets of frames held in all: the longest silent goes */
#define SIEVE_HELD_EACH   ((size_t)1 << 20)  /* of one connection: one that says so much without a key is another's */
#define SIEVE_HELD_NS     UINT64_C(60000000000) /* and one that is silent for so long */

struct sieve_counts {
	uint64_t wanted;   /* connections let through */
	uint64_t given_up; /* of which nobody knows: too many, too long, too much; none that a key came for later */
	uint64_t lost;     /* connections of the program of which frames were let go before its key came */
	uint64_t no_memory;
};

struct sieve;

/* `give` gets the frames of wanted connections, in order for each of them. NULL without memory. */
must_check struct sieve *sieve_new(void (*give)(void *arg, const struct frame *frame), void *arg);
void sieve_free(struct sieve *sieve); /* NULL is allowed */

/* A key came for this connection. Any thread. */
void sieve_want(struct sieve *sieve, const uint8_t client_random[KEYLOG_RANDOM]);
/* Only TCP counts; the frame's octets need not stay. */
void sieve_frame(struct sieve *sieve, const struct frame *frame);
/* Looks at what is held, when keys came since; and lets go of what has been silent. */
void sieve_turn(struct sieve *sieve, uint64_t now_ns);
must_check struct sieve_counts sieve_count(const struct sieve *sieve);

#endif

/*
 * keys/keyring.h — what a decryptor asks for secrets: one place for key log files (indexed, not loaded), key log text in
 * memory (FIFOs, Decryption Secrets Blocks), private RSA keys, external PSKs and record keys.
 *
 * Threads: every function may be called from any thread, save keyring_free. A struct keyring_inbox is one thread's.
 *
 * Encrypted Client Hello: where a server accepted ECH, the log has the random of the *inner* hello, which an observer
 * does not see; only ECH_SECRET and ECH_CONFIG stand under the outer one. Look up the outer random; if that gives an
 * ECH secret, open the inner hello with it and look up both randoms: `ids` takes several.
 */
#ifndef KEYS_KEYRING_H
#define KEYS_KEYRING_H

#include "base/error.h"
#include "base/hostport.h"
#include "keys/keylog_file.h"
#include "keys/keyset.h"
#include "keys/record_key.h"
#include "keys/rsa_key.h"
#include "keys/secret.h"

struct keyring;

/* Zero means the default in parentheses. */
struct keyring_limits {
	size_t sessions; /* in the index of each key log file (10,000,000); 32 octets each */
	/*
	 * Octets for secrets of key log text, FIFOs and what was learned (64 MiB), rounded up to a power of two; another
	 * quarter of it for record keys, and a sixteenth for the ends of their connections. Memory is used as they fill.
	 */
	size_t text;
	size_t files; /* key log files (64) */
	size_t keys;  /* private keys, and as many PSKs (4096 each) */
};

/* NULL without memory. `limits` may be NULL. */
must_check struct keyring *keyring_new(const struct keyring_limits *limits);
/* Wipes everything. Every inbox must be closed before. NULL is allowed. */
void keyring_free(struct keyring *ring);

/*
 * Sources. False with a sentence when it cannot be used; nothing was added then. A file is not read yet: call
 * keyring_update until it says there is no more. With `follow` a file that is not there yet is waited for.
 */
must_check bool keyring_add_file(struct keyring *ring, const char *path, bool follow, struct error *err);
must_check bool keyring_add_private_keys(struct keyring *ring, const char *path, struct error *err);
/*
 * An external PSK. An empty identity fits every identity. In a file each line is `identity:hex`, the last colon counts,
 * lines with # and blank ones are passed over (the format of psktool).
 */
must_check bool keyring_add_psk(struct keyring *ring, struct bytes identity, struct bytes key, struct error *err);
must_check bool keyring_add_psks(struct keyring *ring, const char *path, struct error *err);
/* A whole key log as text, as in a Decryption Secrets Block; its last line needs no LF. Returns the secrets taken. */
size_t keyring_add_text(struct keyring *ring, struct bytes text);
/*
 * One secret learned elsewhere: what a TLS 1.2 handshake established, under its session id or ticket, for those that
 * resume it. False when it was not stored: too long, or too many of this session; a duplicate counts as stored.
 */
bool keyring_add_secret(
	struct keyring *ring, const struct keylog_id *id, enum keylog_label label, uint32_t epoch, struct bytes secret);

enum keyring_news {
	KEYRING_NO_NEWS,
	KEYRING_NEWS,       /* something was read; nothing more is there now */
	KEYRING_MORE,       /* stopped at `budget`: call again */
	KEYRING_UNREADABLE, /* a file failed; the sentence says which. The others were read. */
};

/*
 * Reads what the files got since, at most about `budget` octets of each (0: as much as there is). Look-ups of other
 * threads wait meanwhile, so give a budget once there are any: some hundred megabytes take a second. `err` may be NULL.
 */
enum keyring_news keyring_update(struct keyring *ring, size_t budget, struct error *err);
/*
 * A descriptor that becomes readable when some followed file or FIFO has something (an epoll descriptor: to be polled,
 * not read); the ring's. -1 before a file was added. Files on network file systems may change unseen: update them by
 * time as well.
 */
must_check int keyring_fd(const struct keyring *ring);

/*
 * Adds to `out` every secret filed under any of the ids, in memory first, then file by file in the order of addition.
 * Returns how many were added. Allocates only for `out`.
 */
size_t keyring_find(struct keyring *ring, const struct keylog_id *ids, size_t count, struct keyset *out);
/* Shorthand: one client_random of 32 octets. 0 for any other length. */
size_t keyring_find_random(struct keyring *ring, struct bytes client_random, struct keyset *out);

enum keyring_opened {
	KEYRING_OPENED,
	KEYRING_NO_KEYS, /* there are no private keys */
	KEYRING_NO_KEY,  /* none of them opens it */
};

/*
 * The premaster secret of a ClientKeyExchange (its octets after the length field). With the server's certificate (DER)
 * only its key is tried; with none given, or one that cannot be read, all are.
 */
must_check enum keyring_opened keyring_open_premaster(
	struct keyring *ring, struct bytes encrypted, struct bytes certificate, struct secret *premaster);
/*
 * PSKs for this identity; `nth` counts from 0: first those of the very identity, then those that fit every one. False
 * when there are no more.
 */
must_check bool keyring_psk(struct keyring *ring, struct bytes identity, size_t nth, struct secret *out);

/* False when a length is over its field, or the session has too many. A duplicate counts as stored. */
must_check bool keyring_add_record_key(struct keyring *ring, const struct record_key *key);
/*
 * Copies record keys of this client_random to `out`, oldest first, skipping the first `from`; returns how many (0..cap).
 * The caller wipes them.
 */
must_check size_t keyring_record_keys(
	struct keyring *ring, struct bytes client_random, size_t from, struct record_key *out, size_t cap);

/*
 * The newest record key before `*at`, which moves there; UINT64_MAX: the newest of all. False when no older one is held.
 * The caller wipes it.
 */
must_check bool keyring_record_back(struct keyring *ring, uint64_t *at, struct record_key *out);

/*
 * Who shares a connection's keys may say between which two ends it runs, so that it is known where its hello is not.
 * Scopes do not count, nor which end comes first. What is said need not be true: a tag or MAC decides.
 */
struct keyring_ends {
	struct hostport end[2];
};

/* False when an end is none, or without memory. A duplicate counts as stored. To be said before the keys are added. */
must_check bool keyring_add_ends(struct keyring *ring, const struct keyring_ends *ends, struct bytes client_random);
/* The newest randoms said of these ends, newest first; returns how many (0..cap). */
must_check size_t keyring_ends_randoms(
	struct keyring *ring, const struct keyring_ends *ends, uint8_t (*out)[KEYLOG_RANDOM], size_t cap);

/*
 * Late keys. A session that lacks a secret leaves a wait in the inbox of its thread; the inbox gives it back once
 * something new has come under its id. Leave the wait first and look up then: nothing falls between. A wait told once
 * stays quiet until it is left anew. Costs nothing while nothing comes, however many wait.
 */
struct keyring_inbox;

/* Embedded in the session, zeroed when new; must not move or go while it waits. A session may have several. */
struct keyring_wait {
	struct keylog_id id;
	void *owner; /* the caller's */
	/* The keyring's. */
	struct keyring_inbox *inbox;
	struct keyring_wait *chain, *next, *prev;
	uint64_t hash;
	bool told;
};

/* NULL without memory. `wake_fd`: an eventfd to write to when a wait is told while none was, or -1. */
must_check struct keyring_inbox *keyring_inbox_new(struct keyring *ring, int wake_fd);
/* Ends every wait in it. NULL is allowed. */
void keyring_inbox_free(struct keyring_inbox *inbox);
/* Waits for `id`. Leaving a wait that waits already (or was told) begins anew. */
void keyring_wait_begin(struct keyring_inbox *inbox, struct keyring_wait *wait, const struct keylog_id *id);
/* Allowed at any time, also when it does not wait. */
void keyring_wait_end(struct keyring_wait *wait);
/* The next wait that was told, oldest first; it waits no longer. NULL when there is none. */
must_check struct keyring_wait *keyring_inbox_next(struct keyring_inbox *inbox);

/*
 * Trial: application traffic secrets (TLS 1.3), or master secrets (TLS 1.2), of all sessions, for a connection whose
 * beginning nobody saw: first those in memory, newest first, then file by file from its beginning. The view lives
 * during the call only.
 */
struct keyring_candidate {
	struct keylog_id id;
	enum keylog_label label; /* KEYLOG_CLIENT_TRAFFIC or KEYLOG_SERVER_TRAFFIC; KEYLOG_MASTER */
	uint32_t epoch;          /* as it is written: KEYLOG_EPOCH_UNNAMED occurs */
	struct bytes secret;
};

/* Zeroed: from the beginning. */
struct keyring_cursor {
	uint64_t place, at;
	bool masters; /* shows master secrets, and no others */
};

/*
 * Shows at most `max` candidates from the cursor on, which moves; `visit` says whether to go on and must not call the
 * ring. False when there are none left, true when it stopped before. A secret that comes between calls may be missed,
 * one may be shown twice.
 */
must_check bool keyring_candidates(struct keyring *ring, struct keyring_cursor *cursor, size_t max,
	bool (*visit)(const struct keyring_candidate *candidate, void *ctx), void *ctx);

struct keyring_counts {
	struct keylog_file_counts files; /* of all files together */
	struct keystore_counts text;     /* key log text, FIFOs, what was learned */
	struct keystore_counts records;  /* record keys */
	struct keystore_counts ends;     /* of connections whose keys are shared */
	uint64_t private_keys, psks;
	uint64_t found, found_none; /* look-ups */
	uint64_t duplicates;        /* in what look-ups found, as in struct keyset */
	uint64_t contradictory;
	uint64_t set_refused;
	uint64_t premasters_opened, premasters_closed;
	uint64_t waiting, told; /* waits now; told in all */
	uint64_t generation;    /* grows with whatever secret becomes known */
};

must_check struct keyring_counts keyring_count(struct keyring *ring);

#endif

/* A session under test and what it said, held against the talk it watched. */
#ifndef TESTS_WATCH_WATCHER_H
#define TESTS_WATCH_WATCHER_H

#include "talk.h"
#include "watch/session.h"

#define WATCHER_NOTICES 32

struct watcher {
	struct keyring *ring;
	struct session_room *room;
	struct session *session;
	const struct talk *talk;
	struct keyring_ends ends; /* of the session; both none: not known */
	uint64_t now_ns;
	/* What was heard. */
	size_t at[2];       /* in the talk's plaintext: behind what was found last */
	uint64_t offset[2]; /* where the next DATA or GAP must begin */
	uint64_t data[2], gap[2];
	unsigned gaps[2], halves[2], hellos, tlses;
	uint64_t wrong;   /* octets given out that were never sent, or out of order */
	uint64_t astray;  /* DATA whose offset is not where the octets were in the plaintext */
	bool offsets_bad; /* events do not follow on each other */
	struct event_tls tls;
	char tls_alpn[64], tls_subject[256], tls_group[64], sni[64];
	char notices[WATCHER_NOTICES][64];
	char notice_texts[WATCHER_NOTICES][256];
	unsigned notice_count;
};

struct watcher_setup {
	bool keys_final, from_middle;
	struct session_limits limits; /* park_total 0: the default */
};

void watcher_begin(struct watcher *w, const struct talk *talk, const struct watcher_setup *setup);
/* Another connection with the same keyring and room. */
void watcher_again(struct watcher *w, const struct talk *talk, bool from_start);
void watcher_keys(struct watcher *w, const char *log);
void watcher_data(struct watcher *w, enum flow_direction direction, struct bytes octets);
/* All of the talk in pieces of up to `most` octets. */
void watcher_feed(struct watcher *w, size_t most);
void watcher_close(struct watcher *w);
void watcher_end(struct watcher *w);

bool watcher_has_notice(const struct watcher *w, const char *name);
/* The text of the `nth` notice of this name, from 0; "" when there is none. */
const char *watcher_notice(const struct watcher *w, const char *name, unsigned nth);
/* Every octet of plaintext came, none else, and no gap. */
bool watcher_complete(const struct watcher *w);

#endif

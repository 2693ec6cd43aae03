/*
 * cli/exec_share_view.h — the connections of a run, off an interface and through the sieve, read with the keys that came
 * for them, and shown. One thread, but for view_key and view_random.
 */
#ifndef CLI_EXEC_SHARE_VIEW_H
#define CLI_EXEC_SHARE_VIEW_H

#include "cli/exec_share_sieve.h"
#include "keys/keyring.h"
#include "sink/outputs.h"
#include "watch/watch.h"

struct view_options {
	const char *interface; /* "any": all */
	struct outputs outputs;
	bool late_keys; /* they come when much has been read, or when a connection is over: its records wait for them */
	int stop_fd; /* an eventfd that does not block; view_read comes back when it becomes readable, view_finish empties it */
};

struct view;

/* From now on nothing of these interfaces is missed. NULL with `err` set. */
must_check struct view *view_new(const struct view_options *options, struct error *err);
void view_free(struct view *view); /* NULL is allowed */

/* A key, which is copied. Any thread. */
void view_key(struct view *view, const struct record_key *key);
/* Secrets of this connection have been added to the keyring. Any thread. */
void view_random(struct view *view, const uint8_t client_random[KEYLOG_RANDOM]);
must_check struct keyring *view_keyring(struct view *view);

/* Reads until the stop descriptor becomes readable: true. False with `err` set when capturing failed. */
must_check bool view_read(struct view *view, struct error *err);
/* Reads what was on its way when the program ended, ends what is open, and writes it all. */
void view_finish(struct view *view);
/* What was read, for watch_summary; and what the sieve did. */
void view_report(struct view *view, struct watch_report *report, struct sieve_counts *sieve);

#endif

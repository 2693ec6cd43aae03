/*
 * watch/watch.h — `overt watch`: captures, keys and outputs put together and run to their end. Threads: one that calls,
 * and one per further worker.
 */
#ifndef WATCH_WATCH_H
#define WATCH_WATCH_H

#include "sink/outputs.h"
#include "watch/capture.h"
#include "watch/engine.h"
#include "watch/live.h"

#define WATCH_INPUTS_MAX  1024 /* captures, key logs, private keys, PSK files: of each */
#define WATCH_WORKERS_MAX 256

/* Names of files, in order. */
struct watch_names {
	const char *at[WATCH_INPUTS_MAX];
	size_t count;
};

/* A source of keys that is not a file: from elsewhere, by whoever calls. */
struct watch_source {
	/*
	 * Called once, before the first packet is read: what is held now goes into `ring` before it returns; with `follow`,
	 * what comes later, too, from a thread of its own. False with `err` ends the watch.
	 */
	bool (*begin)(struct keyring *ring, bool follow, void *ctx, struct error *err);
	/* Nothing goes into the ring any more. Called only after a `begin` that was true. */
	void (*end)(void *ctx);
	void *ctx;
};

struct watch_options {
	struct watch_names
		captures;      /* read one after the other as one capture; "-" is standard input, and then alone */
	const char *connect;   /* HOST:PORT that sends a capture */
	const char *interface; /* live */
	const char *filter;    /* of the live capture */
	bool promiscuous;
	bool follow; /* capture files go on growing */
	struct watch_names keylogs, private_keys, psks;
	struct watch_source source; /* `begin` NULL: none */
	struct outputs outputs;
	const char *rewrite; /* pcapng with the packets as they came and the keys that open them; NULL: none */
	unsigned workers;    /* 0: as many as there are processors */
	struct table_limits table;
	struct session_limits session;
	struct keyring_limits keys;
	int stop_fd; /* readable: end in good order; below 0: none */
};

/* Defaults; no input, no output. */
void watch_options_init(struct watch_options *options);

struct watch_report {
	struct engine_counts engines;
	struct keyring_counts keys;
	struct capture_counts capture;
	struct live_counts live;
	uint64_t sink_lost; /* records that outputs could not write */
	bool cut;           /* a capture ended within a frame: `note` says where */
	struct error note;
};

/* Runs to the end of the input. False with `err` set; what was read until then is in the report. */
must_check bool watch_run(const struct watch_options *options, struct watch_report *report, struct error *err);

/*
 * "12 TLS connections: 9 decrypted, 1 partly, 2 not (2 no-key, 1.2 MB); …" Returns the octets written, without a newline.
 */
#define WATCH_SUMMARY_ROOM 2048
size_t watch_summary(const struct watch_report *report, char out[static WATCH_SUMMARY_ROOM]);

#endif

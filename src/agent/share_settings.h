/*
 * agent/share_settings.h — how the agent is told to share: variables of the environment, which hold nothing secret and
 * pass on to all programs that the first one starts.
 */
#ifndef AGENT_SHARE_SETTINGS_H
#define AGENT_SHARE_SETTINGS_H

#include "base/attr.h"

#include <stdbool.h>
#include <stdint.h>

/* Of the shipper's socket: a path, or "@NAME" in the abstract namespace, which a changed root still reaches. */
#define SHARE_ADDRESS  "OVERT_SHARE"
#define SHARE_UID      "OVERT_SHARE_UID"      /* the shipper's user; not set: root */
#define SHARE_RULE     "OVERT_SHARE_RULE"     /* "open" or "closed"; not set: open */
#define SHARE_DEADLINE "OVERT_SHARE_DEADLINE" /* milliseconds that a handshake waits at most; not set: 200 */
#define SHARE_MODE     "OVERT_SHARE_MODE"     /* "live" or "after-rotation"; not set: live */
/* With after-rotation, of TLS 1.3: keys are changed after so much in both directions, and so long; 0: not by that. */
#define SHARE_ROTATE_BYTES   "OVERT_SHARE_ROTATE_BYTES"
#define SHARE_ROTATE_SECONDS "OVERT_SHARE_ROTATE_SECONDS"
#define SHARE_ROTATE_WHEN    "OVERT_SHARE_ROTATE_WHEN" /* "writes" or "calls" of the program; not set: writes */
#define SHARE_FIFO           "OVERT_SHARE_FIFO" /* path of the FIFO for programs that the agent does not reach; not set: none */

/* Path of a list of readers (keys/share_readers.h), for whom the other side is asked; not set: nobody is asked. */
#define SHARE_READERS "OVERT_SHARE_READERS"

#define SHARE_DEADLINE_DEFAULT 200
#define SHARE_DEADLINE_MAX     60000
/* A reader's defaults hold as much, and as long, as two epochs of these (watch/session.h). */
#define SHARE_ROTATE_BYTES_DEFAULT   ((uint64_t)2 * 1024 * 1024)
#define SHARE_ROTATE_BYTES_MAX       ((uint64_t)1 << 40)
#define SHARE_ROTATE_SECONDS_DEFAULT 30
#define SHARE_ROTATE_SECONDS_MAX     604800

/* Copies: servers write their titles over the environment. Texts are "" when not set. */
struct share_settings {
	bool on;
	char address[108]; /* as a socket's may be */
	char fifo[256];
	char readers[256];
	uint32_t uid;
	uint32_t deadline_ms;
	uint64_t rotate_bytes;
	uint32_t rotate_seconds;
	bool rotate_calls;   /* behind any call; else with what the program itself writes */
	bool after_rotation; /* only what this side receives, once it has left the epoch */
	bool closed;         /* without an answer in time: no connection; else on without one, and counted */
};

/*
 * Reads the variables, none of which count in a set-user-ID program. False when they make no sense: `on` and `closed` are
 * then set.
 */
must_check bool share_settings_read(struct share_settings *out);
/* Sets the variables of this process. */
must_check bool share_settings_export(const struct share_settings *settings);

#endif

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
#define SHARE_FIFO     "OVERT_SHARE_FIFO" /* path of the FIFO for programs that the agent does not reach; not set: none */

#define SHARE_DEADLINE_DEFAULT 200
#define SHARE_DEADLINE_MAX     60000

/* Copies: servers write their titles over the environment. Texts are "" when not set. */
struct share_settings {
	bool on;
	char address[108]; /* as a socket's may be */
	char fifo[256];
	uint32_t uid;
	uint32_t deadline_ms;
	bool closed; /* without an answer in time: no connection; else on without one, and counted */
};

/*
 * Reads the variables, none of which count in a set-user-ID program. False when they make no sense: `on` and `closed` are
 * then set.
 */
must_check bool share_settings_read(struct share_settings *out);
/* Sets the variables of this process. */
must_check bool share_settings_export(const struct share_settings *settings);

#endif

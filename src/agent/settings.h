/*
 * agent/settings.h — how `overt exec` tells the agent what to do: variables of the environment, which hold names of files
 * and, as the only secret, the token of this run's reports. They pass on to all programs that the first one starts.
 */
#ifndef AGENT_SETTINGS_H
#define AGENT_SETTINGS_H

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AGENT_RULE     "OVERT_ACCORD"         /* "require" or "prefer"; without it the agent does nothing */
#define AGENT_ANCHORS  "OVERT_ACCORD_ANCHORS" /* PEM: the Accord anchors */
#define AGENT_TRUST    "OVERT_ACCORD_TRUST"   /* PEM: web roots; not set: the distribution's */
#define AGENT_ROLE     "OVERT_ACCORD_ROLE"    /* "reader", "writer" or "both" */
#define AGENT_PROXIES  "OVERT_ACCORD_PROXIES" /* names and pins, with commas; not set: all that the anchors stand for */
#define AGENT_APPROVAL "OVERT_ACCORD_APPROVAL" /* PEM: the key that approves where a server demands it; not set: none */
#define AGENT_SERVER   "OVERT_ACCORD_SERVER"   /* the rules of an aware server; not set: programs are clients */
#define AGENT_REPORT   "OVERT_ACCORD_REPORT"   /* path of the socket for reports; not set: none */
#define AGENT_TOKEN    "OVERT_ACCORD_TOKEN"    /* what reports begin with, in hex */

#define AGENT_MAX_PROXIES  32 /* as PACT_MAX_PROXIES (pact/pact.h) */
#define AGENT_TOKEN_OCTETS 16 /* as REPORT_TOKEN (agent/report.h) */

/* After agent_settings_read texts are views of `texts` and `names`: the struct must stay where it is. */
struct agent_settings {
	bool on, require;
	const char *anchors, *trust, *report, *approval;
	const char *server;                /* rules; NULL: clients */
	uint8_t token[AGENT_TOKEN_OCTETS]; /* zero: none */
	uint8_t roles;                     /* set of enum accord_role */
	const char *proxy[AGENT_MAX_PROXIES];
	size_t proxies;
	char names[AGENT_MAX_PROXIES * 256];
	char texts[5 * 4096]; /* paths */
	size_t texts_len;
};

/*
 * Reads the variables, none of which count in a set-user-ID program. False when they make no sense; `on` and `require`
 * are then set so that nothing is let through.
 */
must_check bool agent_settings_read(struct agent_settings *out);
/* Sets the variables of this process. */
must_check bool agent_settings_export(const struct agent_settings *settings);

#endif

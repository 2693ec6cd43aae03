/* cli/local_options.h — what the command line of `overt local` says. */
#ifndef CLI_LOCAL_OPTIONS_H
#define CLI_LOCAL_OPTIONS_H

#include "accord/client.h"
#include "pact/pact.h"
#include "policy/config.h"

struct local_wish {
	struct pact_terms terms;
	const char *named[PACT_MAX_PROXIES];
	struct pact *pact; /* the caller's */
	enum accord_rule rule;
	uint8_t roles;
	uint64_t retention_ns;
	char proxy[512]; /* URL; "": none */
	const char *listen, *state, *jsonl;
	bool verbose;
};

/* Fills in *wish, and makes the configuration of the proxy that follows from it: the caller's. NULL with `err` set. */
must_check struct config *local_options_read(struct local_wish *wish, int argc, char **argv, struct error *err);
void local_options_help(void);

#endif

/*
 * proxy/family.h — what the supervisor and its children say to each other, over one ipc channel each (descriptor 3 of the
 * child). Children get nothing else but standard streams: every descriptor they need comes in a message.
 */
#ifndef PROXY_FAMILY_H
#define PROXY_FAMILY_H

#include "base/bytes.h"

#include <signal.h>

enum family_role { ROLE_KEEPER, ROLE_RESOLVER, ROLE_SCRIBE, ROLE_WORKER, ROLES };

static inline const char *family_role_name(enum family_role role)
{
	static const char *const names[] = {"keeper", "resolver", "scribe", "worker"};
	return names[role];
}

/*
 * A terminal's Ctrl-C and a service manager's signals reach the whole group: only the supervisor decides. Done before exec
 * too, which keeps it, so that there is no moment at which a signal would end a child.
 */
static inline void family_ignore_signals(void)
{
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGUSR2, SIG_IGN);
}

#define FAMILY_FD         3
#define FAMILY_QUEUE      ((size_t)1024 * 1024) /* octets that may wait for a slow child */
#define FAMILY_SUPERVISOR "supervisor"          /* the name in FAMILY_SERVE of its own channel to the keeper */
#define FAMILY_ARGUMENTS  512                   /* words of a command line at most */

enum family_message {
	/* supervisor to child */
	FAMILY_SETUP = 1, /* struct family_setup; first of all */
	FAMILY_SNAPSHOT,  /* fd: the bundle of rules and trust. To workers; after START: a reload */
	FAMILY_LISTEN,    /* fds: up to four listening sockets, in the order of the configuration. To workers */
	FAMILY_KEEPER,    /* fd: a channel to the keeper; again when the keeper was replaced. To workers */
	FAMILY_RESOLVER,  /* the same for the resolver */
	FAMILY_RING, /* u32 source; four fds of a ring. To workers and the scribe; again when the scribe was replaced */
	FAMILY_DETACH, /* u32 source: that ring's worker is gone. To the scribe */
	FAMILY_SERVE,  /* fd and a name: somebody to serve. To keeper and resolver */
	FAMILY_START,  /* all is there: take up the work */
	FAMILY_DRAIN,  /* end when what is in progress has ended */
	FAMILY_REOPEN, /* files of outputs by name again; fd, if any: the new standard error. To all */
	FAMILY_COUNT,  /* say your figures: answered by FAMILY_COUNTS. To all */
	FAMILY_PREPARE, /* open the CA and nothing else: another keeper still has the state. To the keeper, before START */
	FAMILY_HAND_OVER, /* close the state and give back the workers' channels: another keeper goes on. To the keeper */
	/* child to supervisor */
	FAMILY_READY = 100, /* the work is taken up. The keeper: body is the PEM that clients may trust */
	FAMILY_FAILED,      /* text: the child cannot start, and ends */
	FAMILY_AUTHORITY,   /* the keeper has opened another CA: body is the PEM that clients may trust from now on */
	FAMILY_COUNTS,      /* as counts_… of proxy/counts.h writes them */
	FAMILY_PREPARED,    /* the keeper has the CA: body is the PEM */
	FAMILY_PEER,        /* fd and a name: the channel of a worker whose keeper another shall be */
	FAMILY_HANDED,      /* the keeper has closed everything in the state, and ends */
};

/* What a child builds its configuration from: the same words and the same text for all of them. */
struct family_setup {
	uint32_t number;          /* of a worker */
	uint64_t connections;     /* a worker's share of the cap, as the limits of this machine allow */
	struct bytes arguments;   /* words, each with its NUL; the first is the verb */
	struct bytes config_name; /* empty: no file */
	struct bytes config_text;
};

static inline void family_setup_write(struct writer *w, const struct family_setup *setup)
{
	writer_u32(w, setup->number);
	writer_u64(w, setup->connections);
	writer_vec32(w, setup->arguments);
	writer_vec16(w, setup->config_name);
	writer_vec32(w, setup->config_text);
}

must_check static inline bool family_setup_read(struct bytes in, struct family_setup *setup)
{
	return bytes_u32(&in, &setup->number) && bytes_u64(&in, &setup->connections) &&
	       bytes_vec32(&in, &setup->arguments) && bytes_vec16(&in, &setup->config_name) &&
	       bytes_vec32(&in, &setup->config_text) && in.len == 0;
}

#endif

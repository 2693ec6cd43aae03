/*
 * base/sandbox.h — what a process gives up before it does its work. Order: sandbox_prepare at the start of
 * main, sandbox_drop when everything privileged is open and before any thread, sandbox_enter last, after files and threads
 * are there.
 */
#ifndef BASE_SANDBOX_H
#define BASE_SANDBOX_H

#include "base/error.h"

#include <sys/types.h>

enum sandbox_role {
	SANDBOX_WORKER, /* TCP over IPv4 and IPv6; no files (open and its kind give EACCES), no threads, no programs */
	SANDBOX_KEEPER, /* files; no new sockets, no threads, no programs */
	SANDBOX_KEEPER_TOKEN,  /* a keeper whose CA key is in a token: AF_UNIX sockets and threads as well */
	SANDBOX_RESOLVER,      /* sockets, files to read, libraries of nsswitch.conf, threads; no programs */
	SANDBOX_SCRIBE,        /* files, the terminal, TCP both ways, threads; no programs */
	SANDBOX_COLLECTOR,     /* the same */
	SANDBOX_COLLECTOR_BUS, /* with a message bus, whose library looks names up: what the resolver may, too */
};

/*
 * For every process, also unprivileged: time zone read, no core dumps, not traceable, no new privileges by exec.
 * A program that is to be debugged does without.
 */
must_check bool sandbox_prepare(struct error *err);

struct sandbox_user {
	uid_t uid;
	gid_t gid;
};

/* Looks a user up by name (or number, then its group is that user's). False with `err` set. Reads files. */
must_check bool sandbox_user_find(const char *name, struct sandbox_user *user, struct error *err);
/*
 * Becomes `user` with no supplementary groups and drops every capability, but CAP_NET_ADMIN when `transparent` (TPROXY
 * needs it). With `user` NULL the user stays and only capabilities go. False with `err` set when `user` is another than
 * the present one and cannot be become, or CAP_NET_ADMIN is asked for and not there.
 */
must_check bool sandbox_drop(const struct sandbox_user *user, bool transparent, struct error *err);

/*
 * Puts the role's seccomp filter on all threads of the process. What is not listed kills the process with SIGSYS; for who
 * looks names up, whose nsswitch modules nobody can foresee, it gives EPERM, and only exec, ptrace and their like kill. Calls
 * that name files give EACCES where the role has none. There is no way back.
 */
must_check bool sandbox_enter(enum sandbox_role role, struct error *err);

/* False when this build carries a sanitizer, whose runtime needs calls that the filters forbid. */
must_check bool sandbox_possible(void);

#endif

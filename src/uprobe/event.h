/*
 * uprobe/event.h — what the probes in the kernel (probe.bpf.c) hand over: a slot of memory that both sides see. Compiled
 * for the kernel's machine as well, so it includes nothing of the house.
 */
#ifndef UPROBE_EVENT_H
#define UPROBE_EVENT_H

#include <linux/types.h>

#define PROBE_SLOTS   1024 /* a power of two: secrets that may wait to be fetched; one that finds no room is counted */
#define PROBE_TEXT    4095
#define PROBE_RANDOM  32
#define PROBE_SECRET  64
#define PROBE_PARENTS 64 /* between a program and the run, at most */

enum probe_kind {
	PROBE_LINE = 1, /* text: the label; random, secret; owner */
	PROBE_SUITE,    /* suite, secret */
	PROBE_MASTER,   /* version, suite, random, server_random, secret; owner */
	PROBE_NAME,     /* text: the name a client asks for; owner */
	PROBE_HELLO,    /* text: a ClientHello, its beginning; owner */
	PROBE_CIPHER,   /* ciphers; owner */
	PROBE_EXEC,     /* the process has become another program */
};

struct probe_event {
	__u32 full; /* the kernel's side sets it, ours clears it */
	__u32 kind; /* enum probe_kind */
	__u32 pid;  /* as the run sees it */
	__u16 version, suite;
	__u64 owner;      /* what the events of one handshake have in common: Go's goroutine, OpenSSL's connection */
	__s32 ciphers[2]; /* OpenSSL's numbers; one of them may be that of a cipher */
	__u16 text_len, secret_len;
	char program[16];
	__u8 random[PROBE_RANDOM], server_random[PROBE_RANDOM], secret[PROBE_SECRET];
	__u8 text[PROBE_TEXT + 1];
};

/* One for all: whose programs count, and what was counted. */
struct probe_state {
	__u32 run; /* its process, as the kernel numbers it: the program and what it starts are below it */
	__u32 next;
	__u64 device, inode; /* of the run's PID namespace */
	__u64 taken, dropped, unreadable;
};

#endif

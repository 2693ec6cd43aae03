/*
 * agent/share.h — the part of the preloaded object that shares keys: told by the environment (share_settings.h), it hands
 * record keys of whatever TLS library the program has to the shipper (share_link.h), and where it cannot get at that
 * library, makes the program write its secrets to a FIFO of the run.
 */
#ifndef AGENT_SHARE_H
#define AGENT_SHARE_H

/* Before the program's own code; once. */
void share_begin(void);

#endif

/*
 * agent/share_probes.h — for programs that nothing can be loaded into: before this process becomes or starts one, the run
 * is shown its file, and may place probes in it (uprobe/uprobe.h) while it waits. libc only; nothing that may not be
 * called between vfork and exec, but for dlsym where a function of ours is called before share_probes_begin.
 *
 * Met at a socket beside the door (SOCK_SEQPACKET): one octet, PROBES_ASK, with the file's descriptor attached; the
 * answer is one octet.
 */
#ifndef AGENT_SHARE_PROBES_H
#define AGENT_SHARE_PROBES_H

#include "agent/share_settings.h"

#include <sys/socket.h>
#include <sys/un.h>

#define PROBES_ASK     'P'
#define PROBES_NOTHING '0' /* the program is for the agent */
#define PROBES_SPOKEN  '1' /* it is not, and that was said */
#define PROBES_SECONDS 2   /* that a program waits at most */

/* Of the socket, from the door's. 0 when there is none: a door with a path serves strangers, which no probes are for. */
must_check socklen_t share_probes_address(const char *door, struct sockaddr_un *out);

/* Once. Does nothing where nothing is shared, or there is no such socket. */
void share_probes_begin(const struct share_settings *settings);
/* This process's own program. True when somebody has spoken of it. */
must_check bool share_probes_self(void);

#endif

/*
 * agent/share_quiet.h — for what the agent writes on a connection of the program's: it leaves nothing behind that the program
 * would see, and is not begun where it would. libc only.
 */
#ifndef AGENT_SHARE_QUIET_H
#define AGENT_SHARE_QUIET_H

#include "base/attr.h"

#include <signal.h>
#include <stdbool.h>

struct share_quiet {
	int error;
	sigset_t mask;
	bool pending; /* a SIGPIPE of the program's own */
};

/* errno stays as it is, and SIGPIPE does not come, of what happens up to share_quiet_end. */
void share_quiet_begin(struct share_quiet *quiet);
void share_quiet_end(const struct share_quiet *quiet);

/*
 * A few octets can be written there without waiting, and whoever reads them has not said yet that it is done. A descriptor
 * below 0, of a connection that has none, is taken to be like that.
 */
must_check bool share_quiet_writable(int fd);
/* Reading from it does not wait. */
must_check bool share_quiet_nonblocking(int fd);

#endif

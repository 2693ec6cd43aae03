/* proxy/listening.h — the sockets that a proxy listens at, opened while the process may still do so. */
#ifndef PROXY_LISTENING_H
#define PROXY_LISTENING_H

#include "base/error.h"
#include "policy/config.h"

struct takeover;

/*
 * One bound, non-blocking, close-on-exec socket per entry of config->listen; *fds is the caller's, for
 * listening_close. False with one line in `err`, and nothing left open.
 */
must_check bool listening_open(const struct config *config, int **fds, struct error *err);
/* The same with the sockets that another program hands over (takeover.h) where it has the ones asked for. */
must_check bool listening_take(const struct config *config, struct takeover *takeover, int **fds, struct error *err);
/*
 * Begins to listen, and logs the address that each socket got: once the proxy is ready to answer, so that whoever can
 * connect finds the CA made and the workers up.
 */
must_check bool listening_begin(const struct config *config, const int *fds, struct error *err);
/*
 * A port of the proxy's own, listening: `option` is the name of the option that asks for it, for the log and the
 * message. The caller's; -1 with one line in `err`.
 */
must_check int listening_one(const char *option, const struct listen_at *at, struct error *err);
/* Whoever connects from now on is refused, in every process that holds the sockets. */
void listening_end(const struct config *config, const int *fds);
/* They are another program's from now on: closed here, and open there. listening_close is still to be called. */
void listening_leave(const struct config *config, int *fds);
void listening_close(const struct config *config, int *fds);

#endif

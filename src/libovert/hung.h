/* libovert/hung.h — what libovert hangs on a program's SSL_CTX: one thing of each kind, which goes with the context. */
#ifndef LIBOVERT_HUNG_H
#define LIBOVERT_HUNG_H

#include "base/error.h"

#include <openssl/ssl.h>

enum hung_kind { HUNG_CLIENT, HUNG_SERVER, HUNG_KINDS };

/* What is hung begins with this. */
struct hung {
	void (*drop)(struct hung *hung);
};

/*
 * Hangs it there and then calls `attach`. Takes it: where that fails, or something of the kind hangs there already, it is
 * dropped. NULL is "no memory".
 */
must_check bool hung_attach(SSL_CTX *ctx, enum hung_kind kind, struct hung *hung,
	bool (*attach)(struct hung *hung, SSL_CTX *ctx, struct error *err), struct error *err);

#endif

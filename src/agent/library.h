/* agent/library.h — which libssl a program, or a part of it, uses. For the preloaded object: libc only. */
#ifndef AGENT_LIBRARY_H
#define AGENT_LIBRARY_H

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * The function of this name that the code at `caller` would have called without `ours`: the one in its object's own
 * libraries, or else the next in the program. RTLD_NEXT alone is not enough: of what was loaded with RTLD_LOCAL, as all
 * of Python's modules are, it sees nothing. Functions of libssl that neither has are those of the only libssl that
 * was met. NULL when there is none.
 */
must_check void *library_find(const char *name, const void *caller, const void *ours);
/* The file that has the code at `at`; "?" when there is none. Stays as long as it is loaded. */
must_check const char *library_of(const void *at);

/*
 * The names of TLS libraries that are loaded and are not libssl.so.3, with ", " between: "" when there is none, or
 * when libssl.so.3 is there too.
 */
void library_others(char *out, size_t cap);

/*
 * Which libssl has made an SSL. OpenSSL 1.1.1 calls some of its own functions by name, and jumps there: at the end of
 * SSL_connect to SSL_do_handshake. Whoever has called the one seems to have called the other, and may have found the one with
 * dlsym, in whatever library.
 */

/* The code at `at` is a libssl's: its number, 0 when there are too many. One thread at a time. */
must_check unsigned library_met(const void *at);
/* The libssl of this number has made the SSL. Any thread. */
void library_made(const void *ssl, unsigned number);
/* Where several were met, the function of this name in the one that has made the SSL. NULL: not known. Any thread. */
must_check void *library_find_made(const char *name, const void *ssl, const void *ours);

#endif

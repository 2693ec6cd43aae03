/* proxy/users.h — who may use the explicit proxy: lines of USER:PASSWORD and "bearer TOKEN" (RFC 7617, RFC 6750). */
#ifndef PROXY_USERS_H
#define PROXY_USERS_H

#include "base/error.h"
#include "proxy/intake_http.h"

#define USERS_MAX 10000

/*
 * Reads the file's text, which must outlive the result: its views point into it. Blank lines and those that begin with #
 * are passed over. False with `err` ("NAME:LINE: ..."), also when nobody is named: that would let everybody in.
 */
must_check bool users_read(struct intake_users *out, struct bytes text, const char *name, struct error *err);
void users_free(struct intake_users *users);

#endif

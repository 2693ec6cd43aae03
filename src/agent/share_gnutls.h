/*
 * agent/share_gnutls.h — sharing in programs that use GnuTLS from 3.7.4 on: functions of its names that stand before its
 * own. Nothing of GnuTLS is linked here; types and values are those of its interface.
 */
#ifndef AGENT_SHARE_GNUTLS_H
#define AGENT_SHARE_GNUTLS_H

#include <stddef.h>

struct gnutls_session_int;
struct share_datum {
	unsigned char *data;
	unsigned int size;
};
typedef int gnutls_keylog_func(struct gnutls_session_int *session, const char *label, const struct share_datum *secret);

int gnutls_init(struct gnutls_session_int **session, unsigned int flags);
int gnutls_handshake(struct gnutls_session_int *session);
int gnutls_server_name_set(struct gnutls_session_int *session, int type, const void *name, size_t len);
void gnutls_deinit(struct gnutls_session_int *session);
void gnutls_session_set_keylog_function(struct gnutls_session_int *session, gnutls_keylog_func *callback);
gnutls_keylog_func *gnutls_session_get_keylog_function(const struct gnutls_session_int *session);

/* Once. */
void share_gnutls_begin(void);

#endif

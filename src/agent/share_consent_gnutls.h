/*
 * agent/share_consent_gnutls.h — consent in programs on GnuTLS: the extension is registered with every session.
 * Nothing of GnuTLS is linked here; types and values are those of its interface. Keys are handed over when the
 * handshake is over, when both sides have finished it: nothing waits here.
 */
#ifndef AGENT_SHARE_CONSENT_GNUTLS_H
#define AGENT_SHARE_CONSENT_GNUTLS_H

#include "agent/share_consent.h"

struct gnutls_session_int;

/*
 * The library that `handle` (of dlopen) is of. `state_of` gives what a session has asked and been told, and the
 * server's name as far as it is known; NULL: a session that is not ours. One thread at a time, before any session.
 */
void share_consent_gnutls_begin(
	void *handle, struct share_consent_state *(*state_of)(
			      struct gnutls_session_int *session, char name[static SHARE_NAME_MAX + 1]));
/* A new session. */
void share_consent_gnutls_attach(struct gnutls_session_int *session);
/* Sets the terms of a key of application data, after the handshake. */
void share_consent_gnutls_pass(
	struct gnutls_session_int *session, struct share_consent_state *state, struct share_item *item);

#endif

/*
 * agent/share_consent.h — consent in unmodified programs, whatever their library: clients offer whom they let read,
 * servers disclose whom they let read of those (keys/share_offer.h). What comes of it stands on the keys that are
 * handed over. The extension itself is put in by share_consent_openssl.h and share_consent_gnutls.h.
 *
 * Without a list of readers (share_settings.h) nothing of this is done.
 */
#ifndef AGENT_SHARE_CONSENT_H
#define AGENT_SHARE_CONSENT_H

#include "agent/share_settings.h"
#include "keys/share_item.h"
#include "keys/share_offer.h"

/* Of a connection. Zeroed when new; a value without secrets. */
struct share_consent_state {
	uint8_t nonce[SHARE_NONCE]; /* the same in a second ClientHello */
	uint64_t offered;
	bool asked; /* the client has made an offer, or the server has got one */
	bool said;
	struct share_agreement agreement;
};

/* Once, before the program's own code, its rights or its root change: reads the list, which stays. */
void share_consent_begin(const struct share_settings *settings);
/* There is a list. */
must_check bool share_consent_on(void);

/* The client: its offer for a server of this name ("": none). False: it makes none. */
must_check bool share_consent_offer(
	struct share_consent_state *state, const struct share_sha256 *sha256, const char *name, struct writer *to);
/* The client got this notice. */
void share_consent_disclosed(struct share_consent_state *state, struct bytes notice);
/* The server, which the client calls by this name, got this offer. */
void share_consent_offered(
	struct share_consent_state *state, const struct share_sha256 *sha256, const char *name, struct bytes offer);
/* The server: its notice. False: it makes none. */
must_check bool share_consent_disclose(const struct share_consent_state *state, struct writer *to);

/* Both sides agree, in the mode of this process. NULL: no. */
must_check bool share_consent_agreed(const struct share_consent_state *state);
/* What is to be said of a key of this connection. NULL: nothing was asked. */
must_check struct share_terms share_consent_terms(const struct share_consent_state *state, bool resumed);
/*
 * Says once why they do not agree, of a connection whose handshake is over and which `key` is of. `able`: the program's
 * library asks where it is a client. `state` NULL: nothing was asked.
 */
void share_consent_say(struct share_consent_state *state, const struct share_item *key, bool able);

#endif

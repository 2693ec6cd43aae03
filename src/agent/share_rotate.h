/*
 * agent/share_rotate.h — mode "after-rotation" in programs that use OpenSSL, and ends inside a connection in every mode.
 * What a side receives is released one epoch at a time, once it has left the epoch: the peer's KeyUpdate or close_notify was
 * processed, or the connection freed. The client's agent asks for rotations: with what its program writes, so that nothing
 * is sent where the program would send nothing. That matters: who closes a socket on which something arrived that it has
 * not read resets the connection, and what it had sent last is lost. Where peers read as they write, it may ask behind any
 * call, and the server's agent send the answer that its program has not written yet (setting "calls"). All of it on the
 * program's own thread, around a call of its own, and unseen by it.
 */
#ifndef AGENT_SHARE_ROTATE_H
#define AGENT_SHARE_ROTATE_H

#include "agent/share_hold.h"
#include "agent/share_link.h"
#include "agent/share_openssl_library.h"
#include "agent/share_settings.h"

#include <stdatomic.h>

enum share_rotate_key {
	SHARE_ROTATE_LIVE,   /* it goes out now */
	SHARE_ROTATE_HELD,   /* it is held, or not for others: nothing is to be done with it */
	SHARE_ROTATE_REFUSE, /* the connection must not go on */
};

/*
 * From within the keylog callback: a key that begins an epoch of one direction, with all that is known of it. The mode in
 * its terms is set.
 */
must_check enum share_rotate_key share_rotate_key(
	const struct openssl_library *library, const SSL *ssl, struct share_item *item);

/*
 * The same for a library in which nothing rotates: `*hold` (NULL at first) is made when there is something to be held, and
 * given to share_hold_free when its session is no more. The item says which side the program is.
 */
must_check enum share_rotate_key share_rotate_hold(struct share_hold **hold, struct share_item *item);

/* What a call of the program has done. */
struct share_rotate_call {
	size_t moved; /* octets of application data */
	bool good;    /* it did what it was asked for */
	bool writes;  /* it writes data: when it was not good, it is to be repeated before anything else is written */
	bool reads;
};

extern atomic_bool share_rotate_on; /* something is held, or may be; share_rotate's */

/* Whether share_rotate_after is to be called; costs next to nothing. */
must_check static inline bool share_rotate_wanted(void)
{
	return atomic_load_explicit(&share_rotate_on, memory_order_relaxed) || share_link_ends() != 0;
}

/* Before the program writes data: the library will write the question before them. */
void share_rotate_before(const struct openssl_library *library, SSL *ssl);
/*
 * After a call of the program, when the library has done it. True: the program's call is to be made again, for the state
 * that it left is gone, and what it was about has not come.
 */
must_check bool share_rotate_after(
	const struct openssl_library *library, SSL *ssl, const struct share_rotate_call *call);

/* For the library's data of connections. */
void share_rotate_freed(void *ssl, void *data, CRYPTO_EX_DATA *all, int index, long argl, void *argp);
int share_rotate_duplicated(
	CRYPTO_EX_DATA *to, const CRYPTO_EX_DATA *from, void **data, int index, long argl, void *argp);

/* Once; the settings must stay. */
void share_rotate_begin(const struct share_settings *settings);

#endif

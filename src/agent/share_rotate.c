#include "agent/share_rotate.h"

#include "agent/share_quiet.h"
#include "tls/hello.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S  UINT64_C(1000000000)
/*
 * Between two rotations of a connection, at least: peers end connections whose keys change too often. GnuTLS wants no
 * more than eight a second.
 */
#define GAP_NS      (150 * NS_PER_MS)
#define KTLS        (UINT64_C(1) << 3) /* SSL_OP_ENABLE_KTLS of OpenSSL 3 */
#define KTLS_OLDEST 0x30000000UL

/* Of a connection, on the thread that has it. */
struct rotation {
	struct share_hold *hold; /* NULL: live, or there was no room */
	uint8_t client_random[KEYLOG_RANDOM];
	bool server;
	bool after;    /* the connection's mode is after-rotation */
	bool writing;  /* a call is to be repeated */
	bool asked;    /* the peer has not answered yet */
	bool told;     /* that this epoch has lasted too long */
	bool stopped;  /* nothing more goes out */
	bool forced;   /* its end was said: it changes its keys, whatever the pace */
	bool unproven; /* the question was asked, and this side's new epoch not told yet */
	bool silent;   /* the library does not tell of changes */
	uint64_t ends;
	uint64_t bytes;    /* in this epoch, of both directions */
	uint64_t began_ns; /* the epoch */
	uint64_t after_ns; /* the next rotation, not before */
};

atomic_bool share_rotate_on;

static const struct share_settings *settings;
static atomic_bool said_old, said_ktls, said_silent;

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void say_once(atomic_bool *said, const char *text)
{
	if (!atomic_exchange(said, true))
		share_link_say(SHARE_BARRED, text);
}

static struct rotation *rotation_of(const struct openssl_library *library, const SSL *ssl)
{
	return library->get_data(ssl, library->rotate_slot);
}

static struct rotation *rotation_new(const struct openssl_library *library, const SSL *ssl, uint64_t ends)
{
	struct rotation *rotation = calloc(1, sizeof(*rotation));
	if (!rotation)
		return NULL;
	rotation->server = library->is_server(ssl) != 0;
	rotation->ends = ends;
	rotation->began_ns = now_ns();
	(void)library->client_random(ssl, rotation->client_random, sizeof(rotation->client_random));
	if (library->set_data((SSL *)(uintptr_t)ssl, library->rotate_slot, rotation) == 1)
		return rotation;
	free(rotation);
	return NULL;
}

/* In mode live connections are looked at from the first end on; one that began after it has been known since. */
static struct rotation *rotation_now(const struct openssl_library *library, const SSL *ssl)
{
	struct rotation *rotation = rotation_of(library, ssl);
	if (!rotation && share_link_ends() != 0 && library->is_finished(ssl) == 1)
		rotation = rotation_new(library, ssl, 0);
	return rotation;
}

/* Keys. */

static bool is_ktls(const struct openssl_library *library, const SSL *ssl)
{
	return library->version_num() >= KTLS_OLDEST && (library->get_options(ssl) & KTLS) != 0;
}

static void hear_ends(struct rotation *rotation)
{
	enum share_end how = share_link_ended(&rotation->ends, rotation->client_random);
	if (how == SHARE_END_NONE || rotation->stopped)
		return;
	rotation->forced = true;
	if (how != SHARE_END_STOP)
		return;
	rotation->stopped = true;
	if (rotation->hold)
		share_hold_stop(rotation->hold);
}

/* An object that serves one connection after another (SSL_clear): what it held of the last one is over. */
static void begin_again(struct rotation *rotation, const struct record_key *key)
{
	if (memcmp(rotation->client_random, key->client_random, KEYLOG_RANDOM) == 0)
		return;
	memcpy(rotation->client_random, key->client_random, KEYLOG_RANDOM);
	if (rotation->hold)
		share_hold_anew(rotation->hold);
	rotation->ends = share_link_ends();
	rotation->asked = rotation->stopped = rotation->forced = rotation->writing = rotation->unproven = false;
}

static void begin_epoch(struct rotation *rotation, const struct record_key *key)
{
	if (key->stage == RECORD_STAGE_APPLICATION && key->epoch > 0 && rotation->after)
		share_link_count(SHARE_COUNT_ROTATIONS, 1);
	rotation->asked = rotation->told = false;
	rotation->bytes = 0;
	rotation->began_ns = now_ns();
}

static enum share_rotate_key unheld(void)
{
	/* Its keys would be lost, which under this rule no connection may be. */
	return settings->closed ? SHARE_ROTATE_REFUSE : SHARE_ROTATE_HELD;
}

static enum share_rotate_key hold_key(struct share_hold **hold, const struct share_item *item)
{
	if (!*hold)
		*hold = share_hold_new();
	if (!*hold || (settings->closed && !share_link_there()))
		return unheld();
	share_hold_key(*hold, item);
	return SHARE_ROTATE_HELD;
}

static enum share_rotate_key too_old(void)
{
	say_once(&said_old, "its connections of TLS 1.2, which has no rotation: nothing of them is released");
	return unheld();
}

enum share_rotate_key share_rotate_hold(struct share_hold **hold, struct share_item *item)
{
	if (!settings->after_rotation && item->terms.mode != SHARE_AFTER_ROTATION)
		return SHARE_ROTATE_LIVE;
	item->terms.mode = SHARE_AFTER_ROTATION;
	if (item->key.version != TLS_VERSION_13)
		return too_old();
	return item->key.from_client == item->server ? hold_key(hold, item) : SHARE_ROTATE_HELD;
}

enum share_rotate_key share_rotate_key(const struct openssl_library *library, const SSL *ssl, struct share_item *item)
{
	bool after = settings->after_rotation || item->terms.mode == SHARE_AFTER_ROTATION;
	uint64_t ends = share_link_ends();
	struct rotation *rotation = rotation_of(library, ssl);
	if (after)
		item->terms.mode = SHARE_AFTER_ROTATION;
	if (after && item->key.version != TLS_VERSION_13)
		return too_old();
	if (after && is_ktls(library, ssl)) {
		say_once(&said_ktls,
			"its connections with kernel TLS, whose keys do not change: nothing of them is released");
		return unheld();
	}
	/* What was said before a connection began was not said to it. */
	if (!rotation && (after || ends != 0))
		rotation = rotation_new(library, ssl, item->key.epoch == 0 ? ends : 0);
	if (!rotation)
		return after ? unheld() : SHARE_ROTATE_LIVE;
	begin_again(rotation, &item->key);
	if (ends != rotation->ends)
		hear_ends(rotation);
	if (rotation->stopped)
		return SHARE_ROTATE_HELD;
	bool received = item->key.from_client == rotation->server;
	rotation->after |= after;
	if (!received)
		rotation->unproven = false;
	if (received)
		begin_epoch(rotation, &item->key);
	if (!after)
		return SHARE_ROTATE_LIVE;
	atomic_store(&share_rotate_on, true);
	return received ? hold_key(&rotation->hold, item) : SHARE_ROTATE_HELD;
}

/* Rotations. */

static bool passed(uint64_t bytes, uint64_t ns, uint64_t times)
{
	return (settings->rotate_bytes > 0 && bytes >= times * settings->rotate_bytes) ||
	       (settings->rotate_seconds > 0 && ns >= times * settings->rotate_seconds * NS_PER_S);
}

static void look_for_overrun(struct rotation *rotation, uint64_t now)
{
	if (rotation->server || !rotation->after || rotation->told || rotation->stopped ||
		!passed(rotation->bytes, now - rotation->began_ns, 2))
		return;
	rotation->told = true;
	share_link_count(SHARE_COUNT_OVERRUNS, 1);
}

static bool is_due(const struct rotation *rotation, uint64_t now)
{
	if (now < rotation->after_ns)
		return false;
	if (rotation->forced)
		return true;
	return rotation->after && !rotation->server && !rotation->asked && !rotation->silent &&
	       passed(rotation->bytes, now - rotation->began_ns, 1);
}

/* Nothing of the program's is on its way. */
static bool may_change(const struct openssl_library *library, const SSL *ssl, const struct rotation *rotation)
{
	return !rotation->writing && library->get_version(ssl) == TLS_VERSION_13 && library->is_finished(ssl) == 1 &&
	       !is_ktls(library, ssl);
}

/* A message of our own. */
static bool send_update(const struct openssl_library *library, SSL *ssl, const struct rotation *rotation, int type)
{
	struct share_quiet quiet;
	if (!may_change(library, ssl, rotation) || !share_quiet_writable(library->get_wfd(ssl)))
		return false;
	share_quiet_begin(&quiet);
	library->set_mark();
	bool ok = library->key_update(ssl, type) == 1;
	if (ok)
		(void)library->do_handshake(ssl);
	library->pop_to_mark();
	share_quiet_end(&quiet);
	return ok;
}

static void note_question(struct rotation *rotation, uint64_t now)
{
	rotation->asked = true;
	rotation->forced = false;
	rotation->after_ns = now + GAP_NS;
}

/* Once the question is written, this side's own new epoch has been told, or never will be. */
static void look_for_silence(const struct openssl_library *library, const SSL *ssl, struct rotation *rotation)
{
	if (!rotation->unproven || library->is_finished(ssl) != 1)
		return;
	rotation->unproven = false;
	rotation->silent = true;
	say_once(&said_silent,
		"its OpenSSL does not tell of changed keys: of each connection only the first are released");
}

void share_rotate_before(const struct openssl_library *library, SSL *ssl)
{
	int kept = errno;
	struct rotation *rotation = rotation_now(library, ssl);
	uint64_t now = now_ns();
	if (rotation && share_link_ends() != rotation->ends)
		hear_ends(rotation);
	if (rotation && is_due(rotation, now) && may_change(library, ssl, rotation)) {
		library->set_mark();
		rotation->unproven = library->key_update(ssl, SSL_KEY_UPDATE_REQUESTED) == 1;
		if (rotation->unproven)
			note_question(rotation, now);
		library->pop_to_mark();
	}
	errno = kept;
}

static void ask(const struct openssl_library *library, SSL *ssl, struct rotation *rotation, uint64_t now)
{
	rotation->unproven = true;
	if (!send_update(library, ssl, rotation, SSL_KEY_UPDATE_REQUESTED)) {
		rotation->unproven = false;
		return;
	}
	note_question(rotation, now);
	look_for_silence(library, ssl, rotation);
}

/* Whether the read that is to be made again can be: it must not wait where the program would not have. */
static bool may_repeat(const struct openssl_library *library, const SSL *ssl)
{
	return library->want(ssl) == SSL_READING && share_quiet_nonblocking(library->get_rfd(ssl));
}

static bool answer(const struct openssl_library *library, SSL *ssl, const struct rotation *rotation,
	const struct share_rotate_call *call)
{
	bool repeat = !call->good;
	if (library->get_key_update(ssl) != SSL_KEY_UPDATE_NOT_REQUESTED ||
		(repeat && (!call->reads || !may_repeat(library, ssl))))
		return false;
	return send_update(library, ssl, rotation, SSL_KEY_UPDATE_NOT_REQUESTED) && repeat;
}

static bool after_call(const struct openssl_library *library, SSL *ssl, struct rotation *rotation,
	const struct share_rotate_call *call)
{
	uint64_t now = now_ns();
	if (share_link_ends() != rotation->ends)
		hear_ends(rotation);
	if (rotation->hold) {
		share_hold_release(rotation->hold);
		if (!call->good && (library->get_shutdown(ssl) & SSL_RECEIVED_SHUTDOWN) != 0)
			share_hold_close(rotation->hold);
	}
	rotation->bytes += call->moved;
	if (call->writes)
		rotation->writing = !call->good;
	look_for_overrun(rotation, now);
	look_for_silence(library, ssl, rotation);
	if (!settings->rotate_calls)
		return false;
	if (call->good && is_due(rotation, now))
		ask(library, ssl, rotation, now);
	return rotation->server && rotation->after && answer(library, ssl, rotation, call);
}

bool share_rotate_after(const struct openssl_library *library, SSL *ssl, const struct share_rotate_call *call)
{
	int kept = errno;
	struct rotation *rotation = rotation_now(library, ssl);
	bool again = rotation && after_call(library, ssl, rotation, call);
	errno = kept;
	return again;
}

/* Objects. */

void share_rotate_freed(void *ssl, void *data, CRYPTO_EX_DATA *all, int index, long argl, void *argp)
{
	struct rotation *rotation = data;
	(void)ssl, (void)all, (void)index, (void)argl, (void)argp;
	if (!rotation)
		return;
	look_for_overrun(rotation, now_ns());
	share_hold_free(rotation->hold);
	free(rotation);
}

/* A copy begins anew. */
int share_rotate_duplicated(
	CRYPTO_EX_DATA *to, const CRYPTO_EX_DATA *from, void **data, int index, long argl, void *argp)
{
	(void)to, (void)from, (void)index, (void)argl, (void)argp;
	*data = NULL;
	return 1;
}

void share_rotate_begin(const struct share_settings *from)
{
	settings = from;
	atomic_store(&share_rotate_on, settings->after_rotation);
	share_hold_begin();
}

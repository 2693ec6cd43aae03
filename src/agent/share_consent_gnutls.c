#include "agent/share_consent_gnutls.h"

#include "tls/hello.h"

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

/* Of GnuTLS's interface. */
#define DIGEST_SHA256   6
#define PARSE_TLS       2 /* after the server's name */
#define IN_CLIENT_HELLO (1 << 1)
#define IN_ENCRYPTED    (1 << 4)
#define OVER_TLS        (1 << 7)
#define E_INTERNAL      (-59)
#define EXTENSION_NAME  "share"

struct gnutls_buffer_st;
typedef int receive_fn(struct gnutls_session_int *session, const unsigned char *data, size_t len);
typedef int send_fn(struct gnutls_session_int *session, struct gnutls_buffer_st *to);

static struct {
	int (*register_ext)(struct gnutls_session_int *session, const char *name, int type, int parse_point,
		receive_fn *receive, send_fn *send, void *deinit, void *pack, void *unpack, unsigned flags);
	unsigned (*current_message)(struct gnutls_session_int *session);
	int (*append)(struct gnutls_buffer_st *to, const void *data, size_t len);
	int (*hash)(int algorithm, const void *data, size_t len, void *out);
	int (*is_resumed)(struct gnutls_session_int *session);
} library;

static const struct {
	const char *name;
	size_t at;
} names[] = {
	{"gnutls_session_ext_register", offsetof(__typeof__(library), register_ext)},
	{"gnutls_ext_get_current_msg", offsetof(__typeof__(library), current_message)},
	{"gnutls_buffer_append_data", offsetof(__typeof__(library), append)},
	{"gnutls_hash_fast", offsetof(__typeof__(library), hash)},
	{"gnutls_session_is_resumed", offsetof(__typeof__(library), is_resumed)},
};

static bool able;
static struct share_consent_state *(*state_of)(
	struct gnutls_session_int *session, char name[static SHARE_NAME_MAX + 1]);

static bool sha256_of(const void *ctx, struct bytes data, uint8_t out[static 32])
{
	(void)ctx;
	return library.hash(DIGEST_SHA256, data.data, data.len, out) == 0;
}

static const struct share_sha256 sha256 = {.compute = sha256_of};

static int send_octets(struct gnutls_session_int *session, struct gnutls_buffer_st *out)
{
	char name[SHARE_NAME_MAX + 1];
	int kept = errno, result = 0;
	struct share_consent_state *state = state_of(session, name);
	bool hello = library.current_message(session) == IN_CLIENT_HELLO, any = false;
	size_t most = hello ? SHARE_OFFER_MAX : SHARE_NOTICE_MAX;
	/* The program's stack may be small. */
	uint8_t *room = state ? malloc(most) : NULL;
	struct writer to = writer_over(room, most);
	if (room)
		any = hello ? share_consent_offer(state, &sha256, name, &to) : share_consent_disclose(state, &to);
	if (any)
		result = library.append(out, room, to.len);
	free(room);
	errno = kept;
	return result;
}

static int receive(struct gnutls_session_int *session, const unsigned char *data, size_t len)
{
	char name[SHARE_NAME_MAX + 1];
	int kept = errno;
	struct share_consent_state *state = state_of(session, name);
	unsigned message = library.current_message(session);
	if (state && message == IN_CLIENT_HELLO)
		share_consent_offered(state, &sha256, name, bytes_of(data, len));
	else if (state && message == IN_ENCRYPTED)
		share_consent_disclosed(state, bytes_of(data, len));
	errno = kept;
	return 0;
}

void share_consent_gnutls_begin(void *handle,
	struct share_consent_state *(*find)(struct gnutls_session_int *session, char name[static SHARE_NAME_MAX + 1]))
{
	bool all = true;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		void *found = dlsym(handle, names[i].name);
		memcpy((char *)&library + names[i].at, &found, sizeof(found));
		all = all && found != NULL;
	}
	state_of = find;
	able = all;
}

void share_consent_gnutls_attach(struct gnutls_session_int *session)
{
	if (share_consent_on() && able)
		(void)library.register_ext(session, EXTENSION_NAME, SHARE_EXTENSION, PARSE_TLS, receive, send_octets,
			NULL, NULL, NULL, IN_CLIENT_HELLO | IN_ENCRYPTED | OVER_TLS);
}

void share_consent_gnutls_pass(
	struct gnutls_session_int *session, struct share_consent_state *state, struct share_item *item)
{
	if (item->key.stage != RECORD_STAGE_APPLICATION)
		return;
	item->terms = share_consent_terms(state, share_consent_agreed(state) && library.is_resumed(session) != 0);
	/* One of the keys of a connection, after which all is known. */
	if (item->key.from_client)
		share_consent_say(state, item, able);
}

#include "agent/share_openssl_library.h"

#include "agent/library.h"
#include "agent/share_consent_openssl.h"
#include "agent/share_link.h"
#include "agent/share_rotate.h"
#include "agent/share_update.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#define OLDEST   0x10101000UL
#define LIBRESSL 0x20000000UL

struct name {
	const char *name;
	size_t at;
};

static const struct name names[] = {
	{"OpenSSL_version_num", offsetof(struct openssl_library, version_num)},
	{"OpenSSL_version", offsetof(struct openssl_library, version)},
	{"CRYPTO_get_ex_new_index", offsetof(struct openssl_library, new_index)},
	{"SSL_CTX_set_keylog_callback", offsetof(struct openssl_library, ctx_set_keylog)},
	{"SSL_CTX_get_keylog_callback", offsetof(struct openssl_library, ctx_get_keylog)},
	{"SSL_CTX_set_ex_data", offsetof(struct openssl_library, ctx_set_data)},
	{"SSL_CTX_get_ex_data", offsetof(struct openssl_library, ctx_get_data)},
	{"SSL_set_ex_data", offsetof(struct openssl_library, set_data)},
	{"SSL_get_ex_data", offsetof(struct openssl_library, get_data)},
	{"SSL_get_SSL_CTX", offsetof(struct openssl_library, get_ctx)},
	{"SSL_version", offsetof(struct openssl_library, get_version)},
	{"SSL_is_server", offsetof(struct openssl_library, is_server)},
	{"SSL_get_server_random", offsetof(struct openssl_library, server_random)},
	{"SSL_CTX_set_msg_callback", offsetof(struct openssl_library, ctx_set_message)},
	{"SSL_set_msg_callback", offsetof(struct openssl_library, set_message)},
	{"SSL_session_reused", offsetof(struct openssl_library, session_reused)},
	{"SSL_CTX_add_custom_ext", offsetof(struct openssl_library, add_custom_ext)},
	{"EVP_Digest", offsetof(struct openssl_library, digest)},
	{"SSL_get_current_cipher", offsetof(struct openssl_library, current_cipher)},
	{"SSL_get_pending_cipher", offsetof(struct openssl_library, pending_cipher)},
	{"SSL_CIPHER_get_protocol_id", offsetof(struct openssl_library, cipher_id)},
	{"SSL_get_fd", offsetof(struct openssl_library, get_fd)},
	{"SSL_get_servername", offsetof(struct openssl_library, servername)},
	{"SSL_set_shutdown", offsetof(struct openssl_library, set_shutdown)},
	{"SSL_do_handshake", offsetof(struct openssl_library, do_handshake)},
	{"SSL_key_update", offsetof(struct openssl_library, key_update)},
	{"SSL_get_key_update_type", offsetof(struct openssl_library, get_key_update)},
	{"SSL_is_init_finished", offsetof(struct openssl_library, is_finished)},
	{"SSL_get_shutdown", offsetof(struct openssl_library, get_shutdown)},
	{"SSL_want", offsetof(struct openssl_library, want)},
	{"SSL_get_options", offsetof(struct openssl_library, get_options)},
	{"SSL_get_rfd", offsetof(struct openssl_library, get_rfd)},
	{"SSL_get_wfd", offsetof(struct openssl_library, get_wfd)},
	{"SSL_get_client_random", offsetof(struct openssl_library, client_random)},
	{"ERR_set_mark", offsetof(struct openssl_library, set_mark)},
	{"ERR_pop_to_mark", offsetof(struct openssl_library, pop_to_mark)},
	{"HMAC", offsetof(struct openssl_library, hmac)},
	{"EVP_sha256", offsetof(struct openssl_library, sha256)},
	{"EVP_sha384", offsetof(struct openssl_library, sha384)},
};

static const struct name direct_names[] = {
	{"SHA256_Init", offsetof(struct openssl_library, sha256_init)},
	{"SHA256_Update", offsetof(struct openssl_library, sha256_update)},
	{"SHA256_Final", offsetof(struct openssl_library, sha256_final)},
	{"SHA384_Init", offsetof(struct openssl_library, sha384_init)},
	{"SHA384_Update", offsetof(struct openssl_library, sha384_update)},
	{"SHA384_Final", offsetof(struct openssl_library, sha384_final)},
};

static const char *const call_names[OPENSSL_CALLS] = {
	[OPENSSL_READ] = "SSL_read",
	[OPENSSL_READ_EX] = "SSL_read_ex",
	[OPENSSL_PEEK] = "SSL_peek",
	[OPENSSL_PEEK_EX] = "SSL_peek_ex",
	[OPENSSL_WRITE] = "SSL_write",
	[OPENSSL_WRITE_EX] = "SSL_write_ex",
	[OPENSSL_SHUTDOWN] = "SSL_shutdown",
	[OPENSSL_DO_HANDSHAKE] = "SSL_do_handshake",
	[OPENSSL_CONNECT] = "SSL_connect",
	[OPENSSL_ACCEPT] = "SSL_accept",
};

static struct openssl_library libraries[OPENSSL_LIBRARIES];
static atomic_uint library_count;

/* False when one is missing. */
static bool find_all(struct openssl_library *library, void *handle, const struct name *wanted, size_t count)
{
	bool ok = true;
	for (size_t i = 0; i < count; i++) {
		void *found = dlsym(handle, wanted[i].name);
		memcpy((char *)library + wanted[i].at, &found, sizeof(found));
		ok = ok && found;
	}
	return ok;
}

static bool look_up(struct openssl_library *library, const char *file)
{
	void *handle = dlopen(file, RTLD_LAZY | RTLD_NOLOAD);
	if (!handle)
		return false;
	bool ok = find_all(library, handle, names, sizeof(names) / sizeof(names[0]));
	if (!find_all(library, handle, direct_names, sizeof(direct_names) / sizeof(direct_names[0])))
		library->sha256_init = NULL, library->sha384_init = NULL;
	for (size_t i = 0; i < OPENSSL_CALLS; i++) {
		library->calls[i] = dlsym(handle, call_names[i]);
		ok = ok && library->calls[i];
	}
	dlclose(handle);
	return ok && library->version_num() >= OLDEST && library->version_num() != LIBRESSL;
}

const struct openssl_library *openssl_library_of(const void *caller)
{
	struct openssl_library fresh = {0};
	unsigned count = atomic_load(&library_count);
	if (!look_up(&fresh, library_of(caller)))
		return NULL;
	for (unsigned i = 0; i < count; i++) {
		if (libraries[i].ctx_set_keylog == fresh.ctx_set_keylog)
			return &libraries[i];
	}
	fresh.ctx_slot = fresh.new_index(CRYPTO_EX_INDEX_SSL_CTX, 0, NULL, NULL, NULL, NULL);
	fresh.slot = fresh.new_index(CRYPTO_EX_INDEX_SSL, 0, NULL, NULL, NULL, NULL);
	fresh.rotate_slot =
		fresh.new_index(CRYPTO_EX_INDEX_SSL, 0, NULL, NULL, share_rotate_duplicated, share_rotate_freed);
	if (count == OPENSSL_LIBRARIES || fresh.ctx_slot < 0 || fresh.slot < 0 || fresh.rotate_slot < 0 ||
		!share_consent_library(&fresh) || !share_update_library(&fresh))
		return NULL;
	fresh.number = count;
	libraries[count] = fresh;
	atomic_store(&library_count, count + 1);
	share_link_prepare();
	share_link_say(SHARE_LIBRARY, fresh.version(OPENSSL_VERSION));
	return &libraries[count];
}

const struct openssl_library *openssl_library(unsigned number)
{
	return number < atomic_load(&library_count) ? &libraries[number] : NULL;
}

const struct openssl_library *openssl_library_with(enum openssl_call call, const void *function)
{
	unsigned count = atomic_load(&library_count);
	for (unsigned i = 0; i < count; i++) {
		if (libraries[i].calls[call] == function)
			return &libraries[i];
	}
	return NULL;
}

const char *openssl_call_name(enum openssl_call call)
{
	return call_names[call];
}

#include "pki/authority.h"

#include "pki/authority_parts.h"
#include "pki/file.h"

#include <openssl/pem.h>
#include <stdlib.h>
#include <unistd.h>

#define CERT_FILE "ca.pem"
#define KEY_FILE  "ca.key"
#define DAY_S     86400
#define LIFE_S    ((int64_t)AUTHORITY_DAYS * DAY_S)
#define MEMORY_S  ((int64_t)2 * DAY_S)

/* The CAs of STATE/ca.pem with their keys; expired ones are left out. */
static bool certs_read(
	struct authority *authority, const char *path, const struct ca_keys *keys, int64_t now_s, struct error *err)
{
	struct file_bytes file;
	if (!file_read(path, AUTHORITY_FILE_MAX, &file, NULL, err))
		return false;
	BIO *bio = BIO_new_mem_buf(file.data, (int)file.len);
	bool ok = bio != NULL;
	bool damaged = false;
	X509 *cert;
	for (size_t number = 1; ok && authority->count < AUTHORITY_MAX && (cert = ca_cert_next(bio, &damaged));
		number++) {
		struct ca *ca = &authority->at[authority->count];
		ok = ca_take(ca, cert, ca_key_for(keys, cert), err) ||
		     error_prefix(err, "%s: certificate %zu", path, number);
		if (ok && ca->not_after_s < now_s)
			ca_clear(ca);
		else if (ok)
			authority->count++;
	}
	BIO_free(bio);
	file_bytes_free(&file);
	if (ok && damaged)
		return error_set(err, "%s: a certificate in it is damaged", path);
	return ok;
}

static void swap_to_front(struct authority *authority, size_t index)
{
	struct ca chosen = authority->at[index];
	memmove(&authority->at[1], &authority->at[0], index * sizeof(chosen));
	authority->at[0] = chosen;
}

/* Issuing one first. True when the order had to change. */
static bool order(struct authority *authority, int64_t now_s)
{
	const struct ca *issuing = ca_issuing(authority, now_s);
	if (!issuing || issuing == authority->at)
		return false;
	swap_to_front(authority, (size_t)(issuing - authority->at));
	return true;
}

/* Keys that will sign no more are not kept: those of certificates older than the issuing one. */
static bool key_is_past(const struct authority *authority, size_t index)
{
	return index > 0 && authority->at[index].not_before_s <= authority->at[0].not_before_s;
}

/* The key goes first: a key without its certificate does no harm, the reverse would. */
static bool files_write(const struct authority *authority, const char *state_dir, struct error *err)
{
	char certs[FILE_PATH_MAX];
	char keys[FILE_PATH_MAX];
	if (!file_join(certs, state_dir, CERT_FILE, err) || !file_join(keys, state_dir, KEY_FILE, err))
		return false;
	BIO *bio = BIO_new(BIO_s_secmem());
	bool ok = bio != NULL;
	for (size_t i = 0; ok && i < authority->count; i++) {
		if (authority->at[i].key && !key_is_past(authority, i))
			ok = PEM_write_bio_PKCS8PrivateKey(bio, authority->at[i].key, NULL, NULL, 0, NULL, NULL) == 1;
	}
	char *data = NULL;
	long len = ok ? BIO_get_mem_data(bio, &data) : 0;
	if (!ok || len <= 0)
		ok = error_set_openssl(err, "%s: the key cannot be encoded", keys);
	else
		ok = file_replace(keys, bytes_of(data, (size_t)len), 0600, err) &&
		     file_replace(certs, authority_pem(authority), 0644, err);
	BIO_free(bio);
	return ok;
}

/* Reads both files. What is wrong is in `err`; `missing` when there is no CA at all. */
static bool state_read(
	struct authority *authority, const char *state_dir, int64_t now_s, bool *missing, struct error *err)
{
	char certs[FILE_PATH_MAX];
	char key_file[FILE_PATH_MAX];
	*missing = false;
	if (!file_join(certs, state_dir, CERT_FILE, err) || !file_join(key_file, state_dir, KEY_FILE, err))
		return false;
	if (access(certs, F_OK) < 0) {
		*missing = true;
		return error_set_errno(err, "%s", certs);
	}
	if (access(key_file, F_OK) < 0)
		return error_set_errno(err, "%s: restore it, or remove %s to have a new CA made", key_file, certs);
	struct ca_keys keys = {0};
	bool ok = ca_keys_read(key_file, &keys, err) && certs_read(authority, certs, &keys, now_s, err);
	ca_keys_clear(&keys);
	if (ok && !ca_issuing(authority, now_s)) {
		if (authority->count == 0)
			return error_set(err, "%s: every CA in it has expired; run: overt ca rotate", certs);
		return error_set(err, "%s: no CA in it is valid now and goes with a key of %s", certs, key_file);
	}
	return ok;
}

bool authority_load(struct authority **out, const char *state_dir, int64_t now_s, bool *missing, struct error *err)
{
	bool none = false;
	struct authority *authority = authority_new(err);
	bool ok = authority && state_read(authority, state_dir, now_s, &none, err);
	if (ok) {
		(void)order(authority, now_s);
		ok = authority_pem_build(authority, err);
	}
	if (missing)
		*missing = none;
	if (!ok) {
		authority_free(authority);
		return false;
	}
	*out = authority;
	return true;
}

/* A key left by a crash between the two files is used: it may already be in somebody's backup as this install's. */
static EVP_PKEY *key_left_over(const char *state_dir)
{
	char path[FILE_PATH_MAX];
	struct ca_keys keys = {0};
	if (!file_join(path, state_dir, KEY_FILE, NULL) || !ca_keys_read(path, &keys, NULL))
		return NULL;
	EVP_PKEY *key = keys.at[0];
	(void)EVP_PKEY_up_ref(key);
	ca_keys_clear(&keys);
	return key;
}

static int64_t life_of(const struct authority_make *make)
{
	return make && make->life_s > 0 ? make->life_s : LIFE_S;
}

static bool make_in(struct authority *authority, const char *state_dir, const struct authority_make *make,
	EVP_PKEY *key, int64_t now_s, struct error *err)
{
	if (!ca_make(&authority->at[0], make, key, now_s, life_of(make), err))
		return false;
	authority->count = 1;
	return authority_pem_build(authority, err) && files_write(authority, state_dir, err);
}

/* What authority_open does once the directory is locked. */
static bool open_locked(struct authority *authority, const char *state_dir, const struct authority_make *make,
	int64_t now_s, struct error *err)
{
	bool missing;
	bool ok = state_read(authority, state_dir, now_s, &missing, err);
	if (!ok && missing) {
		EVP_PKEY *key = key_left_over(state_dir);
		ok = make_in(authority, state_dir, make, key, now_s, err);
		EVP_PKEY_free(key);
		return ok;
	}
	if (!ok)
		return false;
	bool changed = order(authority, now_s);
	return authority_pem_build(authority, err) && (!changed || files_write(authority, state_dir, err));
}

bool authority_open(struct authority **out, const char *state_dir, const struct authority_make *make, int64_t now_s,
	struct error *err)
{
	if (!file_make_directory(state_dir, err))
		return false;
	int lock = file_lock_directory(state_dir, err);
	if (lock < 0)
		return false;
	struct authority *authority = authority_new(err);
	bool ok = authority && open_locked(authority, state_dir, make, now_s, err);
	close(lock);
	if (!ok) {
		authority_free(authority);
		return false;
	}
	*out = authority;
	return true;
}

bool authority_remake(struct authority **out, const char *state_dir, const struct authority_make *make, int64_t now_s,
	struct error *err)
{
	if (!file_make_directory(state_dir, err))
		return false;
	int lock = file_lock_directory(state_dir, err);
	if (lock < 0)
		return false;
	struct authority *authority = authority_new(err);
	bool ok = authority && make_in(authority, state_dir, make, NULL, now_s, err);
	close(lock);
	if (!ok) {
		authority_free(authority);
		return false;
	}
	*out = authority;
	return true;
}

bool authority_in_memory(struct authority **out, const struct authority_make *make, int64_t now_s, struct error *err)
{
	struct authority *authority = authority_new(err);
	bool ok = authority && ca_make(&authority->at[0], make, NULL, now_s, MEMORY_S, err);
	if (ok) {
		authority->count = 1;
		ok = authority_pem_build(authority, err);
	}
	if (!ok) {
		authority_free(authority);
		return false;
	}
	*out = authority;
	return true;
}

/* Makes room for one more, in front: what was to come later is replaced, and beyond the cap the oldest leaves. */
static void room_for_new(struct authority *authority, int64_t now_s)
{
	for (size_t i = authority->count; i-- > 0;) {
		if (authority->at[i].not_before_s > now_s || i >= AUTHORITY_MAX - 1) {
			ca_clear(&authority->at[i]);
			authority->count--;
			memmove(&authority->at[i], &authority->at[i + 1],
				(authority->count - i) * sizeof(authority->at[0]));
		}
	}
}

static bool rotate_locked(struct authority *authority, const char *state_dir, const struct authority_make *make,
	int64_t lead_s, int64_t now_s, struct error *err)
{
	bool missing;
	/* Expired CAs are no obstacle to a new one; a missing one is for authority_open. */
	if (!state_read(authority, state_dir, now_s, &missing, err) && (missing || authority->count > 0))
		return false;
	(void)order(authority, now_s);
	room_for_new(authority, now_s);
	struct authority_make plan = make ? *make : (struct authority_make){0};
	struct name_ranges *permit = calloc(1, sizeof(*permit));
	if (!permit)
		return error_set(err, "out of memory");
	if (!plan.permit && authority->count > 0 && authority_permit_list(authority, permit))
		plan.permit = permit;
	if (lead_s > 0)
		plan.not_before_s = now_s + lead_s;
	else
		plan.not_before_s = now_s - 3600;
	/* The newest must be told from its predecessor by its date even when that was made this very second. */
	for (size_t i = 0; i < authority->count; i++) {
		if (plan.not_before_s <= authority->at[i].not_before_s)
			plan.not_before_s = authority->at[i].not_before_s + 1;
	}
	bool ok = ca_make(&authority->at[authority->count], &plan, NULL, now_s, life_of(&plan), err);
	free(permit);
	if (!ok)
		return false;
	authority->count++;
	(void)order(authority, now_s);
	return authority_pem_build(authority, err) && files_write(authority, state_dir, err);
}

bool authority_rotate(
	const char *state_dir, const struct authority_make *make, int64_t lead_s, int64_t now_s, struct error *err)
{
	int lock = file_lock_directory(state_dir, err);
	if (lock < 0)
		return false;
	struct authority *authority = authority_new(err);
	bool ok = authority && rotate_locked(authority, state_dir, make, lead_s, now_s, err);
	close(lock);
	authority_free(authority);
	return ok;
}

size_t authority_chain(const struct authority *authority, int64_t now_s, struct bytes out[AUTHORITY_CHAIN_MAX])
{
	const struct ca *ca = ca_issuing(authority, now_s);
	if (!ca || X509_self_signed(ca->cert, 0) == 1)
		return 0;
	size_t n = 0;
	out[n++] = bytes_of(ca->der, ca->der_len);
	for (size_t i = 0; i < authority->above_count && n < AUTHORITY_CHAIN_MAX; i++) {
		if (X509_self_signed(authority->above[i], 0) != 1)
			out[n++] = bytes_of(authority->above_der[i], authority->above_len[i]);
	}
	return n;
}

struct bytes authority_pem(const struct authority *authority)
{
	return bytes_of(authority->pem, authority->pem_len);
}

X509 *authority_cert(const struct authority *authority, size_t index)
{
	return index < authority->count ? authority->at[index].cert : NULL;
}

bool authority_permit_list(const struct authority *authority, struct name_ranges *out)
{
	const struct ca *newest = NULL;
	for (size_t i = 0; i < authority->count; i++) {
		if (!newest || authority->at[i].not_before_s > newest->not_before_s)
			newest = &authority->at[i];
	}
	if (!newest || !newest->limits)
		return false;
	*out = newest->limits->permitted;
	return true;
}

#include "keys/psk.h"

#include "base/hash.h"
#include "base/text.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

struct psk {
	uint64_t hash; /* of the identity */
	uint8_t *identity;
	size_t identity_len;
	struct secret key;
};

#define ROOM_FIRST   16
#define IDENTITY_MAX 65535

static struct bytes identity_of(const struct psk *psk)
{
	return bytes_of(psk->identity, psk->identity_len);
}

static bool grow(struct psk_list *list)
{
	size_t room = list->room ? list->room * 2 : ROOM_FIRST;
	struct psk *wider = OPENSSL_zalloc(room * sizeof(*wider));
	if (!wider)
		return false;
	if (list->count)
		memcpy(wider, list->psks, list->count * sizeof(*wider));
	if (list->psks)
		OPENSSL_clear_free(list->psks, list->room * sizeof(*wider));
	list->psks = wider;
	list->room = room;
	return true;
}

static bool is_there(const struct psk_list *list, struct bytes identity, struct bytes key)
{
	for (size_t i = 0; i < list->count; i++) {
		if (bytes_equal(identity_of(&list->psks[i]), identity) &&
			bytes_equal_secret(secret_bytes(&list->psks[i].key), key))
			return true;
	}
	return false;
}

bool psk_list_add(struct psk_list *list, struct bytes identity, struct bytes key, struct error *err)
{
	if (key.len == 0 || key.len > SECRET_MAX)
		return error_set(err, "a PSK of %zu octets; it has 1 to %d", key.len, SECRET_MAX);
	if (identity.len > IDENTITY_MAX)
		return error_set(err, "a PSK identity of %zu octets; it has %d at most", identity.len, IDENTITY_MAX);
	if (is_there(list, identity, key))
		return true;
	if (list->count >= list->cap)
		return error_set(err, "more than %zu PSKs; give fewer", list->cap);
	/* One octet more, so that an empty identity is no NULL. */
	uint8_t *copy = malloc(identity.len + 1);
	if (!copy || (list->count == list->room && !grow(list))) {
		free(copy);
		return error_set(err, "no memory for another PSK");
	}
	if (identity.len)
		memcpy(copy, identity.data, identity.len);
	struct psk *psk = &list->psks[list->count];
	*psk = (struct psk){.hash = hash_bytes(identity), .identity = copy, .identity_len = identity.len};
	(void)!secret_set(&psk->key, key);
	list->count++;
	return true;
}

/* Text with its LF and CR. */
static bool line_read(struct psk_list *list, struct bytes line, struct error *err)
{
	uint8_t key[SECRET_MAX];
	size_t len = 0;
	while (line.len && (line.data[line.len - 1] == '\n' || line.data[line.len - 1] == '\r'))
		line.len--;
	if (line.len == 0 || line.data[0] == '#')
		return true;
	size_t colon = line.len;
	while (colon > 0 && line.data[colon - 1] != ':')
		colon--;
	struct bytes identity;
	if (colon == 0 || !bytes_take(&line, colon - 1, &identity) || !bytes_skip(&line, 1))
		return error_set(err, "no colon stands between identity and key");
	if (!text_unhex(key, sizeof(key), &len, line))
		return error_set(err, "the key is no hex of at most %d octets", SECRET_MAX);
	bool ok = psk_list_add(list, identity, bytes_of(key, len), err);
	OPENSSL_cleanse(key, sizeof(key));
	return ok;
}

bool psk_list_load(struct psk_list *list, const char *path, struct error *err)
{
	FILE *file = fopen(path, "re");
	if (!file)
		return error_set_errno(err, "%s: cannot open this file of PSKs", path);
	char *line = NULL;
	size_t room = 0;
	bool ok = true;
	unsigned long number = 1;
	for (ssize_t len; ok && (len = getline(&line, &room, file)) > 0; number++) {
		ok = line_read(list, bytes_of(line, (size_t)len), err) || error_prefix(err, "%s:%lu", path, number);
	}
	if (ok && ferror(file))
		ok = error_set_errno(err, "%s: cannot read this file of PSKs", path);
	if (line)
		OPENSSL_cleanse(line, room);
	free(line);
	(void)fclose(file);
	return ok;
}

bool psk_list_get(const struct psk_list *list, struct bytes identity, size_t nth, struct secret *out)
{
	uint64_t hash = hash_bytes(identity);
	/* First the very identity, then those of none. */
	for (int any = 0; any <= (identity.len > 0); any++) {
		for (size_t i = 0; i < list->count; i++) {
			const struct psk *psk = &list->psks[i];
			bool fits = any ? psk->identity_len == 0
			                : psk->hash == hash && bytes_equal(identity_of(psk), identity);
			if (fits && nth-- == 0)
				return secret_set(out, secret_bytes(&psk->key));
		}
	}
	return false;
}

void psk_list_free(struct psk_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->psks[i].identity);
	if (list->psks)
		OPENSSL_clear_free(list->psks, list->room * sizeof(*list->psks));
	list->psks = NULL;
	list->count = list->room = 0;
}

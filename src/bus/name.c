#include "bus/name.h"

#include "base/text.h"

#include <openssl/evp.h>
#include <stdio.h>

#define READER_OCTETS 16
#define NAME_OCTETS   8

#define TOKEN "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

static bool made_of(const char *text, const char *allowed, size_t max)
{
	size_t len = strlen(text);
	return len > 0 && len <= max && strspn(text, allowed) == len;
}

bool bus_site_valid(const char *site)
{
	return made_of(site, TOKEN, BUS_SITE_MAX);
}

bool bus_consumer_valid(const char *name)
{
	return made_of(name, TOKEN, BUS_CONSUMER_MAX);
}

bool bus_login_valid(const char *name)
{
	return made_of(name, TOKEN ".", BUS_LOGIN_MAX) && name[0] != '.';
}

void bus_reader(char out[static BUS_READER], const uint8_t key_id[static SEAL_KEY_ID])
{
	text_hex(out, BUS_READER, bytes_of(key_id, READER_OCTETS));
}

void bus_stream(char out[static BUS_STREAM], const uint8_t key_id[static SEAL_KEY_ID])
{
	char reader[BUS_READER];
	bus_reader(reader, key_id);
	snprintf(out, BUS_STREAM, "OVERT_%s", reader);
}

void bus_subjects(char out[static BUS_SUBJECT], const uint8_t key_id[static SEAL_KEY_ID])
{
	char reader[BUS_READER];
	bus_reader(reader, key_id);
	snprintf(out, BUS_SUBJECT, "overt.keys.*.%s.*", reader);
}

void bus_site_inbox(char out[static BUS_INBOX], const char *site)
{
	snprintf(out, BUS_INBOX, "_INBOX.collector.%.*s", BUS_SITE_MAX, site);
}

void bus_reader_inbox(char out[static BUS_INBOX], const uint8_t key_id[static SEAL_KEY_ID])
{
	char reader[BUS_READER];
	bus_reader(reader, key_id);
	snprintf(out, BUS_INBOX, "_INBOX.reader.%s", reader);
}

/* ASCII alone: what else stands in names of DNS is encoded in it. */
static bool name_hash(const char *name, char out[static 2 * NAME_OCTETS + 1])
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	char lower[RELEASE_NAME_MAX + 1];
	size_t len = 0;
	for (; len < RELEASE_NAME_MAX && name[len]; len++)
		lower[len] = name[len] >= 'A' && name[len] <= 'Z' ? (char)(name[len] + ('a' - 'A')) : name[len];
	if (EVP_Digest(lower, len, digest, NULL, EVP_sha256(), NULL) != 1)
		return false;
	text_hex(out, 2 * NAME_OCTETS + 1, bytes_of(digest, NAME_OCTETS));
	return true;
}

bool bus_subject(char out[static BUS_SUBJECT], const char *site, const struct seal_head *head)
{
	char reader[BUS_READER], name[2 * NAME_OCTETS + 1];
	if (!bus_site_valid(site) || !name_hash(head->name, name))
		return false;
	bus_reader(reader, head->key_id);
	snprintf(out, BUS_SUBJECT, "overt.keys.%s.%s.%s", site, reader, name);
	return true;
}

void bus_id(char out[static BUS_ID], const struct seal_head *head)
{
	size_t len = text_hex(out, BUS_ID, bytes_of(head->check, RELEASE_CHECK));
	out[len++] = '-';
	text_hex(out + len, BUS_ID - len, bytes_of(head->grant, RELEASE_GRANT));
}

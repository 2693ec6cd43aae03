/* overt grant new, overt grant revoke. */
#include "base/clock.h"
#include "base/text.h"
#include "cli/arguments.h"
#include "cli/collect_place.h"
#include "cli/grant_parts.h"
#include "cli/options.h"
#include "cli/verbs.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_ROOM ((size_t)32 * 1024)

struct wish {
	struct grant grant;
	const char *signer, *folder, *log, *reader_key, *file, *until;
	char room[FILE_PATH_MAX], log_room[FILE_PATH_MAX];
};

ARGUMENT_TEXT(read_signer, wish, signer)
ARGUMENT_TEXT(read_folder, wish, folder)
ARGUMENT_TEXT(read_log, wish, log)
ARGUMENT_TEXT(read_reader_key, wish, reader_key)
ARGUMENT_TEXT(read_until, wish, until)
ARGUMENT_FLAG(read_until_reader, wish, grant.until_reader)

static bool copy(char *to, size_t cap, const char *value, struct error *err)
{
	size_t len = strlen(value);
	if (len == 0 || len >= cap)
		return error_set(err, "a text of at most %zu octets is wanted", cap - 1);
	memcpy(to, value, len + 1);
	return true;
}

#define READ_COPY(reader, field)                                                                                       \
	static bool reader(void *ctx, const char *value, struct error *err)                                            \
	{                                                                                                              \
		struct grant *grant = &((struct wish *)ctx)->grant;                                                    \
		return copy(grant->field, sizeof(grant->field), value, err);                                           \
	}
#define READ_CHOICE(reader, field, one, two)                                                                           \
	static bool reader(void *ctx, const char *value, struct error *err)                                            \
	{                                                                                                              \
		struct grant *grant = &((struct wish *)ctx)->grant;                                                    \
		grant->field = strcmp(value, one) == 0 ? 1 : strcmp(value, two) == 0 ? 2 : 0;                          \
		return grant->field || error_set(err, "this is " one " or " two);                                      \
	}

READ_COPY(read_reader, reader)
READ_COPY(read_purpose, purpose)
READ_COPY(read_reason, reason)
static bool read_sender(void *ctx, const char *value, struct error *err)
{
	struct grant *grant = &((struct wish *)ctx)->grant;
	if (grant->sender_count == GRANT_SENDERS_MAX)
		return error_set(err, "at most %d of these", GRANT_SENDERS_MAX);
	return copy(grant->senders[grant->sender_count++], sizeof(grant->senders[0]), value, err);
}

READ_CHOICE(read_mode, mode, "live", "after-rotation")
READ_CHOICE(read_consent, consent, "both", "unilateral")
READ_CHOICE(read_grade, grade, "record", "raw")

static bool read_name(void *ctx, const char *value, struct error *err)
{
	struct grant *grant = &((struct wish *)ctx)->grant;
	if (grant->name_count == GRANT_NAMES_MAX)
		return error_set(err, "at most %d of these", GRANT_NAMES_MAX);
	return copy(grant->names[grant->name_count++], GRANT_NAME_MAX + 1, value, err);
}

static bool read_direction(void *ctx, const char *value, struct error *err)
{
	struct grant *grant = &((struct wish *)ctx)->grant;
	bool both = strcmp(value, "both") == 0;
	grant->from_client |= both || strcmp(value, "client") == 0;
	grant->from_server |= both || strcmp(value, "server") == 0;
	(void)err;
	return both || strcmp(value, "client") == 0 || strcmp(value, "server") == 0;
}

static bool read_certificate(void *ctx, const char *value, struct error *err)
{
	struct grant *grant = &((struct wish *)ctx)->grant;
	size_t len;
	grant->has_certificate = true;
	(void)err;
	return text_unhex(grant->certificate, sizeof(grant->certificate), &len, bytes_str(value)) && len == 32;
}

static bool read_until_octets(void *ctx, const char *value, struct error *err)
{
	(void)err;
	return text_size(bytes_str(value), &((struct wish *)ctx)->grant.until_octets);
}

static bool read_until_seconds(void *ctx, const char *value, struct error *err)
{
	uint64_t seconds;
	(void)err;
	if (!text_number(bytes_str(value), 10000000, &seconds) || seconds == 0)
		return false;
	((struct wish *)ctx)->grant.until_conn_ns = seconds * NS_PER_S;
	return true;
}

static bool read_file(void *ctx, const char *word, struct error *err)
{
	struct wish *wish = ctx;
	if (wish->file)
		return error_set(err, "%s: one grant at a time", word);
	wish->file = word;
	return true;
}

static const struct argument new_table[] = {
	{"signer", 's', "FILE", read_signer, "the private key that signs (overt grant signer)"},
	{"reader", 'r', "NAME", read_reader, "who may read; also the name in its certificate"},
	{"reader-key", 'k', "FILE", read_reader_key, "its public key (overt grant key)"},
	{"certificate", 0, "SHA256", read_certificate,
		"of its certificate's public key, where its name shall not decide"},
	{"name", 'n', "PATTERN", read_name, "example.com, *.example.com, .example.com, or * for all; several times"},
	{"direction", 0, "WHO", read_direction, "whose records: client, server or both [both]"},
	{"mode", 0, "MODE", read_mode, "live or after-rotation [live]"},
	{"consent", 0, "WHOSE", read_consent, "both, or unilateral with --reason and an end within 30 days [both]"},
	{"reason", 0, "TEXT", read_reason, "why one side alone decides"},
	{"purpose", 'p', "TEXT", read_purpose, "what it is for, as people will read it"},
	{"grade", 0, "GRADE", read_grade, "record (keys of records), or raw (secrets, for debugging) [record]"},
	{"sender", 0, "NAME", read_sender,
		"who may send under it: the name in a certificate, or the SHA-256 of its key; several times [all]"},
	{"until", 'u', "WHEN", read_until, "2026-12-01, 2026-12-01T12:00:00Z, or 8h, 7d from now"},
	{"until-bytes", 0, "SIZE", read_until_octets, "of one connection"},
	{"until-seconds", 0, "N", read_until_seconds, "of one connection"},
	{"until-reader", 0, NULL, read_until_reader, "the reader may say that it is enough"},
	{"dir", 'd', "DIR", read_folder, "the folder of the grants [$XDG_DATA_HOME/overt-collect/grants]"},
	{"log", 0, "FILE", read_log, "the audit log of whoever grants [grants.log beside the signer's key]"},
};

static const struct argument revoke_table[] = {
	{"signer", 's', "FILE", read_signer, "the private key that signs"},
	{"reason", 0, "TEXT", read_reason, "why"},
	{"dir", 'd', "DIR", read_folder, "where the revocation goes [the grant's folder]"},
	{"log", 0, "FILE", read_log, "the audit log of whoever grants [grants.log beside the signer's key]"},
};

void grant_new_help(void)
{
	arguments_help(&(struct arguments){
		.verb = "grant new", .table = new_table, .count = sizeof(new_table) / sizeof(new_table[0])});
}

static bool find_log(struct wish *wish, struct error *err)
{
	if (!wish->signer)
		return error_set(err, "who signs? Say --signer FILE (overt grant signer makes one)");
	if (wish->log)
		return true;
	const char *slash = strrchr(wish->signer, '/');
	int len = snprintf(wish->log_room, FILE_PATH_MAX, "%.*sgrants.log", slash ? (int)(slash - wish->signer) + 1 : 0,
		wish->signer);
	wish->log = wish->log_room;
	return len < FILE_PATH_MAX || error_set(err, "--signer: the path is too long");
}

static bool find_folder(struct wish *wish, struct error *err)
{
	char place[FILE_PATH_MAX];
	if (wish->folder)
		return true;
	wish->folder = wish->room;
	return collect_place(place, err) && file_join(wish->room, place, "grants", err);
}

static bool set_until(struct grant *grant, const char *text, struct error *err)
{
	uint64_t ns;
	if (!text || grant_time_read(bytes_str(text), &grant->until_s))
		return true;
	if (!text_duration(bytes_str(text), &ns) || ns < NS_PER_S || ns > UINT64_C(36600) * 86400 * NS_PER_S)
		return error_set(err, "--until %s: a date, a time, or a duration as 8h is wanted", text);
	grant->until_s = grant->issued_s + (int64_t)(ns / NS_PER_S);
	return true;
}

static bool fill(struct wish *wish, struct error *err)
{
	struct grant *grant = &wish->grant;
	if (!wish->reader_key)
		return error_set(err, "whose key? Say --reader-key FILE (overt grant key makes one)");
	grant->issued_s = (int64_t)(clock_wall_ns() / NS_PER_S);
	grant->mode = grant->mode ? grant->mode : RELEASE_LIVE;
	grant->consent = grant->consent ? grant->consent : RELEASE_BOTH;
	grant->grade = grant->grade ? grant->grade : RELEASE_GRADE_RECORD;
	if (!grant->from_client && !grant->from_server)
		grant->from_client = grant->from_server = true;
	return find_log(wish, err) && find_folder(wish, err) && set_until(grant, wish->until, err) &&
	       collect_read_public(wish->reader_key, grant->public_key, err) &&
	       (seal_key_id(grant->public_key, grant->key_id) || error_set(err, "the reader's key has no id")) &&
	       (RAND_bytes(grant->id, RELEASE_GRANT) == 1 || error_set_openssl(err, "no randomness")) &&
	       grant_check(grant, err);
}

static bool issue(const struct wish *wish, const struct note_signer *author, struct error *err)
{
	uint8_t room[TEXT_ROOM];
	struct writer to = writer_over(room, sizeof(room));
	struct grant_texts texts;
	struct grant again;
	struct audit_entry entry;
	struct bytes text;
	char name[64], path[FILE_PATH_MAX];
	/* What is read back is what is meant, and what counts. */
	if (!grant_write(&wish->grant, &to) || !writer_done(&to, &text))
		return error_set(err, "the grant is too long");
	if (!grant_parse(text, "the grant", &again, err))
		return false;
	(void)!EVP_Digest(text.data, text.len, again.sha256, NULL, EVP_sha256(), NULL);
	memcpy(again.signer, note_signer_key(author)->name, sizeof(again.signer));
	entry_of_grant(&again, &texts, &entry);
	snprintf(name, sizeof(name), "%s.grant", texts.id);
	if (!file_make_directory(wish->folder, err) || !file_join(path, wish->folder, name, err) ||
		!grant_publish(author, text, &entry, wish->log, path, err))
		return false;
	printf("%s\nMade %s, signed by %s.\n", texts.id, path, note_signer_key(author)->name);
	return true;
}

int grant_new(int argc, char **argv)
{
	const struct arguments arguments = {
		.verb = "grant new", .table = new_table, .count = sizeof(new_table) / sizeof(new_table[0])};
	static struct wish wish;
	struct error err;
	int rest;
	if (wants_help(argc, argv)) {
		arguments_help(&arguments);
		return EXIT_SUCCESS;
	}
	if (!arguments_read(&arguments, argc, argv, &wish, &rest, &err) || !fill(&wish, &err))
		return complain("grant new", &err, EXIT_MISUSE);
	struct note_signer *author = grant_author_open(wish.signer, &err);
	if (!author)
		return complain("grant new", &err, EXIT_FAILURE);
	bool ok = issue(&wish, author, &err);
	note_signer_free(author);
	return ok ? EXIT_SUCCESS : complain("grant new", &err, EXIT_FAILURE);
}

/* Of a grant that its reader's and signer's machines may hold, too: what counts is its id. */
static bool read_grant(const char *path, struct grant *out, struct error *err)
{
	struct file_bytes file = {0};
	struct note note = {0};
	bool ok = file_read(path, GRANT_FILE_MAX, &file, NULL, err);
	if (ok && !note_read(bytes_of(file.data, file.len), &note))
		ok = error_set(err, "%s: no signed grant", path);
	ok = ok && grant_parse(note.text, path, out, err);
	file_bytes_free(&file);
	return ok;
}

static bool revoke(struct wish *wish, const struct note_signer *author, struct error *err)
{
	uint8_t room[TEXT_ROOM];
	struct writer to = writer_over(room, sizeof(room));
	struct grant_revocation revocation = {.time_s = (int64_t)(clock_wall_ns() / NS_PER_S)};
	struct grant_revocation again;
	struct grant grant;
	struct grant_texts texts;
	struct audit_entry entry;
	struct bytes text;
	char name[64], path[FILE_PATH_MAX];
	if (!read_grant(wish->file, &grant, err))
		return false;
	memcpy(revocation.grant, grant.id, RELEASE_GRANT);
	memcpy(revocation.reason, wish->grant.reason, sizeof(revocation.reason));
	if (!grant_revocation_write(&revocation, &to) || !writer_done(&to, &text))
		return error_set(err, "the revocation is too long");
	if (!grant_revocation_parse(text, "the revocation", &again, err))
		return false;
	entry_of_revocation(&grant, revocation.reason, &texts, &entry);
	const char *slash = strrchr(wish->file, '/');
	snprintf(name, sizeof(name), "%s.revoked", texts.id);
	int len = wish->folder ? snprintf(path, sizeof(path), "%s/%s", wish->folder, name)
	                       : snprintf(path, sizeof(path), "%.*s%s", slash ? (int)(slash - wish->file) + 1 : 0,
					 wish->file, name);
	if (len >= (int)sizeof(path))
		return error_set(err, "%s: the path is too long", wish->file);
	if (!grant_publish(author, text, &entry, wish->log, path, err))
		return false;
	printf("Revoked %s: made %s. It counts wherever that file comes.\n", texts.id, path);
	return true;
}

int grant_revoke(int argc, char **argv)
{
	const struct arguments arguments = {.verb = "grant revoke",
		.table = revoke_table,
		.count = sizeof(revoke_table) / sizeof(revoke_table[0]),
		.word = read_file};
	static struct wish wish;
	struct error err;
	int rest;
	if (wants_help(argc, argv)) {
		arguments_help(&arguments);
		return EXIT_SUCCESS;
	}
	if (!arguments_read(&arguments, argc, argv, &wish, &rest, &err) || !find_log(&wish, &err))
		return complain("grant revoke", &err, EXIT_MISUSE);
	if (!wish.file || !wish.grant.reason[0])
		return complain(
			"grant revoke", &(struct error){"name the grant's file, and say --reason TEXT"}, EXIT_MISUSE);
	struct note_signer *author = grant_author_open(wish.signer, &err);
	if (!author)
		return complain("grant revoke", &err, EXIT_FAILURE);
	bool ok = revoke(&wish, author, &err);
	note_signer_free(author);
	return ok ? EXIT_SUCCESS : complain("grant revoke", &err, EXIT_FAILURE);
}

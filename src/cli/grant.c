/* overt grant — makes, lists, shows and revokes grants: who may read which record keys. */
#include "base/loop.h"
#include "cli/collect_place.h"
#include "cli/grant_parts.h"
#include "cli/options.h"
#include "cli/verbs.h"

#include "audit/log.h"
#include "base/clock.h"
#include "base/text.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VKEY_FILE_MAX ((size_t)4096)

static int help(void)
{
	puts("usage: overt grant key    [--dir DIR] NAME             a reader's key pair\n"
	     "       overt grant signer [--dir DIR] NAME             a key pair that signs grants\n"
	     "       overt grant new    --signer FILE --reader NAME --reader-key FILE --name PATTERN...\n"
	     "                          --purpose TEXT [OPTIONS]     a grant\n"
	     "       overt grant list   [--dir DIR] [--signers FILE]\n"
	     "       overt grant show   FILE\n"
	     "       overt grant revoke --signer FILE --reason TEXT [OPTIONS] FILE\n\n"
	     "A grant says which reader may get which record keys, and until when. Without one, no key leaves.\n"
	     "See overt-grant(1).");
	puts("\nof key and signer:");
	grant_keys_help();
	puts("\nof new and revoke:");
	grant_new_help();
	puts("\nof list:");
	grant_list_help();
	return EXIT_SUCCESS;
}

bool grant_author_open(struct grant_author *author, const char *path, struct error *err)
{
	char vkey[FILE_PATH_MAX];
	struct grant_signer found[1];
	uint8_t own[READER_KEY];
	size_t count = 0, len = strlen(path);
	*author = (struct grant_author){0};
	bool named = len > 4 && len + 2 < FILE_PATH_MAX && strcmp(path + len - 4, ".key") == 0;
	if (!named)
		return error_set(err, "--signer %s: the file of a private key is wanted, NAME.key", path);
	snprintf(vkey, sizeof(vkey), "%.*s.vkey", (int)(len - 4), path);
	bool ok = collect_read_key(READER_ED25519, path, &author->seed, err) &&
	          collect_read_signers(vkey, found, 1, &count, err) &&
	          (grant_signer_public(author->seed.octets, own) || error_set(err, "%s: no public key", path));
	if (ok && memcmp(own, found[0].public_key, sizeof(own)) != 0)
		ok = error_set(err, "%s is not the verifier key of %s", vkey, path);
	if (ok)
		author->signer = found[0];
	else
		grant_author_wipe(author);
	return ok;
}

void grant_author_wipe(struct grant_author *author)
{
	secret_wipe(&author->seed);
}

static bool log_entry(const struct audit_entry *entry, const char *path, struct error *err)
{
	const struct audit_options options = {.path = path};
	struct loop *loop = loop_new();
	struct audit_log *log = loop ? audit_log_new(loop, &options, NULL, NULL, err) : NULL;
	bool ok = log != NULL;
	if (ok)
		ok = (audit_append(log, entry, clock_wall_ns(), NULL) == AUDIT_QUEUED && audit_flush(log)) ||
		     error_set(err, "%s cannot be written, so that nothing was done", path);
	if (log)
		audit_log_free(log);
	loop_free(loop);
	return ok;
}

bool grant_publish(const struct grant_author *author, struct bytes text, const struct audit_entry *entry,
	const char *log, const char *path, struct error *err)
{
	uint8_t room[GRANT_FILE_MAX];
	struct writer to = writer_over(room, sizeof(room));
	struct bytes note;
	if (!grant_note_sign(text, author->signer.name, author->seed.octets, &to) || !writer_done(&to, &note))
		return error_set(err, "it could not be signed");
	if (file_exists(path))
		return error_set(err, "%s stands there already: nothing was changed", path);
	return log_entry(entry, log, err) && collect_write_new(path, note, 0644, err);
}

static void until_text(const struct grant *grant, char *out, size_t cap)
{
	size_t len = 0;
	out[0] = '\0';
	if (grant->until_octets)
		len += (size_t)snprintf(out, cap, "%llu octets", (unsigned long long)grant->until_octets);
	if (grant->until_conn_ns)
		len += (size_t)snprintf(out + len, cap - len, "%s%llu s", len ? ", " : "",
			(unsigned long long)(grant->until_conn_ns / NS_PER_S));
	if (grant->until_reader)
		snprintf(out + len, cap - len, "%sthe reader says enough", len ? ", " : "");
}

void grant_entry(const struct grant *grant, struct grant_texts *texts, struct audit_entry *entry)
{
	size_t len = 0;
	text_hex(texts->id, sizeof(texts->id), bytes_of(grant->id, RELEASE_GRANT));
	text_hex(texts->key, sizeof(texts->key), bytes_of(grant->key_id, SEAL_KEY_ID));
	text_hex(texts->sha256, sizeof(texts->sha256), bytes_of(grant->sha256, sizeof(grant->sha256)));
	until_text(grant, texts->until, sizeof(texts->until));
	texts->names[0] = '\0';
	for (size_t i = 0; i < grant->name_count && len + GRANT_NAME_MAX + 2 < sizeof(texts->names); i++)
		len += (size_t)snprintf(
			texts->names + len, sizeof(texts->names) - len, "%s%s", i ? " " : "", grant->names[i]);
	const char *directions = grant->from_client && grant->from_server ? "client server"
	                         : grant->from_client                     ? "client"
	                                                                  : "server";
	const struct audit_field fields[] = {AUDIT_T("grant", bytes_str(texts->id)),
		AUDIT_T("reader_key", bytes_str(texts->key)), AUDIT_T("reader", bytes_str(grant->reader)),
		AUDIT_T("names", bytes_str(texts->names)), AUDIT_T("directions", bytes_str(directions)),
		AUDIT_T("mode", bytes_str(grant->mode == RELEASE_LIVE ? "live" : "after-rotation")),
		AUDIT_T("grade", bytes_str(grant->grade == RELEASE_GRADE_RAW ? "raw" : "record")),
		AUDIT_T("purpose", bytes_str(grant->purpose)), AUDIT_T("until", bytes_str(texts->until)),
		AUDIT_T("consent", bytes_str(grant->consent == RELEASE_BOTH ? "both" : "unilateral")),
		AUDIT_T("reason", bytes_str(grant->reason)),
		AUDIT_T("ends", bytes_str(grant->until_s ? grant_time_text(grant->until_s, texts->ends) : "")),
		AUDIT_T("grant_sha256", bytes_str(texts->sha256)), AUDIT_T("signer", bytes_str(grant->signer))};
	*entry = (struct audit_entry){.kind = AUDIT_GRANT};
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if (fields[i].text.len > 0)
			(void)!audit_entry_add(entry, fields[i]);
	}
}

int verb_grant(int argc, char **argv)
{
	static const struct action {
		const char *name;
		int (*run)(int argc, char **argv);
	} actions[] = {{"key", grant_key}, {"signer", grant_signer_make}, {"new", grant_new}, {"list", grant_list},
		{"show", grant_show}, {"revoke", grant_revoke}};
	struct error err = {"an action is missing: key, signer, new, list, show or revoke"};
	for (size_t i = 0; argc >= 2 && i < sizeof(actions) / sizeof(actions[0]); i++) {
		if (strcmp(argv[1], actions[i].name) == 0)
			return actions[i].run(argc - 1, argv + 1);
	}
	if (wants_help(argc, argv))
		return help();
	if (argc >= 2)
		(void)error_set(
			&err, "there is no action %s; there are key, signer, new, list, show and revoke", argv[1]);
	return complain("grant", &err, EXIT_MISUSE);
}

/* overt grant — makes, lists, shows and revokes grants: who may read which record keys. */
#include "base/loop.h"
#include "cli/collect_place.h"
#include "cli/grant_parts.h"
#include "cli/options.h"
#include "cli/verbs.h"

#include "audit/log.h"
#include "base/clock.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VKEY_FILE_MAX ((size_t)4096)

static int help(void)
{
	puts("usage: overt grant key    [--dir DIR] NAME       a reader's key pair\n"
	     "       overt grant signer [--dir DIR] NAME       a key pair that signs grants\n"
	     "       overt grant new    --signer FILE --reader NAME --reader-key FILE\n"
	     "                          --name PATTERN... --purpose TEXT [OPTIONS]\n"
	     "       overt grant list   [--dir DIR] [--signers FILE]\n"
	     "       overt grant show   FILE\n"
	     "       overt grant revoke --signer FILE --reason TEXT [OPTIONS] FILE\n\n"
	     "A grant says which reader may get which record keys, and until when. Without\n"
	     "one, no key leaves. See overt-grant(1).");
	puts("\nof key and signer:");
	grant_keys_help();
	puts("\nof new and revoke:");
	grant_new_help();
	puts("\nof list:");
	grant_list_help();
	return EXIT_SUCCESS;
}

struct note_signer *grant_author_open(const char *path, struct error *err)
{
	char vkey[FILE_PATH_MAX];
	struct note_key found[1];
	struct secret seed = {0};
	size_t count = 0, len = strlen(path);
	bool named = len > 4 && len + 2 < FILE_PATH_MAX && strcmp(path + len - 4, ".key") == 0;
	if (!named) {
		error_set(err, "--signer %s: the file of a private key is wanted, NAME.key", path);
		return NULL;
	}
	snprintf(vkey, sizeof(vkey), "%.*s.vkey", (int)(len - 4), path);
	struct note_signer *author = NULL;
	if (collect_read_key(READER_ED25519, path, &seed, err) && collect_read_signers(vkey, found, 1, &count, err))
		author = note_signer_of_seed(bytes_str(found[0].name), NOTE_ED25519, seed.octets, err);
	secret_wipe(&seed);
	if (!author || note_key_same(note_signer_key(author), &found[0]))
		return author;
	error_set(err, "%s is not the verifier key of %s", vkey, path);
	note_signer_free(author);
	return NULL;
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

bool grant_publish(const struct note_signer *author, struct bytes text, const struct audit_entry *entry,
	const char *log, const char *path, struct error *err)
{
	uint8_t room[GRANT_FILE_MAX];
	struct writer to = writer_over(room, sizeof(room));
	struct bytes note;
	if (!note_write(&to, author, text, 0) || !writer_done(&to, &note))
		return error_set(err, "it could not be signed");
	if (file_exists(path))
		return error_set(err, "%s stands there already: nothing was changed", path);
	return log_entry(entry, log, err) && collect_write_new(path, note, 0644, err);
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

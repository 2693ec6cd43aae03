/* overt grant key, overt grant signer: key pairs. */
#include "base/text.h"
#include "cli/arguments.h"
#include "cli/collect_place.h"
#include "cli/grant_parts.h"
#include "cli/options.h"
#include "cli/verbs.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct pair {
	const char *folder, *name;
	char private_path[FILE_PATH_MAX], public_path[FILE_PATH_MAX];
};

ARGUMENT_TEXT(read_folder, pair, folder)

static bool read_name(void *ctx, const char *word, struct error *err)
{
	struct pair *pair = ctx;
	if (pair->name)
		return error_set(err, "%s: one name at a time", word);
	pair->name = word;
	return true;
}

static const struct argument table[] = {
	{"dir", 'd', "DIR", read_folder, "where the two files go; made when it is not there [the present folder]"},
};

void grant_keys_help(void)
{
	arguments_help(&(struct arguments){.verb = "grant key", .table = table, .count = 1});
}

static bool paths(struct pair *pair, const char *public_end, struct error *err)
{
	const char *folder = pair->folder ? pair->folder : ".";
	if (!pair->name || !note_name_valid(bytes_str(pair->name)) || strchr(pair->name, '/') || pair->name[0] == '.' ||
		strlen(pair->name) > GRANT_READER_MAX)
		return error_set(err, "a name is wanted, without blanks, slashes and plus signs");
	bool fit =
		snprintf(pair->private_path, FILE_PATH_MAX, "%s/%s.key", folder, pair->name) < FILE_PATH_MAX &&
		snprintf(pair->public_path, FILE_PATH_MAX, "%s/%s%s", folder, pair->name, public_end) < FILE_PATH_MAX;
	if (!fit)
		return error_set(err, "--dir: the path is too long");
	if (mkdir(folder, 0700) != 0 && errno != EEXIST)
		return error_set_errno(err, "--dir %s cannot be made", folder);
	if (file_exists(pair->public_path))
		return error_set(err, "%s stands there already: nothing was changed", pair->public_path);
	return true;
}

static bool write_private(enum reader_kind kind, const struct pair *pair, const struct secret *key, struct error *err)
{
	char pem[READER_PEM_MAX];
	size_t len = reader_private_pem(kind, key, pem);
	bool ok = len > 0 ? collect_write_new(pair->private_path, bytes_of(pem, len), 0600, err)
	                  : error_set_openssl(err, "no key could be made");
	OPENSSL_cleanse(pem, sizeof(pem));
	return ok;
}

static bool make_reader(const struct pair *pair, struct error *err)
{
	struct secret key = {0};
	uint8_t public_key[READER_KEY], id[SEAL_KEY_ID];
	char pem[READER_PEM_MAX], hex[2 * SEAL_KEY_ID + 1];
	size_t len = 0;
	bool ok = reader_make(&key) && reader_public(READER_X25519, &key, public_key) && seal_key_id(public_key, id) &&
	          (len = reader_public_pem(READER_X25519, public_key, pem)) > 0;
	ok = ok ? write_private(READER_X25519, pair, &key, err) &&
	                     collect_write_new(pair->public_path, bytes_of(pem, len), 0644, err)
	        : error_set_openssl(err, "no key could be made");
	secret_wipe(&key);
	if (!ok)
		return false;
	text_hex(hex, sizeof(hex), bytes_of(id, sizeof(id)));
	printf("Made %s, for whoever grants, and %s, which never leaves the reader's host.\nkey id %s\n",
		pair->public_path, pair->private_path, hex);
	return true;
}

static bool make_signer(const struct pair *pair, struct error *err)
{
	struct secret key = {0};
	char line[NOTE_KEY_TEXT];
	struct writer w = writer_over(line, sizeof(line));
	struct bytes text = BYTES_NONE;
	struct note_signer *signer =
		reader_make(&key) ? note_signer_of_seed(bytes_str(pair->name), NOTE_ED25519, key.octets, NULL) : NULL;
	if (signer) {
		note_key_write(&w, note_signer_key(signer));
		writer_u8(&w, '\n');
	}
	bool ok = signer && writer_done(&w, &text) ? write_private(READER_ED25519, pair, &key, err) &&
	                                                     collect_write_new(pair->public_path, text, 0644, err)
	                                           : error_set(err, "no key could be made");
	secret_wipe(&key);
	note_signer_free(signer);
	if (ok)
		printf("%.*sMade %s, for collectors and shippers, and %s, which signs.\n", (int)text.len, line,
			pair->public_path, pair->private_path);
	return ok;
}

static int make(int argc, char **argv, const char *verb, const char *end,
	bool (*run)(const struct pair *pair, struct error *err))
{
	const struct arguments arguments = {.verb = verb, .table = table, .count = 1, .word = read_name};
	static struct pair pair;
	struct error err;
	int rest;
	pair = (struct pair){0};
	if (wants_help(argc, argv)) {
		arguments_help(&arguments);
		return EXIT_SUCCESS;
	}
	if (!arguments_read(&arguments, argc, argv, &pair, &rest, &err) || !paths(&pair, end, &err))
		return complain(verb, &err, EXIT_MISUSE);
	return run(&pair, &err) ? EXIT_SUCCESS : complain(verb, &err, EXIT_FAILURE);
}

int grant_key(int argc, char **argv)
{
	return make(argc, argv, "grant key", ".pub", make_reader);
}

int grant_signer_make(int argc, char **argv)
{
	return make(argc, argv, "grant signer", ".vkey", make_signer);
}

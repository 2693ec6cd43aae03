/* cli/grant_parts.h — what the files of overt grant share. */
#ifndef CLI_GRANT_PARTS_H
#define CLI_GRANT_PARTS_H

#include "keys/grant.h"
#include "pki/file.h"
#include "policy/grant_entry.h"

/*
 * Who signs: the key in PATH (PEM, Ed25519), and under which name: the verifier key beside it, PATH with .vkey for .key.
 * NULL with `err`; note_signer_free.
 */
must_check struct note_signer *grant_author_open(const char *path, struct error *err);

/*
 * Signs `text`, has `log` (an audit log) say so with `entry` on the disk, and only then writes the note to `path`, which
 * must not be there yet.
 */
must_check bool grant_publish(const struct note_signer *author, struct bytes text, const struct audit_entry *entry,
	const char *log, const char *path, struct error *err);
/* The actions; argv[0] is the action's name. */
int grant_key(int argc, char **argv);
int grant_signer_make(int argc, char **argv);
int grant_new(int argc, char **argv);
int grant_list(int argc, char **argv);
int grant_show(int argc, char **argv);
int grant_revoke(int argc, char **argv);

/* Print the options of the actions in each file. */
void grant_keys_help(void);
void grant_new_help(void);
void grant_list_help(void);

#endif

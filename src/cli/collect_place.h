/* cli/collect_place.h — where the collector's and the grants' files stand, and reading them. */
#ifndef CLI_COLLECT_PLACE_H
#define CLI_COLLECT_PLACE_H

#include "collect/tls.h"
#include "keys/grant.h"
#include "keys/reader.h"
#include "pki/file.h"

/* $XDG_DATA_HOME/overt-collect, or ~/.local/share/overt-collect. False when neither variable says where. */
must_check bool collect_place(char out[FILE_PATH_MAX], struct error *err);

/* Certificates of one party in a folder as `overt collect init` makes it, where they were not named one by one. */
struct collect_paths {
	char certificate[FILE_PATH_MAX], key[FILE_PATH_MAX], ca[FILE_PATH_MAX];
};
must_check bool collect_find_files(struct collect_files *files, struct collect_paths *paths, const char *folder,
	const char *name, struct error *err);

/*
 * Key and CA of a certificate where they were not named: the key stands beside it with .key for .pem, the CA is ca.pem
 * beside it. `*key` and `*ca` are set to the rooms where they were NULL.
 */
must_check bool collect_find_beside(const char *certificate, const char **key, char key_room[FILE_PATH_MAX],
	const char **ca, char ca_room[FILE_PATH_MAX], struct error *err);

/* A private key in PEM, readable by its owner alone. */
must_check bool collect_read_key(enum reader_kind kind, const char *path, struct secret *out, struct error *err);
/* A public X25519 key in PEM. */
must_check bool collect_read_public(const char *path, uint8_t public_key[static READER_KEY], struct error *err);
/* Verifier keys, one a line; blank lines and lines with # are passed over. Adds to `out`, at most `cap` in all. */
must_check bool collect_read_signers(
	const char *path, struct note_key *out, size_t cap, size_t *count, struct error *err);
/* Octets to a file that must not be there yet. */
must_check bool collect_write_new(const char *path, struct bytes content, mode_t mode, struct error *err);

#endif

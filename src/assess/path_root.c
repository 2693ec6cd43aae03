/* assess/path_root.c — whose root a chain ends at: one that browsers trust, or one that only this machine does. */
#include "assess/path_parts.h"
#include "base/clock.h"
#include "pki/file.h"
#include "pki/verify.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <sys/stat.h>

#define DEBIAN_ROOTS "/usr/share/ca-certificates/mozilla"
#define FILES_MAX    1000
#define FILE_MAX     ((size_t)4 * 1024 * 1024)

/* False: the file cannot be read or has no certificate in it. */
static bool look(const char *path, const uint8_t anchor[VANTAGE_DIGEST], bool *found, struct error *err)
{
	struct file_bytes file = {0};
	unsigned count = 0;
	if (!file_read(path, FILE_MAX, &file, NULL, err))
		return false;
	BIO *bio = BIO_new_mem_buf(file.data, (int)file.len);
	for (X509 *cert; bio && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL; count++) {
		uint8_t digest[EVP_MAX_MD_SIZE];
		if (X509_digest(cert, EVP_sha256(), digest, NULL) == 1 && memcmp(digest, anchor, VANTAGE_DIGEST) == 0)
			*found = true;
		X509_free(cert);
	}
	BIO_free(bio);
	file_bytes_free(&file);
	ERR_clear_error();
	return count > 0 || error_set(err, "%s: no certificate in it", path);
}

static enum known look_in(const char *folder, const uint8_t anchor[VANTAGE_DIGEST], struct error *err)
{
	DIR *dir = opendir(folder);
	unsigned files = 0;
	bool found = false;
	if (!dir) {
		error_set_errno(err, "%s", folder);
		return NOT_KNOWN;
	}
	for (const struct dirent *entry; !found && files < FILES_MAX && (entry = readdir(dir)) != NULL;) {
		char path[FILE_PATH_MAX];
		struct error passed;
		if (entry->d_name[0] != '.' && file_join(path, folder, entry->d_name, &passed))
			files += look(path, anchor, &found, &passed);
	}
	closedir(dir);
	if (files == 0)
		error_set(err, "%s: no certificates in it", folder);
	return files == 0 ? NOT_KNOWN : found ? YES : NO;
}

enum known root_of_web(const char *where, const uint8_t anchor[VANTAGE_DIGEST], struct error *err)
{
	struct stat info;
	bool found = false;
	const char *path = where ? where : DEBIAN_ROOTS;
	if (stat(path, &info) != 0) {
		error_set_errno(err, "%s", path);
		return NOT_KNOWN;
	}
	if (S_ISDIR(info.st_mode))
		return look_in(path, anchor, err);
	return !look(path, anchor, &found, err) ? NOT_KNOWN : found ? YES : NO;
}

/* The store's certificate that the verdict rests on: by its digest, among the issuers of all that was sent. */
static X509 *find_anchor(const struct trust *trust, const struct path *path, const uint8_t digest[VANTAGE_DIGEST])
{
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	X509 *found = NULL;
	bool ok = ctx && X509_STORE_CTX_init(ctx, trust_store(trust), path->seen.leaf, path->seen.chain) == 1;
	for (int i = -1; ok && !found && i < sk_X509_num(path->seen.chain); i++) {
		uint8_t its[EVP_MAX_MD_SIZE];
		X509 *cert = i < 0 ? path->seen.leaf : sk_X509_value(path->seen.chain, i), *issuer = NULL;
		if (X509_STORE_CTX_get1_issuer(&issuer, ctx, cert) != 1)
			continue;
		if (X509_digest(issuer, EVP_sha256(), its, NULL) == 1 && memcmp(its, digest, VANTAGE_DIGEST) == 0)
			found = issuer;
		else
			X509_free(issuer);
	}
	X509_STORE_CTX_free(ctx);
	ERR_clear_error();
	return found;
}

static void tell_root(struct path *path, const struct verify_verdict *verdict)
{
	static const uint8_t none[VANTAGE_DIGEST];
	static const char probed[] = "whose root the chain ends at";
	struct error err = {""};
	if (memcmp(verdict->anchor, none, sizeof(none)) == 0) {
		path_sign(path, "root", TOLD, probed, "at none that is trusted here");
		return;
	}
	path->web_root = root_of_web(path->options->web_roots, verdict->anchor, &err);
	if (path->web_root == NOT_KNOWN)
		path_sign(path, "root", TOLD, probed,
			"one that is trusted here; which roots browsers bring along is not known: %s (--web-roots)",
			err.text);
	else if (path->web_root == YES)
		path_sign(path, "root", TOLD, probed, "one that browsers bring along");
	else
		path_sign(path, "root", path->public_name ? PROOF : HINT, probed,
			path->public_name
				? "the chain of a public name ends at a root that this machine trusts and browsers do "
				  "not bring along"
				: "one that this machine trusts and browsers do not bring along: a proxy's, or the "
				  "operator's own");
}

void path_root(struct path *path)
{
	struct error err = {""};
	struct verify_verdict verdict;
	struct trust *trust = trust_new(NULL);
	bool ok = trust && (path->options->trust ? trust_add_file(trust, path->options->trust, &err)
						 : trust_add_system(trust, &err));
	struct verifier *verifier = ok ? verifier_new(trust, 0) : NULL;
	if (verifier) {
		const struct verify_request request = {.host = &path->server.name,
			.staple = bytes_of(path->seen.staple, path->seen.staple_len),
			.now_s = (int64_t)(clock_wall_ns() / NS_PER_S)};
		verify_chain(verifier, path->seen.leaf, path->seen.chain, &request, &verdict);
		path->verified = verdict.fault == VERIFY_OK;
		path_sign(path, "chain", path->verified || !path->public_name ? TOLD : HINT,
			"the chain, strictly, against what is trusted here", "%s: %s", verify_fault_name(verdict.fault),
			path->verified ? "good for this name" : verdict.text);
		path->anchor = find_anchor(trust, path, verdict.anchor);
		tell_root(path, &verdict);
	} else {
		path_sign(path, "chain", TOLD, "the chain", "could not be judged: %s", err.text);
	}
	verifier_free(verifier);
	trust_free(trust);
}

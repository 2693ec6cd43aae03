#include "cli/ca_places.h"

#include "base/text.h"
#include "pki/file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define TAG_LEN 17 /* 16 hex digits of the certificate's SHA-256 */

static const char *const update_tools[] = {
	"/usr/sbin/update-ca-certificates", "/usr/local/sbin/update-ca-certificates", NULL};

static void tag_of(const X509 *cert, char out[TAG_LEN])
{
	uint8_t digest[32] = {0};
	(void)X509_digest(cert, EVP_sha256(), digest, NULL);
	(void)text_hex(out, TAG_LEN, bytes_of(digest, 8));
}

static bool pem_of(X509 *cert, BIO **out, struct bytes *pem)
{
	char *data;
	BIO *bio = BIO_new(BIO_s_mem());
	if (!bio || PEM_write_bio_X509(bio, cert) != 1) {
		BIO_free(bio);
		return false;
	}
	long len = BIO_get_mem_data(bio, &data);
	*pem = bytes_of(data, (size_t)len);
	*out = bio;
	return true;
}

/*
 * Runs a program with `input`, or nothing, to read, and its output thrown away (its complaints too when `quiet`). Its exit
 * code, -1 when it did not run.
 */
static int program_run_with(const char *const argv[], int input, bool quiet)
{
	posix_spawn_file_actions_t actions;
	if (posix_spawn_file_actions_init(&actions) != 0)
		return -1;
	if (input >= 0)
		(void)posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
	else
		(void)posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	(void)posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	if (quiet)
		(void)posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	pid_t child;
	/* The prototype predates const; the strings are not changed. */
	int failed = posix_spawnp(&child, argv[0], &actions, NULL, (char **)(uintptr_t)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	int status;
	if (failed || waitpid(child, &status, 0) < 0)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int program_run(const char *const argv[], bool quiet)
{
	return program_run_with(argv, -1, quiet);
}

static bool system_path(const struct ca_places *places, const X509 *cert, char out[FILE_PATH_MAX], struct error *err)
{
	char name[64];
	char tag[TAG_LEN];
	tag_of(cert, tag);
	/* update-ca-certificates takes files that end in .crt only. */
	snprintf(name, sizeof(name), "overt-ca-%s.crt", tag);
	return file_join(out, places->system_dir, name, err);
}

static enum ca_place_result system_failed(const struct ca_places *places, struct error *err)
{
	if (errno != EACCES && errno != EPERM && errno != EROFS) {
		error_set_errno(err, "%s", places->system_dir);
		return CA_PLACE_FAILED;
	}
	error_set_errno(err, "%s: the system store is root's", places->system_dir);
	return CA_PLACE_DENIED;
}

static bool is_directory(const char *path)
{
	struct stat info;
	return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

enum ca_place_result ca_system_put(const struct ca_places *places, X509 *cert, struct error *err)
{
	char path[FILE_PATH_MAX];
	struct bytes pem;
	BIO *bio;
	if (!places->system_dir || !is_directory(places->system_dir))
		return CA_PLACE_ABSENT;
	if (ca_system_has(places, cert))
		return CA_PLACE_DONE;
	if (access(places->system_dir, W_OK) < 0)
		return system_failed(places, err);
	if (!system_path(places, cert, path, err) || !pem_of(cert, &bio, &pem))
		return CA_PLACE_FAILED;
	bool ok = file_replace(path, pem, 0644, err);
	BIO_free(bio);
	return ok ? CA_PLACE_DONE : CA_PLACE_FAILED;
}

enum ca_place_result ca_system_remove(const struct ca_places *places, X509 *cert, struct error *err)
{
	char path[FILE_PATH_MAX];
	if (!places->system_dir || !is_directory(places->system_dir))
		return CA_PLACE_ABSENT;
	if (!system_path(places, cert, path, err))
		return CA_PLACE_FAILED;
	if (unlink(path) < 0 && errno != ENOENT)
		return system_failed(places, err);
	return CA_PLACE_DONE;
}

bool ca_system_has(const struct ca_places *places, X509 *cert)
{
	char path[FILE_PATH_MAX];
	return places->system_dir && system_path(places, cert, path, NULL) && file_exists(path);
}

enum ca_place_result ca_system_update(const struct ca_places *places, struct error *err)
{
	if (!places->system_dir || !places->system_update)
		return CA_PLACE_DONE;
	for (int i = 0; update_tools[i]; i++) {
		if (access(update_tools[i], X_OK) < 0)
			continue;
		const char *const argv[] = {update_tools[i], NULL};
		int code = program_run(argv, false);
		if (code == 0)
			return CA_PLACE_DONE;
		error_set(err, "%s failed (exit code %d)", update_tools[i], code);
		return CA_PLACE_FAILED;
	}
	error_set(err, "update-ca-certificates is not installed: install the package ca-certificates");
	return CA_PLACE_ABSENT;
}

/* A pipe that holds the line and nothing else: short enough never to block. -1 when there is none to be had. */
static int line_to_read(const char *line)
{
	int ends[2];
	size_t len = strlen(line);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	bool written = write(ends[1], line, len) == (ssize_t)len;
	close(ends[1]);
	if (written)
		return ends[0];
	close(ends[0]);
	return -1;
}

/*
 * Debian's update-ca-certificates tells its hooks what came, but of a file that was taken away from the local ones it tells
 * nothing: Java's store would keep the CA. The hook is told in its place, in its own words: the file as it stood in
 * /etc/ssl/certs, with a minus.
 */
enum ca_place_result ca_java_remove(const struct ca_places *places, X509 *cert, struct error *err)
{
	static const char hook[] = "/etc/ca-certificates/update.d/jks-keystore";
	const char *const argv[] = {hook, NULL};
	char line[96];
	char tag[TAG_LEN];
	if (!places->system_dir || !places->system_update || access(hook, X_OK) < 0)
		return CA_PLACE_ABSENT;
	tag_of(cert, tag);
	snprintf(line, sizeof(line), "-/etc/ssl/certs/overt-ca-%s.pem\n", tag);
	int input = line_to_read(line);
	int code = input >= 0 ? program_run_with(argv, input, false) : -1;
	if (input >= 0)
		close(input);
	if (code == 0)
		return CA_PLACE_DONE;
	error_set(err, "%s failed (exit code %d): Java may still trust the CA", hook, code);
	return CA_PLACE_FAILED;
}

/* How certutil is told the database and our nickname in it. */
struct nss {
	char database[FILE_PATH_MAX];
	char nickname[64];
};

static bool nss_name(const struct ca_places *places, const X509 *cert, struct nss *out)
{
	char tag[TAG_LEN];
	if (!places->nss_dir)
		return false;
	tag_of(cert, tag);
	snprintf(out->nickname, sizeof(out->nickname), "Overt CA %s", tag);
	int len = snprintf(out->database, sizeof(out->database), "sql:%s", places->nss_dir);
	return len > 0 && (size_t)len < sizeof(out->database);
}

static bool certutil_is_there(void)
{
	const char *const argv[] = {"certutil", "-H", NULL};
	/* It prints its help and exits with 0 or 1; -1 and 127 say that there is none. */
	int code = program_run(argv, true);
	return code >= 0 && code != 127;
}

static bool nss_listed(const struct nss *nss)
{
	const char *const argv[] = {"certutil", "-d", nss->database, "-L", "-n", nss->nickname, NULL};
	return program_run(argv, true) == 0;
}

bool ca_nss_has(const struct ca_places *places, X509 *cert)
{
	struct nss nss;
	return nss_name(places, cert, &nss) && is_directory(places->nss_dir) && nss_listed(&nss);
}

static bool nss_database_make(const struct ca_places *places, const struct nss *nss, struct error *err)
{
	if (is_directory(places->nss_dir))
		return true;
	if (!file_make_directory(places->nss_dir, err))
		return false;
	const char *const argv[] = {"certutil", "-d", nss->database, "-N", "--empty-password", NULL};
	return program_run(argv, false) == 0 ||
	       error_set(err, "%s: certutil cannot make a database there", places->nss_dir);
}

static bool nss_add(const struct nss *nss, struct bytes pem, struct error *err)
{
	char path[] = "/tmp/overt-ca-XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return error_set_errno(err, "%s", path);
	bool ok = write(fd, pem.data, pem.len) == (ssize_t)pem.len;
	close(fd);
	/* C: a CA that may issue for servers. Nothing for mail and code. */
	const char *const argv[] = {
		"certutil", "-d", nss->database, "-A", "-t", "C,,", "-n", nss->nickname, "-a", "-i", path, NULL};
	ok = ok && program_run(argv, false) == 0;
	(void)unlink(path);
	return ok || error_set(err, "%s: certutil could not add the CA", nss->database);
}

enum ca_place_result ca_nss_put(const struct ca_places *places, X509 *cert, struct error *err)
{
	struct nss nss;
	struct bytes pem;
	BIO *bio;
	if (!nss_name(places, cert, &nss) || !certutil_is_there())
		return CA_PLACE_ABSENT;
	if (!nss_database_make(places, &nss, err))
		return CA_PLACE_FAILED;
	if (nss_listed(&nss))
		return CA_PLACE_DONE;
	if (!pem_of(cert, &bio, &pem))
		return CA_PLACE_FAILED;
	bool ok = nss_add(&nss, pem, err);
	BIO_free(bio);
	return ok ? CA_PLACE_DONE : CA_PLACE_FAILED;
}

enum ca_place_result ca_nss_remove(const struct ca_places *places, X509 *cert, struct error *err)
{
	struct nss nss;
	if (!nss_name(places, cert, &nss) || !is_directory(places->nss_dir) || !certutil_is_there())
		return CA_PLACE_ABSENT;
	if (!nss_listed(&nss))
		return CA_PLACE_DONE;
	const char *const argv[] = {"certutil", "-d", nss.database, "-D", "-n", nss.nickname, NULL};
	if (program_run(argv, false) == 0)
		return CA_PLACE_DONE;
	error_set(err, "%s: certutil could not remove the CA", places->nss_dir);
	return CA_PLACE_FAILED;
}

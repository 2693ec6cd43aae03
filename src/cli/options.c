#include "cli/options.h"

#include "base/log.h"
#include "base/sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

bool wants_help(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return true;
	}
	return false;
}

int complain(const char *verb, const struct error *err, int code)
{
	fprintf(stderr, "overt %s: %s\n", verb, err->text);
	return code;
}

bool make_state(const char *state, struct error *err)
{
	char path[4096];
	int n = snprintf(path, sizeof(path), "%s", state);
	if (n < 0 || (size_t)n >= sizeof(path))
		return error_set(err, "--state %s: the path is too long", state);
	for (char *slash = path + 1; *slash; slash++) {
		if (*slash != '/')
			continue;
		*slash = '\0';
		if (mkdir(path, 0700) != 0 && errno != EEXIST)
			return error_set_errno(err, "--state %s: %s cannot be made", state, path);
		*slash = '/';
	}
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return error_set_errno(err, "--state %s cannot be made", state);
	return true;
}

static bool is_empty(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	bool empty = dir != NULL;
	while (empty && (entry = readdir(dir)))
		empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
	if (dir)
		closedir(dir);
	return empty;
}

bool give_state(const struct config *config, struct error *err)
{
	struct sandbox_user user;
	struct stat found;
	if (!config->user || geteuid() != 0)
		return true;
	if (!sandbox_user_find(config->user, &user, err))
		return error_prefix(err, "--user");
	if (stat(config->state, &found) != 0)
		return error_set_errno(err, "--state %s", config->state);
	if (found.st_uid == user.uid)
		return true;
	if (!is_empty(config->state))
		return error_set(err, "--state %s belongs to user %u and not to --user %s (chown -R %s %s)",
			config->state, found.st_uid, config->user, config->user, config->state);
	return chown(config->state, user.uid, user.gid) == 0 ||
	       error_set_errno(err, "--state %s cannot be given to user %s", config->state, config->user);
}

void raise_limits(struct config *config)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	/* Two sockets each; the rest is for files, channels and rings. */
	uint64_t room = limit.rlim_max > 128 ? (limit.rlim_max - 64) / 2 : 32;
	uint64_t wanted = config->connections;
	if (wanted > room)
		config->connections = room;
	if (wanted <= room)
		log_info("limits", LOG_N("open-files", limit.rlim_max), LOG_N("connections", wanted));
	else
		log_info("limits", LOG_N("open-files", limit.rlim_max), LOG_N("connections", room),
			LOG_N("configured", wanted),
			LOG_S("do", "for more, raise the limit of open files (ulimit -n, LimitNOFILE)"));
}

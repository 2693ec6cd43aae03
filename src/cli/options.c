#include "cli/options.h"

#include "base/log.h"

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

void raise_limits(struct config *config)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	/* Two sockets each; the rest is for files, channels and rings. */
	uint64_t room = limit.rlim_max > 128 ? (limit.rlim_max - 64) / 2 : 32;
	if (config->connections <= room)
		return;
	log_debug("connections capped", LOG_N("wanted", config->connections), LOG_N("cap", room),
		LOG_N("limit", limit.rlim_max), LOG_S("do", "raise the limit of open files (ulimit -n, LimitNOFILE)"));
	config->connections = room;
}

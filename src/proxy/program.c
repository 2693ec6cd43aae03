#include "proxy/program.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME "overt"
#define SELF "/proc/self/exe"

static bool is_self(const char *path)
{
	struct stat self, named;
	return stat(SELF, &self) == 0 && stat(path, &named) == 0 && self.st_dev == named.st_dev &&
	       self.st_ino == named.st_ino && access(path, X_OK) == 0;
}

static bool join(char *out, size_t cap, const char *folder, size_t folder_len, const char *name)
{
	int n = snprintf(out, cap, "%.*s/%s", (int)folder_len, folder, name);
	return n > 0 && (size_t)n < cap;
}

/* The first of PATH's folders that holds `name`, as a shell looks for it; only whole paths count. */
static bool find_in_path(char *out, size_t cap, const char *name)
{
	const char *path = getenv("PATH");
	for (const char *at = path; at && *at; at += *at == ':') {
		size_t len = strcspn(at, ":");
		if (*at == '/' && join(out, cap, at, len, name) && access(out, X_OK) == 0)
			return true;
		at += len;
	}
	return false;
}

static bool find_started(char *out, size_t cap)
{
	const char *name = program_invocation_name;
	char here[PROGRAM_PATH_MAX];
	if (!strchr(name, '/'))
		return find_in_path(out, cap, name);
	if (name[0] == '/') {
		int n = snprintf(out, cap, "%s", name);
		return n > 0 && (size_t)n < cap;
	}
	return getcwd(here, sizeof(here)) && join(out, cap, here, strlen(here), name);
}

bool program_path(char *out, size_t cap)
{
	if (find_started(out, cap) && is_self(out))
		return true;
	ssize_t n = readlink(SELF, out, cap);
	if (n <= 0 || (size_t)n >= cap)
		return false;
	out[n] = '\0';
	return true;
}

const char *program_called(char *out, size_t cap)
{
	if (find_in_path(out, cap, NAME) && is_self(out))
		return NAME;
	return program_path(out, cap) ? out : NAME;
}

#include "cli/exec_child.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PRELOAD_MAX 8192 /* octets of LD_PRELOAD */

/* Options of `overt exec` that stand alone; all others have a value behind them. */
static bool is_flag(const char *word)
{
	static const char *const flags[] = {
		"-h", "--help", "-q", "--quiet", "-v", "--verbose", "--lossless", "--show-secrets"};
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (strcmp(word, flags[i]) == 0)
			return true;
	}
	return strncmp(word, "--no-", 5) == 0 || strchr(word, '=') != NULL;
}

bool exec_child_given(int argc, char **argv, const char *name)
{
	size_t len = strlen(name);
	for (int i = 1; i < argc && argv[i][0] == '-' && strcmp(argv[i], "--") != 0; i++) {
		const char *word = argv[i];
		if (strncmp(word, "--", 2) == 0 && strncmp(word + 2, name, len) == 0 &&
			(word[2 + len] == '\0' || word[2 + len] == '='))
			return true;
		i += !is_flag(word);
	}
	return false;
}

bool exec_child_preload(const char *agent)
{
	char list[PRELOAD_MAX];
	const char *old = getenv("LD_PRELOAD");
	int n = snprintf(list, sizeof(list), "%s%s%s", agent, old && old[0] ? ":" : "", old ? old : "");
	if (n < 0 || (size_t)n >= sizeof(list)) {
		errno = E2BIG;
		return false;
	}
	return setenv("LD_PRELOAD", list, 1) == 0;
}

char **exec_child_environment(bool (*change)(const void *arg), const void *arg)
{
	char **own = environ;
	size_t count = 0;
	while (own[count])
		count++;
	/* An array of its own first: what setenv has made it would make larger in its place. */
	char **fresh = malloc((count + 1) * sizeof(*fresh));
	if (!fresh)
		return NULL;
	memcpy(fresh, own, (count + 1) * sizeof(*fresh));
	environ = fresh;
	bool ok = change(arg);
	char **made = environ;
	environ = own;
	if (made != fresh)
		free(fresh);
	return ok ? made : NULL;
}

no_return void exec_child_become(char *const *argv, bool ready)
{
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
	if (ready)
		execvp(argv[0], argv);
	int code = errno == ENOENT ? 127 : 126;
	fprintf(stderr, "overt exec: %s: %s\n", argv[0], strerror(errno));
	_exit(code);
}

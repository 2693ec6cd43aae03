#include "assess/run.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORDS 256

static char *replace(const char *word, const char *url)
{
	const char *at = strstr(word, "{}");
	char *out = NULL;
	if (!at)
		return strdup(word);
	return asprintf(&out, "%.*s%s%s", (int)(at - word), word, url, at + 2) < 0 ? NULL : out;
}

/*
 * In the child: only what may be called between fork and exec in a program with threads. Why exec failed goes into the pipe,
 * which a program that runs does not have.
 */
static no_return void become(char **words, char **environment, pid_t parent, int pipe)
{
	static const int usual[] = {SIGPIPE, SIGXFSZ};
	sigset_t none;
	for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
		(void)signal(usual[i], SIG_DFL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	/* Where overt itself is killed, nobody is left to end it. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(126);
	(void)setpgid(0, 0);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = 0; null >= 0 && fd < 3; fd++)
		(void)dup2(null, fd);
	execvpe(words[0], words, environment);
	int why = errno;
	(void)!write(pipe, &why, sizeof(why));
	_exit(why == ENOENT ? 127 : 126);
}

static enum run_end await(pid_t child, const struct run_wish *wish, int *status)
{
	uint64_t until_ns = clock_monotonic_ns() + wish->patience_ns;
	while (waitpid(child, status, WNOHANG) == 0) {
		struct pollfd end = {.fd = wish->signals, .events = POLLIN};
		if (clock_monotonic_ns() >= until_ns)
			return RUN_LATE;
		if (poll(&end, 1, 10) > 0)
			return RUN_STOPPED;
	}
	return RUN_EXITED;
}

extern char **environ;

/* What the child finds in its environment: ours, without what says the same, and the URL and root. Free all. */
static char **make_environment(const struct run_wish *wish)
{
	static const char *const roots[] = {"SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO",
		"NODE_EXTRA_CA_CERTS", "OVERT_CA", "OVERT_URL"};
	static const char *const gone[] = {
		"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "SSL_CERT_DIR"};
	size_t count = 0, n = 0, set = sizeof(roots) / sizeof(roots[0]);
	while (environ[count])
		count++;
	char **out = calloc(count + set + 1, sizeof(*out));
	for (size_t i = 0; out && i < count; i++) {
		bool keep = true;
		size_t len = strcspn(environ[i], "=");
		for (size_t j = 0; j < set; j++)
			keep &= strlen(roots[j]) != len || strncmp(environ[i], roots[j], len) != 0;
		for (size_t j = 0; j < sizeof(gone) / sizeof(gone[0]); j++)
			keep &= strlen(gone[j]) != len || strncmp(environ[i], gone[j], len) != 0;
		if (keep)
			out[n++] = strdup(environ[i]);
	}
	for (size_t j = 0; out && j < set; j++) {
		const char *value = strcmp(roots[j], "OVERT_URL") == 0 ? wish->url : wish->ca_file;
		if (asprintf(&out[n], "%s=%s", roots[j], value) < 0)
			out[n] = NULL;
		n += out[n] != NULL;
	}
	return out;
}

static void free_words(char **words)
{
	for (size_t i = 0; words && words[i]; i++)
		free(words[i]);
	free(words);
}

/* After its end. */
static bool has_run(const char *program, int pipe, struct error *err)
{
	int why = 0;
	if (read(pipe, &why, sizeof(why)) != (ssize_t)sizeof(why))
		return true;
	errno = why;
	return why == ENOENT ? error_set(err, "%s: there is no such program", program)
	                     : error_set_errno(err, "%s cannot be run", program);
}

static bool run(char **words, char **environment, const struct run_wish *wish, enum run_end *end, int *code,
	int pipe[2], struct error *err)
{
	int status = 0;
	pid_t parent = getpid(), child = fork();
	if (child == 0)
		become(words, environment, parent, pipe[1]);
	if (child < 0)
		return error_set_errno(err, "fork");
	*end = await(child, wish, &status);
	if (*end != RUN_EXITED) {
		(void)kill(-child, SIGKILL);
		(void)kill(child, SIGKILL);
		(void)waitpid(child, &status, 0);
	}
	/* What it started and left running is of its group. */
	(void)kill(-child, SIGKILL);
	if (*end == RUN_STOPPED)
		return error_set(err, "stopped by a signal");
	if (*end == RUN_EXITED && WIFSIGNALED(status))
		*end = RUN_KILLED;
	*code = WIFEXITED(status) ? WEXITSTATUS(status) : WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	return has_run(words[0], pipe[0], err);
}

static bool run_with_pipe(
	char **words, char **environment, const struct run_wish *wish, enum run_end *end, int *code, struct error *err)
{
	int pipe[2];
	if (pipe2(pipe, O_CLOEXEC | O_NONBLOCK) != 0)
		return error_set_errno(err, "no pipe");
	bool ok = run(words, environment, wish, end, code, pipe, err);
	close(pipe[0]);
	close(pipe[1]);
	return ok;
}

bool run_once(const struct run_wish *wish, enum run_end *end, int *code, struct error *err)
{
	char **words = calloc(WORDS + 1, sizeof(*words)), **environment = make_environment(wish);
	bool ok = words && environment;
	*end = RUN_EXITED;
	size_t n = 0;
	for (; ok && wish->command[n] && n < WORDS; n++)
		ok = (words[n] = replace(wish->command[n], wish->url)) != NULL;
	if (!ok)
		error_set(err, "no memory");
	else if (n == 0)
		ok = error_set(err, "an empty command");
	else if (wish->command[n])
		ok = error_set(err, "a command of at most %d words", WORDS);
	else
		ok = run_with_pipe(words, environment, wish, end, code, err);
	free_words(words);
	free_words(environment);
	return ok;
}

/* cli/tour_run.c — programs that a step runs: to their end, or beside it. */
#include "base/clock.h"
#include "cli/tour_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define COMMAND_MAX ((size_t)2048)
#define END_MS      10000 /* between SIGTERM and SIGKILL */

void tour_said_clear(struct tour_said *said)
{
	buffer_clear(&said->out);
	buffer_clear(&said->err);
}

bool tour_stopped(const struct tour *tour)
{
	struct pollfd poller = {.fd = tour->stop_fd, .events = POLLIN};
	return tour->stop_fd >= 0 && poll(&poller, 1, 0) == 1;
}

bool tour_split(char *text, struct tour_command *out)
{
	char *rest = NULL;
	*out = (struct tour_command){0};
	for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
		if (out->count == TOUR_WORDS)
			return false;
		out->word[out->count++] = word;
	}
	return out->count > 0;
}

/* The user's proxies, trust and key logs are not the tour's. */
static bool set_environment(const struct tour *tour)
{
	static const char *const gone[] = {"http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY",
		"HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSLKEYLOGFILE", "SSL_CERT_FILE", "SSL_CERT_DIR",
		"CURL_CA_BUNDLE", "XDG_CONFIG_HOME"};
	for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++)
		(void)unsetenv(gone[i]);
	return setenv("HOME", tour->dir, 1) == 0 && setenv("XDG_DATA_HOME", tour->dir, 1) == 0;
}

static no_return void become(
	const struct tour *tour, const struct tour_command *command, int out, int err, pid_t parent)
{
	sigset_t none;
	int null = open("/dev/null", O_RDWR);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
	/* Should the tour be killed, nothing of it stays. */
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	bool ok = getppid() == parent && null >= 0 && dup2(null, STDIN_FILENO) >= 0 &&
	          dup2(out < 0 ? null : out, STDOUT_FILENO) >= 0 && dup2(err, STDERR_FILENO) >= 0 &&
	          chdir(tour->dir) == 0 && set_environment(tour);
	char *words[TOUR_WORDS + 1] = {NULL};
	for (size_t i = 0; ok && i < command->count; i++)
		ok = (words[i] = strdup(command->word[i])) != NULL;
	bool own = strcmp(command->word[0], "overt") == 0;
	if (ok)
		execvp(own ? tour->self : command->word[0], words);
	fprintf(stderr, "%s: %s\n", command->word[0], strerror(errno));
	_exit(127);
}

/* Pipes are closed on exec: a program gets its own two ends and no others. -1 with err set. */
static pid_t start(const struct tour *tour, const char *text, int *out, int *err_fd, struct error *err)
{
	char copy[COMMAND_MAX];
	struct tour_command command;
	int pipes[2][2] = {{-1, -1}, {-1, -1}};
	pid_t parent = getpid(), pid = -1;
	int n = snprintf(copy, sizeof(copy), "%s", text);
	if (n < 0 || (size_t)n >= sizeof(copy) || !tour_split(copy, &command)) {
		error_set(err, "a command of the tour is too long");
		return -1;
	}
	if ((!out || pipe2(pipes[0], O_CLOEXEC) == 0) && pipe2(pipes[1], O_CLOEXEC) == 0)
		pid = fork();
	if (pid == 0)
		become(tour, &command, pipes[0][1], pipes[1][1], parent);
	if (pid < 0)
		error_set_errno(err, "%s cannot be started", command.word[0]);
	for (unsigned i = 0; i < 2; i++) {
		if (pipes[i][1] >= 0)
			close(pipes[i][1]);
		if (pid < 0 && pipes[i][0] >= 0)
			close(pipes[i][0]);
	}
	if (out)
		*out = pipes[0][0];
	*err_fd = pipes[1][0];
	return pid;
}

static int code_of(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* False at the stream's end. What does not fit is passed over. */
static bool take(int fd, struct buffer *into)
{
	uint8_t piece[4096];
	ssize_t n = read(fd, piece, sizeof(piece));
	if (n > 0)
		(void)!buffer_add(into, bytes_of(piece, (size_t)n));
	return n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN));
}

enum heard { HEARD_SOME, HEARD_ENDS, HEARD_LATE, HEARD_STOP };

/* Waits for what either stream says. A stream that has ended becomes -1. */
static enum heard hear(const struct tour *tour, int fds[2], struct buffer *into[2], uint64_t deadline_ns)
{
	struct pollfd pollers[3] = {{.fd = fds[0], .events = POLLIN}, {.fd = fds[1], .events = POLLIN},
		{.fd = tour->stop_fd, .events = POLLIN}};
	uint64_t now = clock_monotonic_ns();
	if (fds[0] < 0 && fds[1] < 0)
		return HEARD_ENDS;
	if (now >= deadline_ns)
		return HEARD_LATE;
	if (poll(pollers, 3, (int)((deadline_ns - now) / 1000000) + 1) < 0)
		return errno == EINTR ? HEARD_SOME : HEARD_ENDS;
	if (pollers[2].revents)
		return HEARD_STOP;
	for (unsigned i = 0; i < 2; i++) {
		if (pollers[i].revents && !take(fds[i], into[i])) {
			close(fds[i]);
			fds[i] = -1;
		}
	}
	return HEARD_SOME;
}

/* The end of a process, which may have to be told: by SIGKILL when it takes too long over it. */
static int reap(pid_t pid, bool told)
{
	struct pollfd poller = {.fd = pidfd_open(pid, 0), .events = POLLIN};
	int status = 0;
	if (told)
		kill(pid, SIGTERM);
	/* Without a descriptor to wait by, it is not given the time. */
	if (poller.fd < 0 || poll(&poller, 1, END_MS) <= 0)
		kill(pid, told ? SIGKILL : SIGTERM);
	if (poller.fd >= 0)
		close(poller.fd);
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return 1;
	}
	return code_of(status);
}

bool tour_run_quietly(struct tour *tour, const char *command, struct tour_said *said, struct error *err)
{
	int fds[2];
	struct buffer *into[2] = {&said->out, &said->err};
	enum heard heard = HEARD_SOME;
	*said = (struct tour_said){.out = {.cap = TOUR_SAID_MAX}, .err = {.cap = TOUR_SAID_MAX}, .code = 1};
	pid_t pid = start(tour, command, &fds[0], &fds[1], err);
	if (pid < 0)
		return false;
	uint64_t deadline_ns = clock_monotonic_ns() + TOUR_WAIT_NS;
	while (heard == HEARD_SOME)
		heard = hear(tour, fds, into, deadline_ns);
	for (unsigned i = 0; i < 2; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
	said->code = reap(pid, heard != HEARD_ENDS);
	if (heard == HEARD_STOP)
		return error_set(err, "stopped");
	return heard == HEARD_ENDS || error_set(err, "it did not end within a minute: %s", command);
}

bool tour_run(struct tour *tour, const char *command, struct tour_said *said, struct error *err)
{
	story_command(tour->story, command);
	return tour_run_quietly(tour, command, said, err);
}

static bool says(const struct buffer *said, const char *word)
{
	return said->len > 0 && memmem(said->data, said->len, word, strlen(word)) != NULL;
}

bool tour_begin(struct tour *tour, const char *command, const char *ready, struct tour_program *out, struct error *err)
{
	int fds[2] = {-1, -1};
	struct buffer none = {0}, *into[2] = {&none, &out->err};
	enum heard heard = HEARD_SOME;
	*out = (struct tour_program){.err_fd = -1, .err = {.cap = TOUR_SAID_MAX}};
	story_command(tour->story, command);
	out->pid = start(tour, command, NULL, &fds[1], err);
	if (out->pid < 0) {
		out->pid = 0;
		return false;
	}
	uint64_t deadline_ns = clock_monotonic_ns() + TOUR_WAIT_NS;
	while (heard == HEARD_SOME && !says(&out->err, ready))
		heard = hear(tour, fds, into, deadline_ns);
	out->err_fd = fds[1];
	if (says(&out->err, ready))
		return true;
	error_set(err, heard == HEARD_STOP ? "stopped" : "it did not begin: %s: %.300s", command,
		out->err.len ? (const char *)out->err.data : "it said nothing");
	tour_end(tour, out);
	return false;
}

void tour_end(struct tour *tour, struct tour_program *program)
{
	(void)tour;
	if (program->err_fd >= 0)
		close(program->err_fd);
	if (program->pid > 0)
		(void)reap(program->pid, true);
	buffer_clear(&program->err);
	*program = (struct tour_program){.err_fd = -1};
}

/* overt exec — one program, a private proxy, a CA that lives in memory for that run. */
#include "base/clock.h"
#include "base/log.h"
#include "cli/exec_accord.h"
#include "cli/exec_child.h"
#include "cli/exec_env.h"
#include "cli/exec_share.h"
#include "cli/options.h"
#include "cli/verbs.h"
#include "pki/authority.h"
#include "proxy/listening.h"
#include "proxy/log_place.h"
#include "proxy/signals.h"
#include "proxy/single.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define DRAIN_NS (2 * NS_PER_S) /* for what the program left open when it ended */

struct run {
	struct loop *loop;
	struct single *single;
	struct loop_timer late;
	pid_t child;
	int code;
};

static void help(void)
{
	puts("usage: overt exec [OPTIONS] -- COMMAND [ARGUMENTS]\n\n"
	     "Runs one program and shows its TLS traffic: a private proxy on loopback, a CA in\n"
	     "memory for this run, and the variables by which curl, wget, Python, Node, Java,\n"
	     "Go, Ruby, git, npm and apt find both, set for this program only. Ends with the\n"
	     "program's exit code. A program that pins its server's certificate refuses, and\n"
	     "that is shown.");
	config_help(stdout, CONFIG_EXEC);
	exec_accord_help();
	exec_share_help();
}

static void drained(void *ctx)
{
	struct run *run = ctx;
	loop_stop(run->loop);
}

static void drain_late(struct loop_timer *timer)
{
	struct run *run = (struct run *)(void *)((char *)timer - offsetof(struct run, late));
	loop_stop(run->loop);
}

static void child_ended(struct run *run, int status)
{
	run->child = 0;
	run->code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	loop_timer_set(run->loop, &run->late, clock_monotonic_ns() + DRAIN_NS, drain_late);
	single_drain(run->single, drained, run);
}

static void caught(int number, void *ctx)
{
	struct run *run = ctx;
	int status;
	if (number == SIGCHLD) {
		if (run->child > 0 && waitpid(run->child, &status, WNOHANG) == run->child)
			child_ended(run, status);
	} else if (run->child > 0 && number != SIGINT) {
		/* Ctrl-C reaches the program by itself: it stands in the same foreground group. */
		kill(run->child, number);
	}
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in bound = {0};
	socklen_t len = sizeof(bound);
	return getsockname(fd, (struct sockaddr *)&bound, &len) == 0 ? ntohs(bound.sin_port) : 0;
}

static bool run_child(struct run *run, char *const *argv, const struct exec_env *env, uint16_t port, struct error *err)
{
	run->child = fork();
	if (run->child == 0)
		exec_child_become(argv, exec_env_set(env, port));
	if (run->child < 0)
		return error_set_errno(err, "%s cannot be started", argv[0]);
	return loop_run(run->loop) || error_set_errno(err, "the event loop failed");
}

static bool run_exec(const struct config *config, char *const *argv, int *code, struct error *err)
{
	struct run run = {.loop = loop_new(), .code = 1};
	struct signals signals = {.io.fd = -1};
	struct exec_env env;
	struct authority *authority = NULL;
	struct single_options options = {
		.authority = &authority,
		.config = config,
		/* What a developer runs here talks to this machine more often than not. */
		.rules = "allow: [loopback, link-local]\n",
		.terminal_fd = config->quiet ? -1 : STDERR_FILENO,
	};
	int *fds = NULL;
	bool ok = run.loop && authority_in_memory(&authority, NULL, (int64_t)(clock_wall_ns() / NS_PER_S), err) &&
	          listening_open(config, &fds, err);
	options.listen_fds = fds;
	uint16_t port = ok ? port_of(fds[0]) : 0;
	if (ok && exec_env_make(&env, authority_pem(authority), port, err)) {
		ok = signals_watch(&signals, run.loop, caught, &run, err);
		run.single = ok ? single_new(run.loop, &options, err) : NULL;
		ok = run.single && listening_begin(config, fds, err) && run_child(&run, argv, &env, port, err);
		single_free(run.single);
		signals_close(&signals);
		exec_env_remove(&env);
	} else {
		ok = false;
	}
	*code = run.code;
	listening_close(config, fds);
	authority_free(authority);
	loop_free(run.loop);
	return ok;
}

/* Standard error is the program's and the table's: there the log says what is wrong, elsewhere all it has to say. */
static bool open_log(const struct config *config, int *fd, struct error *err)
{
	bool apart = config->log_target != CONFIG_LOG_STDERR;
	*fd = apart ? log_place_fd(config, err) : STDERR_FILENO;
	if (*fd >= 0)
		log_setup("exec", *fd, config->verbose ? LOG_LEVEL_DEBUG : apart ? LOG_LEVEL_INFO : LOG_LEVEL_WARN);
	return *fd >= 0;
}

static bool run_logged(struct config *config, char *const *argv, int *code, struct error *err)
{
	int fd;
	if (!open_log(config, &fd, err))
		return false;
	raise_limits(config);
	bool ok = run_exec(config, argv, code, err);
	if (fd != STDERR_FILENO) {
		log_setup("exec", STDERR_FILENO, LOG_LEVEL_WARN);
		close(fd);
	}
	return ok;
}

int verb_exec(int argc, char **argv)
{
	struct error err;
	int rest, code;
	if (wants_help(argc, argv)) {
		help();
		return 0;
	}
	if (exec_share_wanted(argc, argv))
		return exec_share(argc, argv);
	if (exec_accord_wanted(argc, argv))
		return exec_accord(argc, argv);
	struct config *config = config_load(CONFIG_EXEC, argc, argv, &rest, &err);
	if (!config)
		return complain("exec", &err, EXIT_MISUSE);
	if (rest < argc && strcmp(argv[rest], "--") == 0)
		rest++;
	if (rest >= argc) {
		error_set(&err, "no command: overt exec [OPTIONS] -- COMMAND");
		config_free(config);
		return complain("exec", &err, EXIT_MISUSE);
	}
	/* The port is the kernel's choice; nobody else can reach it. */
	config->listen.items[0].at.port = 0;
	if (!run_logged(config, argv + rest, &code, &err))
		code = complain("exec", &err, EXIT_MISUSE);
	config_free(config);
	return code;
}

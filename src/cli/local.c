/* overt local — on one's own machine: speaks Accord to the network's proxy, and serves this user's programs. */
#include "proxy/local.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/sandbox.h"
#include "cli/local_options.h"
#include "cli/options.h"
#include "cli/verbs.h"
#include "pki/authority.h"
#include "proxy/listening.h"
#include "proxy/signals.h"
#include "proxy/single.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define DAY_S     ((int64_t)86400)
#define CA_DAYS   90
#define RENEW_S   (21 * DAY_S) /* with less than this left, the next CA joins ca.pem */
#define OVERLAP_S (2 * DAY_S)  /* before the end of the old CA the new one issues */

/* Everything is inspected: what the network's proxy may read is settled by Accord, and by what the user refuses. */
static const char rules[] = "default: inspect\nsensitive: false\nallow: [loopback, link-local]\n";

struct run {
	struct loop *loop;
	struct single *single;
	int stops;
};

static void drained(void *ctx)
{
	loop_stop(((struct run *)ctx)->loop);
}

static void caught(int number, void *ctx)
{
	struct run *run = ctx;
	struct error err;
	if (number == SIGCHLD || number == SIGUSR2)
		return;
	if (number == SIGHUP) {
		if (!single_reload(run->single, &err))
			log_error("reload refused", LOG_S("why", err.text));
		return;
	}
	if (++run->stops > 1) {
		loop_stop(run->loop);
		return;
	}
	sd_notify(0, "STOPPING=1");
	single_drain(run->single, drained, run);
}

/* The CA. */

/* "ann@laptop": so that whoever finds it in a list of authorities knows whose it is. */
static void whose(char out[128])
{
	char host[64] = "";
	const struct passwd *user = getpwuid(getuid());
	gethostname(host, sizeof(host) - 1);
	if (user)
		snprintf(out, 128, "%s@%s", user->pw_name, host);
	else
		snprintf(out, 128, "%u@%s", (unsigned)getuid(), host);
}

static bool renew(struct authority **authority, const char *state, const struct authority_make *make, int64_t now_s,
	struct error *err)
{
	struct authority_issuer issuer;
	bool missing;
	/* The one to come stands in the file already, beside the present one. */
	if (!authority_issuer(*authority, now_s, &issuer) || issuer.not_after_s - now_s > RENEW_S ||
		authority_cert(*authority, 1))
		return true;
	int64_t left = issuer.not_after_s - now_s;
	if (!authority_rotate(state, make, left > OVERLAP_S ? left - OVERLAP_S : 0, now_s, err))
		return false;
	authority_free(*authority);
	*authority = NULL;
	log_warn("local ca renewed", LOG_S("file", "ca.pem in the state folder"),
		LOG_S("do", "have your programs trust the new certificate in it before the old one ends"));
	return authority_load(authority, state, now_s, &missing, err);
}

static bool open_ca(const char *state, struct authority **out, struct error *err)
{
	char name[128];
	int64_t now_s = (int64_t)(clock_wall_ns() / NS_PER_S);
	struct authority_make make = {.host = name, .life_s = CA_DAYS * DAY_S};
	bool missing = false;
	whose(name);
	if (authority_load(out, state, now_s, &missing, err))
		return renew(out, state, &make, now_s, err);
	if (!missing || !authority_open(out, state, &make, now_s, err))
		return false;
	log_info("local ca made", LOG_S("for", name), LOG_S("state", state),
		LOG_S("do", "have your programs trust ca.pem in that folder: overt ca install --state DIR"));
	return true;
}

/* Two of one state would write each other's history over. -1 with `err` set; else close() lets go. */
static int lock_state(const char *state, struct error *err)
{
	char path[4096];
	snprintf(path, sizeof(path), "%s/running", state);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0) {
		error_set_errno(err, "%s", path);
		return -1;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	error_set(err, "%s: another overt local runs with this state folder", state);
	close(fd);
	return -1;
}

/* Running. */

static bool run_on(const struct config *config, struct single_options *options, struct run *run, struct error *err)
{
	struct signals signals = {.io.fd = -1};
	bool ok = signals_watch(&signals, run->loop, caught, run, err);
	run->single = ok ? single_new(run->loop, options, err) : NULL;
	if (run->single && listening_begin(config, options->listen_fds, err)) {
		sd_notify(0, "READY=1");
		ok = loop_run(run->loop) || error_set_errno(err, "the event loop failed");
	} else {
		ok = false;
	}
	single_free(run->single);
	signals_close(&signals);
	return ok;
}

static bool run_with(
	const struct local_wish *wish, const struct config *config, struct authority **authority, struct error *err)
{
	struct run run = {.loop = loop_new()};
	int *fds = NULL;
	struct local_options local = {.pact = wish->pact,
		.rule = wish->rule,
		.roles = wish->roles,
		.state = config->state,
		.retention_ns = wish->retention_ns};
	struct single_options options = {.config = config, .authority = authority, .rules = rules, .terminal_fd = -1};
	if (!run.loop)
		return error_set_errno(err, "no event loop");
	options.local = local_new(run.loop, &local, err);
	bool ok = options.local && listening_open(config, &fds, err);
	options.listen_fds = fds;
	ok = ok && run_on(config, &options, &run, err);
	listening_close(config, fds);
	local_free(options.local);
	loop_free(run.loop);
	return ok;
}

static bool run_local(const struct local_wish *wish, struct config *config, struct error *err)
{
	struct authority *authority = NULL;
	if (!make_state(config->state, err))
		return false;
	int lock = lock_state(config->state, err);
	if (lock < 0)
		return false;
	raise_limits(config);
	bool ok = open_ca(config->state, &authority, err) && run_with(wish, config, &authority, err);
	authority_free(authority);
	close(lock);
	return ok;
}

static int help(void)
{
	puts("usage: overt local --accord ANCHORS [--proxy HOST:PORT] [OPTIONS]\n\n"
	     "Runs on your own machine, for programs that do not speak Accord, such as\n"
	     "browsers: a proxy on loopback that only you can use. It speaks Accord to the\n"
	     "network's proxy, checks what that one proves, and answers your programs with a\n"
	     "CA that is made here and never leaves this machine. Who reads what, now and\n"
	     "before, is at http://overt.internal/ through it; there a proxy, a role or a site\n"
	     "can be refused.\n");
	local_options_help();
	return 0;
}

int verb_local(int argc, char **argv)
{
	static struct local_wish wish;
	struct error err = {""};
	if (wants_help(argc, argv))
		return help();
	struct config *config = local_options_read(&wish, argc, argv, &err);
	if (!config)
		return complain("local", &err, EXIT_MISUSE);
	log_setup("local", STDERR_FILENO, config->verbose ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
	bool ok = sandbox_prepare(&err) && pact_make(&wish.pact, &wish.terms, &err) && run_local(&wish, config, &err);
	pact_free(wish.pact);
	config_free(config);
	return ok ? EXIT_SUCCESS : complain("local", &err, EXIT_FAILURE);
}

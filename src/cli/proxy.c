#include "cli/options.h"
#include "cli/verbs.h"

#include "base/log.h"
#include "base/sandbox.h"
#include "pki/authority.h"
#include "proxy/ca_open.h"
#include "proxy/listening.h"
#include "proxy/log_place.h"
#include "proxy/nft.h"
#include "proxy/signals.h"
#include "proxy/single.h"
#include "proxy/supervisor.h"
#include "proxy/takeover.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

static void help(void)
{
	puts("usage: overt proxy [OPTIONS]\n\n"
	     "Inspects TLS 1.2 and 1.3 connections as rules say; passes the rest through\n"
	     "untouched. Without options: an explicit proxy for this machine at\n"
	     "127.0.0.1:8080, everything but the sensitive list inspected, requests shown in\n"
	     "the terminal. The CA to trust is STATE/ca.pem.");
	config_help(stdout, CONFIG_PROXY);
}

/* One process, one loop. */

struct run {
	struct loop *loop;
	struct single *single;
	uint64_t asked_ns; /* when the first signal to stop came; 0: none */
	bool stops;
};

static void drained(void *ctx)
{
	struct run *run = ctx;
	loop_stop(run->loop);
}

static void caught(int number, void *ctx)
{
	struct run *run = ctx;
	struct error err;
	if (number == SIGCHLD)
		return;
	if (number == SIGUSR2) {
		log_error("upgrade failed", LOG_S("why", "--single runs everything in one process: stop and start it"),
			LOG_S("in-force", "the program that was running"));
		return;
	}
	if (number == SIGHUP) {
		supervisor_say_reloading();
		if (single_reload(run->single, &err))
			log_info("reloaded");
		else
			log_error("reload refused", LOG_S("why", err.text), LOG_S("in-force", "the old rules"));
		sd_notify(0, "READY=1");
		return;
	}
	if (signals_repeat(&run->asked_ns))
		return;
	if (run->stops) {
		loop_stop(run->loop);
		return;
	}
	run->stops = true;
	log_info("draining", LOG_S("signal", number == SIGINT ? "SIGINT" : "SIGTERM"));
	sd_notify(0, "STOPPING=1");
	single_drain(run->single, drained, run);
}

static bool run_single(
	const struct config *config, struct authority **authority, const int *fds, bool ca_made, struct error *err)
{
	struct run run = {.loop = loop_new()};
	struct signals signals = {.io.fd = -1};
	struct single_options options = {
		.config = config,
		.authority = authority,
		.ca_made = ca_made,
		.state = config->state,
		.rules = "",
		.audit = true,
		.terminal_fd = config->quiet ? -1 : STDOUT_FILENO,
		.listen_fds = fds,
	};
	if (!run.loop)
		return error_set_errno(err, "no event loop");
	bool ok = signals_watch(&signals, run.loop, caught, &run, err);
	run.single = ok ? single_new(run.loop, &options, err) : NULL;
	if (run.single && listening_begin(config, fds, err)) {
		sd_notify(0, "READY=1");
		ok = loop_run(run.loop) || error_set_errno(err, "the event loop failed");
	} else {
		ok = false;
	}
	single_free(run.single);
	signals_close(&signals);
	loop_free(run.loop);
	return ok;
}

static bool run_proxy(struct config *config, int argc, char **argv, struct takeover *takeover, struct error *err)
{
	struct authority *authority = NULL;
	int *fds = NULL;
	if (!make_state(config->state, err) || !give_state(config, err) || !listening_take(config, takeover, &fds, err))
		return false;
	raise_limits(config);
	if (config->keylog)
		log_warn("key log on", LOG_S("file", config->keylog),
			LOG_S("means", "whoever reads this file can decrypt the traffic of both legs (RFC 9850)"));
	bool ok, made;
	if (config->single)
		ok = ca_open(config, &authority, &made, err) && run_single(config, &authority, fds, made, err);
	else
		ok = supervisor_run(
			config, argc, argv, fds, takeover, err); /* which never holds the CA key: the keeper does */
	authority_free(authority);
	listening_close(config, fds);
	return ok;
}

/* What goes wrong at the end is also said where the program was started, wherever the log goes. */
static int run_logged(struct config *config, int argc, char **argv, struct takeover *takeover)
{
	struct error err;
	int before = config->log_target == CONFIG_LOG_STDERR ? -1 : fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	bool placed = log_place_open(config, &err);
	bool ok = placed && run_proxy(config, argc, argv, takeover, &err);
	if (!ok)
		takeover_failed(takeover, &err);
	if (before >= 0) {
		if (placed && !ok)
			log_error("ended", LOG_S("why", err.text));
		dup2(before, STDERR_FILENO);
		close(before);
	}
	return ok ? 0 : complain("proxy", &err, EXIT_MISUSE);
}

/* Reads the configuration and runs. `takeover` is whose place this program takes, or NULL. */
static int configure_and_run(int argc, char **argv, struct takeover *takeover)
{
	struct error err;
	int rest, code;
	struct config *config = config_load(CONFIG_PROXY, argc, argv, &rest, &err);
	if (config && rest < argc) {
		error_set(&err, "%s: no such option (overt proxy --help lists them)", argv[rest]);
		config_free(config);
		config = NULL;
	}
	if (!config) {
		takeover_failed(takeover, &err);
		return complain("proxy", &err, EXIT_MISUSE);
	}
	log_setup("proxy", STDERR_FILENO, config->verbose ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
	if (config->print_nft)
		code = nft_print(stdout, config);
	else if (!sandbox_prepare(&err))
		code = complain("proxy", &err, 1);
	else
		code = run_logged(config, argc, argv, takeover);
	config_free(config);
	return code;
}

int verb_proxy(int argc, char **argv)
{
	struct takeover *takeover;
	struct error err;
	if (wants_help(argc, argv)) {
		help();
		return 0;
	}
	if (!takeover_open(&takeover, &err))
		return complain("proxy", &err, EXIT_MISUSE);
	int code = configure_and_run(argc, argv, takeover);
	takeover_free(takeover);
	return code;
}

#include "base/log.h"
#include "proxy/keeper_client.h"
#include "proxy/listening.h"
#include "proxy/metrics.h"
#include "proxy/supervisor_parts.h"
#include "proxy/upgrade.h"

#include <systemd/sd-daemon.h>

/* The new program is ready but for the state, which one keeper at a time may have open. */
static void new_ready(void *ctx)
{
	struct supervisor *s = ctx;
	/* Its own entries are written; the new supervisor has a channel of its own. */
	keeper_client_free(s->records);
	s->records = NULL;
	s->giving = true;
	if (s->keeper.pid != 0) {
		supervisor_tell(&s->keeper, FAMILY_HAND_OVER, BYTES_NONE, NULL, 0);
		return;
	}
	loop_timer_clear(s->loop, &s->keeper.restart);
	upgrade_yours(s->upgrade);
}

static void new_serving(void *ctx)
{
	struct supervisor *s = ctx;
	/* The service manager's main process is the new one from here on, and may speak for the service. */
	sd_notifyf(0, "MAINPID=%lu", (unsigned long)upgrade_pid(s->upgrade));
	log_info("upgraded", LOG_N("process", (uint64_t)upgrade_pid(s->upgrade)),
		LOG_S("here", "connections in progress go on"));
	metrics_free(s->metrics);
	s->metrics = NULL;
	listening_leave(s->config, s->listen_fds);
	s->replaced = true;
	upgrade_done(s->upgrade);
	supervisor_drain(s);
}

static void refused(struct supervisor *s, const char *why)
{
	s->counts.upgrades_refused++;
	log_error("upgrade failed", LOG_S("why", why), LOG_S("in-force", "the program that was running"));
}

void supervisor_upgrade(struct supervisor *s)
{
	static const struct upgrade_handlers handlers = {.ready = new_ready, .serving = new_serving};
	struct error err;
	/* Sent to every process of the service: meant for the one in our place. */
	if (s->upgrade && s->stops > 0)
		return;
	if (!s->up || s->stops > 0 || s->upgrade || s->takeover) {
		refused(s, s->upgrade     ? "another one is under way"
			   : s->stops > 0 ? "this program is stopping"
					  : "this program is still starting");
		return;
	}
	if (!s->program[0]) {
		refused(s, "where this program stands is not known");
		return;
	}
	s->upgrade = upgrade_begin(s->loop, s->program, s->argc, s->argv, s->config, s->listen_fds, &handlers, s, &err);
	if (s->upgrade)
		log_info(
			"upgrading", LOG_S("program", s->program), LOG_N("process", (uint64_t)upgrade_pid(s->upgrade)));
	else
		refused(s, err.text);
}

void supervisor_upgrade_reaped(struct supervisor *s, pid_t pid, int status)
{
	struct error why;
	if (!s->upgrade || s->stops > 0 || upgrade_pid(s->upgrade) != pid)
		return;
	upgrade_ended(s->upgrade, status, &why);
	upgrade_free(s->upgrade);
	s->upgrade = NULL;
	refused(s, why.text);
	/* The state is ours again. A keeper that is still handing over is started again when it has ended. */
	if (s->giving) {
		s->recorded = false;
		if (s->keeper.pid == 0)
			supervisor_restart(&s->keeper);
	}
	s->giving = false;
}

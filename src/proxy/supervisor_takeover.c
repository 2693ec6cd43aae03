#include "base/log.h"
#include "proxy/supervisor_parts.h"
#include "proxy/takeover.h"

#include <stdio.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

/* A worker of the program before. */
struct former {
	struct former *next;
	int fd;
	char name[32];
};

static void peer(int *fd, struct bytes name, void *ctx)
{
	struct supervisor *s = ctx;
	struct former *former = malloc(sizeof(*former));
	/* Without one that worker finds its channel closed, and inspects nothing new. */
	if (!former)
		return;
	bool again = bytes_starts(name, bytes_str("former "));
	snprintf(former->name, sizeof(former->name), "%s%.*s", again ? "" : "former ", (int)name.len,
		(const char *)name.data);
	former->fd = *fd;
	*fd = -1;
	former->next = s->former;
	s->former = former;
}

static void yours(void *ctx)
{
	struct supervisor *s = ctx;
	supervisor_tell(&s->keeper, FAMILY_START, BYTES_NONE, NULL, 0);
}

static void done(void *ctx)
{
	struct supervisor *s = ctx;
	struct error err;
	s->takeover = NULL;
	if (!supervisor_serve_counts(s, &err))
		log_error("counters not served", LOG_S("why", err.text));
	sd_notify(0, "READY=1");
	log_info("taken over");
}

static void gone(void *ctx)
{
	struct supervisor *s = ctx;
	if (!s->up)
		supervisor_give_up(s, "the program to take over from is gone");
	else if (s->takeover)
		done(s);
}

bool supervisor_take_over(struct supervisor *s, struct error *err)
{
	static const struct takeover_handlers handlers = {.peer = peer, .yours = yours, .done = done, .gone = gone};
	s->waiting = true;
	return takeover_watch(s->takeover, s->loop, &handlers, s, err);
}

static void serve(struct supervisor *s, int fd, const char *name)
{
	supervisor_tell(&s->keeper, FAMILY_SERVE, bytes_str(name), &fd, 1);
	close(fd);
}

void supervisor_keeper_took_over(struct supervisor *s)
{
	char name[32];
	s->waiting = false;
	/* Those of before first: their clients wait for answers. */
	while (s->former) {
		struct former *former = s->former;
		s->former = former->next;
		serve(s, former->fd, former->name);
		free(former);
	}
	for (size_t i = 0; i < s->worker_count; i++) {
		snprintf(name, sizeof(name), "worker %u", s->workers[i].number);
		if (s->workers[i].keeper_end >= 0)
			serve(s, s->workers[i].keeper_end, name);
		s->workers[i].keeper_end = -1;
	}
	supervisor_open_records(s);
}

void supervisor_peers_free(struct supervisor *s)
{
	while (s->former) {
		struct former *former = s->former;
		s->former = former->next;
		close(former->fd);
		free(former);
	}
}

#include "sink/shared.h"

#include <pthread.h>
#include <stdlib.h>

struct shared_sink {
	struct sink *inner;
	pthread_mutex_t turn;
	unsigned holders;
};

struct handle {
	struct sink sink;
	struct shared_sink *shared;
};

static struct sink *enter(struct sink *sink)
{
	struct shared_sink *shared = ((struct handle *)(void *)sink)->shared;
	pthread_mutex_lock(&shared->turn);
	shared->inner->slot = sink->slot; /* the same for all */
	return shared->inner;
}

static void leave(struct sink *sink)
{
	pthread_mutex_unlock(&((struct handle *)(void *)sink)->shared->turn);
}

static void on_event(struct sink *sink, struct flow *flow, const struct event *event)
{
	struct sink *inner = enter(sink);
	if (inner->ops->event)
		inner->ops->event(inner, flow, event);
	leave(sink);
}

static void on_request(struct sink *sink, struct flow *flow, const struct message_request *request)
{
	struct sink *inner = enter(sink);
	if (inner->ops->request)
		inner->ops->request(inner, flow, request);
	leave(sink);
}

static void on_response(struct sink *sink, struct flow *flow, const struct message_response *response)
{
	struct sink *inner = enter(sink);
	if (inner->ops->response)
		inner->ops->response(inner, flow, response);
	leave(sink);
}

static void on_body(struct sink *sink, struct flow *flow, const struct message_body *body)
{
	struct sink *inner = enter(sink);
	if (inner->ops->body)
		inner->ops->body(inner, flow, body);
	leave(sink);
}

static void on_end(struct sink *sink, struct flow *flow, const struct message_end *end)
{
	struct sink *inner = enter(sink);
	if (inner->ops->end)
		inner->ops->end(inner, flow, end);
	leave(sink);
}

static void on_flush(struct sink *sink)
{
	struct sink *inner = enter(sink);
	inner->ops->flush(inner);
	leave(sink);
}

static bool on_reopen(struct sink *sink, struct error *err)
{
	struct sink *inner = enter(sink);
	bool ok = !inner->ops->reopen || inner->ops->reopen(inner, err);
	leave(sink);
	return ok;
}

/* The inner sink goes with whoever is the last. */
static void let_go(struct shared_sink *shared)
{
	pthread_mutex_lock(&shared->turn);
	bool last = --shared->holders == 0;
	pthread_mutex_unlock(&shared->turn);
	if (!last)
		return;
	shared->inner->ops->close(shared->inner);
	pthread_mutex_destroy(&shared->turn);
	free(shared);
}

static void on_close(struct sink *sink)
{
	let_go(((struct handle *)(void *)sink)->shared);
	free(sink);
}

static const struct sink_ops ops = {
	.event = on_event,
	.request = on_request,
	.response = on_response,
	.body = on_body,
	.end = on_end,
	.flush = on_flush,
	.reopen = on_reopen,
	.close = on_close,
};

struct shared_sink *shared_sink_new(struct sink *inner)
{
	struct shared_sink *shared = calloc(1, sizeof(*shared));
	if (!shared || pthread_mutex_init(&shared->turn, NULL) != 0) {
		inner->ops->close(inner);
		free(shared);
		return NULL;
	}
	shared->inner = inner;
	shared->holders = 1;
	return shared;
}

struct sink *shared_sink_handle(struct shared_sink *shared)
{
	struct handle *handle = calloc(1, sizeof(*handle));
	if (!handle)
		return NULL;
	handle->sink = (struct sink){.ops = &ops, .name = shared->inner->name, .wants = shared->inner->wants};
	handle->shared = shared;
	pthread_mutex_lock(&shared->turn);
	shared->holders++;
	pthread_mutex_unlock(&shared->turn);
	return &handle->sink;
}

void shared_sink_free(struct shared_sink *shared)
{
	if (shared)
		let_go(shared);
}

struct sink_counts shared_sink_count(struct shared_sink *shared)
{
	pthread_mutex_lock(&shared->turn);
	struct sink_counts counts = shared->inner->counts;
	pthread_mutex_unlock(&shared->turn);
	return counts;
}

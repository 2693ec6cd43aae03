#include "base/lookup.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

/* What libc reads while it looks. */
struct question {
	struct gaicb ask;
	struct addrinfo hints;
	char *host, *port;
};

static void question_free(struct question *question)
{
	free(question->host);
	free(question->port);
	free(question);
}

static struct question *question_new(const char *host, const char *port, int flags)
{
	struct question *question = calloc(1, sizeof(*question));
	if (!question)
		return NULL;
	question->host = strdup(host);
	question->port = strdup(port);
	question->hints = (struct addrinfo){.ai_socktype = SOCK_STREAM, .ai_flags = flags};
	question->ask =
		(struct gaicb){.ar_name = question->host, .ar_service = question->port, .ar_request = &question->hints};
	if (question->host && question->port)
		return question;
	question_free(question);
	return NULL;
}

/* An error code of getaddrinfo's; EAI_INPROGRESS at the deadline. */
static int await(const struct question *question, uint64_t deadline_ns)
{
	const struct gaicb *waits[] = {&question->ask};
	int code;
	while ((code = gai_error((struct gaicb *)(uintptr_t)&question->ask)) == EAI_INPROGRESS) {
		uint64_t now = clock_monotonic_ns(), left = now < deadline_ns ? deadline_ns - now : 0;
		struct timespec span = {.tv_sec = (time_t)(left / NS_PER_S), .tv_nsec = (long)(left % NS_PER_S)};
		if (left == 0)
			break;
		(void)gai_suspend(waits, 1, &span);
	}
	return code;
}

static bool look_up(
	struct question *question, const char *host, uint64_t deadline_ns, struct addrinfo **out, struct error *err)
{
	struct gaicb *all[] = {&question->ask};
	int code = getaddrinfo_a(GAI_NOWAIT, all, 1, NULL);
	if (code == 0)
		code = await(question, deadline_ns);
	if (code == EAI_INPROGRESS) {
		/* Whoever has begun with it still reads what it was asked. */
		if (gai_cancel(&question->ask) != EAI_NOTCANCELED) {
			if (gai_error(&question->ask) == 0)
				freeaddrinfo(question->ask.ar_result);
			question_free(question);
		}
		return error_set(err, "%s: not resolved before the deadline", host);
	}
	if (code == 0)
		*out = question->ask.ar_result;
	question_free(question);
	return code == 0 || error_set(err, "%s: %s", host, gai_strerror(code));
}

bool lookup(
	const char *host, const char *port, int flags, uint64_t deadline_ns, struct addrinfo **out, struct error *err)
{
	const struct addrinfo numeric = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
	*out = NULL;
	/* An address needs nobody to be asked. */
	if (getaddrinfo(host, port, &numeric, out) == 0)
		return true;
	*out = NULL;
	struct question *question = question_new(host, port, flags);
	return question ? look_up(question, host, deadline_ns, out, err) : error_set(err, "no memory");
}

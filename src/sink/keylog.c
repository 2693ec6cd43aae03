#include "sink/keylog.h"

#include "sink/output.h"

#include <stdlib.h>

struct keylog {
	struct sink sink;
	struct output out;
};

static struct keylog *of(struct sink *sink)
{
	return (struct keylog *)(void *)sink;
}

static bool label_char(uint8_t c)
{
	return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static bool hex_char(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool word(struct bytes *in, bool (*fits)(uint8_t), bool last)
{
	size_t n = bytes_find(*in, ' ', 0);
	struct bytes text;
	if (n == 0 || !bytes_take(in, n, &text))
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (!fits(text.data[i]))
			return false;
	}
	return last ? in->len == 0 : bytes_skip(in, 1);
}

/* Label, client random, secret: a worker gone wrong cannot put other text into a file that tools trust. */
static bool line_valid(struct bytes in)
{
	return word(&in, label_char, false) && word(&in, hex_char, false) && word(&in, hex_char, true);
}

static void on_event(struct sink *sink, struct flow *flow, const struct event *event)
{
	(void)flow;
	if (event->kind != EVENT_KEYLOG)
		return;
	struct keylog *keylog = of(sink);
	struct bytes line = event->keylog.line;
	uint8_t *room = line_valid(line) ? output_room(&keylog->out, line.len + 1) : NULL;
	if (!room) {
		output_lost(&keylog->out);
		return;
	}
	memcpy(room, line.data, line.len);
	room[line.len] = '\n';
	output_commit(&keylog->out, line.len + 1);
}

static void on_flush(struct sink *sink)
{
	output_flush(&of(sink)->out);
}

static bool on_reopen(struct sink *sink, struct error *err)
{
	bool fresh;
	return output_reopen(&of(sink)->out, OUTPUT_SECRET, &fresh, err);
}

static void on_close(struct sink *sink)
{
	output_close(&of(sink)->out);
	free(sink);
}

static const struct sink_ops ops = {
	.event = on_event,
	.flush = on_flush,
	.reopen = on_reopen,
	.close = on_close,
};

struct sink *keylog_new(const char *path, struct error *err)
{
	struct keylog *keylog = calloc(1, sizeof(*keylog));
	if (!keylog) {
		error_set(err, "no memory for the key log");
		return NULL;
	}
	keylog->sink = (struct sink){.ops = &ops, .name = "keylog", .wants = SINK_WANTS_SECRETS};
	if (!output_open(&keylog->out, &keylog->sink, path, OUTPUT_SECRET, err)) {
		error_prefix(err, "--keylog");
		free(keylog);
		return NULL;
	}
	return &keylog->sink;
}

#include "sink/outputs.h"

#include "sink/jsonl.h"
#include "sink/keylog.h"
#include "sink/objects.h"
#include "sink/pcapng.h"
#include "sink/plaintext.h"
#include "sink/terminal.h"

static bool keep(struct sink *sink, struct sink *out[OUTPUTS_MAX], size_t *count)
{
	if (!sink)
		return false;
	out[(*count)++] = sink;
	return true;
}

static bool make_all(const struct outputs *outputs, struct sink *out[OUTPUTS_MAX], size_t *count, struct error *err)
{
	if (outputs->keylog && !keep(keylog_new(outputs->keylog, err), out, count))
		return false;
	if (outputs->jsonl && !keep(jsonl_new(outputs->jsonl, outputs->unmasked, err), out, count))
		return false;
	if (outputs->pcapng && !keep(pcapng_new(outputs->pcapng, err), out, count))
		return false;
	if (outputs->plaintext && !keep(plaintext_new(outputs->plaintext, err), out, count))
		return false;
	if (outputs->objects && !keep(objects_new(outputs->objects, outputs->unmasked, err), out, count))
		return false;
	struct terminal_options terminal = {.fd = outputs->terminal_fd, .unmasked = outputs->unmasked};
	return outputs->terminal_fd < 0 || keep(terminal_new(&terminal, err), out, count);
}

bool outputs_make(const struct outputs *outputs, struct sink *out[OUTPUTS_MAX], size_t *count, struct error *err)
{
	*count = 0;
	if (make_all(outputs, out, count, err))
		return true;
	for (; *count > 0; --*count)
		out[*count - 1]->ops->close(out[*count - 1]);
	return false;
}

bool outputs_open(const struct outputs *outputs, struct feed *feed, struct error *err)
{
	struct sink *sinks[OUTPUTS_MAX];
	size_t count;
	if (!outputs_make(outputs, sinks, &count, err))
		return false;
	bool ok = true;
	for (size_t i = 0; i < count; i++) {
		if (feed_add_sink(feed, sinks[i]))
			continue;
		sinks[i]->ops->close(sinks[i]);
		ok = false;
	}
	return ok || error_set(err, "too many outputs");
}

#include "sink/outputs.h"

#include "sink/jsonl.h"
#include "sink/keylog.h"
#include "sink/pcapng.h"
#include "sink/terminal.h"

static bool add(struct feed *feed, struct sink *sink)
{
	return sink && feed_add_sink(feed, sink);
}

bool outputs_open(const struct outputs *outputs, struct feed *feed, struct error *err)
{
	if (outputs->keylog && !add(feed, keylog_new(outputs->keylog, err)))
		return false;
	if (outputs->jsonl && !add(feed, jsonl_new(outputs->jsonl, outputs->unmasked, err)))
		return false;
	if (outputs->pcapng && !add(feed, pcapng_new(outputs->pcapng, err)))
		return false;
	struct terminal_options terminal = {.fd = outputs->terminal_fd, .unmasked = outputs->unmasked};
	return outputs->terminal_fd < 0 || add(feed, terminal_new(&terminal, err));
}

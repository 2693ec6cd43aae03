/* Accounts of those who send. */
#include "collect/parts.h"

#include "base/text.h"

#include <stdlib.h>

static bool in_use(const struct source *source)
{
	return source->connections > 0 || source->owner.keys > 0;
}

static struct source *new_source(const struct collect_identity *who)
{
	struct source *source = calloc(1, sizeof(*source));
	if (!source)
		return NULL;
	memcpy(source->name, who->name, sizeof(source->name));
	memcpy(source->key_hash, who->key_hash, sizeof(source->key_hash));
	text_hex(source->key_hex, sizeof(source->key_hex), bytes_of(who->key_hash, sizeof(who->key_hash)));
	return source;
}

struct source *source_of(struct collector *collector, const struct collect_identity *who)
{
	size_t unused = SOURCES_MAX;
	for (size_t i = 0; i < collector->source_count; i++) {
		struct source *source = collector->sources[i];
		if (memcmp(source->key_hash, who->key_hash, sizeof(who->key_hash)) == 0) {
			/* A certificate may be renewed under another name; what is held is said to be of the new one. */
			memcpy(source->name, who->name, sizeof(source->name));
			return source;
		}
		if (!in_use(source))
			unused = i;
	}
	struct source *fresh = NULL;
	if (collector->source_count < SOURCES_MAX) {
		fresh = new_source(who);
		if (fresh)
			collector->sources[collector->source_count++] = fresh;
	} else if (unused < SOURCES_MAX) {
		fresh = new_source(who);
		if (fresh) {
			free(collector->sources[unused]);
			collector->sources[unused] = fresh;
		}
	}
	return fresh;
}

uint32_t source_number(const struct collector *collector, const struct source *source)
{
	uint32_t number = 0;
	while (number < collector->source_count && collector->sources[number] != source)
		number++;
	return number;
}

uint64_t source_take(struct source *source, unsigned per_s, unsigned keys, uint64_t now_ns)
{
	if (per_s == 0)
		return 0;
	source->tokens += (double)(now_ns - source->filled_ns) / (double)NS_PER_S * per_s;
	source->filled_ns = now_ns;
	if (source->tokens > per_s)
		source->tokens = per_s;
	source->tokens -= keys;
	if (source->tokens >= 0)
		return 0;
	source->slowed++;
	return (uint64_t)(-source->tokens / per_s * (double)NS_PER_S) + NS_PER_MS;
}

void sources_free(struct collector *collector)
{
	for (size_t i = 0; i < collector->source_count; i++)
		free(collector->sources[i]);
	collector->source_count = 0;
}

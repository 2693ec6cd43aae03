#include "proxy/accord_limit.h"

#include "base/cache.h"
#include "base/clock.h"

#include <stdlib.h>

struct accord_limit {
	uint64_t interval_ns;  /* between handshakes at the full rate; 0: no limit */
	uint64_t tolerance_ns; /* how far ahead of the rate a client may be */
	uint64_t quiet_until_ns;
	struct cache *clients; /* by address: when the rate would have allowed what was taken so far, ns */
};

struct accord_limit *accord_limit_new(const struct config *config)
{
	struct accord_limit *limit = calloc(1, sizeof(*limit));
	if (!limit)
		return NULL;
	if (config->accord_rate > 0) {
		limit->interval_ns = NS_PER_S / config->accord_rate;
		limit->tolerance_ns = limit->interval_ns * config->accord_burst;
	}
	limit->clients = cache_new(ACCORD_LIMIT_CLIENTS, free);
	if (limit->clients)
		return limit;
	free(limit);
	return NULL;
}

void accord_limit_free(struct accord_limit *limit)
{
	if (!limit)
		return;
	cache_free(limit->clients);
	free(limit);
}

bool accord_limit_take(struct accord_limit *limit, const struct hostport *client, uint64_t now_ns)
{
	struct bytes key = bytes_of(client->ip, hostport_is_v4(client) ? sizeof(client->ip) : sizeof(client->ip) / 2);
	if (limit->interval_ns == 0)
		return true;
	uint64_t *due = cache_get(limit->clients, key);
	uint64_t from = due && *due > now_ns ? *due : now_ns;
	if (from - now_ns + limit->interval_ns > limit->tolerance_ns)
		return false;
	if (due) {
		*due = from + limit->interval_ns;
		return true;
	}
	due = malloc(sizeof(*due));
	/* Without memory nobody is counted, as nobody is after the cache forgot. */
	if (due) {
		*due = from + limit->interval_ns;
		(void)cache_put(limit->clients, key, due);
	}
	return true;
}

bool accord_limit_worth_telling(struct accord_limit *limit, uint64_t now_ns)
{
	if (now_ns < limit->quiet_until_ns)
		return false;
	limit->quiet_until_ns = now_ns + NS_PER_S;
	return true;
}

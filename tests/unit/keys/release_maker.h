/* A release for tests. */
#ifndef TEST_RELEASE_MAKER_H
#define TEST_RELEASE_MAKER_H

#include "keys/release.h"

#include <string.h>

/* TLS_AES_128_GCM_SHA256, client_random 00 01 02 .. 1f. */
static inline void release_make(struct release *release)
{
	*release = (struct release){.grade = RELEASE_GRADE_RECORD,
		.mode = RELEASE_LIVE,
		.consent = RELEASE_BOTH,
		.made_ns = 1700000000000000000,
		.pid = 4711,
		.name = "www.example.org",
		.host = "web1",
		.program = "nginx"};
	struct record_key *key = &release->key;
	for (uint8_t i = 0; i < KEYLOG_RANDOM; i++)
		key->client_random[i] = i;
	key->from_client = true;
	key->stage = RECORD_STAGE_APPLICATION;
	key->epoch = 3;
	key->version = 0x0304;
	key->suite = 0x1301;
	key->first_seq = 5;
	key->key_len = 16;
	key->iv_len = 12;
	memset(key->key, 0x11, 16);
	memset(key->iv, 0x22, 12);
	memset(release->grant, 0x77, RELEASE_GRANT);
}

static const char raw_line[] =
	"CLIENT_TRAFFIC_SECRET_0 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f "
	"a0a1a2a3a4a5a6a7a8a9aaabacadaeafa0a1a2a3a4a5a6a7a8a9aaabacadaeaf";

static inline void release_make_raw(struct release *release)
{
	struct record_key key = {0};
	release_make(release);
	memcpy(key.client_random, release->key.client_random, KEYLOG_RANDOM);
	release->key = key;
	release->grade = RELEASE_GRADE_RAW;
	release->consent = RELEASE_UNILATERAL;
	release->line_len = sizeof(raw_line) - 1;
	memcpy(release->line, raw_line, release->line_len);
}

#endif

/* explain/schedule_opened.c — that a key log's secrets are those of a captured connection: its records say so. */
#include "explain/schedule_parts.h"

#include <stdio.h>

static const char why[] =
	"Its tag fits, which with another key it would not: the chance is one in 2 to the 64, or less.";

static void row(const struct schedule_source *source, struct story *story, const char *name, const char *title,
	unsigned side, const struct tls_secret *secret, const struct schedule_opened *opened)
{
	char full[96], text[64];
	if (secret->len == 0)
		return;
	snprintf(full, sizeof(full), "%s-opens-%s", source->name, name);
	story_row(story, full, title);
	story_hex(story, "logged", source->logged_by, tls_secret_bytes(secret));
	story_words(story, "side", "whose records", side == 0 ? "client" : "server");
	if (opened->first > 0)
		snprintf(text, sizeof(text), "opens record %llu", (unsigned long long)opened->first);
	story_words(story, "check", "check",
		opened->first > 0 ? text
		: opened->refused ? "does not open its record"
				  : "no record under it was read");
	story_number(story, "first_record", "first record that it opens", opened->first);
	story_number(story, "records", "records that it opens", opened->count);
	if (opened->first > 0)
		story_held(story, true, "%s", why);
	else
		story_held(story, !opened->refused, "%s",
			opened->refused
				? "A record came under it that does not open: the secret is of another connection, or "
				  "was altered."
				: "Nothing in the capture can bear this one out.");
}

static void tell_updates(const struct schedule_source *source, struct story *story)
{
	for (unsigned side = 0; side < 2; side++) {
		for (size_t i = 0; i < source->updates[side]; i++) {
			char name[48], title[96];
			snprintf(name, sizeof(name), "%s-traffic-%zu", side == 0 ? "client" : "server", i + 1);
			snprintf(title, sizeof(title), "%s application traffic secret %zu opens records",
				side == 0 ? "client" : "server", i + 1);
			row(source, story, name, title, side, &source->update[side][i],
				&source->opened_update[side][i]);
		}
	}
}

void schedule_tell_opened(const struct schedule_source *source, const struct schedule_walk *walk, struct story *story)
{
	static const struct {
		enum schedule_secret which;
		unsigned side;
		const char *name, *title;
	} rows[] = {
		{SCHEDULE_EARLY_TRAFFIC, 0, "early-traffic", "client early traffic secret opens records"},
		{SCHEDULE_CLIENT_HANDSHAKE, 0, "client-handshake-traffic",
			"client handshake traffic secret opens records"},
		{SCHEDULE_SERVER_HANDSHAKE, 1, "server-handshake-traffic",
			"server handshake traffic secret opens records"},
		{SCHEDULE_CLIENT_TRAFFIC, 0, "client-traffic-0", "client application traffic secret 0 opens records"},
		{SCHEDULE_SERVER_TRAFFIC, 1, "server-traffic-0", "server application traffic secret 0 opens records"},
	};
	static const char *const names[2] = {"client", "server"};
	if (!source->captured)
		return;
	for (size_t i = 0; walk->version == TLS_VERSION_13 && i < sizeof(rows) / sizeof(rows[0]); i++)
		row(source, story, rows[i].name, rows[i].title, rows[i].side, &source->known[rows[i].which],
			&source->opened[rows[i].which]);
	tell_updates(source, story);
	/* A log may have the premaster secret in its place. */
	bool master = source->known[SCHEDULE_MASTER].len > 0;
	for (unsigned side = 0; walk->version == TLS_VERSION_12 && side < 2; side++) {
		char title[96];
		snprintf(title, sizeof(title), "the %s secret opens the %s's records", master ? "master" : "premaster",
			names[side]);
		row(source, story, names[side], title, side, master ? &source->known[SCHEDULE_MASTER] : &source->shared,
			&source->opened_master[side]);
	}
	for (unsigned side = 0; side < 2; side++) {
		if (source->ended[side])
			story_say(
				story, "Of what the %s sent, not all was read: %s.", names[side], source->ended[side]);
	}
}

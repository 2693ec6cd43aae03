#include "watcher.h"

#include <stdio.h>
#include <stdlib.h>

#define MUST(condition)                                                                                                \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			abort();                                                                                       \
	} while (0)

static void text(char *out, size_t cap, struct bytes in)
{
	(void)snprintf(out, cap, "%.*s", (int)in.len, in.len ? (const char *)in.data : "");
}

/* The talk's plaintext is random, so that octets tell where they stood. */
static void on_data(struct watcher *w, const struct event_data *data)
{
	enum flow_direction direction = data->direction;
	const uint8_t *plain = w->talk->plain[direction];
	size_t len = w->talk->plain_len[direction], at = w->at[direction];
	if (data->offset != w->offset[direction])
		w->offsets_bad = true;
	w->offset[direction] += data->bytes.len;
	w->data[direction] += data->bytes.len;
	const uint8_t *found = plain ? memmem(plain + at, len - at, data->bytes.data, data->bytes.len) : NULL;
	if (!found) {
		w->wrong += data->bytes.len;
		return;
	}
	if ((uint64_t)(found - plain) != data->offset)
		w->astray++;
	w->at[direction] = (size_t)(found - plain) + data->bytes.len;
}

static void heard(void *arg, void *user, const struct event *event)
{
	struct watcher *w = arg;
	MUST(user == w && event->flow == 5);
	switch (event->kind) {
	case EVENT_DATA:
		on_data(w, &event->data);
		break;
	case EVENT_GAP:
		if (event->gap.offset != w->offset[event->gap.direction])
			w->offsets_bad = true;
		w->offset[event->gap.direction] += event->gap.octets;
		w->gap[event->gap.direction] += event->gap.octets;
		w->gaps[event->gap.direction]++;
		break;
	case EVENT_HALF:
		w->halves[event->half.direction]++;
		break;
	case EVENT_HELLO:
		w->hellos++;
		text(w->sni, sizeof(w->sni), event->hello.sni);
		break;
	case EVENT_TLS:
		w->tlses++;
		w->tls = event->tls;
		text(w->tls_alpn, sizeof(w->tls_alpn), event->tls.alpn);
		text(w->tls_subject, sizeof(w->tls_subject), event->tls.certificate.subject);
		text(w->tls_group, sizeof(w->tls_group), event->tls.group);
		break;
	case EVENT_NOTICE:
		if (w->notice_count < WATCHER_NOTICES) {
			text(w->notice_texts[w->notice_count], sizeof(w->notice_texts[0]), event->notice.text);
			text(w->notices[w->notice_count++], sizeof(w->notices[0]), event->notice.name);
		}
		if (getenv("WATCHER_SAYS"))
			printf("# %.*s\n", (int)event->notice.text.len, (const char *)event->notice.text.data);
		break;
	default:
		abort();
	}
}

static bool asked(void *arg, void *user, struct keyring_ends *ends)
{
	const struct watcher *w = user;
	(void)arg;
	*ends = w->ends;
	return !hostport_is_none(&w->ends.end[0]);
}

static void forget(struct watcher *w)
{
	struct keyring *ring = w->ring;
	struct session_room *room = w->room;
	*w = (struct watcher){.ring = ring, .room = room, .now_ns = w->now_ns};
}

void watcher_again(struct watcher *w, const struct talk *talk, bool from_start)
{
	session_free(w->session);
	forget(w);
	w->talk = talk;
	w->session = session_new(w->room, &(struct session_start){.flow = 5, .user = w, .from_start = from_start});
	MUST(w->session);
}

void watcher_begin(struct watcher *w, const struct talk *talk, const struct watcher_setup *setup)
{
	*w = (struct watcher){.now_ns = 1000};
	w->ring = keyring_new(NULL);
	MUST(w->ring);
	w->room = session_room_new(&(struct session_setup){
		.limits = setup->limits.park_total ? setup->limits : session_limits_default,
		.ring = w->ring,
		.keys_final = setup->keys_final,
		.wake_fd = -1,
		.emit = heard,
		.ends = asked,
		.arg = w,
	});
	MUST(w->room);
	watcher_again(w, talk, !setup->from_middle);
}

void watcher_keys(struct watcher *w, const char *log)
{
	(void)keyring_add_text(w->ring, bytes_str(log));
	session_room_keys(w->room, w->now_ns);
}

void watcher_data(struct watcher *w, enum flow_direction direction, struct bytes octets)
{
	session_data(w->session, direction, octets, ++w->now_ns);
}

void watcher_feed(struct watcher *w, size_t most)
{
	const struct talk *talk = w->talk;
	for (size_t i = 0; i < talk->count; i++) {
		const struct talk_piece *piece = &talk->pieces[i];
		for (size_t done = 0; done < piece->len;) {
			size_t n = piece->len - done < most ? piece->len - done : most;
			watcher_data(w, piece->direction, bytes_of(talk->wire + piece->at + done, n));
			done += n;
		}
	}
}

void watcher_close(struct watcher *w)
{
	session_close(w->session, ++w->now_ns);
}

void watcher_end(struct watcher *w)
{
	session_free(w->session);
	MUST(session_room_count(w->room).held == 0 && session_room_count(w->room).parked == 0);
	session_room_free(w->room);
	keyring_free(w->ring);
}

bool watcher_has_notice(const struct watcher *w, const char *name)
{
	for (unsigned i = 0; i < w->notice_count; i++)
		if (strcmp(w->notices[i], name) == 0)
			return true;
	return false;
}

const char *watcher_notice(const struct watcher *w, const char *name, unsigned nth)
{
	for (unsigned i = 0; i < w->notice_count; i++)
		if (strcmp(w->notices[i], name) == 0 && nth-- == 0)
			return w->notice_texts[i];
	return "";
}

bool watcher_complete(const struct watcher *w)
{
	for (int i = 0; i < 2; i++) {
		if (w->data[i] != w->talk->plain_len[i] || w->gap[i] != 0) {
			printf("# direction %d: %zu octets sent, %llu came, %llu in gaps\n", i, w->talk->plain_len[i],
				(unsigned long long)w->data[i], (unsigned long long)w->gap[i]);
			return false;
		}
	}
	if (w->wrong || w->astray || w->offsets_bad)
		printf("# %llu wrong, %llu astray, offsets %s\n", (unsigned long long)w->wrong,
			(unsigned long long)w->astray, w->offsets_bad ? "bad" : "good");
	return w->wrong == 0 && w->astray == 0 && !w->offsets_bad;
}

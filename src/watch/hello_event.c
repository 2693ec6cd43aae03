#include "watch/hello_event.h"

#include "tls/extension.h"
#include "tls/list.h"

#include <stdlib.h>

#define PRINTS  512
#define KEY_MAX 1024

struct hello_prints {
	struct cache *known; /* struct print */
};

struct print {
	char ja3[JA3_LEN + 1], ja4[JA4_LEN + 1];
};

struct hello_prints *hello_prints_new(void)
{
	struct hello_prints *prints = calloc(1, sizeof(*prints));
	if (!prints)
		return NULL;
	prints->known = cache_new(PRINTS, free);
	if (prints->known)
		return prints;
	free(prints);
	return NULL;
}

void hello_prints_free(struct hello_prints *prints)
{
	if (!prints)
		return;
	cache_free(prints->known);
	free(prints);
}

struct cache_counts hello_prints_count(const struct hello_prints *prints)
{
	return cache_count(prints->known);
}

/* All that fingerprints depend on, in a form that says where each part ends. False: too long. */
static bool print_key(
	const struct client_hello *hello, enum ja4_transport transport, struct writer *w, struct bytes *key)
{
	struct bytes block = hello->extensions, alpn = hello->alpn, first = BYTES_NONE;
	struct extension ext;
	(void)!alpn_next(&alpn, &first);
	writer_u8(w, (uint8_t)transport);
	writer_u16(w, hello->legacy_version);
	writer_u8(w, hello->has_versions);
	writer_vec16(w, hello->suites);
	writer_vec16(w, hello->groups);
	writer_vec16(w, hello->point_formats);
	writer_vec16(w, hello->sigalgs);
	writer_vec16(w, hello->versions);
	writer_vec16(w, first);
	while (extension_next(&block, &ext))
		writer_u16(w, ext.type);
	return writer_done(w, key);
}

static void make_prints(const struct client_hello *hello, enum ja4_transport transport, struct print *out)
{
	/* Where libcrypto has no MD5 the text is empty, which is what the event says then. */
	(void)!ja3(hello, out->ja3);
	(void)!ja4(hello, transport, out->ja4);
}

static void find_prints(
	struct hello_prints *prints, const struct client_hello *hello, enum ja4_transport transport, struct print *out)
{
	uint8_t octets[KEY_MAX];
	struct writer w = writer_over(octets, sizeof(octets));
	struct bytes key;
	bool keyed = prints && print_key(hello, transport, &w, &key);
	const struct print *known = keyed ? cache_get(prints->known, key) : NULL;
	if (known) {
		*out = *known;
		return;
	}
	make_prints(hello, transport, out);
	struct print *kept = keyed ? malloc(sizeof(*kept)) : NULL;
	if (!kept)
		return;
	*kept = *out;
	(void)!cache_put(prints->known, key, kept);
}

static void list_versions(const struct client_hello *hello, struct event_hello *out)
{
	struct bytes list = hello->versions;
	uint16_t version;
	if (!hello->has_versions)
		out->versions[out->version_count++] = hello->legacy_version;
	while (out->version_count < EVENT_LIST_MAX && list_next(&list, &version))
		out->versions[out->version_count++] = version;
}

void hello_event_of(struct hello_prints *prints, const struct client_hello *hello, enum ja4_transport transport,
	struct hello_event *out)
{
	struct bytes list = hello->alpn, name;
	struct print print;
	find_prints(prints, hello, transport, &print);
	memcpy(out->ja3, print.ja3, sizeof(out->ja3));
	memcpy(out->ja4, print.ja4, sizeof(out->ja4));
	out->event = (struct event){.kind = EVENT_HELLO};
	struct event_hello *said = &out->event.hello;
	said->sni = hello->server_name;
	said->ja3 = bytes_str(out->ja3);
	said->ja4 = bytes_str(out->ja4);
	while (said->alpn_count < EVENT_LIST_MAX && alpn_next(&list, &name))
		said->alpn[said->alpn_count++] = name;
	list_versions(hello, said);
	said->ech = hello->ech == ECH_OUTER ? FLOW_ECH_OUTER : hello->ech == ECH_INNER ? FLOW_ECH_INNER : FLOW_ECH_NONE;
}

#include "watch/hello_event.h"

#include "flow/hello.h"
#include "tls/extension.h"

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

void hello_event_of(struct hello_prints *prints, const struct client_hello *hello, enum ja4_transport transport,
	struct hello_event *out)
{
	struct print print;
	find_prints(prints, hello, transport, &print);
	memcpy(out->ja3, print.ja3, sizeof(out->ja3));
	memcpy(out->ja4, print.ja4, sizeof(out->ja4));
	out->event = (struct event){.kind = EVENT_HELLO, .hello = event_hello_of(hello)};
	out->event.hello.ja3 = bytes_str(out->ja3);
	out->event.hello.ja4 = bytes_str(out->ja4);
}

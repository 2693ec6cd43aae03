#include "sink/jsonout.h"

#include "base/text.h"
#include "sink/stamp.h"

static void put(struct jsonout *json, const void *data, size_t len)
{
	if (json->full || json->cap - json->len < len) {
		json->full = true;
		return;
	}
	memcpy(json->data + json->len, data, len);
	json->len += len;
}

static void put_char(struct jsonout *json, char c)
{
	put(json, &c, 1);
}

/* Two characters after the backslash for what has them, \u00XX for other control characters. */
static void put_escape(struct jsonout *json, uint8_t c)
{
	static const char digits[] = "0123456789abcdef";
	static const char from[] = "\"\\\b\f\n\r\t";
	static const char to[] = "\"\\bfnrt";
	const char *at = c ? strchr(from, c) : NULL;
	if (at) {
		const char pair[2] = {'\\', to[at - from]};
		put(json, pair, sizeof(pair));
		return;
	}
	const char six[6] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]};
	put(json, six, sizeof(six));
}

static bool plain(uint8_t c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static void put_string(struct jsonout *json, struct bytes text)
{
	put_char(json, '"');
	while (text.len > 0) {
		size_t n = 0;
		while (n < text.len && plain(text.data[n]))
			n++;
		if (n > 0) {
			put(json, text.data, n);
		} else if (text.data[0] < 0x80) {
			n = 1;
			put_escape(json, text.data[0]);
		} else {
			uint32_t point;
			n = text_character(text, &point);
			if (n > 0)
				put(json, text.data, n);
			else
				put(json, "\xef\xbf\xbd", 3);
			n = n > 0 ? n : 1;
		}
		text = bytes_of(text.data + n, text.len - n);
	}
	put_char(json, '"');
}

static void put_key(struct jsonout *json, const char *key)
{
	if (json->comma)
		put_char(json, ',');
	json->comma = true;
	if (!key)
		return;
	/* Keys are our own words: nothing in them wants escaping. */
	put_char(json, '"');
	put(json, key, strlen(key));
	put(json, "\":", 2);
}

void jsonout_object(struct jsonout *json, const char *key)
{
	put_key(json, key);
	put_char(json, '{');
	json->comma = false;
}

void jsonout_object_end(struct jsonout *json)
{
	put_char(json, '}');
	json->comma = true;
}

void jsonout_array(struct jsonout *json, const char *key)
{
	put_key(json, key);
	put_char(json, '[');
	json->comma = false;
}

void jsonout_array_end(struct jsonout *json)
{
	put_char(json, ']');
	json->comma = true;
}

void jsonout_text(struct jsonout *json, const char *key, struct bytes text)
{
	put_key(json, key);
	put_string(json, text);
}

void jsonout_word(struct jsonout *json, const char *key, const char *text)
{
	jsonout_text(json, key, bytes_str(text));
}

void jsonout_number(struct jsonout *json, const char *key, uint64_t value)
{
	char digits[STAMP_NUMBER];
	put_key(json, key);
	put(json, digits, stamp_number(digits, value));
}

void jsonout_bool(struct jsonout *json, const char *key, bool value)
{
	put_key(json, key);
	put(json, value ? "true" : "false", value ? 4 : 5);
}

void jsonout_time(struct jsonout *json, const char *key, uint64_t time_ns)
{
	char stamp[STAMP_TIME];
	put_key(json, key);
	put_char(json, '"');
	put(json, stamp, stamp_time(stamp, time_ns, 9));
	put_char(json, '"');
}

void jsonout_seconds(struct jsonout *json, const char *key, uint64_t ns)
{
	char text[STAMP_NUMBER + 7];
	put_key(json, key);
	put(json, text, stamp_seconds(text, ns, 6));
}

bool jsonout_done(struct jsonout *json, size_t *len)
{
	put_char(json, '\n');
	*len = json->len;
	return !json->full;
}

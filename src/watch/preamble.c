#include "watch/preamble.h"

/* Either side begins with `start` or says `word` somewhere; what is empty does not matter. */
struct habit {
	const char *start, *word;
	const char *name;
	bool from_client;
};

/* The first that fits counts. */
static const struct habit habits[] = {
	{"PROXY ", "", "the PROXY protocol", true},
	{"\r\n\r\n", "\nQUIT\n", "the PROXY protocol", true},
	{"CONNECT ", " HTTP/1.", "CONNECT (HTTP)", true},
	{"", "urn:ietf:params:xml:ns:xmpp-tls", "STARTTLS (XMPP)", true},
	{"", "1.3.6.1.4.1.1466.20037", "STARTTLS (LDAP)", true},
	{"EHLO ", "STARTTLS", "STARTTLS (SMTP)", true},
	{"LHLO ", "STARTTLS", "STARTTLS (LMTP)", true},
	{"", "AUTH TLS", "STARTTLS (FTP: AUTH TLS)", true},
	{"", "AUTH SSL", "STARTTLS (FTP: AUTH SSL)", true},
	{"", "STLS\r\n", "STARTTLS (POP3: STLS)", true},
	{"", " STARTTLS\r\n", "STARTTLS (IMAP)", true},
	{"", "STARTTLS\r\n", "STARTTLS", true},
	{"HTTP/1.", "", "CONNECT (HTTP)", false},
	{"", "urn:ietf:params:xml:ns:xmpp-tls", "STARTTLS (XMPP)", false},
	{"", "1.3.6.1.4.1.1466.20037", "STARTTLS (LDAP)", false},
	{"220", "\r\n234", "STARTTLS (FTP: AUTH TLS)", false},
	{"220", "250", "STARTTLS (SMTP)", false},
	{"* ", "", "STARTTLS (IMAP)", false},
	{"+OK", "", "STARTTLS (POP3: STLS)", false},
	{"\"IMPLEMENTATION\"", "", "STARTTLS (ManageSieve)", false},
	{"20", "\r\n382", "STARTTLS (NNTP)", false},
};

/* Its SSLRequest, and the server's consent; as a GSSAPI request looks, too, but for the last octet. */
static const uint8_t postgresql[] = {0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f};

static bool says(struct bytes text, struct bytes word)
{
	while (text.len >= word.len) {
		struct bytes front = bytes_of(text.data, word.len);
		if (bytes_equal_nocase(front, word))
			return true;
		if (!bytes_skip(&text, 1))
			return false;
	}
	return false;
}

const char *preamble_name(struct bytes text, bool from_client)
{
	if (bytes_equal(text, bytes_of(postgresql, sizeof(postgresql))) ||
		(!from_client && bytes_equal(text, bytes_str("S"))))
		return "SSLRequest (PostgreSQL)";
	for (size_t i = 0; i < sizeof(habits) / sizeof(*habits); i++) {
		const struct habit *habit = &habits[i];
		struct bytes start = bytes_str(habit->start);
		if (habit->from_client == from_client && text.len >= start.len &&
			bytes_equal_nocase(bytes_of(text.data, start.len), start) && says(text, bytes_str(habit->word)))
			return habit->name;
	}
	return "a protocol not known here";
}

struct bytes preamble_line(struct bytes text)
{
	size_t len = bytes_find(text, '\n', 0);
	if (len >= text.len)
		return BYTES_NONE;
	while (len > 0 && text.data[len - 1] == '\r')
		len--;
	for (size_t i = 0; i < len; i++)
		if (text.data[i] < ' ' && text.data[i] != '\t')
			return BYTES_NONE;
	return bytes_of(text.data, len);
}

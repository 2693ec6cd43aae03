#include "bus/config.h"

#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>

#define PORT        4222
#define ROUTES_PORT 6222
#define LINE_MAX_   1024
#define MIB         ((uint64_t)1024 * 1024)

/* The plan. */

/* A part up to `end`, into `out`. False when it is empty or too long. */
static bool part(struct bytes *rest, uint8_t end, char *out, size_t cap)
{
	struct bytes one;
	if (!bytes_take(rest, bytes_find(*rest, end, 0), &one) || one.len == 0 || one.len >= cap)
		return false;
	memcpy(out, one.data, one.len);
	out[one.len] = '\0';
	(void)!bytes_skip(rest, 1);
	return strlen(out) == one.len;
}

static bool host_valid(const char *host)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-";
	const char *dot = strrchr(host, '.');
	const char *last = dot ? dot + 1 : host;
	/* An address has digits alone behind its last dot. */
	return strspn(host, allowed) == strlen(host) && host[0] != '.' && *last != '\0' &&
	       strspn(last, "0123456789") != strlen(last);
}

static bool port_read(struct bytes *rest, uint16_t *port)
{
	char text[8];
	uint64_t number;
	if (rest->len == 0)
		return true;
	if (!part(rest, ':', text, sizeof(text)) || !text_number(bytes_str(text), UINT16_MAX, &number) || number == 0)
		return false;
	*port = (uint16_t)number;
	return true;
}

bool bus_plan_node(struct bus_plan *plan, const char *text, struct error *err)
{
	struct bytes rest = bytes_str(text);
	if (plan->node_count == BUS_NODES_MAX)
		return error_set(err, "at most %d nodes", BUS_NODES_MAX);
	struct bus_node node = {.port = PORT, .routes = ROUTES_PORT};
	bool ok = part(&rest, '=', node.name, sizeof(node.name)) && part(&rest, ':', node.host, sizeof(node.host)) &&
	          port_read(&rest, &node.port) && port_read(&rest, &node.routes) && rest.len == 0 &&
	          text[strlen(text) - 1] != ':';
	if (!ok || !bus_site_valid(node.name) || !host_valid(node.host))
		return error_set(
			err, "%s: a node is written NAME=HOST:PORT:ROUTES; HOST is a DNS name, no address", text);
	for (size_t i = 0; i < plan->node_count; i++) {
		if (strcmp(plan->nodes[i].name, node.name) == 0)
			return error_set(err, "%s: there is a node %s already", text, node.name);
	}
	plan->nodes[plan->node_count++] = node;
	return true;
}

static bool login_free(const struct bus_plan *plan, const char *login, struct error *err)
{
	bool taken = strcmp(login, BUS_ADMIN) == 0;
	if (!bus_login_valid(login))
		return error_set(err, "%s: not the name of a certificate", login);
	for (size_t i = 0; i < plan->collector_count; i++)
		taken |= strcmp(plan->collectors[i].login, login) == 0;
	for (size_t i = 0; i < plan->reader_count; i++)
		taken |= strcmp(plan->readers[i].login, login) == 0;
	return !taken || error_set(err, "%s: this certificate has a role already", login);
}

bool bus_plan_collector(struct bus_plan *plan, const char *text, struct error *err)
{
	struct bytes rest = bytes_str(text);
	if (plan->collector_count == BUS_USERS_MAX)
		return error_set(err, "at most %d collectors", BUS_USERS_MAX);
	char *login = plan->collectors[plan->collector_count].login;
	char *site = plan->collectors[plan->collector_count].site;
	bool ok = part(&rest, '=', login, BUS_LOGIN_MAX + 1) && part(&rest, '=', site, BUS_SITE_MAX + 1) &&
	          rest.len == 0 && bus_site_valid(site);
	if (!ok)
		return error_set(
			err, "%s: a collector is written NAME=SITE; a site has letters, digits, - and _", text);
	if (!login_free(plan, login, err))
		return false;
	plan->collector_count++;
	return true;
}

bool bus_plan_reader(
	struct bus_plan *plan, const char *login, const uint8_t key_id[static SEAL_KEY_ID], struct error *err)
{
	if (plan->reader_count == BUS_USERS_MAX)
		return error_set(err, "at most %d readers", BUS_USERS_MAX);
	if (!login_free(plan, login, err))
		return false;
	snprintf(plan->readers[plan->reader_count].login, BUS_LOGIN_MAX + 1, "%s", login);
	memcpy(plan->readers[plan->reader_count].key_id, key_id, SEAL_KEY_ID);
	plan->reader_count++;
	return true;
}

/* The configurations. */

static void printf_like(2, 3) line(struct writer *to, const char *format, ...)
{
	char text[LINE_MAX_ + 4096];
	va_list args;
	va_start(args, format);
	int len = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (len < 0 || (size_t)len >= sizeof(text))
		to->full = true;
	else
		writer_bytes(to, bytes_of(text, (size_t)len));
}

/* The folder stands between quotation marks. */
static bool quotable(const char *folder)
{
	return strpbrk(folder, "\"\\\n\r") == NULL;
}

static void routes(const struct bus_plan *plan, size_t node, struct writer *to)
{
	line(to, "  routes: [\n");
	for (size_t i = 0; i < plan->node_count; i++) {
		if (i != node)
			line(to, "    \"nats-route://%s:%u\"\n", plan->nodes[i].host, plan->nodes[i].routes);
	}
	line(to, "  ]\n");
}

bool bus_config_node(const struct bus_plan *plan, size_t node, const char *folder, struct writer *to)
{
	const struct bus_node *own = &plan->nodes[node];
	struct bytes done;
	if (!quotable(folder))
		return false;
	line(to,
		"# A node of the bus that carries sealed keys. Written by overt collect bus.\n"
		"server_name: \"%s\"\n"
		"listen: \"%s:%u\"\n"
		"max_payload: 64KB\n"
		"tls {\n"
		"  cert_file: \"%s/node.pem\"\n"
		"  key_file: \"%s/node.key\"\n"
		"  ca_file: \"%s/ca.pem\"\n"
		"  verify_and_map: true\n"
		"  timeout: 5\n"
		"}\n",
		own->name, own->host, own->port, folder, folder, folder);
	line(to, "jetstream {\n  store_dir: \"%s/store\"\n  max_memory_store: 64MB\n  max_file_store: %lluMB\n}\n",
		folder, (unsigned long long)(plan->store / MIB));
	line(to, "include ./users.conf\n");
	if (plan->node_count > 1) {
		line(to,
			"cluster {\n"
			"  name: \"overt\"\n"
			"  listen: \"%s:%u\"\n"
			"  no_advertise: true\n"
			"  tls {\n"
			"    cert_file: \"%s/node.pem\"\n"
			"    key_file: \"%s/node.key\"\n"
			"    ca_file: \"%s/ca.pem\"\n"
			"    verify_cert_and_check_known_urls: true\n"
			"    timeout: 5\n"
			"  }\n",
			own->host, own->routes, folder, folder, folder);
		routes(plan, node, to);
		line(to, "}\n");
	}
	return writer_done(to, &done);
}

/* What a reader may ask of JetStream: as the account of the streams knows it, and as the reader's own does. */
static const struct {
	const char *there, *here, *tail, *response;
} asked[] = {
	{"$JS.API.CONSUMER.MSG.NEXT.", BUS_API ".CONSUMER.MSG.NEXT.", ".*", ", response_type: Stream"},
	{"$JS.API.CONSUMER.INFO.", BUS_API ".CONSUMER.INFO.", ".*", ""},
	{"$JS.API.STREAM.MSG.GET.", BUS_API ".STREAM.MSG.GET.", "", ""},
	{"$JS.API.STREAM.INFO.", BUS_API ".STREAM.INFO.", "", ""},
	{"$JS.ACK.", "$JS.ACK.", ".>", ""},
};
#define ASKED (sizeof(asked) / sizeof(asked[0]))

/* Whether no collector before this one stands at its site, and no reader before this one has its key. */

static bool first_of_site(const struct bus_plan *plan, size_t collector)
{
	for (size_t i = 0; i < collector; i++) {
		if (strcmp(plan->collectors[i].site, plan->collectors[collector].site) == 0)
			return false;
	}
	return true;
}

static bool same_reader(const struct bus_plan *plan, size_t one, size_t other)
{
	char names[2][BUS_READER];
	bus_reader(names[0], plan->readers[one].key_id);
	bus_reader(names[1], plan->readers[other].key_id);
	return strcmp(names[0], names[1]) == 0;
}

static bool first_of_reader(const struct bus_plan *plan, size_t reader)
{
	for (size_t i = 0; i < reader; i++) {
		if (same_reader(plan, i, reader))
			return false;
	}
	return true;
}

static void exports(const struct bus_plan *plan, struct writer *to)
{
	line(to, "    exports: [\n");
	for (size_t i = 0; i < plan->collector_count; i++) {
		const char *site = plan->collectors[i].site;
		if (first_of_site(plan, i))
			line(to, "      { service: \"overt.keys.%s.>\", accounts: [ SITE_%s ] }\n", site, site);
	}
	for (size_t i = 0; i < plan->reader_count; i++) {
		char reader[BUS_READER], stream[BUS_STREAM];
		bus_reader(reader, plan->readers[i].key_id);
		bus_stream(stream, plan->readers[i].key_id);
		for (size_t j = 0; first_of_reader(plan, i) && j < ASKED; j++)
			line(to, "      { service: \"%s%s%s\"%s, accounts: [ READER_%s ] }\n", asked[j].there, stream,
				asked[j].tail, asked[j].response, reader);
	}
	line(to, "    ]\n");
}

/* All collectors of one site: its first is `first`. */
static void site_account(const struct bus_plan *plan, size_t first, struct writer *to)
{
	const char *site = plan->collectors[first].site;
	char inbox[BUS_INBOX];
	bus_site_inbox(inbox, site);
	line(to, "  SITE_%s {\n    users: [\n", site);
	for (size_t i = first; i < plan->collector_count; i++) {
		if (strcmp(plan->collectors[i].site, site) == 0)
			line(to,
				"      { user: \"CN=%s\", permissions: {\n"
				"        publish: { allow: [ \"overt.keys.%s.>\" ] }\n"
				"        subscribe: { allow: [ \"%s.>\" ] } } }\n",
				plan->collectors[i].login, site, inbox);
	}
	line(to, "    ]\n    imports: [ { service: { account: OVERT, subject: \"overt.keys.%s.>\" } } ]\n  }\n", site);
}

static void reader_user(
	const char *login, const uint8_t key_id[static SEAL_KEY_ID], const char *stream, struct writer *to)
{
	char inbox[BUS_INBOX];
	bus_reader_inbox(inbox, key_id);
	line(to, "      { user: \"CN=%s\", permissions: {\n        publish: { allow: [\n", login);
	for (size_t i = 0; i < ASKED; i++)
		line(to, "          \"%s%s%s\"\n", asked[i].here, stream, asked[i].tail);
	line(to, "        ] }\n        subscribe: { allow: [ \"%s.>\" ] } } }\n", inbox);
}

/* All certificates with which one key's stream is read. */
static void reader_account(const struct bus_plan *plan, size_t first, struct writer *to)
{
	char reader[BUS_READER], stream[BUS_STREAM];
	bus_reader(reader, plan->readers[first].key_id);
	bus_stream(stream, plan->readers[first].key_id);
	line(to, "  READER_%s {\n    users: [\n", reader);
	for (size_t i = first; i < plan->reader_count; i++) {
		if (same_reader(plan, first, i))
			reader_user(plan->readers[i].login, plan->readers[i].key_id, stream, to);
	}
	line(to, "    ]\n    imports: [\n");
	for (size_t i = 0; i < ASKED; i++)
		line(to, "      { service: { account: OVERT, subject: \"%s%s%s\" }, to: \"%s%s%s\" }\n", asked[i].there,
			stream, asked[i].tail, asked[i].here, stream, asked[i].tail);
	line(to, "    ]\n  }\n");
}

bool bus_config_users(const struct bus_plan *plan, struct writer *to)
{
	struct bytes done;
	line(to, "# Who may do what on the bus, by certificate. The same on every node. Written by overt collect bus.\n"
		 "accounts {\n"
		 "  OVERT {\n"
		 "    jetstream: enabled\n"
		 "    users: [ { user: \"CN=" BUS_ADMIN "\" } ]\n");
	exports(plan, to);
	line(to, "  }\n");
	for (size_t i = 0; i < plan->collector_count; i++) {
		if (first_of_site(plan, i))
			site_account(plan, i, to);
	}
	for (size_t i = 0; i < plan->reader_count; i++) {
		if (first_of_reader(plan, i))
			reader_account(plan, i, to);
	}
	line(to, "  SYS { users: [] }\n}\nsystem_account: SYS\n");
	return writer_done(to, &done);
}

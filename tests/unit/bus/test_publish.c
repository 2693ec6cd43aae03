#include "bus/publish.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "keys/reader.h"
#include "keys/seal.h"

#include <arpa/inet.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <unistd.h>

#define SITE "lab"

/* A server that accepts nothing and says nothing, and a certificate that nobody will ask for. */
struct stage {
	struct loop *loop;
	int listening;
	char servers[64], certificate[64], key[64], folder[32];
	struct bus_options options;
	unsigned told, good;
	uint64_t begun_ns, told_ns;
	struct loop_timer never;
};

static void write_pem(struct stage *stage)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	assert_true(X509_set_pubkey(cert, key) == 1 && X509_gmtime_adj(X509_getm_notBefore(cert), 0) &&
		    X509_gmtime_adj(X509_getm_notAfter(cert), 1000) && X509_sign(cert, key, EVP_sha256()) > 0);
	FILE *one = fopen(stage->certificate, "w"), *two = fopen(stage->key, "w");
	assert_true(one && two);
	assert_true(PEM_write_X509(one, cert) == 1 && PEM_write_PrivateKey(two, key, NULL, NULL, 0, NULL, NULL) == 1);
	fclose(one);
	fclose(two);
	X509_free(cert);
	EVP_PKEY_free(key);
}

static int set_stage(void **state)
{
	struct stage *stage = calloc(1, sizeof(*stage));
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(at);
	snprintf(stage->folder, sizeof(stage->folder), "/tmp/overt-bus-XXXXXX");
	assert_non_null(mkdtemp(stage->folder));
	snprintf(stage->certificate, sizeof(stage->certificate), "%s/a.pem", stage->folder);
	snprintf(stage->key, sizeof(stage->key), "%s/a.key", stage->folder);
	write_pem(stage);
	stage->listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(bind(stage->listening, (struct sockaddr *)&at, len) == 0 && listen(stage->listening, 4) == 0 &&
		    getsockname(stage->listening, (struct sockaddr *)&at, &len) == 0);
	snprintf(stage->servers, sizeof(stage->servers), "nats://localhost:%u", ntohs(at.sin_port));
	stage->options = (struct bus_options){stage->servers, stage->certificate, stage->key, stage->certificate};
	stage->loop = loop_new();
	*state = stage;
	return stage->loop ? 0 : -1;
}

static int clear_stage(void **state)
{
	struct stage *stage = *state;
	unlink(stage->certificate);
	unlink(stage->key);
	rmdir(stage->folder);
	close(stage->listening);
	loop_free(stage->loop);
	free(stage);
	return 0;
}

static void told(bool ok, const struct bus_load *load, void *ctx)
{
	assert_true(ok == (load != NULL));
	struct stage *stage = ctx;
	stage->told++;
	stage->good += ok;
	stage->told_ns = clock_monotonic_ns();
	loop_stop(stage->loop);
}

static void too_long(struct loop_timer *timer)
{
	loop_stop(((struct stage *)((char *)timer - offsetof(struct stage, never)))->loop);
}

static size_t seal_one(uint8_t room[static SEAL_MAX])
{
	static const char line[] = "CLIENT_RANDOM 0000000000000000000000000000000000000000000000000000000000000001 "
				   "000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f"
				   "000102030405060708090a0b0c0d0e0f";
	struct release release = {.grade = RELEASE_GRADE_RAW, .mode = RELEASE_LIVE, .consent = RELEASE_UNILATERAL};
	struct secret key = {0};
	uint8_t public_key[SEAL_KEY];
	struct writer to = writer_over(room, SEAL_MAX);
	memcpy(release.line, line, sizeof(line) - 1);
	release.line_len = sizeof(line) - 1;
	release.key.client_random[KEYLOG_RANDOM - 1] = 1;
	assert_true(reader_make(&key) && reader_public(READER_X25519, &key, public_key));
	struct sealer *sealer = sealer_new(public_key, 0);
	assert_non_null(sealer);
	assert_int_equal(sealer_seal(sealer, 1, &release, &to), SEAL_OK);
	sealer_free(sealer);
	return to.len;
}

static struct bus_load *load_of(size_t keys, size_t octets)
{
	uint8_t room[SEAL_MAX];
	size_t len = seal_one(room);
	struct bus_load *load = bus_load_new(keys, octets ? octets : keys * len);
	assert_non_null(load);
	assert_true(bus_load_add(load, SITE, bytes_str("web1"), 7, bytes_of(room, len)));
	return load;
}

static void a_load_takes_sealed_releases_and_no_more_than_it_was_made_for(void **state)
{
	(void)state;
	uint8_t room[SEAL_MAX];
	size_t len = seal_one(room);
	struct bus_load *load = load_of(2, 0);
	assert_false(bus_load_add(load, SITE, bytes_str("web1"), 7, bytes_of(room, len - 1)));
	assert_false(bus_load_add(load, SITE, bytes_str("web1"), 7, BYTES_NONE));
	assert_false(bus_load_add(load, "a.b", bytes_str("web1"), 7, bytes_of(room, len)));
	assert_int_equal(bus_load_refused(load), 0);
	assert_false(bus_load_refuses(load, 0) || bus_load_refuses(load, 1));
	bus_load_free(load);
	load = load_of(1, 0);
	assert_false(bus_load_add(load, SITE, bytes_str("web1"), 7, bytes_of(room, len)));
	bus_load_free(load);
}

static void a_bus_that_says_nothing_fails_a_load_in_time(void **state)
{
	struct stage *stage = *state;
	struct error err = {""};
	struct bus_publish_counts counts;
	struct bus_publisher *publisher = bus_publisher_new(stage->loop, &stage->options, SITE, NS_PER_S, &err);
	assert_string_equal(err.text, "");
	assert_non_null(publisher);
	stage->begun_ns = clock_monotonic_ns();
	assert_true(bus_publish(publisher, load_of(1, 0), told, stage));
	assert_int_equal(stage->told, 0);
	assert_true(loop_timer_set(stage->loop, &stage->never, stage->begun_ns + 30 * NS_PER_S, too_long));
	assert_true(loop_run(stage->loop));
	loop_timer_clear(stage->loop, &stage->never);
	assert_int_equal(stage->told, 1);
	assert_int_equal(stage->good, 0);
	assert_true(stage->told_ns - stage->begun_ns >= NS_PER_S);
	bus_publisher_free(publisher, &counts);
	assert_int_equal(stage->told, 1);
	assert_int_equal(counts.failed, 1);
	assert_int_equal(counts.published, 0);
	assert_int_equal(counts.octets, 0);
}

static void what_waits_at_the_end_fails_then(void **state)
{
	struct stage *stage = *state;
	struct error err;
	struct bus_publish_counts counts;
	struct bus_publisher *publisher = bus_publisher_new(stage->loop, &stage->options, SITE, 0, &err);
	assert_non_null(publisher);
	assert_true(bus_publish(publisher, load_of(3, 0), told, stage));
	assert_true(bus_publish(publisher, load_of(1, 0), told, stage));
	bus_publisher_free(publisher, &counts);
	assert_int_equal(stage->told, 2);
	assert_int_equal(stage->good, 0);
	assert_int_equal(counts.failed, 2);
}

static void what_there_is_no_room_for_is_refused_at_once(void **state)
{
	struct stage *stage = *state;
	struct error err;
	struct bus_publish_counts counts;
	struct bus_publisher *publisher = bus_publisher_new(stage->loop, &stage->options, SITE, 0, &err);
	assert_non_null(publisher);
	assert_false(bus_publish(publisher, load_of(1, BUS_ROOM), told, stage));
	assert_true(bus_publish(publisher, load_of(1, 0), told, stage));
	bus_publisher_free(publisher, &counts);
	assert_int_equal(stage->told, 1);
	assert_int_equal(counts.full, 1);
}

static void options_that_cannot_be_are_refused_with_a_sentence(void **state)
{
	struct stage *stage = *state;
	struct error err = {""};
	struct bus_options options = stage->options;
	assert_null(bus_publisher_new(stage->loop, &options, "a.>", 0, &err));
	assert_non_null(strstr(err.text, "a site has letters"));
	options.servers = "localhost:4222";
	assert_null(bus_publisher_new(stage->loop, &options, SITE, 0, &err));
	assert_non_null(strstr(err.text, "nats://HOST:PORT"));
	options.servers = "nats://me:secret@localhost:4222";
	assert_null(bus_publisher_new(stage->loop, &options, SITE, 0, &err));
	assert_non_null(strstr(err.text, "without a password"));
	options = stage->options;
	options.key = "/nowhere";
	assert_null(bus_publisher_new(stage->loop, &options, SITE, 0, &err));
	assert_non_null(strstr(err.text, "/nowhere: no key that fits"));
}

#define STAGED(test) cmocka_unit_test_setup_teardown(test, set_stage, clear_stage)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_load_takes_sealed_releases_and_no_more_than_it_was_made_for),
		STAGED(a_bus_that_says_nothing_fails_a_load_in_time),
		STAGED(what_waits_at_the_end_fails_then),
		STAGED(what_there_is_no_room_for_is_refused_at_once),
		STAGED(options_that_cannot_be_are_refused_with_a_sentence),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

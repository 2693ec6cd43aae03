#include "policy/address.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct hostport ip(const char *text)
{
	struct hostport out;
	if (!hostport_parse_ip(&out, text))
		fail_msg("%s is no address", text);
	return out;
}

static bool has(const char *block, const char *address)
{
	struct address_block b;
	if (address_block_parse(block, &b) != BLOCK_OK)
		fail_msg("%s is no block", block);
	struct hostport a = ip(address);
	return address_block_has(&b, &a);
}

static enum block_result parse(const char *text)
{
	struct address_block b;
	return address_block_parse(text, &b);
}

static void blocks_hold_their_addresses_and_no_others(void **state)
{
	(void)state;
	assert_true(has("10.0.0.0/8", "10.255.255.255"));
	assert_false(has("10.0.0.0/8", "11.0.0.0"));
	assert_true(has("192.0.2.128/25", "192.0.2.128"));
	assert_false(has("192.0.2.128/25", "192.0.2.127"));
	assert_true(has("192.0.2.7", "192.0.2.7"));
	assert_false(has("192.0.2.7", "192.0.2.6"));
	assert_true(has("2001:db8::/32", "2001:db8:ffff::1"));
	assert_false(has("2001:db8::/32", "2001:db9::1"));
	assert_true(has("0.0.0.0/0", "198.51.100.1"));
	assert_false(has("0.0.0.0/0", "2001:db8::1"));
	assert_true(has("::/0", "2001:db8::1"));
	/* A mapped address is the IPv4 address. */
	assert_true(has("10.0.0.0/8", "::ffff:10.1.2.3"));
}

static void what_is_no_block_is_refused_by_its_cause(void **state)
{
	(void)state;
	assert_int_equal(parse(""), BLOCK_NOT_ADDRESS);
	assert_int_equal(parse("example.com"), BLOCK_NOT_ADDRESS);
	assert_int_equal(parse("10.0.0/8"), BLOCK_NOT_ADDRESS);
	assert_int_equal(parse("10.0.0.0/33"), BLOCK_BAD_LENGTH);
	assert_int_equal(parse("10.0.0.0/"), BLOCK_BAD_LENGTH);
	assert_int_equal(parse("10.0.0.0/8/8"), BLOCK_BAD_LENGTH);
	assert_int_equal(parse("::/129"), BLOCK_BAD_LENGTH);
	assert_int_equal(parse("10.1.2.3/8"), BLOCK_HOST_BITS);
	assert_int_equal(parse("2001:db8::1/64"), BLOCK_HOST_BITS);
	assert_int_equal(parse("1111111111111111111111111111111111111111111111111111111111/1"), BLOCK_NOT_ADDRESS);
}

static void every_way_to_this_machine_and_to_its_credentials_is_known(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		enum address_kind kind;
	} cases[] = {
		{"127.0.0.1", ADDRESS_LOOPBACK},
		{"127.255.0.9", ADDRESS_LOOPBACK},
		{"0.0.0.0", ADDRESS_LOOPBACK},
		{"0.1.2.3", ADDRESS_LOOPBACK},
		{"::", ADDRESS_LOOPBACK},
		{"::1", ADDRESS_LOOPBACK},
		{"::ffff:127.0.0.1", ADDRESS_LOOPBACK},
		{"::127.0.0.1", ADDRESS_LOOPBACK},
		{"64:ff9b::127.0.0.1", ADDRESS_LOOPBACK},
		{"2002:7f00:1::", ADDRESS_LOOPBACK},
		{"169.254.169.254", ADDRESS_METADATA},
		{"64:ff9b::169.254.169.254", ADDRESS_METADATA},
		{"fd00:ec2::254", ADDRESS_METADATA},
		{"100.100.100.200", ADDRESS_METADATA},
		{"169.254.1.1", ADDRESS_LINK_LOCAL},
		{"fe80::1", ADDRESS_LINK_LOCAL},
		{"febf::1", ADDRESS_LINK_LOCAL},
		{"10.1.2.3", ADDRESS_PRIVATE},
		{"172.31.255.255", ADDRESS_PRIVATE},
		{"172.32.0.0", ADDRESS_PUBLIC},
		{"192.168.0.1", ADDRESS_PRIVATE},
		{"100.64.0.1", ADDRESS_PRIVATE},
		{"fc00::1", ADDRESS_PRIVATE},
		{"fd12::1", ADDRESS_PRIVATE},
		{"198.51.100.1", ADDRESS_PUBLIC},
		{"2001:db8::1", ADDRESS_PUBLIC},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hostport a = ip(cases[i].text);
		if (address_kind(&a) != cases[i].kind)
			fail_msg("%s is taken for %s", cases[i].text, address_kind_name(address_kind(&a)));
	}
}

static void kinds_have_names(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ADDRESS_KINDS; i++) {
		enum address_kind found;
		assert_true(address_kind_find(address_kind_name((enum address_kind)i), &found));
		assert_int_equal(found, i);
	}
	enum address_kind found;
	assert_false(address_kind_find("anywhere", &found));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_hold_their_addresses_and_no_others),
		cmocka_unit_test(what_is_no_block_is_refused_by_its_cause),
		cmocka_unit_test(every_way_to_this_machine_and_to_its_credentials_is_known),
		cmocka_unit_test(kinds_have_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

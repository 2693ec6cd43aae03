#include "base/clock.h"
#include "base/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct loop *loop;
static int order[8], order_len;

struct ticker {
	struct loop_timer timer;
	int name;
};

static void tick(struct loop_timer *timer)
{
	struct ticker *t = (struct ticker *)(void *)timer;
	order[order_len++] = t->name;
	if (t->name == 3)
		loop_stop(loop);
}

static void timers_fire_in_order_and_cleared_ones_never(void **state)
{
	(void)state;
	loop = loop_new();
	order_len = 0;
	uint64_t now = clock_monotonic_ns();
	struct ticker t[4] = {{.name = 3}, {.name = 1}, {.name = 9}, {.name = 2}};
	assert_true(loop_timer_set(loop, &t[0].timer, now + 3, tick));
	assert_true(loop_timer_set(loop, &t[1].timer, now + 1, tick));
	assert_true(loop_timer_set(loop, &t[2].timer, now + 1, tick));
	assert_true(loop_timer_set(loop, &t[3].timer, now + 9, tick));
	assert_true(loop_timer_set(loop, &t[3].timer, now + 2, tick)); /* moved */
	loop_timer_clear(loop, &t[2].timer);
	assert_true(loop_run(loop));
	assert_int_equal(order_len, 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(order[i], i + 1);
	loop_free(loop);
}

static struct loop_io left, right;

static void first_wins(struct loop_io *io)
{
	order[order_len++] = io == &left ? 1 : 2;
	loop_remove(loop, io == &left ? &right : &left);
	loop_stop(loop);
}

static void a_removed_descriptor_hears_nothing_more_in_the_same_turn(void **state)
{
	(void)state;
	loop = loop_new();
	order_len = 0;
	int a[2], b[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, a), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, b), 0);
	assert_true(loop_add(loop, &left, a[0], first_wins));
	assert_true(loop_add(loop, &right, b[0], first_wins));
	assert_int_equal(write(a[1], "x", 1), 1);
	assert_int_equal(write(b[1], "x", 1), 1);
	assert_true(loop_run(loop));
	assert_int_equal(order_len, 1);
	for (int i = 0; i < 2; i++) {
		close(a[i]);
		close(b[i]);
	}
	loop_free(loop);
}

static struct loop_task again, stop;
static int turns;

static void run_again(struct loop_task *task)
{
	if (++turns < 5)
		loop_task_queue(loop, task, run_again);
	else
		loop_stop(loop);
}

static void never(struct loop_task *task)
{
	(void)task;
	fail();
}

static void a_task_queued_by_a_task_runs_in_the_next_turn(void **state)
{
	(void)state;
	loop = loop_new();
	turns = 0;
	loop_task_queue(loop, &again, run_again);
	loop_task_queue(loop, &again, run_again); /* once */
	loop_task_queue(loop, &stop, never);
	loop_task_cancel(loop, &stop);
	assert_true(loop_run(loop));
	assert_int_equal(turns, 5);
	loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timers_fire_in_order_and_cleared_ones_never),
		cmocka_unit_test(a_removed_descriptor_hears_nothing_more_in_the_same_turn),
		cmocka_unit_test(a_task_queued_by_a_task_runs_in_the_next_turn),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

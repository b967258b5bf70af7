/* Tests of net/lane: order, limits, and what done() may do. */
#include "loop_fixture.h"

#include "net/lane.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>

#define JOBS 40

static struct loop_fixture f;
static struct lane lane;
static atomic_int running, most;
static atomic_bool gate; /* jobs wait for it */
static int done_count;
static int order[JOBS];

struct work {
    struct lane_job job;
    int number;
    uv_thread_t thread;
    int nice;
    bool freed_by_done;
    struct work *then; /* submitted by done */
};

static bool own_threads;
static int nice_of_loop;

static int setup(void **state)
{
    loop_begin(&f);
    own_threads = false;
    nice_of_loop = getpriority(PRIO_PROCESS, 0);
    running = most = 0;
    gate = true;
    done_count = 0;
    return 0;
}

static int setup_own_threads(void **state)
{
    setup(state);
    own_threads = true;
    return 0;
}

static void begin(unsigned limit)
{
    if (own_threads)
        assert_int_equal(lane_init_threads(&lane, &f.loop, limit), 0);
    else
        lane_init(&lane, &f.loop, limit);
}

static void on_closed(void *ctx)
{
    *(bool *)ctx = true;
}

static int teardown(void **state)
{
    bool closed = false;

    assert_true(lane_idle(&lane));
    if (lane.threads) {
        lane_close(&lane, on_closed, &closed);
        assert_false(closed);
        loop_wait(&f, closed);
    }
    loop_end(&f);
    return 0;
}

static void work(struct lane_job *job)
{
    struct work *w = (struct work *)job;
    int now = ++running;
    int seen = most;

    while (now > seen && !atomic_compare_exchange_weak(&most, &seen, now))
        ;
    w->thread = uv_thread_self();
    w->nice = getpriority(PRIO_PROCESS, 0);
    while (!gate)
        uv_sleep(1);
    running--;
}

static void done(struct lane_job *job)
{
    struct work *w = (struct work *)job;
    uv_thread_t self = uv_thread_self();

    assert_false(uv_thread_equal(&self, &w->thread));
    order[done_count++] = w->number;
    if (w->then)
        lane_submit(&lane, &w->then->job);
    if (w->freed_by_done)
        free(w);
}

static void submit(struct work *w, int number)
{
    w->number = number;
    w->job.work = work;
    w->job.done = done;
    lane_submit(&lane, &w->job);
}

static void no_more_than_the_limit_at_a_time(void **state)
{
    struct work jobs[JOBS] = {0};

    begin(2);
    gate = false;
    for (int i = 0; i < JOBS; i++)
        submit(&jobs[i], i);
    assert_int_equal(lane.running, 2);
    assert_int_equal(lane.waiting, JOBS - 2);
    assert_false(lane_idle(&lane));
    loop_wait(&f, running == 2);
    gate = true;
    loop_wait(&f, done_count == JOBS);
    assert_int_equal(most, 2);
}

static void one_at_a_time_is_in_order(void **state)
{
    struct work jobs[JOBS] = {0};

    begin(1);
    for (int i = 0; i < JOBS; i++)
        submit(&jobs[i], i);
    loop_wait(&f, done_count == JOBS);
    for (int i = 0; i < JOBS; i++)
        assert_int_equal(order[i], i);
}

static void done_may_free_the_job(void **state)
{
    begin(1);
    for (int i = 0; i < JOBS; i++) {
        struct work *w = calloc(1, sizeof *w);

        assert_non_null(w);
        w->freed_by_done = true;
        submit(w, i);
    }
    loop_wait(&f, done_count == JOBS);
}

static void done_may_submit_again(void **state)
{
    struct work jobs[4] = {0};

    begin(1);
    for (int i = 0; i < 3; i++) {
        jobs[i].then = &jobs[i + 1];
        jobs[i + 1].number = i + 1;
        jobs[i + 1].job.work = work;
        jobs[i + 1].job.done = done;
    }
    submit(&jobs[0], 0);
    loop_wait(&f, done_count == 4);
    assert_int_equal(order[3], 3);
}

/* A flood in one lane leaves threads to another. */
static void a_full_lane_does_not_stop_another(void **state)
{
    struct work jobs[JOBS] = {0};
    struct work other = {0};
    struct lane second;

    begin(2);
    lane_init(&second, &f.loop, 1);
    gate = false;
    for (int i = 0; i < JOBS - 1; i++)
        submit(&jobs[i], i);
    other.number = JOBS;
    other.job.work = work;
    other.job.done = done;
    lane_submit(&second, &other.job);
    loop_wait(&f, running == 3);
    gate = true;
    loop_wait(&f, done_count == JOBS);
    assert_true(lane_idle(&second));
}

/* The loop and the disk come first, however much there is to compute. */
static void own_threads_give_way(void **state)
{
    struct work one = {0};

    begin(1);
    submit(&one, 1);
    loop_wait(&f, done_count == 1);
    assert_int_equal(one.nice, nice_of_loop > 19 - LANE_NICE ? 19 : nice_of_loop + LANE_NICE);
    assert_int_equal(getpriority(PRIO_PROCESS, 0), nice_of_loop);
}

/* A job under way keeps the loop alive, an idle lane does not. */
static void own_threads_and_the_loops_life(void **state)
{
    struct work one = {0};

    begin(2);
    assert_int_equal(uv_loop_alive(&f.loop), 0);
    gate = false;
    submit(&one, 1);
    loop_wait(&f, running == 1);
    assert_int_not_equal(uv_loop_alive(&f.loop), 0);
    gate = true;
    loop_wait(&f, done_count == 1);
    assert_int_equal(uv_loop_alive(&f.loop), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define OWN(name)                                                                                  \
    {                                                                                              \
#name " (threads of its own)", name, setup_own_threads, teardown, NULL                     \
    }
    const struct CMUnitTest tests[] = {
        TEST(no_more_than_the_limit_at_a_time),
        TEST(one_at_a_time_is_in_order),
        TEST(done_may_free_the_job),
        TEST(done_may_submit_again),
        TEST(a_full_lane_does_not_stop_another),
        OWN(no_more_than_the_limit_at_a_time),
        OWN(one_at_a_time_is_in_order),
        OWN(done_may_free_the_job),
        OWN(done_may_submit_again),
        OWN(a_full_lane_does_not_stop_another),
        OWN(own_threads_give_way),
        OWN(own_threads_and_the_loops_life),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

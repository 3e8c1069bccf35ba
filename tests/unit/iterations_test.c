/* How many generations a process should make, of sessions whose spreads are planted. */
#include "harness/iterations.h"
#include "reports/stats.h"
#include "tests/planted_session.h"

static hm_store *store;
static planted p;

static int setup(void **state)
{
    static const char *const variants[] = {"best", "again"};
    hm_error err = {0};
    (void)state;
    if (hm_store_open(&store, ":memory:", HM_STORE_CREATE, &err))
        return -1;
    put_store_facts(store, "la", 1);
    p.store = store;
    plant_session(&p, "m1", "b1", "calibrate", variants, 2);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    hm_store_close(&store);
    return 0;
}

/* A process with these generations, in ms, that takes `rest_ms` beside them. */
static void plant(int arm, int round, const double *walls_ms, int count, double rest_ms, hm_run_status status)
{
    static hm_sample samples[8];
    double sum = rest_ms;
    hm_error err = {0};
    for (int i = 0; i < count; i++) {
        hm_sample_init(&samples[i]);
        samples[i].wall_ns = (int64_t)(walls_ms[i] * 1e6 + 0.5);
        samples[i].generate_ns = samples[i].wall_ns / 2;
        samples[i].frames = 125;
        samples[i].codebooks = 8;
        samples[i].audio_s = 10;
        strcpy(samples[i].codes_hash, "c0de");
        strcpy(samples[i].health, "ok");
        sum += walls_ms[i];
    }
    hm_run_record run = {.session_id = p.session.id,
                         .arm_id = p.arms[arm].id,
                         .case_id = "c1",
                         .model_id = "w1",
                         .round = round,
                         .slot = arm,
                         .status = status,
                         .reason = status ? "it fell over" : NULL,
                         .started_utc = "2000-01-01T00:00:00Z",
                         .duration_ns = (int64_t)(sum * 1e6),
                         .warmup = "full",
                         .memory_available_bytes = 99,
                         .samples = samples,
                         .sample_count = count};
    hm_uuid_text(run.id);
    GOOD(hm_store_put_run(store, &run, &err));
}

/* Each process is e^level slower than its arm; its generations lie at e^+-within around that: both variances are known. */
static void plant_spreads(double level, double within)
{
    for (int arm = 0; arm < 2; arm++)
        for (int r = 0; r < 10; r++) {
            double middle = (arm ? 300 : 100) * exp(r % 2 ? level : -level);
            double more = middle * exp(within), less = middle * exp(-within);
            plant(arm, r, (const double[]){more, less, more, less}, 4, 900, HM_RUN_OK);
        }
}

static hm_iterations advise(void)
{
    hm_iterations k;
    hm_error err = {0};
    GOOD(hm_iterations_advise(store, p.session.id, "c1", &k, &err));
    return k;
}

static void planted_variances_and_costs_come_back(void **state)
{
    (void)state;
    plant_spreads(0.01, 0.03);
    hm_iterations k = advise();
    double own = 4.0 / 3 * 0.03 * 0.03, means = 10.0 / 9 * 0.01 * 0.01; /* unbiased: of 4 and of 10 values */
    assert_int_equal(k.processes, 20);
    assert_float_equal(k.iteration_sd, sqrt(own), 1e-6);
    assert_float_equal(k.iteration_s, 0.2, 0.001);
    assert_float_equal(k.process_s, 0.9, 0.001);
    assert_true(means < own / 4); /* what the generations' own spread explains: nothing is left for processes */
    assert_float_equal(k.process_sd, 0, 0);
    assert_int_equal(k.best, HM_ITERATIONS_CAP);
}

static void a_spread_between_processes_asks_for_more_processes(void **state)
{
    (void)state;
    plant_spreads(0.03, 0.02);
    hm_iterations k = advise();
    double own = 4.0 / 3 * 0.02 * 0.02, process = 10.0 / 9 * 0.03 * 0.03 - own / 4;
    assert_float_equal(k.process_sd, sqrt(process), 1e-6);
    assert_int_equal(k.best, (int)ceil(sqrt(0.9 / k.iteration_s * own / process)));
    assert_int_equal(k.best, 2);
}

static void what_does_not_count_is_left_out(void **state)
{
    (void)state;
    hm_error err = {0};
    assert_int_equal(advise().processes, 0);
    plant(0, 0, (const double[]){100}, 1, 10, HM_RUN_OK); /* one generation has no spread */
    assert_int_equal(advise().processes, 0);
    plant(0, 1, (const double[]){100, 110}, 2, 10, HM_RUN_OK);
    plant(0, 2, (const double[]){100, 900}, 2, 10, HM_RUN_FAILED);
    plant(0, 3, (const double[]){100, 900}, 2, 10, HM_RUN_OK);
    GOOD(hm_store_drop_round(store, p.session.id, "c1", 3, "hot", &err));
    plant(1, 1, (const double[]){200, 220}, 2, 10, HM_RUN_OK);
    hm_iterations k = advise();
    assert_int_equal(k.processes, 2);
    assert_float_equal(k.iteration_sd, log(1.1) / sqrt(2), 1e-6);
    assert_int_equal(k.best, 0); /* no arm has two to compare */
    plant(1, 4, (const double[]){200, 220}, 2, 10, HM_RUN_OK);
    assert_int_equal(advise().best, HM_ITERATIONS_CAP); /* two that are equal */
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {CASE(planted_variances_and_costs_come_back),
                                       CASE(a_spread_between_processes_asks_for_more_processes), CASE(what_does_not_count_is_left_out)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

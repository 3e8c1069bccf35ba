/* Utterances side by side in one talker: each has the bytes it has alone. */
#define _GNU_SOURCE
#include "tests/talker_case.h"

enum {
    MOST = 12
};

/* Utterances of unlike lengths, each joining at a frame of its own and leaving when it is done: bytes as alone. */
static void expect_as_alone(const char *preset, const hm_toggles *toggles, int n)
{
    static const char *const used[3][2] = {{"tiny_a.base_xvector", "tiny_b.base_xvector"},
                                           {"tiny_a.base_icl", "tiny_b.base_icl"},
                                           {"tiny_a.base_icl_nonstream", "tiny_b.base_icl_nonstream"}};
    tts_case *k[3];
    hm_talker_request r[MOST];
    hm_utterance *u[MOST] = {NULL};
    outcome alone[MOST];
    bool begun[MOST] = {false}, done[MOST] = {false};
    int left = n, most_at_once = 0;
    for (int i = 0; i < 3; i++)
        k[i] = open_case(used[i][strcmp(preset, "tiny_a") != 0]);
    model *m = open_model(preset, "base", toggles);
    for (int i = 0; i < n; i++) {
        r[i] = i % 2 ? drawn(k[i % 3]) : k[i % 3]->request;
        r[i].max_frames = 6 + 3 * i % 10;
        r[i].seed = (uint64_t)i;
        alone[i] = speak(m, &r[i]);
    }
    hm_talker_work *w = open_work(m, n, 100, 150);
    for (int frame = 0; left; frame++) {
        hm_utterance *now[MOST];
        int who[MOST], count = 0;
        bool ended[MOST];
        for (int i = 0; i < n; i++) {
            if (!begun[i] && frame >= i % 5) {
                begun[i] = true;
                u[i] = begin(m, w, &r[i]);
                hm_utterance_prefill(&m->ctx, w, u[i]);
            }
            if (begun[i] && !done[i]) {
                who[count] = i;
                now[count++] = u[i];
            }
        }
        most_at_once = count > most_at_once ? count : most_at_once;
        hm_talker_frame(&m->ctx, w, now, count, ended);
        for (int j = 0; j < count; j++)
            if (ended[j] || hm_utterance_frames(now[j]) == r[who[j]].max_frames) {
                outcome o = finish(m, now[j], &r[who[j]], ended[j]);
                expect_same(&alone[who[j]], &o, "side by side");
                drop(&o);
                done[who[j]] = true;
                left--;
            }
    }
    assert_true(most_at_once > n / 2);
    hm_talker_work_close(&m->ctx, &w);
    close_model(m);
    for (int i = 0; i < n; i++)
        drop(&alone[i]);
    for (int i = 0; i < 3; i++)
        close_case(k[i]);
}

static void utterances_side_by_side_have_the_bytes_of_each_alone(void **state)
{
    hm_toggles frame = case_best, host = case_best;
    (void)state;
    frame.codes = HM_CODES_FRAME;
    host.penalty = HM_PENALTY_HISTORY;
    host.suppress = HM_SUPPRESS_LIST;
    host.token_forward = HM_TOKEN_HOST;
    host.codes = HM_CODES_FRAME;
    expect_as_alone("tiny_a", &case_naive, 3);
    expect_as_alone("tiny_b", &case_naive, 3);
    expect_as_alone("tiny_a", &case_best, 3);
    expect_as_alone("tiny_b", &case_best, 3);
    expect_as_alone("tiny_b", &frame, 3);
    expect_as_alone("tiny_b", &host, 3);
}

static void more_than_a_predictor_pass_takes_have_the_bytes_of_each_alone(void **state)
{
    (void)state;
    expect_as_alone("tiny_b", &case_naive, MOST);
    expect_as_alone("tiny_b", &case_best, MOST);
    expect_as_alone("tiny_a", &case_best, MOST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utterances_side_by_side_have_the_bytes_of_each_alone),
        cmocka_unit_test(more_than_a_predictor_pass_takes_have_the_bytes_of_each_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

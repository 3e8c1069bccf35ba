/* Other people's engines on made weights: what they draw is what ours draws. Skipped for peers that are not installed (hmbench peers install). */
#define _GNU_SOURCE /* pipe2 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness/peers.h"
#include "tests/cli_case.h"

static int setup(void **state)
{
    (void)state;
    return make_case_folder(); /* the user's cache: that is where peers are */
}

static bool ready(const char *name)
{
    const hm_peer *peer = hm_peer_find(name);
    assert_non_null(peer);
    return hm_peer_look(peer) == HM_PEER_READY;
}

/* Beside naive, which draws the codes that are fed: every code equal, and the peer checked. */
static void assert_equal(const char *peer, const char *suite, const char *model)
{
    char db[64], arm[64];
    snprintf(db, sizeof db, "%s.db", peer);
    snprintf(arm, sizeof arm, "it=peer:%s", peer);
    hm_run run = run_program("suite", in_folder(suite), "--variant", "naive", "--arm", arm, "--model", (char *)(uintptr_t)model, "-n", "1",
                             "--no-trace", "--settle", "0", "--db", in_folder(db));
    if (run.code)
        fail_msg("exit code %d: %s", run.code, run.err);
    run_free(&run);
    run = run_program(
        "db", "sql",
        "SELECT arm.name, o.differing_codes FROM output o JOIN sample s ON s.id = o.sample_id JOIN run r ON r.id = s.run_id JOIN arm "
        "ON arm.id = r.arm_id WHERE s.warmup = 0 ORDER BY 1",
        "-o", "csv", "--db", in_folder(db));
    if (!strstr(run.out, "it,0") || !strstr(run.out, "naive,0"))
        fail_msg("%s: %s%s", peer, run.out, run.err);
    run_free(&run);
    run = run_program("peers", "check", (char *)(uintptr_t)peer, "--model", (char *)(uintptr_t)model, "--timeout", "600");
    if (run.code)
        fail_msg("%s%s", run.out, run.err);
    run_free(&run);
}

static void transformers_writes_what_ours_writes(void **state)
{
    static const char text[] =
        "suite: heard\ncases:\n  - {name: english, task: transcript, seconds: 12, seed: 6, recording: voice, tokens: 24, "
        "language: english}\n";
    (void)state;
    if (!ready("transformers"))
        skip();
    put("heard.yaml", text, sizeof text - 1);
    assert_equal("transformers", "heard.yaml", "whisper-mini");
}

static const char greedy_words[] =
    "suite: said\ncases:\n  - {name: greedy, task: speech, frames: 6, seed: 3, topk: 1, sub_topk: 1, text: \"Good morning, all of "
    "you.\", speaker: ryan, language: english, temperature: 1.0, sub_temperature: 1.0}\n";

static void qwen_tts_draws_what_ours_draws_where_there_is_no_choice(void **state)
{
    (void)state;
    if (!ready("qwen-tts"))
        skip();
    put("said.yaml", greedy_words, sizeof greedy_words - 1);
    assert_equal("qwen-tts", "said.yaml", "qwen3-tts-tiny");
}

static const char greedy_song[] =
    "suite: sung\ncases:\n  - {name: greedy, frames: 8, seed: 5, topk: 1, cfg: 1.5, tags: \"folk, slow\", lyrics: \"[Verse 1]\\n"
    "morning\\n\", styles: {verse: soft}}\n";

static void the_yardstick_draws_what_ours_draws_where_there_is_no_choice(void **state)
{
    (void)state;
    if (!ready("yardstick"))
        skip();
    put("sung.yaml", greedy_song, sizeof greedy_song - 1);
    assert_equal("yardstick", "sung.yaml", "heartmula-tiny");
}

static void compiled_peers_draw_the_same(void **state)
{
    (void)state;
    if (!ready("qwen-tts-compile"))
        skip();
    put("sung.yaml", greedy_song, sizeof greedy_song - 1);
    put("said.yaml", greedy_words, sizeof greedy_words - 1);
    assert_equal("yardstick-compile", "sung.yaml", "heartmula-tiny");
    assert_equal("qwen-tts-compile", "said.yaml", "qwen3-tts-tiny");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transformers_writes_what_ours_writes),
        cmocka_unit_test(qwen_tts_draws_what_ours_draws_where_there_is_no_choice),
        cmocka_unit_test(the_yardstick_draws_what_ours_draws_where_there_is_no_choice),
        cmocka_unit_test(compiled_peers_draw_the_same),
    };
    return cmocka_run_group_tests(tests, setup, remove_folder);
}

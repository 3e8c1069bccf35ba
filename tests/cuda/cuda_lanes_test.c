/* Two queues of one device: neither waits for the other, and audio that is decoded on the second one while frames are made on the first is the
 * same. The software device runs commands late, those of the newer queue first. */
#define _GNU_SOURCE
#define HM_TEST_CUDA
#include "tests/bitwise_case.h"
#include "tests/gpu/gpu_case.h"

static soft_library soft;
static char lines_folder[] = "/tmp/hmbench-cuda-lanes-XXXXXX";

static void a_device_beside_waits_for_its_own_commands_alone(void **state)
{
    (void)state;
    rig first = {0}, second = {0};
    float here[2] = {0};
    assert_int_equal(hm_gpu_open(&first.dev, SOFT_DRIVER, &(hm_gpu_options){0}, &first.error), HM_OK);
    assert_int_equal(hm_gpu_open_beside(&second.dev, first.dev, &second.error), HM_OK);
    hm_gpu_ops_reference(&first.op, first.dev, &first.count, NULL, &first.error);
    hm_gpu_ops_reference(&second.op, second.dev, &second.count, NULL, &second.error);
    float *a = first.op.alloc(&first.op, 64), *b = second.op.alloc(&second.op, 64);
    const float values[] = {3, 4};
    first.op.upload(&first.op, a, values, sizeof values);
    second.op.upload(&second.op, b, values, sizeof values);
    uint64_t waits = soft.calls("cuStreamSynchronize");
    first.op.scale(&first.op, a, 2, 2);
    second.op.scale(&second.op, b, 3, 2);
    second.op.download(&second.op, here, b, sizeof here);
    assert_true(here[0] == 9 && here[1] == 12);
    assert_int_equal(soft.calls("cuStreamSynchronize"), waits + 1);
    second.op.sync(&second.op); /* nothing is left to wait for */
    assert_int_equal(soft.calls("cuStreamSynchronize"), waits + 1);
    first.op.download(&first.op, here, a, sizeof here); /* what the first was asked for is not done because of that */
    assert_true(here[0] == 6 && here[1] == 8);
    assert_int_equal(soft.calls("cuStreamSynchronize"), waits + 2);
    first.op.scale(&first.op, a, 2, 2);
    second.op.free(&second.op, b); /* and memory that is given back may be anybody's */
    first.op.free(&first.op, a);
    assert_int_equal(first.error.status + second.error.status, HM_OK);
    hm_gpu_close(&second.dev);
    hm_gpu_close(&first.dev);
    soft_clean(&soft);
}

static int count_samples(void *self, const float *pcm, int channels, int64_t samples, int64_t at_ns)
{
    (void)pcm;
    (void)at_ns;
    *(int64_t *)self += channels * samples;
    return 0;
}

static void speech_decoded_on_a_queue_of_its_own_is_the_same(void **state)
{
    (void)state;
    const case_family lines = {.folder = lines_folder, .models = HM_MODEL_QWEN3_TTS, .codebooks = 16, .backend = SOFT_BACKEND};
    hm_request r = {.task = HM_TASK_SPEECH,
                    .speech = {.text = "One.",
                               .speaker = "Vivian",
                               .streaming_text = -1,
                               .top_p = -1,
                               .repetition_penalty = -1,
                               .sub_temperature = -1,
                               .sub_top_p = -1,
                               .sub_topk = -1},
                    .max_frames = 2,
                    .force_length = true,
                    .topk = -1,
                    .temperature = -1,
                    .seed = 5};
    hm_toggles stream = case_best, overlap = {HM_BEST_BUT_DECODE, .decode = HM_DECODE_OVERLAP};
    int64_t heard = 0;
    hm_audio_sink sink = {.self = &heard, .write = count_samples};
    hm_result whole = case_run(&lines, &stream, &r);
    r.sink = &sink;
    uint64_t streams = soft.calls("cuStreamCreate");
    hm_result beside = case_run(&lines, &overlap, &r);
    assert_int_equal(soft.calls("cuStreamCreate"), streams + 3);
    case_expect_same(&whole, &beside, "beside");
    assert_int_equal(heard, whole.samples * whole.channels);
    case_free(&whole);
    case_free(&beside);
    soft_clean(&soft);
}

static int start(void **state)
{
    (void)state;
    soft_load(&soft, "HM_SOFT_DEFER=1 HM_SOFT_GUARD=1 HM_SOFT_TIMEOUT_S=600");
    case_model(lines_folder, "qwen3-tts-tiny");
    return 0;
}

static int end(void **state)
{
    (void)state;
    case_remove(lines_folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_device_beside_waits_for_its_own_commands_alone),
        cmocka_unit_test(speech_decoded_on_a_queue_of_its_own_is_the_same),
    };
    return soft_there() ? cmocka_run_group_tests_name("cuda_lanes", tests, start, end) : 77;
}

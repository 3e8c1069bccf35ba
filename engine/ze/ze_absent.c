/* Backend ze of a build that found no headers of Level Zero: it says so when it is opened. */
#include "engine/ze/ze.h"
#include "engine/ze/ze_sysman.h"

const bool hm_ze_built = false;

static hm_status absent(hm_error *err)
{
    return hm_fail(err, HM_EABSENT, "ze: this build has no Level Zero headers: install libze-dev and build again");
}

hm_status hm_ze_list(hm_ze_device *out, int room, int *count, hm_error *err)
{
    (void)out;
    (void)room;
    *count = 0;
    return absent(err);
}

hm_status hm_ze_sysman_open(hm_ze_sysman **out, const char *device, hm_error *err)
{
    (void)out;
    (void)device;
    return absent(err);
}

void hm_ze_sysman_read(hm_ze_sysman *sysman, hm_ze_reading *out)
{
    (void)sysman;
    *out = (hm_ze_reading){0};
}

void hm_ze_sysman_close(hm_ze_sysman **sysman)
{
    *sysman = NULL;
}

static hm_status no_open(hm_gpu **out, const hm_gpu_options *o, hm_error *err)
{
    (void)out;
    (void)o;
    return absent(err);
}

/* Nothing was opened, so nothing else is ever called; each entry is there all the same. */
static void no_close(hm_gpu **gpu)
{
    *gpu = NULL;
}

static const hm_gpu_facts *no_facts(const hm_gpu *gpu)
{
    static const hm_gpu_facts none = {.backend = "ze", .name = "", .uuid = "", .driver = "", .api = ""};
    (void)gpu;
    return &none;
}

static hm_status no_alloc(hm_gpu *gpu, void **out, size_t bytes, hm_gpu_memory kind, hm_error *err)
{
    (void)gpu;
    (void)out;
    (void)bytes;
    (void)kind;
    return absent(err);
}

static void no_free(hm_gpu *gpu, void *p)
{
    (void)gpu;
    (void)p;
}

static hm_status no_launch(hm_gpu *gpu, const hm_gpu_command *command, uint32_t tag, hm_error *err)
{
    (void)gpu;
    (void)command;
    (void)tag;
    return absent(err);
}

static hm_status no_copy(hm_gpu *gpu, void *to, const void *from, size_t bytes, uint32_t tag, hm_error *err)
{
    (void)gpu;
    (void)to;
    (void)from;
    (void)bytes;
    (void)tag;
    return absent(err);
}

static hm_status no_fill(hm_gpu *gpu, void *to, uint32_t pattern, size_t bytes, uint32_t tag, hm_error *err)
{
    (void)gpu;
    (void)to;
    (void)pattern;
    (void)bytes;
    (void)tag;
    return absent(err);
}

static hm_status no_wait(hm_gpu *gpu, hm_error *err)
{
    (void)gpu;
    return absent(err);
}

static hm_status no_keep(hm_gpu *gpu, hm_gpu_recording **out, hm_error *err)
{
    (void)gpu;
    (void)out;
    return absent(err);
}

static hm_status no_replay(hm_gpu *gpu, hm_gpu_recording *recording, hm_error *err)
{
    (void)gpu;
    (void)recording;
    return absent(err);
}

static void no_drop(hm_gpu *gpu, hm_gpu_recording **recording)
{
    (void)gpu;
    *recording = NULL;
}

static int no_times(hm_gpu *gpu, uint32_t tag, hm_gpu_time *out, int room)
{
    (void)gpu;
    (void)tag;
    (void)out;
    (void)room;
    return 0;
}

const hm_gpu_driver hm_ze_driver = {
    .backend = "ze",
    .open = no_open,
    .close = no_close,
    .facts = no_facts,
    .alloc = no_alloc,
    .free = no_free,
    .launch = no_launch,
    .copy = no_copy,
    .fill = no_fill,
    .wait = no_wait,
    .record = no_wait,
    .keep = no_keep,
    .replay = no_replay,
    .drop = no_drop,
    .take_times = no_times,
};

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

const hm_gpu_driver hm_ze_driver = {.backend = "ze", .list = hm_ze_list, .open = no_open};

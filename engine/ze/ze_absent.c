/* Backend ze of a build that found no headers of Level Zero: it says so when it is opened. */
#include "engine/ze/ze.h"

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

static hm_status no_sensors(hm_gpu_sensors **out, const char *device, hm_error *err)
{
    (void)out;
    (void)device;
    return absent(err);
}

static const hm_gpu_sensors_entries sensors = {.open = no_sensors};

static hm_status no_open(hm_gpu **out, const hm_gpu_options *o, hm_error *err)
{
    (void)out;
    (void)o;
    return absent(err);
}

const hm_gpu_driver hm_ze_driver = {.backend = "ze", .list = hm_ze_list, .open = no_open, .sensors = &sensors};

#include "harness/settings.h"

#include <string.h>

#include "suites/suite.h"

/* HeartMuLa XPU guide, "Run (examples)": speed mode, quality mode, max GPU utilization. What an example leaves out is the model's own. */
const hm_settings hm_settings_list[HM_SETTINGS] = {
    {.name = "speed", .text = "no guidance, fewer codes to choose among", .cfg = 1, .topk = 30, .temperature = 0.9, .seconds = 240},
    {.name = "quality", .text = "stronger guidance", .cfg = 2, .topk = 50, .temperature = 1, .seconds = 360},
    {.name = "long",
     .text = "eight minutes: the device is busiest then",
     .cfg = 1.5,
     .topk = 50,
     .temperature = 1,
     .seconds = 480,
     .longest = true},
};

const char *const hm_settings_names[HM_SETTINGS + 1] = {"speed", "quality", "long", NULL};

const hm_settings *hm_settings_find(const char *name)
{
    for (int i = 0; i < HM_SETTINGS && name; i++)
        if (!strcmp(hm_settings_list[i].name, name))
            return &hm_settings_list[i];
    return NULL;
}

void hm_settings_apply(const hm_settings *s, hm_case_record *c)
{
    if (!strcmp(c->task, "transcript")) /* they are of what is drawn */
        return;
    if (s->longest) {
        c->frames = (int)(s->seconds * HM_SUITE_FRAMES_PER_SECOND + 0.5);
        return;
    }
    c->topk = s->topk;
    c->temperature = s->temperature;
    if (strcmp(c->task, "speech"))
        c->cfg_scale = s->cfg;
}

const hm_settings *hm_settings_given(int argc, char **argv)
{
    const hm_settings *found = NULL;
    for (int i = 1; i < argc && strcmp(argv[i], "--"); i++)
        if (!strncmp(argv[i], "--settings=", 11))
            found = hm_settings_find(argv[i] + 11);
        else if (!strcmp(argv[i], "--settings") && i + 1 < argc)
            found = hm_settings_find(argv[++i]);
    return found;
}

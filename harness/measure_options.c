#include "harness/measure_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *hm_shell_word(char *o, const char *text)
{
    bool plain = *text && !strpbrk(text, " \t\r\n\v\f\"'\\$&|;<>()*?[]{}`!#~^");
    if (!plain)
        *o++ = '\'';
    for (const char *p = text; *p; p++)
        if (*p == '\'')
            o += sprintf(o, "'\\''");
        else
            *o++ = *p;
    if (!plain)
        *o++ = '\'';
    *o = 0;
    return o;
}

char *hm_command_text(int argc, char *const *argv)
{
    size_t size = 16;
    for (int i = 0; i < argc; i++)
        size += 4 * strlen(argv[i]) + 3;
    char *text = malloc(size), *o = text;
    if (!text)
        return NULL;
    o += sprintf(o, "hmbench");
    for (int i = 0; i < argc; i++) {
        *o++ = ' ';
        o = hm_shell_word(o, argv[i]);
    }
    return text;
}

/* Where the texts of options are, for both directions. */
typedef struct text_field {
    const char *key, **text;
} text_field;

typedef struct list_field {
    const char *key;
    hm_strings *list;
} list_field;

enum {
    TEXTS = 13,
    LISTS = 6
};

static void fields_of(hm_measure_options *o, text_field texts[TEXTS], list_field lists[LISTS])
{
    const text_field t[TEXTS] = {{"threads", &o->plan.threads},  {"isa", &o->plan.isa},          {"model", &o->plan.model},
                                 {"backend", &o->plan.backend},  {"filter", &o->plan.filter},    {"warmup", &o->warmup},
                                 {"setup", &o->hooks.setup},     {"prepare", &o->hooks.prepare}, {"conclude", &o->hooks.conclude},
                                 {"cleanup", &o->hooks.cleanup}, {"device", &o->plan.device},    {"env_profile", &o->plan.env_profile},
                                 {"settings", &o->plan.settings}};
    const list_field l[LISTS] = {{"suites", &o->plan.suites},     {"variants", &o->plan.variants}, {"commands", &o->plan.commands},
                                 {"programs", &o->plan.programs}, {"axes", &o->plan.axes},         {"only_arms", &o->plan.only_arms}};
    memcpy(texts, t, sizeof t);
    memcpy(lists, l, sizeof l);
}

char *hm_measure_pack(const hm_measure_options *options, const hm_plan *plan, const char *build_id)
{
    hm_measure_options copy = *options;
    text_field texts[TEXTS];
    list_field lists[LISTS];
    fields_of(&copy, texts, lists);
    json_t *o = json_pack("{s:s, s:I, s:I, s:i, s:i, s:b, s:b, s:b, s:b, s:s, s:o}", "order", hm_order_names[options->order], "timeout_s",
                          (json_int_t)options->timeout_s, "settle_s", (json_int_t)options->settle_s, "iterations", options->iterations,
                          "logit_frames", options->logit_frames, "keep_audio", options->keep_audio, "cold", options->cold, "stream",
                          options->stream, "limits", options->limits, "build", build_id, "plan", hm_plan_json(plan));
    json_object_set_new(o, "trace", json_boolean(options->trace));
    json_object_set_new(o, "stop_at", json_real(options->stop_at));
    json_object_set_new(o, "min_rounds", json_integer(options->min_rounds));
    for (int i = 0; i < TEXTS; i++)
        if (*texts[i].text)
            json_object_set_new(o, texts[i].key, json_string(*texts[i].text));
    for (int i = 0; i < LISTS; i++) {
        json_t *list = json_array();
        for (int k = 0; k < lists[i].list->count; k++)
            json_array_append_new(list, json_string(lists[i].list->items[k]));
        json_object_set_new(o, lists[i].key, list);
    }
    char *text = o ? json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(o);
    return text;
}

hm_status hm_measure_unpack(const json_t *o, hm_measure_options *out, hm_error *err)
{
    text_field texts[TEXTS];
    list_field lists[LISTS];
    fields_of(out, texts, lists);
    for (int i = 0; i < TEXTS; i++)
        *texts[i].text = json_string_value(json_object_get(o, texts[i].key));
    for (int i = 0; i < LISTS; i++) {
        size_t k;
        const json_t *item, *list = json_object_get(o, lists[i].key);
        lists[i].list->count = 0;
        json_array_foreach(list, k, item)
        {
            hm_strings *out_list = lists[i].list;
            if (json_is_string(item) && out_list->count < (int)(sizeof out_list->items / sizeof *out_list->items))
                out_list->items[out_list->count++] = json_string_value(item);
        }
    }
    const char *order = json_string_value(json_object_get(o, "order")); /* absent: by an older hmbench */
    int kind = order ? hm_order_parse(order) : HM_ORDER_ABBA;
    if (!out->plan.backend || !out->warmup || !out->plan.suites.count || kind < 0)
        return hm_fail(err, HM_EIO, "database: the session's options are incomplete");
    out->order = (hm_order)kind;
    out->keep_audio = json_is_true(json_object_get(o, "keep_audio"));
    out->cold = json_is_true(json_object_get(o, "cold"));
    out->stream = json_is_true(json_object_get(o, "stream"));
    out->logit_frames = (int)json_integer_value(json_object_get(o, "logit_frames"));
    out->trace = out->trace && !json_is_false(json_object_get(o, "trace")); /* --resume --no-trace: none either */
    out->limits = !json_is_false(json_object_get(o, "limits"));
    out->timeout_s = json_integer_value(json_object_get(o, "timeout_s"));
    out->settle_s = json_integer_value(json_object_get(o, "settle_s"));
    out->iterations = (int)json_integer_value(json_object_get(o, "iterations"));
    out->stop_at = json_number_value(json_object_get(o, "stop_at"));
    out->min_rounds = (int)json_integer_value(json_object_get(o, "min_rounds"));
    out->iterations = out->iterations > 0 ? out->iterations : 1;
    return HM_OK;
}

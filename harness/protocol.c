#include "harness/protocol.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/json.h"
#include "harness/case.h"

static const char WHERE[] = "worker";

const char *hm_proto_type(const json_t *message)
{
    const char *type = json_string_value(json_object_get(message, "type"));
    return type ? type : "";
}

hm_status hm_proto_parse(json_t **out, const char *line, size_t size, hm_error *err)
{
    hm_status st = hm_json_parse(out, line, size, WHERE, err);
    if (st)
        return st;
    if (!json_is_object(*out) || !hm_proto_type(*out)[0]) {
        json_decref(*out);
        *out = NULL;
        return hm_fail(err, HM_EFORMAT, "worker: sent a line of JSON that is no message: expected an object with \"type\"");
    }
    return HM_OK;
}

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *hm_base64_encode(const void *data, size_t size)
{
    const uint8_t *p = data;
    char *text = malloc((size + 2) / 3 * 4 + 1), *o = text;
    if (!text)
        return NULL;
    for (size_t i = 0; i < size; i += 3) {
        size_t n = size - i < 3 ? size - i : 3;
        uint32_t v = (uint32_t)p[i] << 16 | (n > 1 ? (uint32_t)p[i + 1] << 8 : 0) | (n > 2 ? p[i + 2] : 0);
        *o++ = alphabet[v >> 18];
        *o++ = alphabet[v >> 12 & 63];
        *o++ = n > 1 ? alphabet[v >> 6 & 63] : '=';
        *o++ = n > 2 ? alphabet[v & 63] : '=';
    }
    *o = 0;
    return text;
}

void *hm_base64_decode(const char *text, size_t *size)
{
    size_t length = strlen(text);
    uint8_t *data = malloc(length / 4 * 3 + 1), *o = data;
    *size = 0;
    if (!data || length % 4) {
        free(data);
        return NULL;
    }
    for (size_t i = 0; i < length; i += 4) {
        uint32_t v = 0;
        int n = 3;
        for (size_t k = 0; k < 4; k++) {
            char c = text[i + k];
            const char *at = c && c != '=' ? strchr(alphabet, c) : NULL;
            if (!at && !(c == '=' && i + 4 == length && k >= 2 && (k == 3 || text[i + 3] == '='))) {
                free(data);
                return NULL;
            }
            n -= c == '=';
            v = v << 6 | (at ? (uint32_t)(at - alphabet) : 0);
        }
        *o++ = (uint8_t)(v >> 16);
        if (n > 1)
            *o++ = (uint8_t)(v >> 8);
        if (n > 2)
            *o++ = (uint8_t)v;
    }
    *size = (size_t)(o - data);
    return data;
}

/* Sets a text when there is one. */
static void set_text(json_t *o, const char *key, const char *text)
{
    if (text && text[0])
        json_object_set_new(o, key, json_string(text));
}

static void set_int(json_t *o, const char *key, int64_t value)
{
    if (value != HM_UNKNOWN)
        json_object_set_new(o, key, json_integer(value));
}

static void set_real(json_t *o, const char *key, double value)
{
    if (isfinite(value))
        json_object_set_new(o, key, json_real(value));
}

static void set_bytes(json_t *o, const char *key, const void *data, size_t size)
{
    char *text = data ? hm_base64_encode(data, size) : NULL;
    if (text)
        json_object_set_new(o, key, json_string(text));
    free(text);
}

json_t *hm_proto_hello(void)
{
    return json_pack("{s:s, s:i}", "type", "hello", "protocol", HM_PROTOCOL_VERSION);
}

static void pack_music(json_t *o, const hm_case_record *c)
{
    json_object_set_new(o, "tags", json_string(c->tags));
    json_object_set_new(o, "lyrics", json_string(c->lyrics));
    set_real(o, "cfg", c->cfg_scale);
    set_int(o, "flow_steps", c->flow_steps);
    set_real(o, "flow_guidance", c->flow_guidance);
    set_text(o, "intro_style", c->intro_style);
    set_text(o, "verse_style", c->verse_style);
    set_text(o, "chorus_style", c->chorus_style);
}

static void pack_speech(json_t *o, const hm_case_record *c)
{
    json_object_set_new(o, "text", json_string(c->text));
    set_text(o, "kind", c->kind);
    set_text(o, "speaker", c->speaker);
    set_text(o, "language", c->language);
    set_text(o, "instruct", c->instruct);
    set_text(o, "reference", c->reference);
    set_text(o, "reference_text", c->reference_text);
    set_int(o, "streaming_text", c->streaming_text);
    set_real(o, "top_p", c->top_p);
    set_real(o, "repetition_penalty", c->repetition_penalty);
    set_real(o, "sub_temperature", c->sub_temperature);
    set_int(o, "sub_topk", c->sub_topk);
    set_real(o, "sub_top_p", c->sub_top_p);
}

static void pack_transcript(json_t *o, const hm_case_record *c)
{
    bool sung = c->recording && !strcmp(c->recording, "music");
    json_object_set_new(o, "recording", json_string(sung ? "music" : "voice"));
    set_text(o, sung ? "music_model" : "path", sung ? c->music_model : c->recording_path);
    if (sung)
        pack_music(o, c);
    set_text(o, "language", c->language);
    set_real(o, "audio_s", c->audio_s);
    set_real(o, "chunk_s", c->chunk_s);
    set_int(o, "batch", c->batch);
    set_int(o, "window_tokens", c->window_tokens);
    set_int(o, "beams", c->beams);
}

static json_t *pack_case(const hm_case_record *c)
{
    char seed[32];
    json_t *o = json_pack("{s:s, s:i, s:i}", "task", c->task, "frames", c->frames, "topk", c->topk);
    set_real(o, "temperature", c->temperature);
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)c->seed);
    set_text(o, "seed", seed); /* a text: JSON numbers lose the last bits of 64 */
    if (!strcmp(c->task, "speech"))
        pack_speech(o, c);
    else if (!strcmp(c->task, "transcript"))
        pack_transcript(o, c);
    else
        pack_music(o, c);
    return o;
}

json_t *hm_proto_open(const hm_open_order *order, const char *type, const hm_case_record *c)
{
    json_t *o = json_pack("{s:s, s:s, s:s, s:i, s:b, s:b}", "type", type, "model", order->model, "backend", order->backend, "threads",
                          order->threads, "encoders", order->encoders, "skip_codec", order->skip_codec);
    set_text(o, "variant", order->variant);
    set_text(o, "isa", order->isa);
    set_text(o, "device", order->device);
    if (order->timestamps)
        json_object_set_new(o, "timestamps", json_true());
    if (c)
        json_object_set_new(o, "case", pack_case(c));
    return o;
}

json_t *hm_proto_run(const hm_run_order *r)
{
    json_t *o = json_pack("{s:s, s:s, s:b, s:b, s:b}", "type", "run", "warmup", r->warmup, "skip_codec", r->skip_codec, "want_codes",
                          r->want_codes, "stream", r->stream);
    hm_case_record c = r->c;
    if (r->codes) /* where windows follow from timestamps, what is stored tells how many there are */
        c.frames = r->codes->frames;
    json_object_set_new(o, "case", pack_case(&c));
    if (r->iterations > 1)
        set_int(o, "iterations", r->iterations);
    set_text(o, "audio", r->audio);
    if (r->logits) {
        set_text(o, "logits", r->logits);
        set_int(o, "logit_frames", r->logit_frames);
    }
    if (r->codes) {
        json_object_set_new(o, "codebooks", json_integer(r->codes->codebooks));
        set_bytes(o, "codes", r->codes->codes, (size_t)r->codes->frames * (size_t)r->codes->codebooks * 4);
    }
    return o;
}

hm_status hm_proto_read_open(const json_t *m, hm_open_order *out, hm_error *err)
{
    int64_t threads = 0;
    *out = (hm_open_order){.variant = "best", .backend = "cpu"};
    hm_status st = hm_json_string(m, "variant", false, &out->variant, WHERE, err);
    if (!st)
        st = hm_json_string(m, "model", true, &out->model, WHERE, err);
    if (!st)
        st = hm_json_string(m, "backend", false, &out->backend, WHERE, err);
    if (!st)
        st = hm_json_string(m, "isa", false, &out->isa, WHERE, err);
    if (!st)
        st = hm_json_string(m, "device", false, &out->device, WHERE, err);
    if (!st)
        st = hm_json_bool(m, "timestamps", false, &out->timestamps, WHERE, err);
    if (!st)
        st = hm_json_int(m, "threads", 0, 1024, false, &threads, WHERE, err);
    if (!st)
        st = hm_json_bool(m, "encoders", false, &out->encoders, WHERE, err);
    if (!st)
        st = hm_json_bool(m, "skip_codec", false, &out->skip_codec, WHERE, err);
    out->threads = (int)threads;
    return st;
}

enum {
    MUSIC = 1,
    SPEECH = 2,
    TRANSCRIPT = 4,
    SUNG = 8, /* a transcript of music that is made first */
    ALL = 15
};

static hm_status read_case_ints(const json_t *o, hm_case_record *c, int task, hm_error *err)
{
    int64_t frames = 0, topk = 50, steps = 0, sub_topk = 50, streaming = -1, batch = 16, tokens = 0, beams = 1;
    const char *seed = "1";
    char *end;
    const struct {
        const char *key;
        int64_t least, most;
        int tasks;
        bool required;
        int64_t *value;
    } ints[] = {{"frames", 1, 1 << 20, ALL, true, &frames},
                {"topk", task & (MUSIC | SUNG) ? 1 : 0, 1 << 20, ALL, false, &topk},
                {"flow_steps", 0, 100, MUSIC | SUNG, false, &steps},
                {"sub_topk", 0, 1 << 20, SPEECH, false, &sub_topk},
                {"streaming_text", -1, 1, SPEECH, false, &streaming},
                {"batch", 1, 1024, TRANSCRIPT | SUNG, false, &batch},
                {"window_tokens", 1, 1 << 20, TRANSCRIPT | SUNG, true, &tokens},
                {"beams", 1, 16, TRANSCRIPT | SUNG, false, &beams}};
    hm_status st = hm_json_string(o, "seed", false, &seed, WHERE, err);
    for (size_t i = 0; i < sizeof ints / sizeof *ints && !st; i++)
        if (ints[i].tasks & task)
            st = hm_json_int(o, ints[i].key, ints[i].least, ints[i].most, ints[i].required, ints[i].value, WHERE, err);
    if (st)
        return st;
    c->frames = (int)frames;
    c->topk = (int)topk;
    c->flow_steps = (int)steps;
    c->sub_topk = task == SPEECH ? (int)sub_topk : 0;
    c->streaming_text = task == SPEECH ? (int)streaming : 0;
    c->batch = task & (TRANSCRIPT | SUNG) ? (int)batch : 0;
    c->window_tokens = (int)tokens;
    c->beams = task & (TRANSCRIPT | SUNG) ? (int)beams : 0;
    c->seed = strtoull(seed, &end, 10);
    return *end || !*seed ? hm_fail(err, HM_EFORMAT, "worker: seed \"%.40s\": expected decimal digits", seed) : HM_OK;
}

static hm_status read_task(const json_t *o, int *task, hm_case_record *c, hm_error *err)
{
    const char *name = "music", *recording = "voice";
    hm_status st = hm_json_string(o, "task", false, &name, WHERE, err);
    *task = !strcmp(name, "speech") ? SPEECH : MUSIC;
    if (!st && !strcmp(name, "transcript")) {
        st = hm_json_string(o, "recording", false, &recording, WHERE, err);
        *task = !strcmp(recording, "music") ? SUNG : TRANSCRIPT;
        if (!st && *task == TRANSCRIPT && strcmp(recording, "voice"))
            st = hm_fail(err, HM_EFORMAT, "worker: recording \"%.40s\": expected voice or music", recording);
    }
    if (*task == SPEECH)
        *c = (hm_case_record){
            .kind = "custom_voice", .temperature = 0.9, .top_p = 1, .repetition_penalty = 1.05, .sub_temperature = 0.9, .sub_top_p = 1};
    else
        *c = (hm_case_record){.cfg_scale = 1.5, .temperature = 1, .flow_guidance = 1.25};
    c->task = name;
    if (*task & (TRANSCRIPT | SUNG)) {
        c->recording = recording;
        c->chunk_s = 30;
    }
    return st;
}

/* Keys of the task; those of the others are not looked at. */
hm_status hm_proto_read_case(const json_t *m, hm_case_record *c, hm_error *err)
{
    json_t *o = NULL;
    int task = MUSIC;
    *c = (hm_case_record){.task = "music"};
    hm_status st = hm_json_child(m, "case", JSON_OBJECT, true, &o, WHERE, err);
    if (!st)
        st = read_task(o, &task, c, err);
    if (st)
        return st;
    const struct {
        const char *key, **text;
        int tasks;
        bool required;
    } texts[] = {{"tags", &c->tags, MUSIC | SUNG, true},
                 {"lyrics", &c->lyrics, MUSIC | SUNG, true},
                 {"intro_style", &c->intro_style, MUSIC | SUNG, false},
                 {"verse_style", &c->verse_style, MUSIC | SUNG, false},
                 {"chorus_style", &c->chorus_style, MUSIC | SUNG, false},
                 {"text", &c->text, SPEECH, true},
                 {"kind", &c->kind, SPEECH, false},
                 {"speaker", &c->speaker, SPEECH, false},
                 {"language", &c->language, SPEECH | TRANSCRIPT | SUNG, false},
                 {"instruct", &c->instruct, SPEECH, false},
                 {"reference", &c->reference, SPEECH, false},
                 {"reference_text", &c->reference_text, SPEECH, false},
                 {"path", &c->recording_path, TRANSCRIPT, false},
                 {"music_model", &c->music_model, SUNG, true}};
    const struct {
        const char *key;
        double *value;
        int tasks;
        bool required;
    } reals[] = {{"temperature", &c->temperature, ALL, false},
                 {"cfg", &c->cfg_scale, MUSIC | SUNG, false},
                 {"flow_guidance", &c->flow_guidance, MUSIC | SUNG, false},
                 {"top_p", &c->top_p, SPEECH, false},
                 {"repetition_penalty", &c->repetition_penalty, SPEECH, false},
                 {"sub_temperature", &c->sub_temperature, SPEECH, false},
                 {"sub_top_p", &c->sub_top_p, SPEECH, false},
                 {"audio_s", &c->audio_s, TRANSCRIPT | SUNG, true},
                 {"chunk_s", &c->chunk_s, TRANSCRIPT | SUNG, false}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts && !st; i++)
        if (texts[i].tasks & task)
            st = hm_json_string(o, texts[i].key, texts[i].required, texts[i].text, WHERE, err);
    for (size_t i = 0; i < sizeof reals / sizeof *reals && !st; i++)
        if (reals[i].tasks & task)
            st = hm_json_double(o, reals[i].key, reals[i].required, reals[i].value, WHERE, err);
    if (!st && task & (TRANSCRIPT | SUNG) &&
        !(c->audio_s > 0 && c->audio_s <= 3600 && (c->chunk_s == 0 || (c->chunk_s >= 1 && c->chunk_s <= 30))))
        st = hm_fail(err, HM_EFORMAT, "worker: a recording of %g s in windows of %g s: expected up to 3600 s, and 1 to 30 s or 0",
                     c->audio_s, c->chunk_s);
    return st ? st : read_case_ints(o, c, task, err);
}

/* A base64 text of exactly `bytes` bytes under key; absent leaves *out NULL. */
static hm_status read_bytes(const json_t *m, const char *key, size_t bytes, void **out, hm_error *err)
{
    const char *text = NULL;
    size_t size;
    hm_status st = hm_json_string(m, key, false, &text, WHERE, err);
    if (st || !text)
        return st;
    void *data = hm_base64_decode(text, &size);
    if (!data)
        return hm_fail(err, HM_EFORMAT, "worker: \"%s\" is not base64", key);
    if (size != bytes) {
        free(data);
        return hm_fail(err, HM_EFORMAT, "worker: \"%s\" has %zu bytes, expected %zu", key, size, bytes);
    }
    *out = data;
    return HM_OK;
}

hm_status hm_proto_read_run(const json_t *m, hm_run_order *out, hm_stored_codes *codes, hm_error *err)
{
    int64_t codebooks = 0, logit_frames = 0, iterations = 1;
    *out = (hm_run_order){.warmup = "first"};
    *codes = (hm_stored_codes){0};
    hm_status st = hm_proto_read_case(m, &out->c, err);
    if (!st)
        st = hm_json_string(m, "warmup", false, &out->warmup, WHERE, err);
    if (!st)
        st = hm_json_int(m, "iterations", 1, HM_ITERATIONS_MOST, false, &iterations, WHERE, err);
    out->iterations = (int)iterations;
    if (!st)
        st = hm_json_string(m, "audio", false, &out->audio, WHERE, err);
    if (!st)
        st = hm_json_bool(m, "skip_codec", false, &out->skip_codec, WHERE, err);
    if (!st)
        st = hm_json_bool(m, "want_codes", false, &out->want_codes, WHERE, err);
    if (!st)
        st = hm_json_bool(m, "stream", false, &out->stream, WHERE, err);
    if (!st)
        st = hm_json_string(m, "logits", false, &out->logits, WHERE, err);
    if (!st)
        st = hm_json_int(m, "logit_frames", 1, 1 << 20, out->logits != NULL, &logit_frames, WHERE, err);
    out->logit_frames = (int)logit_frames;
    if (!st && json_object_get(m, "codes")) {
        st = hm_json_int(m, "codebooks", 1, 1024, true, &codebooks, WHERE, err);
        codes->frames = out->c.frames;
        codes->codebooks = (int)codebooks;
        if (!st)
            st = read_bytes(m, "codes", (size_t)codes->frames * (size_t)codebooks * 4, (void **)&codes->codes, err);
        out->codes = codes->codes ? codes : NULL;
    }
    return st;
}

json_t *hm_proto_opened(const hm_opened *w)
{
    json_t *o = json_pack("{s:s, s:b, s:b}", "type", "opened", "synthetic", w->model.synthetic, "stored_codes", w->stored_codes);
    set_text(o, "model", w->model.kind);
    set_text(o, "kind", w->model.speech_kind);
    set_text(o, "size", w->model.size);
    set_text(o, "fingerprint", w->model.id);
    set_text(o, "backend", w->backend);
    set_text(o, "isa", w->isa);
    set_text(o, "device", w->device);
    set_text(o, "device_uuid", w->device_uuid);
    set_text(o, "device_driver", w->device_driver);
    if (w->device_memory_bytes)
        set_int(o, "device_memory_bytes", w->device_memory_bytes);
    json_object_set_new(o, "software", json_boolean(w->software));
    set_text(o, "variant", w->variant);
    set_int(o, "threads", w->threads);
    set_int(o, "load_ns", w->load_ns);
    set_int(o, "codebooks", w->model.codebooks);
    set_int(o, "code_vocabulary", w->model.code_vocabulary);
    set_int(o, "sample_rate_hz", w->model.sample_rate_hz);
    set_int(o, "channels", w->model.channels);
    set_int(o, "max_positions", w->model.max_positions);
    set_real(o, "frame_s", w->model.frame_s);
    return o;
}

json_t *hm_proto_build(const hm_build_record *b)
{
    json_t *o = json_pack("{s:b}", "dirty", b->git_dirty);
    set_text(o, "id", b->id);
    set_text(o, "version", b->version);
    set_text(o, "commit", b->git_commit);
    set_text(o, "binary_hash", b->binary_hash);
    set_text(o, "compiler", b->compiler);
    set_text(o, "flags", b->flags);
    set_text(o, "build_type", b->build_type);
    set_text(o, "sanitizer", b->sanitizer);
    return o;
}

/* Copies a text that has to fit. */
static hm_status read_text(const json_t *m, const char *key, char *out, size_t size, hm_error *err)
{
    const char *text = NULL;
    hm_status st = hm_json_string(m, key, false, &text, WHERE, err);
    if (st || !text)
        return st;
    if (strlen(text) >= size)
        return hm_fail(err, HM_EFORMAT, "worker: \"%s\" has %zu bytes, at most %zu are kept", key, strlen(text), size - 1);
    memcpy(out, text, strlen(text) + 1);
    return HM_OK;
}

static hm_status read_build(const json_t *hello, hm_build_record *b, hm_error *err)
{
    json_t *o = NULL;
    memset(b, 0, sizeof *b);
    hm_status st = hm_json_child(hello, "build", JSON_OBJECT, false, &o, WHERE, err);
    if (st || !o)
        return st;
    const struct {
        const char *key;
        char *out;
        size_t size;
    } texts[] = {{"id", b->id, sizeof b->id},
                 {"version", b->version, sizeof b->version},
                 {"commit", b->git_commit, sizeof b->git_commit},
                 {"binary_hash", b->binary_hash, sizeof b->binary_hash},
                 {"compiler", b->compiler, sizeof b->compiler},
                 {"flags", b->flags, sizeof b->flags},
                 {"build_type", b->build_type, sizeof b->build_type},
                 {"sanitizer", b->sanitizer, sizeof b->sanitizer}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts && !st; i++)
        st = read_text(o, texts[i].key, texts[i].out, texts[i].size, err);
    return st ? st : hm_json_bool(o, "dirty", false, &b->git_dirty, WHERE, err);
}

static hm_status read_tasks(const json_t *m, hm_hello *h, hm_error *err)
{
    json_t *list = NULL, *item;
    size_t i, used = 0;
    hm_status st = hm_json_child(m, "tasks", JSON_ARRAY, false, &list, WHERE, err);
    json_array_foreach(list, i, item)
    {
        const char *task = json_string_value(item);
        size_t length = task ? strlen(task) : 0;
        if (!length || used + length + 2 > sizeof h->tasks)
            return hm_fail(err, HM_EFORMAT, "worker: its \"tasks\" are no list of names of tasks");
        used += (size_t)snprintf(h->tasks + used, sizeof h->tasks - used, "%s%s", used ? "," : "", task);
    }
    return st;
}

hm_status hm_proto_read_hello(const json_t *m, hm_hello *h, hm_error *err)
{
    int64_t version = 0;
    memset(h, 0, sizeof *h);
    hm_status st = hm_json_int(m, "protocol", INT64_MIN, INT64_MAX, true, &version, WHERE, err);
    if (!st && version != HM_PROTOCOL_VERSION)
        return hm_fail(err, HM_EFORMAT, "worker speaks protocol %lld, expected %d", (long long)version, HM_PROTOCOL_VERSION);
    if (!st)
        st = read_text(m, "name", h->name, sizeof h->name, err);
    if (!st)
        st = read_tasks(m, h, err);
    return st ? st : read_build(m, &h->build, err);
}

bool hm_hello_knows(const hm_hello *h, const char *task)
{
    size_t length = strlen(task);
    for (const char *p = h->tasks; *p; p += strcspn(p, ","), p += *p == ',')
        if (strcspn(p, ",") == length && !strncmp(p, task, length))
            return true;
    return !*h->tasks;
}

static hm_status read_count(const json_t *m, const char *key, int64_t max, int *out, hm_error *err)
{
    int64_t value = *out;
    hm_status st = hm_json_int(m, key, 0, max, false, &value, WHERE, err);
    *out = (int)value;
    return st;
}

hm_status hm_proto_read_opened(const json_t *m, hm_opened *w, hm_error *err)
{
    memset(w, 0, sizeof *w);
    w->load_ns = HM_UNKNOWN;
    snprintf(w->model.kind, sizeof w->model.kind, "heartmula");
    const struct {
        const char *key;
        char *out;
        size_t size;
    } texts[] = {{"model", w->model.kind, sizeof w->model.kind},
                 {"kind", w->model.speech_kind, sizeof w->model.speech_kind},
                 {"size", w->model.size, sizeof w->model.size},
                 {"fingerprint", w->model.id, sizeof w->model.id},
                 {"backend", w->backend, sizeof w->backend},
                 {"isa", w->isa, sizeof w->isa},
                 {"device", w->device, sizeof w->device},
                 {"variant", w->variant, sizeof w->variant},
                 {"device_uuid", w->device_uuid, sizeof w->device_uuid},
                 {"device_driver", w->device_driver, sizeof w->device_driver}};
    const struct {
        const char *key;
        int *out;
    } counts[] = {{"threads", &w->threads},
                  {"codebooks", &w->model.codebooks},
                  {"code_vocabulary", &w->model.code_vocabulary},
                  {"sample_rate_hz", &w->model.sample_rate_hz},
                  {"channels", &w->model.channels},
                  {"max_positions", &w->model.max_positions}};
    hm_status st = HM_OK;
    for (size_t i = 0; i < sizeof texts / sizeof *texts && !st; i++)
        st = read_text(m, texts[i].key, texts[i].out, texts[i].size, err);
    for (size_t i = 0; i < sizeof counts / sizeof *counts && !st; i++)
        st = read_count(m, counts[i].key, INT32_MAX, counts[i].out, err);
    if (!st)
        st = hm_json_int(m, "load_ns", 0, INT64_MAX, false, &w->load_ns, WHERE, err);
    if (!st)
        st = hm_json_int(m, "device_memory_bytes", 0, INT64_MAX, false, &w->device_memory_bytes, WHERE, err);
    if (!st)
        st = hm_json_bool(m, "software", false, &w->software, WHERE, err);
    if (!st)
        st = hm_json_double(m, "frame_s", false, &w->model.frame_s, WHERE, err);
    if (!st)
        st = hm_json_bool(m, "synthetic", false, &w->model.synthetic, WHERE, err);
    if (!st)
        st = hm_json_bool(m, "stored_codes", false, &w->stored_codes, WHERE, err);
    return st;
}

json_t *hm_proto_sample(const hm_sample *s, const hm_stored_codes *codes)
{
    json_t *o = json_pack("{s:s, s:b}", "type", "sample", "warmup", s->warmup), *spans = json_array(), *counts = json_array(),
           *frames = json_array(), *parts = json_array();
#define SET_I(name, required, meaning) set_int(o, #name, s->name);
#define SET_R(name, meaning) set_real(o, #name, s->name);
#define SET_T(name, bytes, meaning) set_text(o, #name, s->name);
    HM_SAMPLE_FIELDS(SET_I, SET_R, SET_T)
#undef SET_I
#undef SET_R
#undef SET_T
    for (int i = 0; i < s->span_count; i++)
        json_array_append_new(spans, json_pack("{s:s, s:I, s:I, s:I}", "name", s->spans[i].name, "count", (json_int_t)s->spans[i].count,
                                               "total_ns", (json_int_t)s->spans[i].total_ns, "self_ns", (json_int_t)s->spans[i].self_ns));
    for (int i = 0; i < s->count_count; i++)
        json_array_append_new(counts, json_pack("{s:s, s:b, s:I}", "name", s->counts[i].name, "load", s->counts[i].load, "value",
                                                (json_int_t)s->counts[i].value));
    for (int i = 0; i < s->frame_time_count; i++)
        json_array_append_new(frames, json_pack("{s:I, s:I, s:I}", "first_frame", (json_int_t)s->frame_times[i].first_frame, "frames",
                                                (json_int_t)s->frame_times[i].frames, "total_ns", (json_int_t)s->frame_times[i].total_ns));
    for (int i = 0; i < s->part_count; i++) {
        const hm_sample_part *p = &s->parts[i];
        json_t *part = json_pack("{s:s, s:s, s:s, s:I, s:I}", "part", p->part, "span", p->span, "format", p->format, "pass_bytes",
                                 (json_int_t)p->pass_bytes, "distinct_bytes", (json_int_t)p->distinct_bytes);
        set_real(part, "frame_passes", p->frame_passes);
        json_array_append_new(parts, part);
    }
    json_object_set_new(o, "parts", parts);
    json_object_set_new(o, "frame_times", frames);
    json_object_set_new(o, "spans", spans);
    json_object_set_new(o, "counts", counts);
    if (codes) {
        size_t bytes = (size_t)codes->frames * (size_t)codes->codebooks * 4;
        set_bytes(o, "codes", codes->codes, bytes);
        set_bytes(o, "logits", codes->logits, bytes);
    }
    return o;
}

json_t *hm_proto_error(const hm_error *e)
{
    return json_pack("{s:s, s:i, s:s}", "type", "error", "code", (int)e->status, "text", e->text);
}

static hm_status read_spans(const json_t *m, hm_sample *s, hm_error *err)
{
    json_t *list = NULL;
    hm_status st = hm_json_child(m, "spans", JSON_ARRAY, false, &list, WHERE, err);
    size_t n = list ? json_array_size(list) : 0;
    if (!st && n > sizeof s->spans / sizeof *s->spans)
        return hm_fail(err, HM_EFORMAT, "worker: sent %zu spans, at most %zu are kept", n, sizeof s->spans / sizeof *s->spans);
    for (size_t i = 0; i < n && !st; i++) {
        const json_t *o = json_array_get(list, i);
        hm_span_total *span = &s->spans[s->span_count++];
        *span = (hm_span_total){.self_ns = HM_UNKNOWN};
        st = read_text(o, "name", span->name, sizeof span->name, err);
        if (!st)
            st = hm_json_int(o, "count", 0, INT64_MAX, true, &span->count, WHERE, err);
        if (!st)
            st = hm_json_int(o, "total_ns", 0, INT64_MAX, true, &span->total_ns, WHERE, err);
        span->self_ns = span->total_ns;
        if (!st)
            st = hm_json_int(o, "self_ns", 0, span->total_ns, false, &span->self_ns, WHERE, err);
        for (int k = 0; k < s->span_count - 1 && !st; k++)
            if (!span->name[0] || !strcmp(s->spans[k].name, span->name))
                st = hm_fail(err, HM_EFORMAT, "worker: span \"%s\" was sent twice, or without a name", span->name);
    }
    return st;
}

static hm_status read_counts(const json_t *m, hm_sample *s, hm_error *err)
{
    json_t *list = NULL;
    hm_status st = hm_json_child(m, "counts", JSON_ARRAY, false, &list, WHERE, err);
    size_t n = list ? json_array_size(list) : 0;
    if (!st && n > sizeof s->counts / sizeof *s->counts)
        return hm_fail(err, HM_EFORMAT, "worker: sent %zu counts, at most %zu are kept", n, sizeof s->counts / sizeof *s->counts);
    for (size_t i = 0; i < n && !st; i++) {
        const json_t *o = json_array_get(list, i);
        hm_named_count *count = &s->counts[s->count_count++];
        *count = (hm_named_count){.value = 0};
        st = read_text(o, "name", count->name, sizeof count->name, err);
        if (!st)
            st = hm_json_bool(o, "load", false, &count->load, WHERE, err);
        if (!st)
            st = hm_json_int(o, "value", 0, INT64_MAX, true, &count->value, WHERE, err);
        for (int k = 0; k < s->count_count - 1 && !st; k++)
            if (!count->name[0] || (s->counts[k].load == count->load && !strcmp(s->counts[k].name, count->name)))
                st = hm_fail(err, HM_EFORMAT, "worker: count \"%s\" was sent twice, or without a name", count->name);
    }
    return st;
}

/* Stretches in order, apart, within the song (the frame that ended it may be one more), and no longer than the call. */
static hm_status read_frame_times(const json_t *m, hm_sample *s, hm_error *err)
{
    json_t *list = NULL;
    hm_status st = hm_json_child(m, "frame_times", JSON_ARRAY, false, &list, WHERE, err);
    size_t n = list ? json_array_size(list) : 0;
    int64_t from = 0, left_ns = s->wall_ns;
    if (!st && n > HM_FRAME_TIMES)
        return hm_fail(err, HM_EFORMAT, "worker: sent %zu stretches of frames, at most %d are kept", n, HM_FRAME_TIMES);
    for (size_t i = 0; i < n && !st; i++) {
        const json_t *o = json_array_get(list, i);
        hm_frame_time *t = &s->frame_times[s->frame_time_count++];
        st = hm_json_int(o, "first_frame", from, s->frames, true, &t->first_frame, WHERE, err);
        if (!st)
            st = hm_json_int(o, "frames", 1, s->frames + 1 - t->first_frame, true, &t->frames, WHERE, err);
        if (!st)
            st = hm_json_int(o, "total_ns", 0, left_ns, true, &t->total_ns, WHERE, err);
        from = t->first_frame + t->frames;
        left_ns -= t->total_ns;
    }
    return st;
}

static hm_status read_parts(const json_t *m, hm_sample *s, hm_error *err)
{
    json_t *list = NULL;
    hm_status st = hm_json_child(m, "parts", JSON_ARRAY, false, &list, WHERE, err);
    size_t n = list ? json_array_size(list) : 0;
    if (!st && n > HM_SAMPLE_PARTS)
        return hm_fail(err, HM_EFORMAT, "worker: sent %zu parts, at most %d are kept", n, HM_SAMPLE_PARTS);
    for (size_t i = 0; i < n && !st; i++) {
        const json_t *o = json_array_get(list, i);
        hm_sample_part *p = &s->parts[s->part_count++];
        *p = (hm_sample_part){.frame_passes = NAN};
        st = read_text(o, "part", p->part, sizeof p->part, err);
        if (!st)
            st = read_text(o, "span", p->span, sizeof p->span, err);
        if (!st)
            st = read_text(o, "format", p->format, sizeof p->format, err);
        if (!st)
            st = hm_json_int(o, "pass_bytes", 0, INT64_MAX, true, &p->pass_bytes, WHERE, err);
        if (!st)
            st = hm_json_int(o, "distinct_bytes", 0, INT64_MAX, true, &p->distinct_bytes, WHERE, err);
        if (!st)
            st = hm_json_double(o, "frame_passes", false, &p->frame_passes, WHERE, err);
        if (!st && !(isnan(p->frame_passes) || p->frame_passes >= 0))
            st = hm_fail(err, HM_EFORMAT, "worker: part \"%s\" has %g passes a frame", p->part, p->frame_passes);
        for (int k = 0; k < s->part_count - 1 && !st; k++)
            if (!p->part[0] || (!strcmp(s->parts[k].part, p->part) && !strcmp(s->parts[k].span, p->span)))
                st = hm_fail(err, HM_EFORMAT, "worker: part \"%s\" was sent twice, or without a name", p->part);
    }
    return st;
}

/* Whether the figures can be true. */
static hm_status believe(const hm_sample *s, const hm_run_order *order, int64_t elapsed_ns, hm_error *err)
{
    int64_t phases = 0;
    const int64_t parts[] = {s->prefill_ns, s->generate_ns, s->decode_ns};
    for (int i = 0; i < 3; i++) {
        if (parts[i] != HM_UNKNOWN && parts[i] > s->wall_ns - phases)
            return hm_fail(err, HM_EFORMAT, "worker: its phases add up to more than its wall time of %lld ns", (long long)s->wall_ns);
        phases += parts[i] == HM_UNKNOWN ? 0 : parts[i];
    }
    if (s->ttfa_raw_ns != HM_UNKNOWN && (s->ttfa_raw_ns > s->wall_ns || (s->ttfa_ns != HM_UNKNOWN && s->ttfa_ns < s->ttfa_raw_ns)))
        return hm_fail(err, HM_EFORMAT, "worker: its first audio came after %lld ns, its wall time is %lld ns", (long long)s->ttfa_raw_ns,
                       (long long)s->wall_ns);
    if (s->wall_ns <= 0 || s->wall_ns > elapsed_ns)
        return hm_fail(err, HM_EFORMAT, "worker: claims %.3f s of work, %.3f s have passed", (double)s->wall_ns * 1e-9,
                       (double)elapsed_ns * 1e-9);
    bool all = order->codes ? s->frames == order->codes->frames : hm_case_takes(&order->c, s->frames);
    if (!s->warmup && !all)
        return hm_fail(err, HM_EFORMAT, "worker: made %lld frames, expected %d", (long long)s->frames,
                       order->codes ? order->codes->frames : order->c.frames);
    if (!s->warmup && order->codes && s->codebooks != HM_UNKNOWN && s->codebooks != order->codes->codebooks)
        return hm_fail(err, HM_EFORMAT, "worker: has %lld codes per frame, expected %d", (long long)s->codebooks, order->codes->codebooks);
    return HM_OK;
}

static hm_status read_fields(const json_t *m, hm_sample *s, hm_error *err)
{
    hm_status st = HM_OK;
#define READ_I(name, required, meaning) \
    if (!st)                            \
        st = hm_json_int(m, #name, 0, INT64_MAX, required, &s->name, WHERE, err);
#define READ_R(name, meaning) \
    if (!st)                  \
        st = hm_json_double(m, #name, false, &s->name, WHERE, err);
#define READ_T(name, bytes, meaning) \
    if (!st)                         \
        st = read_text(m, #name, s->name, sizeof s->name, err);
    HM_SAMPLE_FIELDS(READ_I, READ_R, READ_T)
#undef READ_I
#undef READ_R
#undef READ_T
    return st;
}

hm_status hm_proto_read_sample(const json_t *m, const hm_run_order *order, int64_t elapsed_ns, hm_sample *s, hm_stored_codes *codes,
                               hm_error *err)
{
    hm_sample_init(s);
    if (codes)
        *codes = (hm_stored_codes){0};
    hm_status st = hm_json_bool(m, "warmup", false, &s->warmup, WHERE, err);
    if (!st)
        st = read_fields(m, s, err);
    if (!st)
        st = read_spans(m, s, err);
    if (!st)
        st = read_counts(m, s, err);
    if (!st)
        st = believe(s, order, elapsed_ns, err);
    if (!st)
        st = read_frame_times(m, s, err);
    if (!st)
        st = read_parts(m, s, err);
    if (st || !codes || s->warmup || s->codebooks == HM_UNKNOWN || s->codebooks < 1 || s->codebooks > 1024)
        return st;
    codes->frames = (int)s->frames;
    codes->codebooks = (int)s->codebooks;
    size_t bytes = (size_t)s->frames * (size_t)s->codebooks * 4;
    st = read_bytes(m, "codes", bytes, (void **)&codes->codes, err);
    if (!st)
        st = read_bytes(m, "logits", bytes, (void **)&codes->logits, err);
    if (st)
        hm_stored_codes_free(codes);
    return st;
}

void hm_output_compare(hm_output_comparison *out, const hm_stored_codes *reference, const hm_stored_codes *made)
{
    *out = (hm_output_comparison){.first_frame = HM_UNKNOWN, .max_logit_difference = NAN};
    if (!reference || !reference->codes || !made->codes || reference->frames != made->frames || reference->codebooks != made->codebooks)
        return;
    size_t n = (size_t)made->frames * (size_t)made->codebooks;
    out->compared = true;
    for (size_t i = 0; i < n; i++) {
        if (reference->codes[i] == made->codes[i])
            continue;
        out->differing_codes++;
        if (out->first_frame == HM_UNKNOWN)
            out->first_frame = (int64_t)(i / (size_t)made->codebooks);
    }
    out->codes_equal = !out->differing_codes;
    if (!reference->logits || !made->logits)
        return;
    out->max_logit_difference = 0;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)reference->logits[i] - (double)made->logits[i]);
        if (!(d <= out->max_logit_difference)) /* a NaN is the largest difference there is */
            out->max_logit_difference = isnan(d) ? INFINITY : d;
    }
}

/* Opening an engine: device, op table, weights, tokenizer; and what a model would need, from shapes alone. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/hash.h"
#include "engine/base/time.h"
#include "engine/preset.h"
#include "engine/session/session.h"

hm_status hm_session_status(const hm_ctx *c, hm_error *err)
{
    return c->error.status ? hm_fail(err, c->error.status, "%s", c->error.text) : HM_OK;
}

/* The toggles asked for: a fixed build has only its own. */
static hm_status take_toggles(hm_ctx *c, const hm_engine_options *o, hm_error *err)
{
#ifdef HM_FIXED_VARIANT
    c->toggles = *hm_t(c);
    if (o->toggles && memcmp(o->toggles, &c->toggles, sizeof c->toggles))
        return hm_fail(err, HM_EUSAGE, "module %s: a fixed build has only its own toggles; other sets need the module \"custom\"",
                       HM_VARIANT_NAME);
#else
    if (!o->toggles)
        return hm_fail(err, HM_EUSAGE, "module custom: no toggles given");
    c->toggles = *o->toggles;
#endif
    return HM_OK;
}

static hm_status open_device(hm_engine *e, const hm_engine_options *o, hm_error *err)
{
    hm_device_facts *d = &e->device;
    hm_engine_facts *f = &e->facts;
    int isa = (int)hm_isa_detect();
    if (o->isa && (isa = hm_isa_parse(o->isa)) < 0)
        return hm_fail(err, HM_EUSAGE, "isa \"%s\": expected " HM_ISA_NAMES, o->isa);
    hm_device_options options = {.threads = o->threads,
                                 .isa = (hm_isa)isa,
                                 .device = o->device,
                                 .cache_dir = o->driver_cache,
                                 .timestamps = o->timestamps,
                                 .log = o->log};
    e->ctx.probe = o->probe;
    e->ctx.log = o->log;
    hm_status st = hm_backend_open(&e->ctx, o->backend, &options, err);
    if (st)
        return st;
    e->ctx.backend->facts(e->ctx.dev, d);
    f->backend = e->ctx.backend->name;
    f->device = d->name;
    f->isa = d->isa;
    f->driver = *d->driver ? d->driver : NULL;
    f->device_uuid = *d->uuid ? d->uuid : NULL;
    f->software = d->software;
    f->device_memory_bytes = d->memory_bytes;
    f->threads = hm_team_size(e->ctx.team);
    return HM_OK;
}

static const char *fingerprint(hm_engine *e, const hm_weights *w)
{
    char *text = w == e->lm_weights ? e->lm_fingerprint : e->codec_fingerprint;
    if (!*text)
        hm_weights_fingerprint(w, text);
    return text;
}

/* What is bound from now on gets panels from the pack of these weights. */
static hm_status open_pack(hm_engine *e, const hm_engine_options *o, const hm_weights *w, const char *dir, hm_error *err)
{
    hm_pack **pack = w == e->lm_weights ? &e->lm_pack : &e->codec_pack;
    if (hm_t(&e->ctx)->panels != HM_PANELS_PACKED)
        return HM_OK;
    dir = hm_pack_refused(e->lm_pack) ? NULL : dir; /* told once */
    hm_status st = hm_pack_open(pack, dir, dir ? fingerprint(e, w) : "", hm_weights_path(w), e->ctx.team, o->log, err);
    e->ctx.pack = *pack;
    if (!st && hm_t(&e->ctx)->load == HM_WEIGHTS_LAZY)
        hm_pack_lazy(*pack);
    return st;
}

static void give_back_all(hm_engine *e)
{
    e->stage = HM_STAGE_BOTH;
    hm_session_stage(e, HM_STAGE_NONE, NULL);
}

hm_status hm_session_weights(hm_engine *e, const hm_engine_options *o, hm_weights **out, const char *path, json_t *manifest,
                             const char *what, hm_error *err)
{
    hm_load load = hm_t(&e->ctx)->load == HM_WEIGHTS_READ ? HM_LOAD_READ : HM_LOAD_MAP;
    give_back_all(e); /* what binding the part before has read */
    e->ctx.binding = out == &e->codec_weights;
    hm_status st =
        manifest ? hm_weights_synth(out, manifest, o->source.seed, e->ctx.team, what, err) : hm_weights_open(out, path, load, err);
    return st ? st : open_pack(e, o, *out, manifest ? NULL : o->pack_dir, err);
}

/* Files of packed weights are written when all layers are bound. */
static hm_status finish_packs(hm_engine *e, hm_error *err)
{
    hm_status st = e->lm_pack ? hm_pack_finish(e->lm_pack, err) : HM_OK;
    e->ctx.pack = NULL;
    return st || !e->codec_pack ? st : hm_pack_finish(e->codec_pack, err);
}

hm_status hm_session_config(const hm_weights *w, const json_t **config, hm_error *err)
{
    *config = hm_weights_config(w);
    return *config ? HM_OK
                   : hm_fail(err, HM_EMISSING, "%s: no config.json beside the weights and none in their metadata", hm_weights_path(w));
}

static hm_model_kind model_of_manifest(const json_t *manifest)
{
    return manifest ? hm_model_of_part(hm_part_of_config(json_object_get(manifest, "config"))) : HM_MODEL_NONE;
}

static const hm_family *family_of(hm_model_kind model)
{
    return model == HM_MODEL_QWEN3_TTS ? &hm_qwen_family : model == HM_MODEL_WHISPER ? &hm_whisper_family : &hm_heart_family;
}

/* What lies in the folder; the Whisper among it, where that is meant. */
static hm_status find_checkpoint(hm_checkpoint *out, const hm_engine_options *o, hm_error *err)
{
    hm_status st = hm_checkpoint_find(out, o->source.dir, err);
    if (st || !o->need_transcriber)
        return st;
    st = hm_checkpoint_take_transcriber(out, err);
    if (!st && out->model != HM_MODEL_WHISPER)
        st = hm_fail(err, HM_EMISSING, "%s: no Whisper: looked there and in its subfolders for a config.json with model_type whisper",
                     out->path);
    return st;
}

/* Whose parts these are. */
static hm_status choose_family(hm_engine *e, const hm_engine_options *o, hm_error *err)
{
    hm_model_kind model = model_of_manifest(o->source.lm_manifest ? o->source.lm_manifest : o->source.codec_manifest);
    hm_status st = HM_OK;
    if (o->source.dir) {
        st = find_checkpoint(&e->checkpoint, o, err);
        model = e->checkpoint.model;
        if (!st)
            st = hm_checkpoint_need(&e->checkpoint, o->need_lm, o->need_codec && model != HM_MODEL_WHISPER, err);
    }
    e->family = family_of(model);
    return st;
}

/* The device has copies of its own: pages of mapped files are nobody's. */
static void give_back_host(hm_engine *e)
{
    hm_weights *const weights[] = {e->lm_weights, e->codec_weights};
    hm_pack *const packs[] = {e->lm_pack, e->codec_pack};
    e->ctx.ops.sync(&e->ctx.ops);
    for (int i = 0; i < 2; i++)
        e->ctx.counters.given_back_bytes += hm_weights_give_back(weights[i]) + hm_pack_give_back(packs[i]);
}

static uint64_t held_weights(const hm_engine *e)
{
    uint64_t bytes = 0;
    const hm_weights *const sets[] = {e->lm_weights, e->codec_weights};
    for (int s = 0; s < 2; s++)
        for (int i = 0; sets[s] && i < hm_weights_count(sets[s]); i++)
            bytes += hm_weights_at(sets[s], i)->data ? hm_weights_at(sets[s], i)->bytes : 0;
    return bytes + hm_pack_bytes(e->lm_pack) + hm_pack_bytes(e->codec_pack);
}

static void fill_facts(hm_engine *e)
{
    char joined[128];
    hm_engine_facts *f = &e->facts;
    const hm_weights *const sets[] = {e->lm_weights, e->codec_weights};
    f->model = e->family->model;
    f->task = e->family->task;
    f->kind = f->size = "";
    e->family->facts(e, f);
    for (int i = 0; i < 2; i++)
        if (sets[i]) {
            fingerprint(e, sets[i]);
            f->synthetic = f->synthetic || hm_weights_metadata(sets[i], HM_PRESET_METADATA) != NULL;
        }
    /* the kind too: made weights of two kinds may be equal, what they are asked and answer is not */
    int length = snprintf(joined, sizeof joined, "%s%s%s", e->lm_fingerprint, e->codec_fingerprint, f->kind);
    hm_hash_text(f->fingerprint, joined, (size_t)length);
    f->load_counters = e->ctx.counters;
    e->ctx.counters = (hm_counters){0};
}

hm_status hm_session_open(hm_engine **out, const hm_engine_options *o, hm_error *err)
{
    int64_t start = hm_now_ns();
    hm_engine *e = hm_calloc(1, sizeof *e, "engine", err);
    if (!e)
        return HM_EABSENT;
    e->synth_seed = o->source.seed;
    hm_status st = take_toggles(&e->ctx, o, err);
    if (!st)
        st = open_device(e, o, err);
    hm_span_begin(o->probe, HM_SPAN_PHASE, "load", -1);
    if (!st)
        st = choose_family(e, o, err);
    if (!st)
        st = e->family->open(e, o, err);
    if (!st)
        st = hm_session_status(&e->ctx, err);
    if (!st)
        st = finish_packs(e, err);
    if (!st && e->ctx.ops.apart)
        give_back_host(e);
    else if (!st && hm_t(&e->ctx)->load == HM_WEIGHTS_MMAP && hm_t(&e->ctx)->panels == HM_PANELS_ROWS)
        hm_weights_read_in(e->lm_weights); /* packs do so by themselves */
    hm_span_end(o->probe, HM_SPAN_PHASE, "load");
    if (st) {
        hm_session_close(&e);
        return st;
    }
    fill_facts(e);
    e->weight_bytes = held_weights(e);
    give_back_all(e);
    e->facts.load_ns = hm_now_ns() - start;
    *out = e;
    return HM_OK;
}

void hm_session_close(hm_engine **engine)
{
    hm_engine *e = *engine;
    if (!e)
        return;
    if (e->family)
        e->family->release(e);
    hm_bind_release(&e->ctx);
    hm_pack_close(&e->lm_pack);
    hm_pack_close(&e->codec_pack);
    hm_tokenizer_close(&e->tokenizer);
    hm_weights_close(&e->lm_weights);
    hm_weights_close(&e->codec_weights);
    hm_checkpoint_close(&e->checkpoint);
    hm_backend_close(&e->ctx);
    free(e);
    *engine = NULL;
}

/* Bytes of the panels that take a tensor's place; 0: it stays where it is. A transposed convolution has about those of a plain one. */
static uint64_t panels_of(const hm_ctx *c, const hm_tensor *t, int precision)
{
    bool stacked = !strcmp(t->name, "audio_head");
    bool layer = hm_t(c)->panels == HM_PANELS_PACKED && precision >= 0 && t->type <= HM_F16 && (t->rank == 2 || t->rank == 3);
    if (!layer || t->shape[0] > INT32_MAX || t->shape[1] > INT32_MAX || (t->rank == 3 && t->shape[2] > INT32_MAX))
        return 0;
    int out = (int)t->shape[stacked ? 2 : 0], in = (int)t->shape[1], taps = t->rank == 3 && !stacked ? (int)t->shape[2] : 1;
    hm_format format = hm_layer_format((hm_format)precision, t->type, in);
    return hm_panels_bytes(format, out, in, taps) * (stacked ? (uint64_t)t->shape[0] : 1);
}

void hm_session_add_weights(const hm_ctx *c, const hm_weights *w, const char *skip, const hm_session_tensors *kinds,
                            hm_memory_estimate *out)
{
    for (int i = 0; i < hm_weights_count(w); i++) {
        const hm_tensor *t = hm_weights_at(w, i);
        if (skip && !strncmp(t->name, skip, strlen(skip)))
            continue;
        uint64_t panels = panels_of(c, t, kinds->precision(c, t)), floats = t->bytes / hm_dtype_bytes(t->type) * sizeof(float);
        if (out->apart) { /* mapped pages are given back when their copies are there */
            out->weights_bytes += panels ? panels : kinds->is_converted(c, t) ? floats : t->bytes;
            out->host_weight_bytes += hm_t(c)->load == HM_WEIGHTS_READ ? t->bytes : 0;
            continue;
        }
        out->mapped_bytes += panels;
        if (panels)
            continue; /* read once, to pack it */
        if (hm_t(c)->load != HM_WEIGHTS_READ)
            out->mapped_bytes += t->bytes;
        else
            out->weights_bytes += t->bytes;
        if (kinds->is_converted(c, t))
            out->weights_bytes += floats;
    }
}

/* Of two stages that come one after the other, or are there side by side. */
static uint64_t joined(uint64_t a, uint64_t b, bool staged)
{
    return staged ? (a > b ? a : b) : a + b;
}

void hm_session_join_weights(const hm_ctx *c, const hm_memory_estimate *other, bool together, hm_memory_estimate *out)
{
    bool staged = !together && hm_t(c)->load == HM_WEIGHTS_LAZY;
    out->mapped_bytes = joined(out->mapped_bytes, other->mapped_bytes, staged);
    out->weights_bytes = joined(out->weights_bytes, other->weights_bytes, staged && out->apart);
}

void hm_session_add_phases(hm_memory_estimate *out, bool together)
{
    uint64_t drawing = out->kv_bytes + out->scratch_bytes, most;
    uint64_t codec = out->codec_bytes - (out->apart ? out->audio_bytes : 0); /* a device apart has no audio */
    out->prefill_bytes = drawing > out->encoder_bytes ? drawing : out->encoder_bytes;
    out->generate_bytes = drawing + (together ? codec : 0);
    out->decode_bytes = codec + (together && codec ? drawing : 0);
    most = out->prefill_bytes > out->generate_bytes ? out->prefill_bytes : out->generate_bytes;
    out->total_bytes = out->weights_bytes + (most > out->decode_bytes ? most : out->decode_bytes);
}

hm_status hm_session_estimate(const hm_engine_options *o, const hm_request *r, hm_memory_estimate *out, hm_error *err)
{
    hm_engine *e = hm_calloc(1, sizeof *e, "estimate", err);
    hm_status st = e ? take_toggles(&e->ctx, o, err) : HM_EABSENT;
    const hm_backend *b = st ? NULL : hm_backend_find(o->backend ? o->backend : "cpu", err);
    *out = (hm_memory_estimate){.apart = b && !b->reads_host_memory};
    if (!st)
        st = b ? choose_family(e, o, err) : err->status;
    if (!st)
        st = e->family->estimate(&e->ctx, &e->checkpoint, o, r, out, err);
    if (!st && out->apart) { /* what was summed up is the device's */
        out->device_bytes = out->total_bytes + b->own_device_bytes;
        out->total_bytes = out->audio_bytes + out->host_weight_bytes + b->own_host_bytes;
    }
    if (e)
        hm_checkpoint_close(&e->checkpoint);
    free(e);
    return st;
}

/* --- calls that families answer --- */

static hm_status wrong_task(const hm_engine *e, hm_task asked, hm_error *err)
{
    return hm_fail(err, HM_EUSAGE, "%s: %s makes %s, %s was asked for", e->checkpoint.path ? e->checkpoint.path : "model", e->family->model,
                   hm_task_name(e->family->task), hm_task_name(asked));
}

hm_status hm_session_generate(hm_engine *e, const hm_request *r, hm_result *out, hm_error *err)
{
    *out = (hm_result){0};
    if (r->task != e->family->task)
        return wrong_task(e, r->task, err);
    if (r->sink && hm_t(&e->ctx)->decode == HM_DECODE_WHOLE)
        return hm_fail(err, HM_EUSAGE, "streaming: the variant decodes whole, at the end; take one with decode=stream or decode=overlap");
    hm_places_clear(&e->ctx.places);
    return e->family->generate(e, r, out, err);
}

hm_status hm_session_generate_many(hm_engine *e, hm_many *many, hm_error *err)
{
    for (int i = 0; i < many->count; i++)
        if (many->requests[i].task != e->family->task)
            return wrong_task(e, many->requests[i].task, err);
    if (many->count < 1 || many->batch < 1)
        return hm_fail(err, HM_EUSAGE, "batch: expected at least one request and one at a time, found %d and %d", many->count, many->batch);
    hm_places_clear(&e->ctx.places);
    e->ctx.error = (hm_error){0};
    hm_status st = hm_session_stage(e, HM_STAGE_BOTH, err);
    if (!st)
        st = e->family->generate_many(e, many, err);
    hm_session_stage(e, HM_STAGE_NONE, NULL);
    for (int i = 0; i < many->count && !st; i++)
        hm_session_tell_places(&e->ctx, &many->results[i]);
    return st;
}

hm_status hm_session_decode(hm_engine *e, const int32_t *codes, int frames, const hm_request *r, hm_result *out, hm_error *err)
{
    *out = (hm_result){0};
    hm_places_clear(&e->ctx.places);
    e->ctx.error = (hm_error){0};
    hm_status st = hm_session_stage(e, HM_STAGE_CODEC, err);
    if (!st)
        return e->family->decode(e, codes, frames, r, out, err);
    hm_session_stage(e, HM_STAGE_NONE, NULL);
    return st;
}

hm_status hm_session_check(hm_engine *e, const hm_check *k, hm_error *err)
{
    e->ctx.error = (hm_error){0};
    hm_status st = hm_session_stage(e, HM_STAGE_BOTH, err);
    if (!st)
        st = e->family->check(e, k, err);
    hm_session_stage(e, HM_STAGE_NONE, NULL);
    return st;
}

/* --- what every call does --- */

static uint64_t give_back(hm_engine *e, int part)
{
    return hm_weights_give_back(part ? e->codec_weights : e->lm_weights) + hm_pack_give_back(part ? e->codec_pack : e->lm_pack);
}

/* A part's weights to the device again. Not from what the call has set aside, and of what it counts the transfers alone. */
static hm_status bind_again(hm_engine *e, int part, hm_error *err)
{
    hm_ctx *c = &e->ctx;
    hm_counters before = c->counters;
    hm_ops ops = c->ops;
    c->binding = part;
    c->pack = part ? e->codec_pack : e->lm_pack;
    c->ops.reserve = NULL;
    c->ops.places = NULL;
    c->ops.timed = false;
    hm_span_begin(c->probe, HM_SPAN_STEP, "weights", part);
    hm_status st = e->family->bind(e, part, err);
    c->ops.sync(&c->ops);
    if (!st)
        st = hm_session_status(c, err);
    hm_span_end(c->probe, HM_SPAN_STEP, "weights");
    c->ops = ops;
    c->pack = NULL;
    before.to_device_bytes = c->counters.to_device_bytes;
    before.to_device_transfers = c->counters.to_device_transfers;
    before.given_back_bytes += give_back(e, part);
    c->counters = before;
    return st;
}

hm_status hm_session_stage(hm_engine *e, hm_stage stage, hm_error *err)
{
    hm_ctx *c = &e->ctx;
    bool apart = c->ops.apart && e->family && e->family->bind;
    const bool there[] = {e->lm_weights != NULL, e->codec_weights != NULL};
    hm_stage before = e->stage;
    hm_status st = HM_OK;
    e->stage = stage;
    if (hm_t(c)->load != HM_WEIGHTS_LAZY || (c->ops.apart && !apart))
        return HM_OK;
    for (int i = 0; i < 2; i++) /* first what goes, then what comes */
        if ((before & ~stage) >> i & 1) {
            c->counters.given_back_bytes += give_back(e, i);
            if (apart)
                hm_bind_release_part(c, i);
        }
    if (apart)
        c->ops.sync(&c->ops); /* what was freed is the device's again */
    for (int i = 0; i < 2 && !st; i++)
        if ((stage & ~before) >> i & 1 && there[i]) {
            if (apart)
                st = bind_again(e, i, err);
            else
                hm_pack_read_in(i ? e->codec_pack : e->lm_pack);
        }
    return st;
}

hm_status hm_session_stage_over(hm_engine *e, hm_error *err)
{
    return e->stage == HM_STAGE_LM ? hm_session_stage(e, HM_STAGE_CODEC, err) : HM_OK;
}

void hm_session_result_free(hm_result *r)
{
    free(r->codes);
    free(r->logits);
    free(r->audio);
    free(r->windows);
    hm_transcript_close(&r->transcript);
    *r = (hm_result){0};
}

void hm_session_begin_call(hm_engine *e, hm_result *out)
{
    *out = (hm_result){.codebooks = e->facts.codebooks, .weight_bytes = e->weight_bytes};
    e->ctx.counters = (hm_counters){0};
    e->ctx.error = (hm_error){0};
}

/* Modulo 2^64: begin takes away, end adds. */
static void count(const hm_ctx *c, hm_counters *sum, uint64_t sign)
{
    const uint64_t *from = (const uint64_t *)&c->counters;
    uint64_t *to = (uint64_t *)sum;
    for (int i = 0; i < HM_COUNTER_COUNT; i++)
        to[i] += sign * from[i];
}

void hm_session_count_begin(const hm_ctx *c, hm_counters *sum)
{
    count(c, sum, UINT64_MAX);
}

void hm_session_count_end(const hm_ctx *c, hm_counters *sum)
{
    count(c, sum, 1);
}

void hm_session_spin(hm_ctx *c, int64_t start_ns)
{
    static const uint8_t percents[] = {0, 3, 5, 8, 10, 15, 20, 30, 50}; /* in the order of the toggle's values */
    if (!hm_t(c)->spin)
        return;
    int64_t now = hm_now_ns(), until = now + (now - start_ns) * percents[hm_t(c)->spin] / 100;
    c->counters.spun_phases++;
    while (hm_now_ns() < until)
        ;
}

void hm_session_tell_places(const hm_ctx *c, hm_result *out)
{
    memcpy(out->places, c->places.items, sizeof out->places);
    out->place_count = c->places.count;
}

void hm_session_add_part(hm_result *out, const char *part, const char *span, const hm_formats *formats, uint64_t passes)
{
    for (int i = 0; i < out->place_count && passes && out->frames; i++)
        if (!strcmp(out->places[i].part, span)) {
            uint64_t bytes = out->places[i].weight_bytes / passes;
            hm_formats_part(&out->parts, formats, &(hm_part_weights){part, span, "", bytes, bytes, (double)passes / out->frames});
        }
}

void hm_session_add_seam(hm_result *out, int64_t sample)
{
    if (out->seam_count < HM_SEAMS && sample > 0)
        out->seams[out->seam_count++] = sample;
}

hm_status hm_session_end_call(hm_engine *e, int64_t start_ns, hm_result *out, hm_status st)
{
    hm_call_timed(&e->ctx, false);
    hm_call_release(&e->ctx);
    hm_session_stage(e, HM_STAGE_NONE, NULL);
    out->counters = e->ctx.counters;
    hm_session_tell_places(&e->ctx, out);
    e->family->parts(e, out);
    out->wall_ns = hm_now_ns() - start_ns;
    if (st)
        hm_session_result_free(out);
    return st;
}

hm_status hm_session_check_stored(const hm_engine *e, const hm_request *r, int vocabulary, hm_error *err)
{
    size_t K = (size_t)e->facts.codebooks, n = (size_t)r->max_frames * K;
    for (size_t i = 0; r->stored_codes && i < n; i++)
        if (r->stored_codes[i] < 0 || r->stored_codes[i] >= vocabulary)
            return hm_fail(err, HM_EFORMAT, "stored codes: frame %zu codebook %zu: expected 0 to %d, found %d", i / K, i % K,
                           vocabulary - 1, r->stored_codes[i]);
    return HM_OK;
}

hm_status hm_session_result_open(const hm_engine *e, const hm_request *r, hm_result *out, hm_error *err)
{
    size_t n = (size_t)r->max_frames * (size_t)e->facts.codebooks;
    out->codes = hm_calloc(n, sizeof *out->codes, "codes", err);
    out->logits = out->codes ? hm_calloc(n, sizeof *out->logits, "logits", err) : NULL;
    return out->logits ? HM_OK : HM_EABSENT;
}

hm_status hm_session_check_result(hm_result *r, hm_error *err)
{
    r->non_finite = 0;
    for (int64_t i = 0; r->audio && i < r->samples * r->channels; i++)
        r->non_finite += !isfinite(r->audio[i]);
    for (int i = 0; r->logits && i < r->frames * r->codebooks; i++)
        if (!isfinite(r->logits[i]))
            return hm_fail(err, HM_EINVALID, "logits of frame %d, codebook %d are not finite; the weights or a kernel are broken",
                           i / r->codebooks, i % r->codebooks);
    if (r->non_finite)
        return hm_fail(err, HM_EINVALID, "audio: %lld of %lld samples are not finite; the weights or a kernel are broken",
                       (long long)r->non_finite, (long long)(r->samples * r->channels));
    return HM_OK;
}

/* What goes into the database. */
#include <stdlib.h>
#include <string.h>

#include "harness/store_internal.h"

static void bind_now(hm_query *q, const char *name, char utc[HM_UTC_TEXT])
{
    hm_utc_text(utc);
    hm_bind_text(q, name, utc);
}

static const char *or_null(const char *text)
{
    return text[0] ? text : NULL;
}

hm_status hm_store_put_machine(hm_store *store, const hm_machine_record *m, hm_error *err)
{
    hm_query q;
    char utc[HM_UTC_TEXT];
    hm_query_open(&q, store,
                  "INSERT OR IGNORE INTO machine VALUES(:id, :host_id, :cpu_model, :cpus, :cpus_online, :cores, :smt, :isa, :cpu_quota, "
                  ":memory_bytes, :memory_limit_bytes, :governor, :kernel, :os, :container, :seen_utc)",
                  err);
    hm_bind_text(&q, ":id", m->id);
    hm_bind_text(&q, ":host_id", m->host_id);
    hm_bind_text(&q, ":cpu_model", m->cpu_model);
    hm_bind_int(&q, ":cpus", m->cpus);
    hm_bind_int(&q, ":cpus_online", m->cpus_online);
    hm_bind_int(&q, ":cores", m->cores > 0 ? m->cores : HM_UNKNOWN);
    hm_bind_int(&q, ":smt", m->smt >= 0 ? m->smt : HM_UNKNOWN);
    hm_bind_text(&q, ":isa", m->isa);
    hm_bind_real(&q, ":cpu_quota", m->cpu_quota);
    hm_bind_int(&q, ":memory_bytes", m->memory_bytes);
    hm_bind_int(&q, ":memory_limit_bytes", m->memory_limit_bytes);
    hm_bind_text(&q, ":governor", or_null(m->governor));
    hm_bind_text(&q, ":kernel", m->kernel);
    hm_bind_text(&q, ":os", m->os);
    hm_bind_text(&q, ":container", or_null(m->container));
    bind_now(&q, ":seen_utc", utc);
    hm_query_run(&q);
    return hm_query_close(&q);
}

hm_status hm_store_put_build(hm_store *store, const hm_build_record *b, hm_error *err)
{
    hm_query q;
    char utc[HM_UTC_TEXT];
    hm_query_open(&q, store,
                  "INSERT OR IGNORE INTO build VALUES(:id, :version, :git_commit, :git_dirty, :compiler, :flags, :build_type, :sanitizer, "
                  ":binary_hash, :seen_utc)",
                  err);
    hm_bind_text(&q, ":id", b->id);
    hm_bind_text(&q, ":version", b->version);
    hm_bind_text(&q, ":git_commit", or_null(b->git_commit));
    hm_bind_int(&q, ":git_dirty", b->git_dirty);
    hm_bind_text(&q, ":compiler", b->compiler);
    hm_bind_text(&q, ":flags", b->flags);
    hm_bind_text(&q, ":build_type", b->build_type);
    hm_bind_text(&q, ":sanitizer", or_null(b->sanitizer));
    hm_bind_text(&q, ":binary_hash", b->binary_hash);
    bind_now(&q, ":seen_utc", utc);
    hm_query_run(&q);
    return hm_query_close(&q);
}

hm_status hm_store_put_model(hm_store *store, const hm_model_record *m, hm_error *err)
{
    hm_query q;
    char utc[HM_UTC_TEXT];
    hm_query_open(&q, store,
                  "INSERT OR IGNORE INTO model VALUES(:id, :kind, :name, :path, :synthetic, :codebooks, :code_vocabulary, :sample_rate_hz, "
                  ":channels, :max_positions, :frame_s, :seen_utc, :speech_kind, :size)",
                  err);
    hm_bind_text(&q, ":id", m->id);
    hm_bind_text(&q, ":kind", m->kind);
    hm_bind_text(&q, ":name", m->name);
    hm_bind_text(&q, ":path", m->path);
    hm_bind_int(&q, ":synthetic", m->synthetic);
    hm_bind_int(&q, ":codebooks", m->codebooks);
    hm_bind_int(&q, ":code_vocabulary", m->code_vocabulary);
    hm_bind_int(&q, ":sample_rate_hz", m->sample_rate_hz);
    hm_bind_int(&q, ":channels", m->channels);
    hm_bind_int(&q, ":max_positions", m->max_positions);
    hm_bind_real(&q, ":frame_s", m->frame_s);
    hm_bind_text(&q, ":speech_kind", or_null(m->speech_kind));
    hm_bind_text(&q, ":size", or_null(m->size));
    bind_now(&q, ":seen_utc", utc);
    hm_query_run(&q);
    return hm_query_close(&q);
}

/* Left unbound for music: NULL. */
static void bind_speech(hm_query *q, const hm_case_record *c)
{
    hm_bind_text(q, ":kind", c->kind);
    hm_bind_text(q, ":text", c->text);
    hm_bind_text(q, ":speaker", c->speaker);
    hm_bind_text(q, ":language", c->language);
    hm_bind_text(q, ":instruct", c->instruct);
    hm_bind_text(q, ":reference", c->reference);
    hm_bind_text(q, ":reference_text", c->reference_text);
    hm_bind_int(q, ":streaming_text", c->streaming_text);
    hm_bind_real(q, ":top_p", c->top_p);
    hm_bind_real(q, ":repetition_penalty", c->repetition_penalty);
    hm_bind_real(q, ":sub_temperature", c->sub_temperature);
    hm_bind_int(q, ":sub_topk", c->sub_topk);
    hm_bind_real(q, ":sub_top_p", c->sub_top_p);
}

static void bind_transcript(hm_query *q, const hm_case_record *c)
{
    hm_bind_text(q, ":language", c->language);
    hm_bind_text(q, ":recording", c->recording);
    hm_bind_real(q, ":audio_s", c->audio_s);
    hm_bind_real(q, ":chunk_s", c->chunk_s);
    hm_bind_int(q, ":batch", c->batch);
    hm_bind_int(q, ":window_tokens", c->window_tokens);
    hm_bind_int(q, ":beams", c->beams);
}

hm_status hm_store_put_case(hm_store *store, const hm_case_record *c, hm_error *err)
{
    hm_query q;
    hm_query_open(
        &q, store,
        "INSERT OR IGNORE INTO suite_case VALUES(:id, :request_hash, :suite_hash, :suite, :name, :task, :tags, :lyrics, "
        ":intro_style, :verse_style, :chorus_style, :frames, :topk, :cfg_scale, :temperature, :seed, :flow_steps, :flow_guidance, "
        ":words, :kind, :text, :speaker, :language, :instruct, :reference, :reference_text, :streaming_text, :top_p, "
        ":repetition_penalty, :sub_temperature, :sub_topk, :sub_top_p, :recording, :audio_s, :chunk_s, :batch, :window_tokens, :beams)",
        err);
    hm_bind_text(&q, ":id", c->id);
    hm_bind_text(&q, ":request_hash", c->request_hash);
    hm_bind_text(&q, ":suite_hash", c->suite_hash);
    hm_bind_text(&q, ":suite", c->suite);
    hm_bind_text(&q, ":name", c->name);
    hm_bind_text(&q, ":task", c->task);
    hm_bind_text(&q, ":tags", c->tags ? c->tags : "");
    hm_bind_text(&q, ":lyrics", c->lyrics ? c->lyrics : "");
    hm_bind_text(&q, ":intro_style", c->intro_style);
    hm_bind_text(&q, ":verse_style", c->verse_style);
    hm_bind_text(&q, ":chorus_style", c->chorus_style);
    hm_bind_int(&q, ":frames", c->frames);
    hm_bind_int(&q, ":topk", c->topk);
    hm_bind_real(&q, ":cfg_scale", c->cfg_scale);
    hm_bind_real(&q, ":temperature", c->temperature);
    hm_bind_seed(&q, ":seed", c->seed);
    hm_bind_int(&q, ":flow_steps", c->flow_steps);
    hm_bind_real(&q, ":flow_guidance", c->flow_guidance);
    hm_bind_int(&q, ":words", c->words ? c->words : HM_UNKNOWN);
    if (!strcmp(c->task, "speech"))
        bind_speech(&q, c);
    else if (c->recording)
        bind_transcript(&q, c);
    hm_query_run(&q);
    return hm_query_close(&q);
}

static hm_status put_arms(hm_store *store, const char *session_id, const hm_arm_record *arms, int count, hm_error *err)
{
    hm_query q;
    hm_query_open(&q, store,
                  "INSERT INTO arm VALUES(:id, :session_id, :position, :name, :variant, :toggles, :coincides, :backend, :isa, :threads, "
                  ":precision, :model, :command, :program, NULL, :device, :env_profile, :environment)",
                  err);
    for (int i = 0; i < count; i++) {
        const hm_arm_record *a = &arms[i];
        hm_bind_text(&q, ":id", a->id);
        hm_bind_text(&q, ":session_id", session_id);
        hm_bind_int(&q, ":position", a->position);
        hm_bind_text(&q, ":name", a->name);
        hm_bind_text(&q, ":variant", a->variant);
        hm_bind_text(&q, ":toggles", a->toggles);
        hm_bind_text(&q, ":coincides", a->coincides);
        hm_bind_text(&q, ":backend", a->backend);
        hm_bind_text(&q, ":isa", a->isa);
        hm_bind_int(&q, ":threads", a->threads);
        hm_bind_text(&q, ":precision", a->precision);
        hm_bind_text(&q, ":model", a->model);
        hm_bind_text(&q, ":command", a->command);
        hm_bind_text(&q, ":program", a->program);
        hm_bind_text(&q, ":device", a->device);
        hm_bind_text(&q, ":env_profile", a->env_profile);
        hm_bind_text(&q, ":environment", a->environment);
        hm_query_run(&q);
    }
    return hm_query_close(&q);
}

hm_status hm_store_put_session(hm_store *store, const hm_session_record *s, const hm_arm_record *arms, int arm_count, hm_error *err)
{
    hm_query q;
    char utc[HM_UTC_TEXT];
    hm_status st = hm_store_begin(store, err);
    if (st)
        return st;
    hm_query_open(&q, store,
                  "INSERT INTO session(id, machine_id, build_id, created_utc, state, interrupted, command_line, options, order_seed, "
                  "rounds, kind) "
                  "VALUES(:id, :machine_id, :build_id, :created_utc, 'running', 0, :command_line, :options, :order_seed, :rounds, :kind)",
                  err);
    hm_bind_text(&q, ":id", s->id);
    hm_bind_text(&q, ":machine_id", s->machine_id);
    hm_bind_text(&q, ":build_id", s->build_id);
    bind_now(&q, ":created_utc", utc);
    hm_bind_text(&q, ":command_line", s->command_line);
    hm_bind_text(&q, ":options", s->options);
    hm_bind_seed(&q, ":order_seed", s->order_seed);
    hm_bind_int(&q, ":rounds", s->rounds);
    hm_bind_text(&q, ":kind", s->kind ? s->kind : "suite");
    hm_query_run(&q);
    st = hm_query_close(&q);
    if (!st)
        st = put_arms(store, s->id, arms, arm_count, err);
    return hm_store_finish(store, st, err);
}

hm_status hm_store_put_arm_build(hm_store *store, const char *arm_id, const hm_build_record *build, hm_error *err)
{
    hm_query q;
    hm_status st = hm_store_put_build(store, build, err);
    if (st)
        return st;
    hm_query_open(&q, store, "SELECT name, build_id FROM arm WHERE id = :id", err);
    hm_bind_text(&q, ":id", arm_id);
    if (hm_query_row(&q) && hm_query_text(&q, 1) && strcmp(hm_query_text(&q, 1), build->id))
        q.status =
            hm_fail(err, HM_ECOMPARE, "arm %s: its program has been built anew during the session; start a new one", hm_query_text(&q, 0));
    st = hm_query_close(&q);
    if (st)
        return st;
    hm_query_open(&q, store, "UPDATE arm SET build_id = :build_id WHERE id = :id AND build_id IS NULL", err);
    hm_bind_text(&q, ":build_id", build->id);
    hm_bind_text(&q, ":id", arm_id);
    hm_query_run(&q);
    return hm_query_close(&q);
}

hm_status hm_store_put_tag(hm_store *store, const char *session_id, const char *key, const char *value, hm_error *err)
{
    hm_query q;
    hm_query_open(&q, store, "INSERT OR REPLACE INTO session_tag VALUES(:session_id, :key, :value)", err);
    hm_bind_text(&q, ":session_id", session_id);
    hm_bind_text(&q, ":key", key);
    hm_bind_text(&q, ":value", value);
    hm_query_run(&q);
    return hm_query_close(&q);
}

hm_status hm_store_end_session(hm_store *store, const char *session_id, const char *state, hm_error *err)
{
    hm_query q;
    char utc[HM_UTC_TEXT];
    hm_query_open(&q, store,
                  "UPDATE session SET state = :state, ended_utc = CASE WHEN :state = 'running' THEN NULL ELSE :ended_utc END, "
                  "interrupted = interrupted + (:state = 'interrupted') WHERE id = :id",
                  err);
    hm_bind_text(&q, ":state", state);
    bind_now(&q, ":ended_utc", utc);
    hm_bind_text(&q, ":id", session_id);
    hm_query_run(&q);
    return hm_query_close(&q);
}

hm_status hm_store_extend_session(hm_store *store, const char *session_id, int rounds, hm_error *err)
{
    hm_query q;
    hm_query_open(&q, store, "UPDATE session SET rounds = :rounds WHERE id = :id", err);
    hm_bind_int(&q, ":rounds", rounds);
    hm_bind_text(&q, ":id", session_id);
    hm_query_run(&q);
    return hm_query_close(&q);
}

static hm_status put_artifact(hm_store *store, const char *session_id, const char *run_id, const hm_artifact_record *a, hm_error *err)
{
    hm_query q;
    char id[HM_UUID_TEXT];
    hm_uuid_text(id);
    hm_query_open(&q, store, "INSERT INTO artifact VALUES(:id, :session_id, :run_id, :kind, :path, :hash, :bytes)", err);
    hm_bind_text(&q, ":id", id);
    hm_bind_text(&q, ":session_id", session_id);
    hm_bind_text(&q, ":run_id", run_id);
    hm_bind_text(&q, ":kind", a->kind);
    hm_bind_text(&q, ":path", a->path);
    hm_bind_text(&q, ":hash", or_null(a->hash));
    hm_bind_int(&q, ":bytes", a->bytes);
    hm_query_run(&q);
    return hm_query_close(&q);
}

static hm_status put_spans(hm_store *store, const char *sample_id, const hm_sample *s, hm_error *err)
{
    hm_query q;
    hm_query_open(&q, store, "INSERT INTO span VALUES(:sample_id, :name, :count, :total_ns, :self_ns)", err);
    for (int i = 0; i < s->span_count; i++) {
        hm_bind_text(&q, ":sample_id", sample_id);
        hm_bind_text(&q, ":name", s->spans[i].name);
        hm_bind_int(&q, ":count", s->spans[i].count);
        hm_bind_int(&q, ":total_ns", s->spans[i].total_ns);
        hm_bind_int(&q, ":self_ns", s->spans[i].self_ns);
        hm_query_run(&q);
    }
    return hm_query_close(&q);
}

static hm_status put_counts(hm_store *store, const char *sample_id, const hm_sample *s, hm_error *err)
{
    hm_query q;
    hm_query_open(&q, store, "INSERT INTO count VALUES(:sample_id, :name, :load, :value)", err);
    for (int i = 0; i < s->count_count; i++) {
        hm_bind_text(&q, ":sample_id", sample_id);
        hm_bind_text(&q, ":name", s->counts[i].name);
        hm_bind_int(&q, ":load", s->counts[i].load);
        hm_bind_int(&q, ":value", s->counts[i].value);
        hm_query_run(&q);
    }
    return hm_query_close(&q);
}

static hm_status put_frame_times(hm_store *store, const char *sample_id, const hm_sample *s, hm_error *err)
{
    hm_query q;
    hm_query_open(&q, store, "INSERT INTO frame_time VALUES(:sample_id, :first_frame, :frames, :total_ns)", err);
    for (int i = 0; i < s->frame_time_count; i++) {
        hm_bind_text(&q, ":sample_id", sample_id);
        hm_bind_int(&q, ":first_frame", s->frame_times[i].first_frame);
        hm_bind_int(&q, ":frames", s->frame_times[i].frames);
        hm_bind_int(&q, ":total_ns", s->frame_times[i].total_ns);
        hm_query_run(&q);
    }
    return hm_query_close(&q);
}

static hm_status put_parts(hm_store *store, const char *sample_id, const hm_sample *s, hm_error *err)
{
    hm_query q;
    hm_query_open(&q, store,
                  "INSERT INTO sample_part VALUES(:sample_id, :part, :span, :format, :pass_bytes, :distinct_bytes, :frame_passes)", err);
    for (int i = 0; i < s->part_count; i++) {
        hm_bind_text(&q, ":sample_id", sample_id);
        hm_bind_text(&q, ":part", s->parts[i].part);
        hm_bind_text(&q, ":span", s->parts[i].span);
        hm_bind_text(&q, ":format", s->parts[i].format);
        hm_bind_int(&q, ":pass_bytes", s->parts[i].pass_bytes);
        hm_bind_int(&q, ":distinct_bytes", s->parts[i].distinct_bytes);
        hm_bind_real(&q, ":frame_passes", s->parts[i].frame_passes);
        hm_query_run(&q);
    }
    return hm_query_close(&q);
}

static hm_status put_output(hm_store *store, const char *sample_id, const hm_output_comparison *o, hm_error *err)
{
    hm_query q;
    hm_query_open(&q, store, "INSERT INTO output VALUES(:sample_id, :codes_equal, :first_frame, :differing_codes, :max_logit_difference)",
                  err);
    hm_bind_text(&q, ":sample_id", sample_id);
    hm_bind_int(&q, ":codes_equal", o->codes_equal);
    hm_bind_int(&q, ":first_frame", o->first_frame);
    hm_bind_int(&q, ":differing_codes", o->differing_codes);
    hm_bind_real(&q, ":max_logit_difference", o->max_logit_difference);
    hm_query_run(&q);
    return hm_query_close(&q);
}

static hm_status put_sample(hm_store *store, const char *run_id, int ordinal, const hm_sample *s, hm_error *err)
{
    static const char sql[] = "INSERT INTO sample(id, run_id, ordinal, warmup"
#define COLUMN_I(name, required, meaning) ", " #name
#define COLUMN(name, ...) ", " #name
        HM_SAMPLE_FIELDS(COLUMN_I, COLUMN, COLUMN) ") VALUES(:id, :run_id, :ordinal, :warmup"
#undef COLUMN_I
#undef COLUMN
#define COLUMN_I(name, required, meaning) ", :" #name
#define COLUMN(name, ...) ", :" #name
        HM_SAMPLE_FIELDS(COLUMN_I, COLUMN, COLUMN) ")";
#undef COLUMN_I
#undef COLUMN
    hm_query q;
    char id[HM_UUID_TEXT];
    hm_uuid_text(id);
    hm_query_open(&q, store, sql, err);
    hm_bind_text(&q, ":id", id);
    hm_bind_text(&q, ":run_id", run_id);
    hm_bind_int(&q, ":ordinal", ordinal);
    hm_bind_int(&q, ":warmup", s->warmup);
#define BIND_I(name, required, meaning) hm_bind_int(&q, ":" #name, s->name);
#define BIND_R(name, meaning) hm_bind_real(&q, ":" #name, s->name);
#define BIND_T(name, bytes, meaning) hm_bind_text(&q, ":" #name, or_null(s->name));
    HM_SAMPLE_FIELDS(BIND_I, BIND_R, BIND_T)
#undef BIND_I
#undef BIND_R
#undef BIND_T
    hm_query_run(&q);
    hm_status st = hm_query_close(&q);
    if (!st)
        st = put_spans(store, id, s, err);
    if (!st)
        st = put_counts(store, id, s, err);
    if (!st)
        st = put_frame_times(store, id, s, err);
    if (!st)
        st = put_parts(store, id, s, err);
    if (!st && s->output.compared)
        st = put_output(store, id, &s->output, err);
    return st;
}

static hm_status put_run_row(hm_store *store, const hm_run_record *r, hm_error *err)
{
    hm_query q;
    hm_query_open(&q, store,
                  "INSERT INTO run VALUES(:id, :session_id, :arm_id, :case_id, :model_id, :round, :slot, :status, :reason, :started_utc, "
                  ":duration_ns, :memory_available_bytes, :warmup, :isa, :threads, NULL, :device, :device_uuid, :device_driver, "
                  ":device_memory_bytes, :software)",
                  err);
    hm_bind_text(&q, ":id", r->id);
    hm_bind_text(&q, ":session_id", r->session_id);
    hm_bind_text(&q, ":arm_id", r->arm_id);
    hm_bind_text(&q, ":case_id", r->case_id);
    hm_bind_text(&q, ":model_id", r->model_id);
    hm_bind_int(&q, ":round", r->round);
    hm_bind_int(&q, ":slot", r->slot);
    hm_bind_text(&q, ":status", hm_run_status_name(r->status));
    hm_bind_text(&q, ":reason", r->reason);
    hm_bind_text(&q, ":started_utc", r->started_utc);
    hm_bind_int(&q, ":duration_ns", r->duration_ns);
    hm_bind_int(&q, ":memory_available_bytes", r->memory_available_bytes);
    hm_bind_text(&q, ":warmup", r->warmup);
    hm_bind_text(&q, ":isa", r->isa);
    hm_bind_int(&q, ":threads", r->threads ? r->threads : HM_UNKNOWN);
    hm_bind_text(&q, ":device", r->device);
    hm_bind_text(&q, ":device_uuid", r->device_uuid);
    hm_bind_text(&q, ":device_driver", r->device_driver);
    hm_bind_int(&q, ":device_memory_bytes", r->device_memory_bytes ? r->device_memory_bytes : HM_UNKNOWN);
    hm_bind_int(&q, ":software", r->device ? r->software : HM_UNKNOWN);
    hm_query_run(&q);
    return hm_query_close(&q);
}

hm_status hm_store_put_run(hm_store *store, const hm_run_record *r, hm_error *err)
{
    hm_status st = hm_store_begin(store, err);
    if (st)
        return st;
    st = put_run_row(store, r, err);
    for (int i = 0; i < r->sample_count && !st; i++)
        st = put_sample(store, r->id, i, &r->samples[i], err);
    for (int i = 0; i < r->artifact_count && !st; i++)
        st = put_artifact(store, r->session_id, r->id, &r->artifacts[i], err);
    return hm_store_finish(store, st, err);
}

hm_status hm_store_put_codes(hm_store *store, const char *request_hash, const char *model_id, uint64_t seed, const hm_stored_codes *c,
                             hm_error *err)
{
    hm_query q;
    char utc[HM_UTC_TEXT];
    size_t n = (size_t)c->frames * (size_t)c->codebooks;
    hm_query_open(&q, store,
                  "INSERT OR IGNORE INTO stored_codes VALUES(:request_hash, :model_id, :seed, :frames, :codebooks, :codes, :logits, "
                  ":made_by, "
                  ":made_utc)",
                  err);
    hm_bind_text(&q, ":request_hash", request_hash);
    hm_bind_text(&q, ":model_id", model_id);
    hm_bind_seed(&q, ":seed", seed);
    hm_bind_int(&q, ":frames", c->frames);
    hm_bind_int(&q, ":codebooks", c->codebooks);
    hm_bind_blob(&q, ":codes", c->codes, n * 4);
    hm_bind_blob(&q, ":logits", c->logits, n * 4);
    hm_bind_text(&q, ":made_by", c->made_by);
    bind_now(&q, ":made_utc", utc);
    hm_query_run(&q);
    return hm_query_close(&q);
}

hm_status hm_store_drop_round(hm_store *store, const char *session_id, const char *case_id, int round, const char *reason, hm_error *err)
{
    hm_query q;
    hm_query_open(&q, store,
                  "UPDATE run SET dropped_reason = :reason WHERE session_id = :session_id AND case_id = :case_id AND round = :round "
                  "AND dropped_reason IS NULL AND status <> 'refused'",
                  err);
    hm_bind_text(&q, ":reason", reason);
    hm_bind_text(&q, ":session_id", session_id);
    hm_bind_text(&q, ":case_id", case_id);
    hm_bind_int(&q, ":round", round);
    hm_query_run(&q);
    return hm_query_close(&q);
}

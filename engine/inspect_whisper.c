/* What the configs of a Whisper say, in words. */
#include <inttypes.h>

#include "engine/inspect_impl.h"

static json_t *stack_text(int64_t layers, int64_t width, int64_t heads, int64_t hidden, int64_t positions)
{
    return json_sprintf("%" PRId64 " layers of width %" PRId64 ", %" PRId64 " heads of %" PRId64 ", hidden %" PRId64 ", %" PRId64
                        " positions",
                        layers, width, heads, width / heads, hidden, positions);
}

json_t *hm_inspect_whisper_facts(const hm_whisper_shape *s)
{
    json_t *facts = json_object();
    json_object_set_new(
        facts, "audio",
        json_sprintf("16000 Hz mono, %" PRId64 " mel bands, windows of %" PRId64 " frames", s->mels, 2 * s->source_positions));
    json_object_set_new(facts, "encoder",
                        stack_text(s->encoder_layers, s->width, s->encoder_heads, s->encoder_hidden, s->source_positions));
    json_object_set_new(facts, "decoder",
                        stack_text(s->decoder_layers, s->width, s->decoder_heads, s->decoder_hidden, s->target_positions));
    json_object_set_new(facts, "text",
                        json_sprintf("%" PRId64 " tokens, the head is %s", s->vocab, s->tied ? "the embedding" : "a matrix of its own"));
    return facts;
}

static json_t *id_or_null(int32_t id)
{
    return id < 0 ? json_null() : json_integer(id);
}

json_t *hm_inspect_whisper_generation(const hm_whisper_generation *g)
{
    json_t *told = json_object(), *languages = json_array();
    const struct {
        const char *name;
        int32_t id;
    } ids[] = {{"start", g->start},
               {"end", g->end},
               {"transcribe", g->transcribe},
               {"translate", g->translate},
               {"no_timestamps", g->no_timestamps},
               {"max_initial_timestamp", g->max_initial_timestamp}};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        json_object_set_new(told, ids[i].name, id_or_null(ids[i].id));
    for (int i = 0; i < g->language_count; i++)
        json_array_append_new(languages, json_string(g->languages[i].code));
    json_object_set_new(told, "languages", languages);
    json_object_set_new(told, "suppressed", json_integer(g->suppress_count));
    json_object_set_new(told, "suppressed_first", json_integer(g->begin_suppress_count));
    json_object_set_new(told, "max_length", json_integer(g->max_length));
    json_object_set_new(told, "beams", json_integer(g->beams));
    json_object_set_new(told, "topk", json_integer(g->topk));
    return told;
}

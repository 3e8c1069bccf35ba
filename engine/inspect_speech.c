/* What the configs of Qwen3-TTS say, in words. */
#include <inttypes.h>

#include "engine/inspect_impl.h"

static json_t *stack_text(const hm_tts_stack *s)
{
    return json_sprintf("%" PRId64 " layers of width %" PRId64 ", %" PRId64 " heads of %" PRId64 " on %" PRId64 " KV heads, hidden %" PRId64
                        ", %" PRId64 " positions",
                        s->layers, s->width, s->heads, s->head_dim, s->kv_heads, s->hidden, s->positions);
}

static json_t *names(const hm_tts_name *list, int count)
{
    json_t *out = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(out, list[i].dialect[0] ? json_sprintf("%s (%s)", list[i].name, list[i].dialect) : json_string(list[i].name));
    return out;
}

static json_t *sizes(const int64_t *list, int64_t count)
{
    json_t *out = json_array();
    for (int64_t i = 0; i < count; i++)
        json_array_append_new(out, json_integer(list[i]));
    return out;
}

json_t *hm_inspect_talker_facts(const hm_talker_shape *s)
{
    json_t *facts = json_pack("{ss ss}", "kind", hm_tts_kind_name(s->kind), "size", s->size);
    json_object_set_new(facts, "talker", stack_text(&s->talker));
    json_object_set_new(facts, "predictor", stack_text(&s->predictor));
    json_object_set_new(
        facts, "codes",
        json_sprintf("%" PRId64 " groups of %" PRId64 ", %" PRId64 " rows for the first", s->groups, s->codebook, s->code_vocab));
    json_object_set_new(facts, "text", json_sprintf("%" PRId64 " tokens of width %" PRId64, s->text_vocab, s->text_width));
    json_object_set_new(facts, "languages", names(s->languages, s->language_count));
    json_object_set_new(facts, "speakers", names(s->speakers, s->speaker_count));
    if (s->speaker.mel)
        json_object_set_new(facts, "cloning",
                            json_sprintf("speaker vectors of %" PRId64 " from %" PRId64 " mel bands at %" PRId64 " Hz", s->speaker.width,
                                         s->speaker.mel, s->speaker.sample_rate));
    return facts;
}

json_t *hm_inspect_speech_codec_facts(const hm_speech_codec_shape *s)
{
    json_t *facts = json_object();
    json_object_set_new(facts, "audio",
                        json_sprintf("%" PRId64 " Hz mono, %" PRId64 " samples a frame, %g frames a second", s->sample_rate, s->decode_rate,
                                     (double)s->sample_rate / (double)s->decode_rate));
    json_object_set_new(facts, "codes", json_sprintf("%" PRId64 " groups of %" PRId64, s->groups, s->decoder.codebook));
    json_object_set_new(facts, "decoder",
                        json_sprintf("%" PRId64 " layers of width %" PRId64 ", window %" PRId64 ", latent %" PRId64 ", %" PRId64
                                     " channels",
                                     s->decoder.layers, s->decoder.width, s->decoder.window, s->decoder.latent, s->decoder.channels));
    json_object_set_new(facts, "upsampling", sizes(s->decoder.ratios, s->decoder.ratio_count));
    json_object_set_new(facts, "rates", sizes(s->decoder.rates, s->decoder.rate_count));
    json_object_set_new(facts, "encoder",
                        json_sprintf("%" PRId64 " layers of width %" PRId64 ", %" PRId64 " quantisers, %" PRId64 " used", s->encoder.layers,
                                     s->encoder.width, s->encoder.quantizers, s->groups));
    return facts;
}

json_t *hm_inspect_generation(const hm_tts_generation *g)
{
    return json_pack("{sb sf sI sf sf sb sf sI sf sI}", "do_sample", !g->greedy, "temperature", g->temperature, "top_k",
                     (json_int_t)g->topk, "top_p", g->top_p, "repetition_penalty", g->repetition_penalty, "subtalker_dosample",
                     !g->sub_greedy, "subtalker_temperature", g->sub_temperature, "subtalker_top_k", (json_int_t)g->sub_topk,
                     "subtalker_top_p", g->sub_top_p, "max_frames", (json_int_t)g->max_frames);
}

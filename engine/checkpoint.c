#define _GNU_SOURCE
#include "engine/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "engine/base/json.h"
#include "engine/dialect.h"

#define TOKENIZER_MAX_BYTES ((size_t)64 << 20)

const char *hm_part_kind_text(hm_part_kind kind)
{
    static const char *const texts[] = {"nothing known", "language model", "codec", "talker", "speech tokenizer", "transcriber"};
    return texts[kind];
}

const char *hm_model_kind_name(hm_model_kind model)
{
    return model == HM_MODEL_HEARTMULA   ? "heartmula"
           : model == HM_MODEL_QWEN3_TTS ? "qwen3-tts"
           : model == HM_MODEL_WHISPER   ? "whisper"
                                         : "nothing known";
}

hm_model_kind hm_model_of_part(hm_part_kind kind)
{
    if (kind == HM_PART_NONE)
        return HM_MODEL_NONE;
    if (kind == HM_PART_TRANSCRIBER)
        return HM_MODEL_WHISPER;
    return kind == HM_PART_LM || kind == HM_PART_CODEC ? HM_MODEL_HEARTMULA : HM_MODEL_QWEN3_TTS;
}

static bool is_language_model(hm_part_kind kind)
{
    return kind == HM_PART_LM || kind == HM_PART_TALKER;
}

/* The codec that goes with a language model. */
static hm_part_kind codec_of(hm_part_kind lm)
{
    return lm == HM_PART_TALKER ? HM_PART_SPEECH_CODEC : HM_PART_CODEC;
}

static bool has_fields(const json_t *config, const char *a, const char *b)
{
    return json_object_get(config, a) && json_object_get(config, b);
}

hm_part_kind hm_part_of_config(const json_t *config)
{
    const char *type = json_string_value(json_object_get(config, "model_type"));
    const char *class = json_string_value(json_array_get(json_object_get(config, "architectures"), 0));
    if ((type && !strcasecmp(type, "heartmula")) || (class && !strcasecmp(class, "HeartMuLa")))
        return HM_PART_LM;
    if ((type && !strcasecmp(type, "heartcodec")) || (class && !strcasecmp(class, "HeartCodec")))
        return HM_PART_CODEC;
    if ((type && !strcasecmp(type, "qwen3_tts")) || has_fields(config, "talker_config", "tts_model_type"))
        return HM_PART_TALKER;
    if ((type && !strncasecmp(type, "qwen3_tts_tokenizer", 19)) || has_fields(config, "decoder_config", "encoder_valid_num_quantizers"))
        return HM_PART_SPEECH_CODEC; /* those of other frame rates too: reading their config refuses them by name */
    if ((type && !strcasecmp(type, "whisper")) || has_fields(config, "num_mel_bins", "max_source_positions"))
        return HM_PART_TRANSCRIBER;
    if (has_fields(config, "audio_num_codebooks", "audio_vocab_size") && has_fields(config, "muq_dim", "text_vocab_size"))
        return HM_PART_LM;
    if (has_fields(config, "codebook_size", "codebook_dim") && has_fields(config, "latent_hidden_dim", "upsample_factors"))
        return HM_PART_CODEC;
    return HM_PART_NONE;
}

hm_part_kind hm_part_of_weights(const hm_weights *weights)
{
    hm_part_kind kind = hm_part_of_config(hm_weights_config(weights));
    if (kind)
        return kind;
    if (hm_weights_peek(weights, "audio_head") && hm_weights_peek(weights, "codebook0_head.weight"))
        return HM_PART_LM;
    if (hm_weights_peek(weights, "talker.codec_head.weight"))
        return HM_PART_TALKER;
    if (hm_weights_peek(weights, "decoder.quantizer.rvq_first.output_proj.weight"))
        return HM_PART_SPEECH_CODEC;
    if (hm_weights_peek(weights, "model.encoder.conv1.weight") && hm_weights_peek(weights, "model.decoder.embed_positions.weight"))
        return HM_PART_TRANSCRIBER;
    return hm_weights_peek(weights, "flow_matching.cond_feature_emb.weight") ? HM_PART_CODEC : HM_PART_NONE;
}

static bool is_kind(const char *path, mode_t kind)
{
    struct stat st;
    return !stat(path, &st) && (st.st_mode & S_IFMT) == kind;
}

static bool join(char out[PATH_MAX], const char *folder, const char *name)
{
    return snprintf(out, PATH_MAX, "%s/%s", folder, name) < PATH_MAX;
}

/* The folder that holds path; a relative name's is ".", a folder's that ends in dots is path/.. */
static bool parent_of(char out[PATH_MAX], const char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    const char *slash = memrchr(path, '/', n);
    const char *last = slash ? slash + 1 : path;
    size_t length = n - (size_t)(last - path);
    if ((length == 1 && last[0] == '.') || (length == 2 && !memcmp(last, "..", 2)))
        return join(out, path, "..");
    if (!slash)
        return snprintf(out, PATH_MAX, ".") < PATH_MAX;
    return snprintf(out, PATH_MAX, "%.*s", slash == path ? 1 : (int)(slash - path), path) < PATH_MAX;
}

static void note_seen(hm_checkpoint *c, const char *path, const char *what)
{
    const char *slash = strrchr(path, '/');
    size_t used = strlen(c->seen);
    snprintf(c->seen + used, sizeof c->seen - used, "%s%.60s (%s)", used ? ", " : "", slash && slash[1] ? slash + 1 : path, what);
}

/* What a folder or file is: by its config.json where that tells, else by the headers of its weights. */
static hm_part_kind kind_of(hm_checkpoint *c, const char *path)
{
    char config_path[PATH_MAX];
    hm_part_kind kind = HM_PART_NONE;
    hm_dialect dialect;
    hm_weights *w;
    json_t *config;
    hm_error err;
    if (join(config_path, path, "config.json") && is_kind(config_path, S_IFREG) && !hm_json_load(&config, config_path, &err)) {
        kind = hm_part_of_config(config);
        json_decref(config);
    }
    if (kind)
        return kind;
    if (!hm_weights_open_any(&w, path, HM_LOAD_MAP, &dialect, &err)) {
        kind = hm_part_of_weights(w);
        hm_weights_close(&w);
    } else if (is_kind(path, S_IFREG)) {
        dialect = hm_dialect_of_file(path);
        note_seen(c, path, dialect ? hm_dialect_text(dialect) : "not readable");
    }
    return kind;
}

static hm_status keep(char **slot, char **second, const char *path, hm_error *err)
{
    char **to = *slot ? second : slot;
    if (*to || (*slot && !strcmp(*slot, path)))
        return HM_OK;
    *to = strdup(path);
    return *to ? HM_OK : hm_fail(err, HM_EABSENT, "%s: no memory", path);
}

static void drop(char **path)
{
    free(*path);
    *path = NULL;
}

/* A language model says which family this is: codecs of another are forgotten. False for a codec of another family. */
static bool join_family(hm_checkpoint *c, hm_part_kind kind)
{
    hm_model_kind model = hm_model_of_part(kind);
    if (c->model != model && is_language_model(kind) && !c->lm) {
        drop(&c->codec);
        drop(&c->codec_too);
        c->model = model;
    }
    if (!c->model)
        c->model = model;
    return c->model == model || is_language_model(kind);
}

/* Looks at one folder or file; keeps it when it is a part that `wanted` names (HM_PART_NONE: either). */
static hm_status consider(hm_checkpoint *c, const char *path, hm_part_kind wanted, hm_part_kind *found, hm_error *err)
{
    hm_part_kind kind = kind_of(c, path);
    if (found)
        *found = kind;
    if (kind == HM_PART_NONE || (wanted && kind != wanted))
        return HM_OK;
    if (kind == HM_PART_TRANSCRIBER)
        return keep(&c->transcriber, &c->transcriber_too, path, err);
    if (!join_family(c, kind))
        return HM_OK;
    return is_language_model(kind) ? keep(&c->lm, &c->lm_too, path, err) : keep(&c->codec, &c->codec_too, path, err);
}

/* A file that may be a part by itself: weights that are not a shard. */
static bool is_whole_file(const char *name)
{
    size_t n = strlen(name);
    return (n > 12 && !strcmp(name + n - 12, ".safetensors") && !strstr(name, "-of-")) || hm_dialect_of_name(name) == HM_DIALECT_GGUF;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names in a folder, sorted, so that what is found does not depend on the file system. Free with free_names. */
static char **names_of(const char *folder, size_t *count)
{
    DIR *d = opendir(folder);
    struct dirent *e;
    char **names = NULL;
    size_t n = 0, room = 0;
    while (d && n < 10000 && (e = readdir(d))) {
        if (e->d_name[0] == '.')
            continue;
        if (n == room) {
            char **more = realloc(names, (room = 2 * room + 16) * sizeof *names);
            if (!more)
                break;
            names = more;
        }
        if (!(names[n] = strdup(e->d_name)))
            break;
        n++;
    }
    if (d)
        closedir(d);
    if (n)
        qsort(names, n, sizeof *names, by_text);
    *count = n;
    return names;
}

static void free_names(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

/* The subfolders and whole files of a folder. `files`: look at files too. */
static hm_status scan(hm_checkpoint *c, const char *folder, hm_part_kind wanted, bool files, hm_error *err)
{
    size_t count;
    char path[PATH_MAX], **names = names_of(folder, &count);
    hm_status st = HM_OK;
    for (size_t i = 0; !st && i < count; i++) {
        if (!join(path, folder, names[i]))
            continue;
        bool is_folder = is_kind(path, S_IFDIR);
        if (is_folder || (files && is_whole_file(names[i])))
            st = consider(c, path, wanted, NULL, err);
    }
    free_names(names, count);
    return st;
}

static hm_status find_text(char **slot, const char *folder, const char *name, hm_error *err)
{
    char path[PATH_MAX];
    if (*slot || !join(path, folder, name) || !is_kind(path, S_IFREG))
        return HM_OK;
    *slot = strdup(path);
    return *slot ? HM_OK : hm_fail(err, HM_EABSENT, "%s: no memory", path);
}

/* The folder itself, when it holds what a Qwen2 tokenizer is read from. */
static hm_status find_vocabulary(hm_checkpoint *c, const char *folder, hm_error *err)
{
    char path[PATH_MAX];
    if (c->tokenizer || !join(path, folder, "vocab.json") || !is_kind(path, S_IFREG))
        return HM_OK;
    c->tokenizer = strdup(folder);
    return c->tokenizer ? HM_OK : hm_fail(err, HM_EABSENT, "%s: no memory", path);
}

static hm_status find_texts(hm_checkpoint *c, const char *folder, hm_error *err)
{
    if (c->model == HM_MODEL_QWEN3_TTS) {
        hm_status found = find_vocabulary(c, folder, err);
        return found ? found : find_text(&c->gen_config, folder, "generation_config.json", err);
    }
    hm_status st = find_text(&c->tokenizer, folder, "tokenizer.json", err);
    return st ? st : find_text(&c->gen_config, folder, "gen_config.json", err);
}

/* Of a talker found below path: the speech tokenizer inside its folder, else the one beside it. */
static hm_status find_inner_codec(hm_checkpoint *c, const char *path, hm_error *err)
{
    char *beside = c->codec, *beside_too = c->codec_too;
    if (c->model != HM_MODEL_QWEN3_TTS || !c->lm || !is_kind(c->lm, S_IFDIR))
        return HM_OK;
    c->codec = c->codec_too = NULL;
    hm_status st = scan(c, c->lm, HM_PART_SPEECH_CODEC, false, err);
    if (!c->codec) {
        c->codec = beside;
        c->codec_too = beside_too;
        return st || c->codec ? st : scan(c, path, HM_PART_SPEECH_CODEC, true, err);
    }
    free(beside);
    free(beside_too);
    return st;
}

static hm_status find_parts(hm_checkpoint *c, const char *path, hm_error *err)
{
    char around[PATH_MAX];
    hm_part_kind own = HM_PART_NONE;
    bool is_folder = is_kind(path, S_IFDIR);
    hm_status st = consider(c, path, HM_PART_NONE, &own, err);
    if (!st && is_folder && is_language_model(own))
        st = scan(c, path, codec_of(own), false, err);
    if (!st && is_folder && own == HM_PART_NONE) {
        st = scan(c, path, HM_PART_NONE, true, err);
        if (!st)
            st = find_inner_codec(c, path, err);
    }
    if (!st && is_folder)
        st = find_texts(c, path, err);
    if (st || !is_language_model(own) || !parent_of(around, path))
        return st;
    if (!c->codec)
        st = scan(c, around, codec_of(own), !is_folder, err); /* the codec beside it */
    return st ? st : find_texts(c, around, err);
}

hm_status hm_checkpoint_take_transcriber(hm_checkpoint *c, hm_error *err)
{
    if (!c->transcriber)
        return HM_OK;
    drop(&c->lm);
    drop(&c->lm_too);
    drop(&c->codec);
    drop(&c->codec_too);
    drop(&c->tokenizer);
    drop(&c->gen_config);
    c->lm = c->transcriber;
    c->lm_too = c->transcriber_too;
    c->transcriber = c->transcriber_too = NULL;
    c->model = HM_MODEL_WHISPER;
    if (!is_kind(c->lm, S_IFDIR))
        return HM_OK;
    c->tokenizer = strdup(c->lm);
    return c->tokenizer ? find_text(&c->gen_config, c->lm, "generation_config.json", err)
                        : hm_fail(err, HM_EABSENT, "%s: no memory", c->path);
}

hm_status hm_checkpoint_find(hm_checkpoint *out, const char *path, hm_error *err)
{
    hm_checkpoint c = {0};
    struct stat info;
    if (strlen(path) >= PATH_MAX)
        return hm_fail(err, HM_EMISSING, "%.100s...: path too long", path);
    if (stat(path, &info))
        return hm_fail(err, errno == ENOENT || errno == ENOTDIR ? HM_EMISSING : HM_EIO, "%s: cannot open: %s", path, strerror(errno));
    c.path = strdup(path);
    hm_status st = c.path ? find_parts(&c, path, err) : hm_fail(err, HM_EABSENT, "%s: no memory", path);
    if (!st && c.lm && is_kind(c.lm, S_IFDIR))
        st = find_texts(&c, c.lm, err);
    if (!st && !c.lm && !c.codec)
        st = hm_checkpoint_take_transcriber(&c, err);
    if (st) {
        hm_checkpoint_close(&c);
        return st;
    }
    *out = c;
    return HM_OK;
}

void hm_checkpoint_close(hm_checkpoint *checkpoint)
{
    free(checkpoint->path);
    free(checkpoint->lm);
    free(checkpoint->codec);
    free(checkpoint->tokenizer);
    free(checkpoint->gen_config);
    free(checkpoint->lm_too);
    free(checkpoint->codec_too);
    free(checkpoint->transcriber);
    free(checkpoint->transcriber_too);
    *checkpoint = (hm_checkpoint){0};
}

static hm_status need_part(const hm_checkpoint *c, const char *what, const char *named, const char *part, const char *second, hm_error *err)
{
    if (part && second)
        return hm_fail(err, HM_EUSAGE, "%s: two parts are a %s: %s and %s: name the folder of the one that is meant", c->path, what, part,
                       second);
    if (part)
        return HM_OK;
    return hm_fail(err, HM_EMISSING,
                   "%s: no %s: looked there and in its subfolders for a config.json with model_type %s, or weights with its tensors%s%s",
                   c->path, what, named, c->seen[0] ? "; found " : "", c->seen);
}

hm_status hm_checkpoint_need(const hm_checkpoint *checkpoint, bool lm, bool codec, hm_error *err)
{
    static const struct {
        const char *lm, *lm_type, *codec, *codec_type;
    } words[] = {
        [HM_MODEL_NONE] = {"language model", "heartmula or qwen3_tts", "codec", "heartcodec or qwen3_tts_tokenizer_12hz"},
        [HM_MODEL_HEARTMULA] = {"language model", "heartmula", "codec", "heartcodec"},
        [HM_MODEL_QWEN3_TTS] = {"talker", "qwen3_tts", "speech tokenizer", "qwen3_tts_tokenizer_12hz"},
        [HM_MODEL_WHISPER] = {"transcriber", "whisper", "codec", "heartcodec"},
    };
    hm_model_kind m = checkpoint->model;
    hm_status st = HM_OK;
    if (lm)
        st = need_part(checkpoint, words[m].lm, words[m].lm_type, checkpoint->lm, checkpoint->lm_too, err);
    if (!st && codec)
        st = need_part(checkpoint, words[m].codec, words[m].codec_type, checkpoint->codec, checkpoint->codec_too, err);
    return st;
}

hm_status hm_checkpoint_generation(hm_tts_generation *out, const hm_checkpoint *checkpoint, hm_error *err)
{
    json_t *config = NULL;
    hm_status st = checkpoint->gen_config ? hm_json_load(&config, checkpoint->gen_config, err) : HM_OK;
    if (!st)
        st = hm_tts_generation_read(out, config, checkpoint->gen_config ? checkpoint->gen_config : checkpoint->path, err);
    json_decref(config);
    return st;
}

hm_status hm_checkpoint_qwen2_tokenizer(hm_tokenizer **out, const hm_checkpoint *checkpoint, hm_qwen2_split split, hm_error *err)
{
    if (!checkpoint->tokenizer)
        return hm_fail(err, HM_EMISSING, "%s: no tokenizer: looked for vocab.json and merges.txt there%s%s", checkpoint->path,
                       checkpoint->lm ? " and in " : "", checkpoint->lm ? checkpoint->lm : "");
    return hm_tokenizer_open_qwen2(out, checkpoint->tokenizer, split, err);
}

/* A file of Whisper's folder as JSON; *out stays NULL without. */
static hm_status load_whisper_text(json_t **out, char path[PATH_MAX], const hm_checkpoint *c, const char *name, hm_error *err)
{
    if (!join(path, c->lm, name) || !is_kind(path, S_IFREG))
        return HM_OK;
    return hm_json_load(out, path, err);
}

hm_status hm_checkpoint_whisper_generation(hm_whisper_generation *out, const hm_checkpoint *checkpoint, const json_t *config,
                                           const hm_whisper_shape *shape, hm_error *err)
{
    char path[PATH_MAX];
    json_t *preprocessor = NULL, *generation = NULL;
    hm_status st = load_whisper_text(&preprocessor, path, checkpoint, "preprocessor_config.json", err);
    if (!st)
        st = hm_whisper_preprocessor_check(preprocessor, shape, path, err);
    if (!st)
        st = load_whisper_text(&generation, path, checkpoint, "generation_config.json", err);
    if (!st)
        st = hm_whisper_generation_read(out, generation, config, shape, generation ? path : checkpoint->lm, err);
    json_decref(preprocessor);
    json_decref(generation);
    return st;
}

hm_status hm_checkpoint_whisper_tokenizer(hm_tokenizer **out, const hm_checkpoint *checkpoint, hm_error *err)
{
    if (!checkpoint->tokenizer)
        return hm_fail(err, HM_EMISSING, "%s: no tokenizer: it lies in the model's folder, which is a bare file here", checkpoint->path);
    return hm_tokenizer_open_whisper(out, checkpoint->tokenizer, err);
}

/* Metadata of lm under name or name.json; NULL without. */
static const char *metadata_text(const hm_weights *lm, const char *name)
{
    char file[64];
    const char *text = lm ? hm_weights_metadata(lm, name) : NULL;
    snprintf(file, sizeof file, "%s.json", name);
    return text || !lm ? text : hm_weights_metadata(lm, file);
}

hm_status hm_checkpoint_gen_config(hm_gen_config *out, const hm_checkpoint *checkpoint, const hm_weights *lm, hm_error *err)
{
    hm_gen_config g = {128000, 128001, 8193, 0};
    json_t *json = NULL;
    hm_status st = HM_OK;
    const char *text = metadata_text(lm, "gen_config"), *where = checkpoint->gen_config ? checkpoint->gen_config : checkpoint->path;
    if (checkpoint->gen_config)
        st = hm_json_load(&json, checkpoint->gen_config, err);
    else if (text)
        st = hm_json_parse(&json, text, strlen(text), where = hm_weights_path(lm), err);
    if (!st && json) {
        st = hm_json_int(json, "text_bos_id", 0, INT32_MAX, false, &g.text_bos_id, where, err);
        if (!st)
            st = hm_json_int(json, "text_eos_id", 0, INT32_MAX, false, &g.text_eos_id, where, err);
        if (!st)
            st = hm_json_int(json, "audio_eos_id", 0, INT32_MAX, false, &g.audio_eos_id, where, err);
        if (!st)
            st = hm_json_int(json, "empty_id", 0, INT32_MAX, false, &g.empty_id, where, err);
    }
    json_decref(json);
    if (!st)
        *out = g;
    return st;
}

hm_status hm_checkpoint_tokenizer(char **text, size_t *size, const char **where, const hm_checkpoint *checkpoint, const hm_weights *lm,
                                  hm_error *err)
{
    const char *inside = metadata_text(lm, "tokenizer");
    if (checkpoint->tokenizer) {
        hm_map map = {0};
        hm_status st = hm_map_read(&map, checkpoint->tokenizer, TOKENIZER_MAX_BYTES, err);
        if (st)
            return st;
        *text = (char *)map.data; /* read into the heap: ours to hand on */
        *size = map.size;
        *where = checkpoint->tokenizer;
        return HM_OK;
    }
    if (!inside)
        return hm_fail(err, HM_EMISSING, "%s: no tokenizer: looked for tokenizer.json there%s%s, and in the metadata of the language model",
                       checkpoint->path, checkpoint->lm ? " and in " : "", checkpoint->lm ? checkpoint->lm : "");
    *text = strdup(inside);
    if (!*text)
        return hm_fail(err, HM_EABSENT, "%s: no memory", hm_weights_path(lm));
    *size = strlen(inside);
    *where = hm_weights_path(lm);
    return HM_OK;
}

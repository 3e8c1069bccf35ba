/* Writes a preset as a real checkpoint folder: a plan of files first, then their bytes, in a folder beside that is renamed at the end. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "engine/base/map.h"
#include "engine/preset.h"

#define SHARD_BYTES UINT64_C(5000000000) /* as the originals are cut */
#define BUFFER_BYTES ((size_t)8 << 20)   /* files larger than this go past the page cache: faster, and nothing is driven out of it */
#define ALIGN_BYTES 4096                 /* where data starts in a file, and the buffer in memory */

enum {
    MAX_SHARDS = 16
};

/* One safetensors file: rows of a table in the order in which they are stored, behind a header. */
typedef struct shard {
    const hm_tensor_row **rows;
    int count;
    uint64_t data_bytes;
    char *header;
    size_t header_bytes;
    char name[64];
} shard;

typedef struct part_plan {
    const char *folder; /* NULL: the root itself */
    hm_tensor_table table;
    const hm_tensor_row **order; /* rows of all shards */
    shard shards[MAX_SHARDS];
    int shard_count;
    char *index, *config; /* texts; index NULL with one shard */
} part_plan;

typedef struct plan {
    part_plan parts[2];
    int part_count;
    hm_preset_text texts[HM_PRESET_TEXTS + 1];
    uint64_t bytes;
} plan;

static hm_status no_memory(hm_error *err)
{
    return hm_fail(err, HM_EABSENT, "synthetic checkpoint: no memory");
}

static void close_plan(plan *p)
{
    for (int i = 0; i < 2; i++) {
        part_plan *part = &p->parts[i];
        for (int k = 0; k < part->shard_count; k++)
            free(part->shards[k].header);
        hm_tensor_table_close(&part->table);
        free(part->order);
        free(part->index);
        free(part->config);
    }
    for (int i = 0; i < HM_PRESET_TEXTS; i++)
        free(p->texts[i].text);
}

/* Text of a JSON value, which is released. */
static hm_status dump(char **out, json_t *json, size_t flags, uint64_t *bytes, hm_error *err)
{
    *out = json ? json_dumps(json, flags) : NULL;
    json_decref(json);
    if (!*out)
        return no_memory(err);
    *bytes += strlen(*out);
    return HM_OK;
}

/* Wide types first, so that every tensor is aligned; then by name. The order of the reference implementation. */
static int stored_order(const void *a, const void *b)
{
    const hm_tensor_row *x = *(const hm_tensor_row *const *)a, *y = *(const hm_tensor_row *const *)b;
    size_t nx = hm_dtype_bytes(x->type), ny = hm_dtype_bytes(y->type);
    return nx != ny ? (nx > ny ? -1 : 1) : strcmp(x->name, y->name);
}

static hm_status cut_shards(part_plan *part, hm_error *err)
{
    const hm_tensor_table *t = &part->table;
    part->order = hm_calloc((size_t)t->count, sizeof *part->order, "synthetic checkpoint", err);
    if (!part->order)
        return HM_EABSENT;
    for (int i = 0; i < t->count; i++) {
        uint64_t bytes = hm_tensor_row_bytes(&t->rows[i]);
        shard *s = part->shard_count ? &part->shards[part->shard_count - 1] : NULL;
        part->order[i] = &t->rows[i];
        if (!s || (s->count && s->data_bytes + bytes > SHARD_BYTES)) {
            if (part->shard_count == MAX_SHARDS)
                return hm_fail(err, HM_EBUG, "synthetic checkpoint: more than %d shards", MAX_SHARDS);
            s = &part->shards[part->shard_count++];
            s->rows = part->order + i;
        }
        s->count++;
        s->data_bytes += bytes;
    }
    for (int k = 0; k < part->shard_count; k++) {
        shard *s = &part->shards[k];
        qsort(s->rows, (size_t)s->count, sizeof *s->rows, stored_order);
        if (part->shard_count == 1)
            snprintf(s->name, sizeof s->name, "model.safetensors");
        else
            snprintf(s->name, sizeof s->name, "model-%05d-of-%05d.safetensors", k + 1, part->shard_count);
    }
    return HM_OK;
}

/* The header with its size in front, padded with spaces so that the data starts on a page. */
static hm_status make_header(shard *s, const char *preset, uint64_t seed, hm_error *err)
{
    char *text = NULL;
    size_t size = 0;
    uint64_t at = 0;
    FILE *f = open_memstream(&text, &size);
    if (!f)
        return no_memory(err);
    fprintf(f, "xxxxxxxx{\"__metadata__\":{\"format\":\"pt\",\"" HM_PRESET_METADATA "\":\"v1 %s seed 0x%016" PRIx64 "\"}", preset, seed);
    for (int i = 0; i < s->count; i++) {
        const hm_tensor_row *r = s->rows[i];
        uint64_t end = at + hm_tensor_row_bytes(r);
        fprintf(f, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[", r->name, hm_dtype_name(r->type));
        for (int k = 0; k < r->rank; k++)
            fprintf(f, "%s%" PRId64, k ? "," : "", r->shape[k]);
        fprintf(f, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", at, end);
        at = end;
    }
    fputc('}', f);
    for (long n = ftell(f); n % ALIGN_BYTES; n++)
        fputc(' ', f);
    if (fclose(f)) {
        free(text);
        return no_memory(err);
    }
    for (int i = 0; i < 8; i++)
        text[i] = (char)((uint64_t)(size - 8) >> (8 * i));
    s->header = text;
    s->header_bytes = size;
    return HM_OK;
}

static json_t *make_index(const part_plan *part)
{
    uint64_t total = 0;
    json_t *map = json_object();
    for (int k = 0; k < part->shard_count; k++) {
        total += part->shards[k].data_bytes;
        for (int i = 0; i < part->shards[k].count; i++)
            json_object_set_new(map, part->shards[k].rows[i]->name, json_string(part->shards[k].name));
    }
    return json_pack("{s{sI} so}", "metadata", "total_size", (json_int_t)total, "weight_map", map);
}

static hm_status plan_part(part_plan *part, const char *preset, uint64_t seed, json_t *config, uint64_t *bytes, hm_error *err)
{
    hm_status st = dump(&part->config, config, JSON_INDENT(2) | JSON_SORT_KEYS, bytes, err);
    if (!st)
        st = cut_shards(part, err);
    for (int k = 0; !st && k < part->shard_count; k++) {
        st = make_header(&part->shards[k], preset, seed, err);
        *bytes += part->shards[k].header_bytes + part->shards[k].data_bytes;
    }
    if (!st && part->shard_count > 1)
        st = dump(&part->index, make_index(part), JSON_INDENT(2) | JSON_SORT_KEYS, bytes, err);
    return st;
}

static hm_status make_plan(plan *p, const hm_preset *preset, uint64_t seed, hm_error *err)
{
    static const hm_preset_part parts[] = {HM_PRESET_LM, HM_PRESET_CODEC};
    const hm_preset_sizes *s = hm_preset_sizes_of(preset);
    p->part_count = hm_preset_parts(preset);
    p->parts[0].folder = s ? s->lm_folder : p->part_count == 1 ? "HeartTranscriptor-oss" : NULL;
    p->parts[1].folder = s ? s->codec_folder : "speech_tokenizer";
    hm_status st = hm_preset_texts(p->texts, preset, err);
    for (int i = 0; !st && p->texts[i].name; i++)
        p->bytes += strlen(p->texts[i].text);
    for (int i = 0; !st && i < p->part_count; i++) {
        json_t *config = NULL;
        st = hm_preset_describe(&config, &p->parts[i].table, preset, parts[i], err);
        if (!st)
            st = plan_part(&p->parts[i], preset->name, seed, config, &p->bytes, err);
    }
    return st;
}

uint64_t hm_preset_bytes(const hm_preset *preset)
{
    plan p = {0};
    hm_status st = make_plan(&p, preset, 0, NULL);
    uint64_t bytes = st ? 0 : p.bytes;
    close_plan(&p);
    return bytes;
}

/* Bytes gathered in one buffer and written when it is full. */
typedef struct writer {
    int fd;
    bool direct;  /* the file is open with O_DIRECT */
    bool outline; /* headers alone, holes for the rest */
    const char *path;
    uint8_t *buffer;
    size_t used;
    uint64_t file_at, done, total;
    uint64_t seed;
    hm_team *team;
    const hm_probe *probe;
} writer;

/* Back to the page cache: for the end of a file, which is no whole number of pages, and where the file system refuses. */
static void leave_direct(writer *w)
{
    int flags = fcntl(w->fd, F_GETFL);
    if (flags >= 0)
        fcntl(w->fd, F_SETFL, flags & ~O_DIRECT);
    w->direct = false;
}

static hm_status flush(writer *w, hm_error *err)
{
    uint64_t start = w->file_at;
    if (w->direct && w->used % ALIGN_BYTES)
        leave_direct(w);
    for (size_t at = 0; at < w->used;) {
        ssize_t n = write(w->fd, w->buffer + at, w->used - at);
        if (n < 0 && errno == EINVAL && w->direct) {
            leave_direct(w);
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return hm_fail(err, HM_EIO, "%s: cannot write: %s", w->path, strerror(errno));
        at += (size_t)n;
    }
    w->file_at += w->used;
    w->done += w->used;
    w->used = 0;
    sync_file_range(w->fd, (off_t)start, (off_t)(w->file_at - start), SYNC_FILE_RANGE_WRITE); /* a hint: the disk starts while we compute */
    if (w->probe && w->probe->progress && w->probe->progress(w->probe->self, "synth", (int64_t)w->done, (int64_t)w->total))
        return hm_fail(err, HM_EINTERRUPTED, "synthetic checkpoint: stopped on request; nothing is left behind");
    return HM_OK;
}

static hm_status put_row(writer *w, const hm_tensor_row *r, hm_error *err)
{
    size_t size = hm_dtype_bytes(r->type);
    uint64_t count = hm_tensor_row_bytes(r) / size;
    for (uint64_t at = 0; at < count;) {
        uint64_t room = (BUFFER_BYTES - w->used) / size, n = count - at < room ? count - at : room;
        if (r->type == HM_BOOL)
            memset(w->buffer + w->used, 1, (size_t)n);
        else
            hm_synth_fill(w->buffer + w->used, r->type, r->name, w->seed, at, n, r->offset, r->scale, w->team);
        w->used += (size_t)n * size;
        at += n;
        if (BUFFER_BYTES - w->used < size) {
            hm_status st = flush(w, err);
            if (st)
                return st;
        }
    }
    return HM_OK;
}

/* The file's size without its content. */
static hm_status put_hole(writer *w, uint64_t bytes, hm_error *err)
{
    hm_status st = flush(w, err);
    if (!st && ftruncate(w->fd, (off_t)(w->file_at + bytes)))
        st = hm_fail(err, HM_ECREATE, "%s: cannot make a file of %" PRIu64 " bytes: %s", w->path, w->file_at + bytes, strerror(errno));
    return st;
}

/* Headers go through the buffer like everything else. */
static hm_status put_bytes(writer *w, const char *data, size_t size, hm_error *err)
{
    hm_status st = HM_OK;
    while (size && !st) {
        size_t room = BUFFER_BYTES - w->used, n = size < room ? size : room;
        memcpy(w->buffer + w->used, data, n);
        w->used += n;
        data += n;
        size -= n;
        if (w->used == BUFFER_BYTES)
            st = flush(w, err);
    }
    return st;
}

static hm_status write_shard(writer *w, const char *folder, const shard *s, hm_error *err)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", folder, s->name) >= PATH_MAX)
        return hm_fail(err, HM_ECREATE, "%s: path too long", folder);
    w->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (w->fd < 0)
        return hm_fail(err, HM_ECREATE, "%s: cannot create: %s", path, strerror(errno));
    w->path = path;
    w->file_at = 0;
    w->direct = !w->outline && s->data_bytes > BUFFER_BYTES && !fcntl(w->fd, F_SETFL, O_DIRECT);
    hm_status st = HM_OK;
    if (!w->outline && fallocate(w->fd, 0, 0, (off_t)(s->header_bytes + s->data_bytes)) && errno != EOPNOTSUPP && errno != ENOSYS)
        st = hm_fail(err, HM_ECREATE, "%s: cannot reserve %" PRIu64 " bytes: %s", path, s->header_bytes + s->data_bytes, strerror(errno));
    if (!st)
        st = put_bytes(w, s->header, s->header_bytes, err);
    if (!st && w->outline)
        st = put_hole(w, s->data_bytes, err);
    for (int i = 0; !st && i < s->count && !w->outline; i++)
        st = put_row(w, s->rows[i], err);
    if (!st)
        st = flush(w, err);
    if (close(w->fd) && !st)
        st = hm_fail(err, HM_EIO, "%s: cannot write: %s", path, strerror(errno));
    return st;
}

static hm_status write_text(writer *w, const char *folder, const char *name, const char *text, hm_error *err)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= PATH_MAX)
        return hm_fail(err, HM_ECREATE, "%s: path too long", folder);
    w->done += strlen(text);
    return hm_file_write(path, text, strlen(text), err);
}

/* Folder of a part; false: its path is too long. */
static bool part_folder(char out[PATH_MAX], const char *root, const part_plan *part)
{
    return snprintf(out, PATH_MAX, "%s%s%s", root, part->folder ? "/" : "", part->folder ? part->folder : "") < PATH_MAX;
}

static hm_status make_folder(const char *root, const part_plan *part, hm_error *err)
{
    char folder[PATH_MAX];
    bool fits = part_folder(folder, root, part);
    if (fits && (!part->folder || !mkdir(folder, 0755)))
        return HM_OK;
    return hm_fail(err, HM_ECREATE, "%s/%s: cannot create: %s", root, part->folder, fits ? strerror(errno) : "path too long");
}

static hm_status write_part(writer *w, const char *root, const part_plan *part, hm_error *err)
{
    char folder[PATH_MAX];
    if (!part_folder(folder, root, part))
        return hm_fail(err, HM_ECREATE, "%s: path too long", root);
    hm_status st = write_text(w, folder, "config.json", part->config, err);
    if (!st && part->index)
        st = write_text(w, folder, "model.safetensors.index.json", part->index, err);
    for (int k = 0; !st && k < part->shard_count; k++)
        st = write_shard(w, folder, &part->shards[k], err);
    return st;
}

/* Removes a folder of ours: two levels of plain files. */
static void remove_folder(const char *folder)
{
    DIR *d = opendir(folder);
    struct dirent *e;
    while (d && (e = readdir(d))) {
        char path[PATH_MAX];
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || snprintf(path, sizeof path, "%s/%s", folder, e->d_name) >= PATH_MAX)
            continue;
        if (unlink(path))
            remove_folder(path);
    }
    if (d)
        closedir(d);
    rmdir(folder);
}

/* The target must be absent or an empty folder. */
static hm_status check_target(const char *dir, hm_error *err)
{
    struct stat info;
    struct dirent *e;
    bool empty = true;
    if (lstat(dir, &info))
        return errno == ENOENT ? HM_OK : hm_fail(err, HM_ECREATE, "%s: cannot create: %s", dir, strerror(errno));
    DIR *d = S_ISDIR(info.st_mode) ? opendir(dir) : NULL;
    if (!d)
        return hm_fail(err, HM_ECREATE, "%s: is there and is not a folder that can be read: name another", dir);
    while ((e = readdir(d)))
        empty &= !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..");
    closedir(d);
    return empty ? HM_OK : hm_fail(err, HM_ECREATE, "%s: the folder is not empty: name another, or remove it first", dir);
}

static hm_status check_space(const char *dir, uint64_t bytes, hm_error *err)
{
    struct statvfs fs;
    if (statvfs(dir, &fs))
        return hm_fail(err, HM_ECREATE, "%s: cannot tell the free space: %s", dir, strerror(errno));
    uint64_t have = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (have < bytes)
        return hm_fail(err, HM_ECREATE, "%s: the checkpoint takes %.2f GB, %.2f GB are free there", dir, (double)bytes * 1e-9,
                       (double)have * 1e-9);
    return HM_OK;
}

static hm_status write_all(const plan *p, const char *root, writer w, hm_error *err)
{
    w.total = p->bytes;
    hm_status st = w.outline ? HM_OK : check_space(root, p->bytes, err);
    if (st)
        return st;
    void *buffer = NULL;
    if (posix_memalign(&buffer, ALIGN_BYTES, BUFFER_BYTES))
        return no_memory(err);
    w.buffer = buffer;
    for (int i = 0; !st && i < p->part_count; i++)
        st = make_folder(root, &p->parts[i], err);
    for (int i = 0; !st && p->texts[i].name; i++) /* the last progress is that of weights */
        st = write_text(&w, root, p->texts[i].name, p->texts[i].text, err);
    for (int i = 0; !st && i < p->part_count; i++)
        st = write_part(&w, root, &p->parts[i], err);
    free(buffer);
    return st;
}

static hm_status write_preset(const hm_preset *preset, const char *dir, writer w, hm_error *err)
{
    char target[PATH_MAX], temp[PATH_MAX];
    plan p = {0};
    size_t n = strlen(dir);
    while (n > 1 && dir[n - 1] == '/')
        n--;
    if (n == 0 || snprintf(target, sizeof target, "%.*s", (int)n, dir) >= PATH_MAX ||
        snprintf(temp, sizeof temp, "%s.part.%ld", target, (long)getpid()) >= PATH_MAX)
        return hm_fail(err, HM_ECREATE, "\"%.200s\": not a path that can be made", dir);
    hm_status st = check_target(target, err);
    if (!st)
        st = make_plan(&p, preset, w.seed, err);
    if (!st && mkdir(temp, 0755))
        st = hm_fail(err, HM_ECREATE, "%s: cannot create: %s", temp, strerror(errno));
    else if (!st) {
        st = write_all(&p, temp, w, err);
        if (!st && rename(temp, target))
            st = hm_fail(err, HM_ECREATE, "%s: cannot rename the finished folder to it: %s", target, strerror(errno));
        if (st)
            remove_folder(temp);
    }
    close_plan(&p);
    return st;
}

hm_status hm_preset_write(const hm_preset *preset, const char *dir, uint64_t seed, hm_team *team, const hm_probe *probe, hm_error *err)
{
    return write_preset(preset, dir, (writer){.seed = seed, .team = team, .probe = probe}, err);
}

hm_status hm_preset_outline(const hm_preset *preset, const char *dir, hm_error *err)
{
    return write_preset(preset, dir, (writer){.seed = 1, .outline = true}, err);
}

void hm_preset_remove(const char *dir)
{
    remove_folder(dir);
}
